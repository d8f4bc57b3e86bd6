"""Which named slices a stream has: a partition is a slice with a Dagster key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.cursor import Slice

_LEAST = timedelta(minutes=1)
_FORMAT = {"hour": "%Y-%m-%d-%H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m-%d"}


class Partitions(Spec):
    """One partition an hour, day, week (from Monday) or month, from `start`, in local days of `timezone`.

    end      : where a history that is closed ends, exclusive; None for one that goes on.
    refresh  : the partition that is not over yet is there too, and is pulled again when its data is older than this; None
               leaves it alone until it is over.
    catch_up : how far back a partition that was missed is pulled by itself; never one before the first that was ever pulled.
    """

    every: Literal["hour", "day", "week", "month"] = "day"
    start: date
    end: date | None = None
    timezone: str = "UTC"
    refresh: timedelta | None = None
    catch_up: timedelta = timedelta(days=31)

    @model_validator(mode="after")
    def _consistent(self) -> Partitions:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise SpecError(
                f"Partitions: no time zone {self.timezone!r}",
                field="partitions.timezone",
                remedy="Use an IANA name such as Europe/Berlin.",
            ) from None
        if self.every == "hour" and self.timezone != "UTC":
            raise SpecError(
                "Partitions: hourly partitions are in UTC, where every hour has one name",
                field="partitions.timezone",
                remedy="Drop the time zone.",
            )
        for name, day in (("start", self.start), ("end", self.end or self.start)):
            if (self.every == "month" and day.day != 1) or (self.every == "week" and day.weekday() != 0):
                raise SpecError(
                    f"Partitions: {name} {day} is not the first day of a {self.every}",
                    field=f"partitions.{name}",
                    remedy="Use a Monday for weeks, the 1st for months.",
                )
        if self.end is not None and self.end <= self.start:
            raise SpecError(
                f"Partitions: end {self.end} is not after start {self.start}", field="partitions.end", remedy="Give a later day."
            )
        if self.refresh is not None and self.refresh < _LEAST:
            raise SpecError(
                "Partitions: refresh is under a minute", field="partitions.refresh", remedy="Give it a minute or more, or None."
            )
        if self.catch_up < timedelta(0):
            raise SpecError("Partitions: catch_up is below zero", field="partitions.catch_up", remedy="0 catches up nothing.")
        return self

    @property
    def key_format(self) -> str:
        """The strftime pattern of a key; Dagster's own for the same period."""
        return _FORMAT[self.every]

    @property
    def origin(self) -> datetime:
        """The start of the first partition."""
        return self._midnight(self.start)

    @property
    def limit(self) -> datetime | None:
        """The end of the last partition of a closed history; None for one that goes on."""
        return self._midnight(self.end) if self.end else None

    def slice_of(self, key: str) -> Slice:
        """The slice that `key` names. Raises `SpecError` for a key that is not one."""
        try:
            local = datetime.strptime(key, self.key_format).replace(tzinfo=ZoneInfo(self.timezone))
        except ValueError:
            raise SpecError(
                f"{key!r} is not a {self.every} partition key",
                field="partition",
                remedy=f"Keys look like {self.key_of(self.origin)}.",
            ) from None
        whole = Slice(local.astimezone(UTC), self._next(local).astimezone(UTC))
        start = local.astimezone(UTC)
        if self.key_of(local) != key or start < self.origin or (self.limit is not None and start >= self.limit):
            last = f", the last before {self.end}" if self.end else ""
            raise SpecError(
                f"{key!r} is no partition of this stream",
                field="partition",
                remedy=f"The first is {self.key_of(self.origin)}{last}, and each begins a {self.every}.",
            )
        return whole

    def key_of(self, moment: datetime) -> str:
        """The key of the partition that holds `moment`."""
        local = moment.astimezone(ZoneInfo(self.timezone))
        if self.every == "hour":
            local = local.replace(minute=0, second=0, microsecond=0)
        elif self.every == "week":
            local -= timedelta(days=local.weekday())
        elif self.every == "month":
            local = local.replace(day=1)
        return local.strftime(self.key_format)

    def keys(self, start: datetime, end: datetime) -> Iterator[str]:
        """The keys of all partitions that overlap `[start, end)`, ascending."""
        moment = max(start, self.origin)
        end = min(end, self.limit) if self.limit else end
        while moment < end:
            key = self.key_of(moment)
            yield key
            following = self.slice_of(key).end
            assert isinstance(following, datetime)  # noqa: S101 - a partition is closed on both sides
            moment = following

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, datetime.min.time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def _next(self, local: datetime) -> datetime:
        match self.every:
            case "hour":
                return local + timedelta(hours=1)
            case "day":
                return local + timedelta(days=1)
            case "week":
                return local + timedelta(days=7)
            case _:
                return (local.replace(day=1) + timedelta(days=32)).replace(day=1)
