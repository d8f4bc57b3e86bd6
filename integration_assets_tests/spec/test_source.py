"""Wrong specs fail when they are written down, and say where and what to do."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from integration_assets.errors import SpecError
from integration_assets.spec import Bearer, Cursor, NextLink, Partitions, Single, Source, Stream, Token, Tombstone, Xml

CURSOR = Cursor(field="at", start_param="since")


def stream(**changes: Any) -> Stream:  # noqa: ANN401 - whatever the test makes wrong
    """Make a stream that is right but for the changes."""
    return Stream(**{"name": "orders", "path": "/orders", "contract": "shop.contracts:Order", "key": ("id",), **changes})


def source(**changes: Any) -> Source:  # noqa: ANN401 - whatever the test makes wrong
    """Make a source that is right but for the changes."""
    return Source(**{"name": "shop", "base_url": "https://shop.example", "streams": (stream(),), **changes})


@pytest.mark.parametrize(
    ("make", "field", "says"),
    [
        (lambda: stream(keys=("id",)), "keys", "no setting 'keys'"),
        (lambda: stream(name="Orders"), "name", "pattern"),
        (lambda: stream(key=()), "key", "merge needs a key"),
        (lambda: stream(contract="shop.contracts"), "contract", "pattern"),
        (lambda: stream(reject_threshold=5), "reject_threshold", "less than or equal to 1"),
        (lambda: stream(partitions=Partitions(start=date(2024, 1, 1))), "partitions", "need a timestamp cursor"),
        (lambda: stream(cursor=CURSOR, disposition="replace"), "disposition", "cannot replace the whole table"),
        (lambda: stream(tombstone=Tombstone(path="gone")), "version", "ordered by"),
        (lambda: stream(conditional=True, paging=NextLink()), "conditional", "one page"),
        (lambda: stream(format=Xml(record="order"), paging=Token(path="next", param="token")), "paging.path", "no field"),
        (lambda: source(base_url="ftp://shop.example"), "base_url", "no base URL"),
        (lambda: source(base_url="https://me:secret@shop.example"), "base_url", "no base URL"),
        (lambda: source(base_url="http://shop.example", auth=Bearer(secret="KEY")), "base_url", "clear text"),
        (lambda: source(streams=(stream(), stream())), "streams", "twice"),
        (lambda: source(timezone="Mars/Olympus"), "timezone", "no time zone"),
        (lambda: source(streams=()), "streams", "at least 1"),
        (lambda: Bearer(secret="sk-live-1234"), "secret", "pattern"),
        (lambda: Cursor(field="at", lookback=5), "cursor.lookback", "timedelta"),
        (lambda: Cursor(field="n", kind="integer", start=datetime(2024, 1, 1, tzinfo=UTC)), "cursor.start", "integer"),
        (lambda: Cursor(field="at", format="rfc822"), "cursor.format", "not known"),
        (lambda: Cursor(field="at", step=timedelta(0)), "cursor.step", "above zero"),
        (lambda: Partitions(every="week", start=date(2024, 1, 2)), "partitions.start", "first day"),
        (lambda: Partitions(every="hour", start=date(2024, 1, 1), timezone="Europe/Berlin"), "partitions.timezone", "UTC"),
    ],
)
def test_a_wrong_spec_names_the_field_and_the_remedy(make: Callable[[], object], field: str, says: str) -> None:
    """Each mistake raises one SpecError with the field, the reason and something to do."""
    with pytest.raises(SpecError) as caught:
        make()
    assert caught.value.field == field
    assert says in str(caught.value)
    assert caught.value.remedy


def test_a_secret_written_into_a_spec_is_not_repeated_by_the_error() -> None:
    """Whoever puts a key where its name belongs does not find it in the log."""
    with pytest.raises(SpecError) as caught:
        Bearer(secret="sk-live-1234")
    assert "sk-live-1234" not in str(caught.value)


@pytest.mark.parametrize("headers", [{"X-A": "s3cr3t\n"}, {"X-A": "s3cr3té"}, {"X A": "b"}, {"Content-Length": "5"}])
def test_headers_that_cannot_be_sent_are_refused(headers: dict[str, str]) -> None:
    """Before they are taken for an outage, and without their values."""
    for make in (lambda: stream(headers=headers), lambda: source(headers=headers)):
        with pytest.raises(SpecError, match="headers") as refused:
            make()
        assert "s3cr3t" not in str(refused.value)


def test_a_wrong_stream_names_itself() -> None:
    """The error begins with the stream that is wrong."""
    with pytest.raises(SpecError, match=r"^orders \(key\): merge needs a key"):
        stream(key=())


def test_an_unknown_stream_lists_the_known_ones() -> None:
    """A mistyped stream name is answered with the names there are."""
    with pytest.raises(SpecError, match="Its streams are: orders"):
        source().stream("order")


def test_another_address_changes_nothing_else() -> None:
    """A source moved to a test server is the same source."""
    moved = source().with_base_url("http://127.0.0.1:9")
    assert moved.base_url == "http://127.0.0.1:9"
    assert moved.streams == source().streams


def test_a_snapshot_needs_neither_cursor_nor_partition() -> None:
    """The plainest stream is three lines."""
    plain = Stream(name="codes", path="/codes", contract="shop.contracts:Code", disposition="replace")
    assert isinstance(plain.paging, Single)
    assert plain.origin is None
    assert plain.version_column is None
