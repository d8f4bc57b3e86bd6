"""What is typed after `--from`, `--to` and `--partition`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from integration_assets.cli.ranges import asked
from integration_assets.errors import SpecError
from integration_assets.spec import Cursor, Slice, Source, Stream

NOTES = Stream(
    name="notes", path="/notes", contract="a.b:C", key=("id",), cursor=Cursor(field="id", kind="integer", start_param="since_id")
)
EVENTS = Stream(name="events", path="/events", contract="a.b:C", key=("id",), cursor=Cursor(field="at", start_param="since"))
SOURCE = Source(name="shop", base_url="https://shop.example", streams=(NOTES, EVENTS))


def test_an_integer_cursor_takes_integers() -> None:
    """`--from 0 --to 20` is a slice of integers, zero included."""
    assert asked(SOURCE, [NOTES], "0", "20", None).spans == {"notes": Slice(0, 20)}


def test_a_date_for_an_integer_cursor_is_answered_with_what_to_write() -> None:
    """The error names source, stream and option, and asks for an integer."""
    with pytest.raises(SpecError, match=r"^shop\.notes \(--from\): .*counts in integers.* Write an integer such as 1200\.$"):
        asked(SOURCE, [NOTES], "2024-01-31", None, None)


def test_a_moment_that_is_none_is_answered_with_how_to_write_one() -> None:
    """The error names source, stream and option, and shows the form."""
    with pytest.raises(SpecError, match=r"^shop\.events \(--from\): '31\.1\.' is no moment\. Write 2024-01-31"):
        asked(SOURCE, [EVENTS], "31.1.", None, None)


def test_streams_whose_cursor_counts_otherwise_are_left_out() -> None:
    """Of a whole source, a date is for the streams in time; those that count in integers are left out and named."""
    found = asked(SOURCE, [NOTES, EVENTS], "2024-01-31", None, None)
    assert found.spans == {"events": Slice(datetime(2024, 1, 31, tzinfo=UTC))}
    assert list(found.left_out) == ["notes"]


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    """An empty range is an error, not a sync of nothing."""
    with pytest.raises(SpecError, match=r"shop\.events \(--to\): .* holds nothing"):
        asked(SOURCE, [EVENTS], "2024-02-01", "2024-01-01", None)


@pytest.mark.parametrize(("start", "end", "keys"), [(None, "2024-01-01", None), ("2024-01-01", None, ["2024-01-01"])])
def test_options_that_do_not_go_together_are_refused(start: str | None, end: str | None, keys: list[str] | None) -> None:
    """`--to` alone, and a partition beside a range."""
    with pytest.raises(SpecError, match="--"):
        asked(SOURCE, [EVENTS], start, end, keys)
