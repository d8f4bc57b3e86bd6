"""What a run is asked to do with a stream: the step's configuration in the launchpad, or the same as tags of the run."""

# No `from __future__ import annotations` here: Dagster reads the configuration's annotations as objects.
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import dagster as dg
from pydantic import Field

from integration_assets.errors import SpecError
from integration_assets.spec.cursor import Slice
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.values import cursor_value

MODE, FROM, TO = "integration_assets/mode", "integration_assets/from", "integration_assets/to"
"""Tags of a run; each says the same as the configuration's field after the slash, for every stream of the run."""


class Mode(Enum):
    """What to do. A member's name is what the launchpad takes."""

    incremental = "incremental"
    refetch = "refetch"
    full_reload = "full_reload"
    dry_run = "dry_run"
    replay = "replay"


class Only(dg.Config):
    """Which of the open records in quarantine a replay runs again; those for which all that is given holds."""

    identities: list[str] = Field(default=[], description="Identities as `integration quarantine list` shows them.")
    key: str | None = Field(default=None, description="The record with this key.")
    reason: str | None = Field(default=None, description="Records one of whose reasons has this in it.")
    since: str | None = Field(default=None, description="Those that came last at or after this moment.")
    until: str | None = Field(default=None, description="Those that came last before this moment.")


class PullConfig(dg.Config):
    """What to do with this stream. Left out, a tag of the run decides; without one, the run is incremental."""

    mode: Mode | None = Field(
        default=None,
        description=(
            "incremental (the default): what is new; of a partitioned stream the run's partitions, or without any those that are"
            " due. refetch: the range from..to, or the run's partitions, once more, whatever the lake has of it. full_reload:"
            " everything from the stream's origin on, once more. dry_run: say what would be pulled, ask the API for one page,"
            " write nothing. replay: run the open records of the quarantine again; the API is not asked."
        ),
    )
    start: str | None = Field(
        default=None,
        alias="from",
        description="For refetch and dry_run: the range's start, inclusive: 2024-01-31, 2024-01-31T12:00:00Z, or an integer.",
    )
    to: str | None = Field(default=None, description="For refetch and dry_run: the range's end, exclusive; now when left out.")
    only: Only | None = Field(default=None, description="For replay: which records; all that are open when left out.")


@dataclass(frozen=True)
class Wanted:
    """What a run is asked to do with one stream.

    span : the range asked for, None where the mode decides.
    only : which records to replay; None for all that are open.
    """

    mode: Mode
    span: Slice | None = None
    only: Only | None = None

    @property
    def afresh(self) -> bool:
        """Whether what the lake has already is landed once more."""
        return self.span is not None or self.mode in {Mode.refetch, Mode.full_reload}


def wanted(source: Source, stream: Stream, config: PullConfig, tags: Mapping[str, str], *, partitions: bool) -> Wanted:
    """Read the configuration and the run's tags.

    partitions : whether the run names partitions.
    Raises `SpecError` naming source, stream and setting, before anything is asked of the API.
    """
    mode = _mode(source, stream, config, tags)
    start, end = (_one(source, stream, name, given, tags) for name, given in ((FROM, config.start), (TO, config.to)))

    def wrong(what: str, field: str, remedy: str) -> SpecError:
        return SpecError(what, source=source.name, stream=stream.name, field=field, remedy=remedy)

    if config.only is not None and mode is not Mode.replay:
        raise wrong(f"{mode.value} takes no choice of records", "only", "Leave only out, or use replay.")
    if end is not None and start is None:
        raise wrong("to needs from", "from", "Say where the range begins.")
    if mode is Mode.replay and partitions:
        raise wrong("a record in quarantine is of no partition", "mode", "Run without a partition; only says which records.")
    if start is None:
        if mode is Mode.refetch and not partitions and stream.cursor is not None:
            raise wrong("refetch needs a range", "from", "Give from, and to; or run partitions; or use full_reload.")
        return Wanted(mode, only=config.only)
    return Wanted(mode, _span(source, stream, mode, start, end, partitions=partitions))


def _span(source: Source, stream: Stream, mode: Mode, start: str, end: str | None, *, partitions: bool) -> Slice:
    """The range that is asked for. Raises `SpecError` where it cannot be."""

    def wrong(what: str, field: str, remedy: str) -> SpecError:
        return SpecError(what, source=source.name, stream=stream.name, field=field, remedy=remedy)

    if mode not in {Mode.refetch, Mode.dry_run}:
        raise wrong(f"{mode.value} takes no range", "from", "Leave from and to out, or use refetch.")
    if partitions:
        raise wrong("a partition is a range already", "from", "Leave from and to out, or run without a partition.")
    if stream.cursor is None:
        raise wrong("the stream has no cursor and is always pulled whole", "from", "Leave from and to out.")
    first = cursor_value(source, stream, start, "from")
    span = Slice(first, cursor_value(source, stream, end, "to") if end is not None else None)
    if span.empty:
        raise wrong(f"{span} holds nothing", "to", "Give an end after the start.")
    return span


def _mode(source: Source, stream: Stream, config: PullConfig, tags: Mapping[str, str]) -> Mode:
    text = _one(source, stream, MODE, config.mode.value if config.mode else None, tags)
    try:
        return Mode(text or Mode.incremental.value)
    except ValueError:
        raise SpecError(
            f"there is no mode {text!r}",
            source=source.name,
            stream=stream.name,
            field=MODE,
            remedy=f"The modes are: {', '.join(mode.value for mode in Mode)}.",
        ) from None


def _one(source: Source, stream: Stream, name: str, given: str | None, tags: Mapping[str, str]) -> str | None:
    """The configuration's value or the tag's; raises when they disagree."""
    tagged = tags.get(name)
    if given is not None and tagged is not None and given != tagged:
        raise SpecError(
            f"the run's tag says {tagged!r} and its configuration {given!r}",
            source=source.name,
            stream=stream.name,
            field=name,
            remedy="Give one of them.",
        )
    return given if given is not None else tagged
