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

_FORMAT = {"hour": "%Y-%m-%d-%H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m-%d"}


class Partitions(Spec):
    """One partition an hour, day, week (from Monday) or month, from `start`, in local days of `timezone`."""

    every: Literal["hour", "day", "week", "month"] = "day"
    start: date
    timezone: str = "UTC"

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
        if (self.every == "month" and self.start.day != 1) or (self.every == "week" and self.start.weekday() != 0):
            raise SpecError(
                f"Partitions: start {self.start} is not the first day of a {self.every}",
                field="partitions.start",
                remedy="Start on a Monday for weeks, on the 1st for months.",
            )
        return self

    @property
    def key_format(self) -> str:
        """The strftime pattern of a key; Dagster's own for the same period."""
        return _FORMAT[self.every]

    @property
    def origin(self) -> datetime:
        """The start of the first partition."""
        return datetime.combine(self.start, datetime.min.time(), ZoneInfo(self.timezone)).astimezone(UTC)

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
        if self.key_of(local) != key or local.astimezone(UTC) < self.origin:
            raise SpecError(
                f"{key!r} is no partition of this stream",
                field="partition",
                remedy=f"The first is {self.key_of(self.origin)}, and each begins a {self.every}.",
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
        while moment < end:
            key = self.key_of(moment)
            yield key
            following = self.slice_of(key).end
            assert isinstance(following, datetime)  # noqa: S101 - a partition is closed on both sides
            moment = following

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
