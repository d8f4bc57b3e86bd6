"""Instants as whole seconds since 1970 (UTC), their ISO-8601 text, and local wall-clock times made into instants."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

DAY = 86_400
HOUR = 3_600
NEVER = np.iinfo(np.int64).max
UNKNOWN = -1


def parse(text: str) -> float:
    """Turn ISO-8601 text with an offset into seconds since 1970; `ValueError` without an offset or if malformed."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = f"{text!r} has no offset: write it with Z"
        raise ValueError(msg)
    return moment.timestamp()


def first_second(moment: float) -> int:
    """Round up: the first whole second that is not before `moment`, which keeps `>=` and `<` exact on whole seconds."""
    return math.ceil(moment)


def iso(moment: float) -> str:
    """Write one instant as `2013-02-01T00:00:00Z`, with microseconds only where there are some."""
    text = datetime.fromtimestamp(moment, UTC).isoformat()
    return text.replace("+00:00", "Z")


def json_instants(seconds: Ints) -> list[str]:
    """Write many instants as quoted JSON strings; `UNKNOWN` becomes `null`."""
    days, clocks = np.divmod(seconds, DAY)
    dates, times = _date, _times_of_day()
    return [
        "null" if second < 0 else dates(day) + times[clock]
        for second, day, clock in zip(seconds.tolist(), days.tolist(), clocks.tolist(), strict=True)
    ]


@cache
def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY, UTC).strftime('"%Y-%m-%dT')


@cache
def _times_of_day() -> list[str]:
    return [f'{second // HOUR:02}:{second // 60 % 60:02}:{second % 60:02}Z"' for second in range(DAY)]


def next_local_time(after: Ints, hhmm: Ints, zone: str) -> Ints:
    """Find, for each instant, the first later one at which clocks in `zone` show `hhmm` (515 is 05:15, 2400 midnight).

    Where `hhmm` is negative the result is `UNKNOWN`. Hours skipped or repeated by summer time follow PEP 495, fold 0.
    """
    local = after + _offsets(after, zone, local=False)
    shown = local // DAY * DAY + hhmm // 100 * HOUR + hhmm % 100 * 60
    shown = np.where(shown <= local, shown + DAY, shown)
    return np.where(hhmm < 0, UNKNOWN, shown - _offsets(shown, zone, local=True))


def _offsets(moments: Ints, zone: str, *, local: bool) -> Ints:
    """Give seconds east of UTC; an offset changes on the hour only, so each distinct hour is looked up once."""
    hours, positions = np.unique(moments // HOUR, return_inverse=True)
    info = ZoneInfo(zone)
    found = np.array([_offset(hour * HOUR, info, local=local) for hour in hours.tolist()], np.int64)
    return found[positions] if len(found) else np.zeros(0, np.int64)


def _offset(moment: int, zone: ZoneInfo, *, local: bool) -> int:
    utc = datetime.fromtimestamp(moment, UTC)
    offset = (utc.replace(tzinfo=zone) if local else utc.astimezone(zone)).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
