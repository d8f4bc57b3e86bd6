"""What is stored of columns that the contract masks at rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandera.pandas as pandera
import pyarrow as pa
import pytest

from integration_assets.errors import LakeError, ResponseError, SecretMissingError, SpecError
from integration_assets.feed import open_feeds
from integration_assets.settings import Settings
from integration_assets.spec import Cursor, Source, Stream
from integration_assets.spec.contract import Int64, String, check_stream, column, load_contract
from integration_assets.spec.inline import InlineContract
from integration_assets.stores import Stores
from integration_assets.sync import merge, sync
from integration_assets.transform.masking import DIGITS, keyed_hash, mask_for
from integration_assets_tests.flow.mini import Mini

HERE = "integration_assets_tests.transform.test_masking"
KEY = "a-masking-key-of-the-tests-own"
STREAM = Stream(
    name="items",
    path="/items",
    contract=f"{HERE}:Person",
    key=("email",),
    cursor=Cursor(field="seq", kind="integer", start=0, start_param="since", lookback=10),
)


class Person(pandera.DataFrameModel):
    """Someone, by a masked key."""

    email: String = column(nullable=False, mask="hash", str_contains="@")
    seq: Int64 = column(nullable=False)
    name: String = column(mask="redact")
    age: Int64 = column(ge=0)


class Unfit(pandera.DataFrameModel):
    """A hash in a column of numbers."""

    id: Int64 = column(nullable=False, mask="hash")


class Lost(pandera.DataFrameModel):
    """A column that may not be null and is stored as null."""

    id: String = column(nullable=False, mask="redact")


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Mini]:
    """An API with two people."""
    api = Mini(tmp_path)
    api.records = [{"email": "ada@x.org", "seq": 1, "name": "Ada", "age": 36}, {"email": "bob@x.org", "seq": 2, "name": "Bob"}]
    with api.served():
        yield api


def pull(api: Mini, **environ: str) -> tuple[list[dict[str, object]], list[dict[str, object]], str]:
    """Sync and merge; the lake's rows, the warehouse's, and all bytes that are stored outside quarantine."""
    source = Source(name="mini", base_url=api.url, streams=(STREAM,))
    lake, warehouse = api.folder / "lake", api.folder / "warehouse.duckdb"
    settings = Settings.from_environ({"INTEGRATION_LAKE_URI": str(lake), "INTEGRATION_WAREHOUSE_URI": str(warehouse), **environ})
    stores = Stores.from_settings(settings)
    with open_feeds(source, stores, settings) as (feed,):
        list(sync(feed, "run"))
        merge(feed, stores, "run")
        landed = pa.Table.from_batches(feed.table.scan(feed.table.snapshot_files()), feed.table.schema()).to_pylist()
    rows = stores.warehouse.query("select * from mini.items order by seq").to_pylist()
    files = [path for path in (lake / "mini").rglob("*") if path.is_file()]
    return landed, rows, "".join(path.read_bytes().decode("latin-1") for path in [*files, warehouse])


def test_masked_columns_are_masked_wherever_they_are_stored(people: Mini) -> None:
    """Lake, its log and the warehouse have the keyed hash of a key and nothing of a redacted name; the rest is as it came."""
    landed, rows, stored = pull(people, INTEGRATION_MASK_KEY=KEY)
    ada = {"email": keyed_hash("ada@x.org", KEY.encode()), "seq": 1, "name": None, "age": 36}
    assert ada.items() <= landed[0].items()
    assert ada.items() <= rows[0].items()
    assert len(str(rows[0]["email"])) == DIGITS
    assert not [word for word in ("ada@", "bob@", "Ada", "Bob", KEY) if word in stored]


def test_what_was_seen_before_is_known_again(people: Mini) -> None:
    """A second sync reads its lookback again and lands nothing twice; a change of a masked person's age is a new version."""
    pull(people, INTEGRATION_MASK_KEY=KEY)
    landed, _, _ = pull(people, INTEGRATION_MASK_KEY=KEY)
    assert len(landed) == 2
    people.records[0] = {"email": "ada@x.org", "seq": 3, "name": "Ada King", "age": 37}
    landed, rows, _ = pull(people, INTEGRATION_MASK_KEY=KEY)
    assert (len(landed), [row["age"] for row in rows]) == (3, [None, 37])


def test_the_contract_is_held_before_the_mask(people: Mini) -> None:
    """A check looks at the value as it came, so a wrong address is rejected and kept in quarantine."""
    people.records.append({"email": "no address", "seq": 3, "name": "Cy", "age": 1})
    landed, _, stored = pull(people, INTEGRATION_MASK_KEY=KEY)
    assert len(landed) == 2
    assert "no address" not in stored


def test_without_the_key_nothing_is_asked_or_written(people: Mini) -> None:
    """A missing or guessable key is an error that names it, the stream and the column, before the first request."""
    with pytest.raises(SecretMissingError, match=r"mini\.items \(contract\.email\): the secret INTEGRATION_MASK_KEY"):
        pull(people)
    with pytest.raises(SpecError, match="could be guessed"):
        pull(people, INTEGRATION_MASK_KEY="short")
    assert people.asked == []
    assert not (people.folder / "lake").exists()


def test_a_body_that_cannot_be_read_is_not_quoted(people: Mini) -> None:
    """An error about a broken answer quotes its beginning, but not where the contract says that people's data may be in it."""
    people.answer = lambda *_: (200, {}, b'{"data": [{"email": "ada@x.org"')  # type: ignore[method-assign]
    with pytest.raises(ResponseError, match="is not valid JSON") as error:
        pull(people, INTEGRATION_MASK_KEY=KEY)
    assert "ada" not in str(error.value)


def test_another_key_is_refused(people: Mini) -> None:
    """A key that was changed would double every hashed key, so the next sync stops before it asks for anything."""
    pull(people, INTEGRATION_MASK_KEY=KEY)
    asked = len(people.asked)
    with pytest.raises(LakeError, match="were hashed with another INTEGRATION_MASK_KEY"):
        pull(people, INTEGRATION_MASK_KEY=f"another-{KEY}")
    assert len(people.asked) == asked


def test_equal_values_have_equal_names_and_other_keys_other_ones() -> None:
    """Tables hashed with one key can be joined; nobody without it can make the names."""
    contract = load_contract(f"{HERE}:Person")
    table = pa.table(
        {"email": pa.chunked_array([["a@b", None], ["a@b"]], pa.string()), "name": pa.array(["A", None, "C"], pa.string())}
    )
    masked = mask_for(contract, KEY.encode())(table)
    emails = masked.column("email").to_pylist()
    assert emails == [keyed_hash("a@b", KEY.encode()), None, emails[0]]
    assert emails[0] != keyed_hash("a@b", b"another key")
    assert masked.column("name").null_count == 3
    assert masked.schema == table.schema


@pytest.mark.parametrize(
    ("model", "said"), [("Unfit", "is hashed to text and is no string"), ("Lost", "is stored as null and may not be")]
)
def test_masks_that_do_not_fit_are_refused(model: str, said: str) -> None:
    """A mask that the column's type or nullability does not bear is an error of the contract."""
    with pytest.raises(SpecError, match=said):
        load_contract(f"{HERE}:{model}")


def test_what_orders_rows_cannot_be_masked() -> None:
    """A version that is hashed orders nothing, so it is refused; a key may be hashed."""
    source = Source(name="mini", base_url="http://127.0.0.1:1", streams=(STREAM,))
    check_stream(source, STREAM)
    with pytest.raises(SpecError, match=r"mini\.items \(version\): 'email' is masked"):
        check_stream(source, STREAM.changed(version="email"))


def test_contracts_in_a_spec_have_the_same_marks() -> None:
    """A contract that is written as data masks and shows as a pandera model does, and its hash tells of a mask."""
    columns = {"id": {"type": "int64"}, "mail": {"type": "string", "pii": "partial"}, "pass": {"type": "string", "mask": "hash"}}
    marked = load_contract(InlineContract(columns=columns))
    assert [(one.pii, one.mask) for one in marked.columns] == [(None, None), ("partial", None), (None, "hash")]
    shown = load_contract(InlineContract(columns=columns | {"mail": {"type": "string"}}))
    stored = load_contract(InlineContract(columns=columns | {"pass": {"type": "string"}}))
    assert shown.hash == marked.hash != stored.hash
