"""What `--from`, `--to`, `--partition` and `--tenant` mean for each of the streams that are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from integration_assets.errors import IntegrationError, SpecError
from integration_assets.spec.cursor import Slice
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.values import cursor_value

_T = TypeVar("_T")


@dataclass(frozen=True)
class Asked:
    """The streams to pull, and how much of each.

    spans, keys : a range or partition keys by stream name; a stream in neither is pulled for what is new.
    tenants     : those to pull; None for all that a stream has.
    left_out    : streams of the source that cannot be asked so, and why.
    """

    streams: tuple[Stream, ...]
    spans: Mapping[str, Slice] = field(default_factory=dict)
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tenants: tuple[str, ...] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


def asked(
    source: Source,
    streams: Sequence[Stream],
    start: str | None,
    end: str | None,
    partitions: Sequence[str] | None,
    tenants: Sequence[str] | None = None,
) -> Asked:
    """Read the options. Of several streams, those that cannot be asked so are left out; one alone is an error.

    Raises `SpecError` naming source, stream and option.
    """
    if partitions and (start or end):
        raise SpecError(
            "a partition is a range already", field="--partition", remedy="Give either --partition or --from and --to."
        )
    if end and not start:
        raise SpecError("--to needs --from", source=source.name, field="--from", remedy="Say where the range begins.")
    if tenants:
        theirs, without = _each(streams, lambda stream: _tenants(source, stream, tenants))
        rest = asked(source, [stream for stream in streams if stream.name in theirs], start, end, partitions)
        return replace(rest, tenants=tuple(dict.fromkeys(tenants)), left_out={**without, **rest.left_out})
    if partitions:
        keys, left_out = _each(streams, lambda stream: _keys(source, stream, partitions))
        return Asked(tuple(stream for stream in streams if stream.name in keys), keys=keys, left_out=left_out)
    if start:
        spans, left_out = _each(streams, lambda stream: _span(source, stream, start, end))
        return Asked(tuple(stream for stream in streams if stream.name in spans), spans=spans, left_out=left_out)
    return Asked(tuple(streams))


class _CannotError(SpecError):
    """The stream is of a kind that cannot be asked so, whatever the values are."""


def _each(streams: Sequence[Stream], read: Callable[[Stream], _T]) -> tuple[dict[str, _T], dict[str, str]]:
    """What was read for each stream, and why the others are left out. Raises when that leaves none."""
    found: dict[str, _T] = {}
    refused: dict[str, _CannotError] = {}
    for stream in streams:
        try:
            found[stream.name] = read(stream)
        except _CannotError as error:
            refused[stream.name] = error
    if not found:
        raise _plain(next(iter(refused.values())))
    return found, {name: error.what for name, error in refused.items()}


def _plain(error: IntegrationError) -> SpecError:
    return SpecError(error.what, source=error.source, stream=error.stream, field=error.field, remedy=error.remedy)


def _span(source: Source, stream: Stream, start: str, end: str | None) -> Slice:
    """`--from` and `--to` as a slice on the stream's cursor axis."""
    if stream.cursor is None:
        raise _CannotError(
            "the stream has no cursor and is always pulled whole",
            source=source.name,
            stream=stream.name,
            field="--from",
            remedy="Leave it out, or name another stream.",
        )
    try:
        first = cursor_value(source, stream, start, "--from")
        last = cursor_value(source, stream, end, "--to") if end else None
    except SpecError as error:
        # The source's other streams may count otherwise.
        raise _CannotError(error.what, source=error.source, stream=error.stream, field=error.field, remedy=error.remedy) from None
    span = Slice(first, last)
    if span.empty:
        raise SpecError(
            f"{span} holds nothing",
            source=source.name,
            stream=stream.name,
            field="--to",
            remedy="Give an end after the start.",
        )
    return span


def _tenants(source: Source, stream: Stream, wanted: Sequence[str]) -> None:
    """See that the stream has these tenants, as far as that can be told without the API."""
    if stream.tenants is None:
        raise _CannotError(
            "the stream has no tenants", source=source.name, stream=stream.name, field="--tenant", remedy="Leave --tenant out."
        )
    try:
        if stream.tenants.listing is None:
            stream.tenants.choose(stream.tenants.keys, wanted)
    except SpecError as error:
        raise _CannotError(error.what, source=source.name, stream=stream.name, field="--tenant", remedy=error.remedy) from None


def _keys(source: Source, stream: Stream, wanted: Sequence[str]) -> tuple[str, ...]:
    """Partition keys, with each FIRST..LAST spelled out."""
    if stream.partitions is None:
        raise _CannotError(
            "the stream is not partitioned",
            source=source.name,
            stream=stream.name,
            field="--partition",
            remedy="Leave --partition out.",
        )
    keys: list[str] = []
    for text in wanted:
        first, dots, last = text.partition("..")
        try:
            begins, ends = stream.partitions.slice_of(first), stream.partitions.slice_of(last if dots else first)
        except SpecError as error:
            raise error.at(source.name, stream.name) from None
        if Slice(begins.start, ends.end).empty:
            raise SpecError(
                f"{text} goes backwards",
                source=source.name,
                stream=stream.name,
                field="--partition",
                remedy=f"Write the earlier one first: {last}..{first}.",
            )
        keys.extend(stream.partitions.keys(begins.start, ends.end))  # type: ignore[arg-type]  # partitions are in time
    return tuple(dict.fromkeys(keys))
