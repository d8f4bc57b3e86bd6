"""`integration rejects` and personal data."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from integration_assets.cli.rejects import show_rejects
from integration_assets.settings import Settings
from integration_assets.spec import Slice, Source, Stream
from integration_assets.spec.records import Reject
from integration_assets.stores import Stores

STREAM = Stream(
    name="customers", path="/customers", contract="integration_assets_tests.transform.contracts:Customer", key=("id",)
)
SOURCE = Source(name="shop", base_url="http://127.0.0.1:1", streams=(STREAM,))


@pytest.mark.parametrize("whole", [False, True])
def test_personal_data_is_shown_only_when_asked_for(whole: bool, tmp_path: Path) -> None:
    """Record and reasons are masked as the contract says; `--unmasked` shows both as they are in quarantine."""
    settings = Settings.from_environ({"INTEGRATION_LAKE_URI": str(tmp_path)})
    payload = b'{"id": 7, "contact": {"email": "no address"}, "name": "Ada Lovelace", "address": {"city": "London"}}'
    reject = Reject(payload, ("email: must be str_contains('@'), got 'no address'",), "7")
    Stores.from_settings(settings).quarantine.add("shop", "customers", [reject], Slice(), "run", "hash")
    said = StringIO()
    show_rejects(SOURCE, STREAM, settings, Console(file=said, width=200), 5, whole=whole)
    assert "London" in said.getvalue()
    assert "email: must be" in said.getvalue()
    assert ("no address" in said.getvalue(), "Ada" in said.getvalue()) == (whole, whole)
