"""Every stream's recording flows through extraction, gate, Delta and DuckDB, and nothing is lost or doubled on the way."""

from __future__ import annotations

from pathlib import Path

from integration_assets.spec import Source, Stream
from integration_assets_tests.conformance.collect import (
    each_source,
    each_stream,
    each_stream_with_cursor,
    each_stream_with_key,
    each_stream_with_versions,
)
from integration_assets_tests.conformance.harness import asks_for, bench, live_and_deleted, whole_range


@each_stream
def test_each_sync_lands_what_the_recording_says(source: Source, stream: Stream, tmp_path: Path) -> None:
    """After each phase the receipts add up and the warehouse holds the rows, rejects and deletions the recording names."""
    with bench(source, stream, tmp_path) as made:
        for number, phase in enumerate(made.recording.phases, 1):
            receipts = made.sync(phase)
            where = f"{made.recording.path.name}, phase {number}"
            assert all(receipt.adds_up for receipt in receipts), f"{where}: {receipts}"
            assert sum(receipt.rejected for receipt in receipts) == phase.expect.rejected, where
            assert live_and_deleted(made.rows()) == (phase.expect.rows, phase.expect.deleted), where


@each_stream_with_key
def test_keys_are_unique_in_the_warehouse(source: Source, stream: Stream, tmp_path: Path) -> None:
    """A stream that names a key has one row for each."""
    with bench(source, stream, tmp_path) as made:
        for phase in made.recording.phases:
            made.sync(phase)
        keys = [tuple(row[name] for name in stream.key) for row in made.rows()]
        assert len(keys) == len(set(keys))


@each_stream
def test_every_recorded_answer_is_read(source: Source, stream: Stream, tmp_path: Path) -> None:
    """Each page of the recording is asked for and decodes, and it has no field that the contract does not know."""
    with bench(source, stream, tmp_path) as made:
        for phase in made.recording.phases:
            receipts = made.sync(phase)
            unread = [exchange.query for exchange in phase.exchanges if exchange not in made.replay.used]
            assert not unread, f"never asked for: {unread}. Paging ended early, or the recording has a page too many."
            listing = stream.tenants.listing if stream.tenants else None
            pages = [exchange for exchange in phase.exchanges if listing is None or exchange.path != listing.path]
            pages = [exchange for exchange in pages if stream.parent is None or asks_for(stream, exchange.path)]
            assert sum(receipt.pages for receipt in receipts) == len(pages)
            unknown = sorted({path for receipt in receipts for path in receipt.drift.get("new", {})})
            assert not unknown, f"add {unknown} to the contract, or to the stream's ignore."


@each_stream_with_cursor
def test_the_watermark_moves_forward_only(source: Source, stream: Stream, tmp_path: Path) -> None:
    """Each phase's sync starts where the one before ended, and never goes back."""
    with bench(source, stream, tmp_path) as made:
        marks = [receipt.watermark_after for phase in made.recording.phases for receipt in made.sync(phase)]
    assert None not in marks
    assert marks == sorted(marks, key=lambda mark: (isinstance(mark, str), mark))


@each_stream
def test_a_second_sync_over_the_same_answers_doubles_nothing(source: Source, stream: Stream, tmp_path: Path) -> None:
    """A feed that has not changed leaves the table as it was, and its receipt says that nothing was new."""
    with bench(source, stream, tmp_path) as made:
        for phase in made.recording.phases:
            made.sync(phase)
        before = made.rows()
        again = made.sync(made.recording.phases[-1])
        assert made.rows() == before
        assert sum(receipt.accepted for receipt in again) == 0


@each_stream
def test_a_refetch_doubles_nothing(source: Source, stream: Stream, tmp_path: Path) -> None:
    """Pulling the last answers again by explicit range, twice, changes no row."""
    with bench(source, stream, tmp_path) as made:
        for phase in made.recording.phases:
            made.sync(phase)
        before = made.rows()
        for _ in range(2):
            receipts = made.sync(made.recording.phases[-1], whole_range(made))
            assert all(receipt.adds_up for receipt in receipts)
        assert made.rows() == before


@each_stream_with_versions
def test_older_answers_do_not_win(source: Source, stream: Stream, tmp_path: Path) -> None:
    """Refetching a range as it was before the last changes leaves the newest version of every record in place."""
    with bench(source, stream, tmp_path) as made:
        for phase in made.recording.phases:
            made.sync(phase)
        before = made.rows()
        made.sync(made.recording.phases[0], whole_range(made))
        assert made.rows() == before


@each_source
def test_definitions_can_be_built(source: Source) -> None:
    """Assets for lake and warehouse, and a schedule where there is one, follow from the spec with no further line."""
    import dagster as dg

    from integration_assets.orchestrate import build

    definitions = build([source])
    dg.Definitions.validate_loadable(definitions)
    keys = [key.path for key in definitions.resolve_all_asset_keys()]
    missing = [stream.name for stream in source.streams if not any({source.name, stream.name} <= set(key) for key in keys)]
    assert not missing
    nightly = [each for each in definitions.schedules or [] if each.name.endswith("_nightly")]
    assert bool(nightly) == bool(source.schedule)
