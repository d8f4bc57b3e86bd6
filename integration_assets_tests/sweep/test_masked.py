"""A key that is stored as a hash: the list's keys are hashed before they are staged, and nothing in clear is left anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration_assets.errors import LakeError
from integration_assets.feed import Feed, open_feeds
from integration_assets.replay import edit
from integration_assets.settings import Settings
from integration_assets.spec import Source, Stream
from integration_assets.spec.inline import InlineContract
from integration_assets.stores import Stores
from integration_assets_tests.sweep.register import Register

KEY = "a key that is long enough, for tests alone"
CONTRACT = InlineContract(
    description="Who subscribed.",
    columns={
        "id": {"type": "string", "nullable": False, "mask": "hash"},
        "seq": {"type": "int64", "nullable": False},
        "value": {"type": "int64"},
    },
)


@dataclass
class Masked(Register):
    """The register, whose items are people."""

    mask_key: str = KEY

    @contextmanager
    def feed(self, stream: Stream) -> Iterator[tuple[Feed, Stores]]:
        """The stream, opened with the key."""
        source = Source(name="mini", base_url=self.url, streams=(stream,))
        places = {"LAKE_URI": "lake", "WAREHOUSE_URI": "warehouse.duckdb", "LIMITS_URI": "limits"}
        environ = {f"INTEGRATION_{name}": str(self.folder / place) for name, place in places.items()}
        settings = Settings.from_environ({**environ, "INTEGRATION_MASK_KEY": self.mask_key})
        stores = Stores.from_settings(settings)
        with open_feeds(source, stores, settings, [stream]) as (feed,):
            yield feed, stores


def test_a_hashed_key_is_swept(tmp_path: Path) -> None:
    """The one who is listed no more is deleted, by hash; under another key nothing is compared at all."""
    register = Masked(tmp_path)
    register.records = [{"id": f"person{n}@example.org", "seq": n, "value": n} for n in range(1, 21)]
    stream = register.swept(contract=CONTRACT)
    with register.served():
        register.pull(stream)
        register.drop("person7@example.org")  # type: ignore[arg-type]
        (found,) = register.sweep(stream)
        assert (found.receipt.listed, found.receipt.deleted) == (19, 1)
        assert [row for row in register.table("value, _deleted_at is null") if not row[1]] == [(7, False)]
        assert "@" not in str(found.examples)
        register.mask_key = KEY[::-1]
        with pytest.raises(LakeError, match="hashed with another"):
            register.sweep(stream)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"person7@" in path.read_bytes()]
    assert kept == []


def test_after_a_replay_another_key_is_refused_as_well(tmp_path: Path) -> None:
    """What lands from quarantine says under which key it was hashed, so that neither a replay nor a sweep takes another one."""
    register = Masked(tmp_path)
    register.records = [{"id": f"person{n}@example.org", "seq": n, "value": n} for n in range(1, 6)]
    register.records += [
        {"id": "late@example.org", "seq": 6, "value": "many"},
        {"id": "last@example.org", "seq": 7, "value": "x"},
    ]
    stream = register.swept(contract=CONTRACT, reject_threshold=0.5)
    with register.served():
        register.pull(stream)
        with register.feed(stream) as (feed, _):
            last, late = sorted(feed.quarantine.entries("mini", "items"), key=lambda entry: entry.reasons[0], reverse=True)
            assert (
                edit(feed, "mend", late, b'{"id": "late@example.org", "seq": 6, "value": 6}', "told", "me").receipt.accepted == 1
            )
        register.mask_key = KEY[::-1]
        with register.feed(stream) as (feed, _), pytest.raises(LakeError, match="hashed with another"):
            edit(feed, "mend", last, b'{"id": "last@example.org", "seq": 7, "value": 7}', "told", "me")
        with pytest.raises(LakeError, match="hashed with another"):
            register.sweep(stream)
