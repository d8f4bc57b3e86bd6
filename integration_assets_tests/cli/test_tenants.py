"""`integration` on a source whose API keeps accounts apart, described in a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from integration_assets import sources
from integration_assets.cli.app import main
from integration_assets.spec import Stream
from integration_assets_tests.cli.conftest import Done, Integration
from integration_assets_tests.components.writing import attributes, written
from integration_assets_tests.flow.accounts import Accounts


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    """Three accounts with ten orders each."""
    api = Accounts(tmp_path)
    api.fill()
    with api.served():
        yield api


@pytest.fixture
def integration(accounts: Accounts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Integration]:
    """Run `integration …` on the API's stream, or the one given, written as a file."""
    folder = accounts.folder / "sources"
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(folder)])

    def run(*arguments: str, stream: Stream | None = None) -> Done:
        written(folder / "accounts", attributes(accounts.source(stream or accounts.stream())))
        sources.load_sources.cache_clear()
        with monkeypatch.context() as patch:
            for name, value in accounts.environ.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["integration", *arguments])
            patch.setattr(sys.modules[main.__module__], "out", Console(width=80))
            patch.setattr(sys.modules[main.__module__], "err", Console(width=80, stderr=True))
            status = 0
            try:
                main()
            except SystemExit as left:
                status = int(left.code or 0)
        printed = capsys.readouterr()
        return Done(status, printed.out, printed.err)

    yield run
    sources.load_sources.cache_clear()


def test_a_sync_goes_through_all_tenants_and_says_so(integration: Integration, accounts: Accounts) -> None:
    """The account has a line a tenant, and the status each one's watermark."""
    done = integration("sync", "accounts.orders")
    assert done.status == 0, done.err
    assert "3 tenants: eu, us, a/p 1" in done.out
    assert "tenant a/p 1  10 accepted of 10" in done.out
    assert accounts.rows() == accounts.truth()
    assert "tenant a/p 1  0 accepted of 0" in integration("sync", "accounts.orders").out
    status = integration("status", "accounts").out
    assert status.count("2024-03-11T00:00:00Z, gaps: none") == 3
    assert "eu, us, a/p 1" in integration("sources").out


def test_tenants_that_are_named_are_pulled_alone(integration: Integration, accounts: Accounts) -> None:
    """--tenant may be given several times, with a range or partitions as well."""
    day = accounts.daily()
    done = integration("sync", "accounts.orders", "--tenant", "us", "--tenant", "eu", "--partition", "2024-03-02", stream=day)
    assert done.status == 0, done.err
    assert "committed, 2 slices" in done.out
    assert accounts.rows() == [("eu", 2, 102), ("us", 2, 102)]
    status = integration("status", "accounts", stream=day).out
    assert re.search(r"tenant eu +none yet, gaps: \[2024-03-01", status), status
    assert re.search(r"tenant a/p 1 +none yet, gaps: none", status), status
    assert {key for key, _ in accounts.asked} == {"eu", "us"}


def test_a_tenant_that_is_not_there_is_refused(integration: Integration, accounts: Accounts) -> None:
    """A typing error costs no request of data, whether the set is fixed or listed."""
    for stream in (accounts.stream(), accounts.listed()):
        done = integration("sync", "accounts.orders", "--tenant", "ue", stream=stream)
        assert done.status == 2
        assert "there is no tenant 'ue'" in done.err
        assert "eu, us, a/p 1" in done.err
    assert not accounts.asked


def test_tenants_of_a_stream_that_has_none(integration: Integration, accounts: Accounts) -> None:
    """--tenant of a stream without tenants is an error, not an empty answer."""
    done = integration("sync", "accounts.orders", "--tenant", "eu", stream=accounts.stream(tenants=None, path="/orders"))
    assert done.status == 2
    assert "the stream has no tenants" in done.err


def test_a_failing_tenant_is_named_and_the_rest_is_merged(integration: Integration, accounts: Accounts) -> None:
    """The exit status says that someone must look; what landed is in the warehouse."""
    accounts.broken = {"us": 403}
    done = integration("sync", "accounts.orders")
    assert done.status == 1
    assert "1 of 3 tenants failed and nothing stopped the others: us (" in done.err
    assert accounts.rows() == accounts.truth("eu", "a/p 1")
    assert "after 2 of 3 slices" in done.out


def test_a_closed_account_is_told_of(integration: Integration, accounts: Accounts) -> None:
    """A tenant that the API no longer lists is said to be gone; its rows stay."""
    integration("sync", "accounts.orders", stream=accounts.listed())
    rows = accounts.rows()
    del accounts.orders["us"]
    accounts.now += timedelta(hours=1)
    done = integration("sync", "accounts.orders", stream=accounts.listed())
    assert done.status == 0, done.err
    assert "no more among the tenants, and not pulled: us; what they landed stays" in done.out
    assert accounts.rows() == rows


def test_a_check_asks_for_one_tenant(integration: Integration, accounts: Accounts) -> None:
    """One page is enough to see whether spec and key are right."""
    done = integration("sources", "check", "accounts", stream=accounts.listed())
    assert done.status == 0, done.out
    assert [key for key, _ in accounts.asked] == ["eu"]


def test_quarantine_shows_whose_a_record_is(integration: Integration, accounts: Accounts) -> None:
    """A reject of a partition names the tenant beside it."""
    accounts.orders["us"][3]["amount"] = -5
    integration("sync", "accounts.orders", "--partition", "2024-03-04..2024-03-05", stream=accounts.daily(reject_threshold=1))
    assert "partition 2024-03-04 of us" in integration("rejects", "accounts.orders", stream=accounts.daily()).out
