"""`integration inbox`: what an operator sees."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from integration_assets.cli import inbox as commands
from integration_assets.cli.app import app
from integration_assets.errors import SecretMissingError, SpecError
from integration_assets.inbox.drain import STUCK
from integration_assets.inbox.event import Event
from integration_assets.inbox.store import open_inbox
from integration_assets_tests.inbox.upstream import source


@pytest.fixture(autouse=True)
def _shop(monkeypatch: pytest.MonkeyPatch, inbox_uri: str) -> None:
    """The shop is the one source there is."""
    monkeypatch.setenv("INTEGRATION_INBOX_URI", inbox_uri)
    monkeypatch.setattr(commands, "load_source", lambda _: source())
    monkeypatch.setattr(commands, "load_sources", lambda: (source(),))


def run(*words: str) -> str:
    """What the command prints. Raises what it raises."""
    done = CliRunner().invoke(app, ["inbox", *words], catch_exceptions=False, env={"COLUMNS": "80"})
    return done.output


def test_status_says_what_waits_and_what_is_stuck(inbox_uri: str) -> None:
    """Counts by stream and state, the age of the oldest, and each event that no run could settle, with its reason."""
    assert "Nothing came yet." in run("status")
    now = datetime.now(UTC)
    with open_inbox(inbox_uri) as inbox:
        inbox.put([Event("shop", f"evt_{number}", "t", ("orders",), None, now - timedelta(minutes=2)) for number in range(1200)])
        inbox.put([Event("shop", "evt_x", "ping", (), None, now)])
        items = inbox.pending("shop", "orders", now, now, 2)
        inbox.request(items, "batch", now)
        inbox.acknowledge(items[:1], now)
        for _ in range(STUCK):
            inbox.request(items[1:], "batch", now)
            inbox.release(items[1:], now, "its run did not pull partition 2024-03-10")
    said = " ".join(run("status", "shop").split())
    for words in ("shop.orders", "pending 1,199, the oldest for ", "acknowledged 1", "ignored 1"):
        assert words in said, said
    assert re.search(r"the oldest for 1[2-7]\d ", said), said
    assert "stuck: shop.orders evt_1 after 5 runs: its run did not pull partition 2024-03-10" in said


def test_an_event_that_is_stuck_for_good_can_be_set_aside(inbox_uri: str) -> None:
    """It asks for no more runs and is kept as ignored; one that does not wait is an error."""
    now = datetime.now(UTC)
    with open_inbox(inbox_uri) as inbox:
        inbox.put(
            [Event("shop", "evt_1", "t", ("orders", "returns"), None, now), Event("shop", "evt_2", "t", ("orders",), None, now)]
        )
        assert "evt_1 is set aside" in run("dismiss", "shop", "evt_1")
        assert {(count.stream, count.state) for count in inbox.counts()} == {
            *(("orders", "ignored"), ("returns", "ignored"), ("orders", "pending")),
        }
    with pytest.raises(SpecError, match="no event 'evt_1' waits"):
        run("dismiss", "shop", "evt_1")


def test_a_receiver_without_its_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable to set is named; a source without webhooks is told what to describe."""
    monkeypatch.delenv("SHOP_HOOK", raising=False)
    with pytest.raises(SecretMissingError, match="Set the environment variable SHOP_HOOK"):
        run("serve", "--port", "0")
    monkeypatch.setattr(commands, "load_sources", lambda: (source(events=None),))
    with pytest.raises(SpecError, match="no source says that its events come by webhook"):
        run("serve", "--port", "0")


def test_consuming_a_webhook_s_source_is_refused() -> None:
    """What the command is for is said."""
    with pytest.raises(SpecError, match="come by no queue"):
        run("consume", "shop")
