"""A flood of webhooks, a receiver that is killed in the middle of it, and the drain: nothing lost, nothing doubled."""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from integration_assets.inbox.store import open_inbox
from integration_assets_tests.inbox.dagster import Daemon
from integration_assets_tests.inbox.sending import SECRET, Receiver, event, signed
from integration_assets_tests.inbox.upstream import source
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.shop import KEY, Shop

EVENTS, FORGED, SENDERS = (20_000, 2_000, 8) if os.environ.get("INTEGRATION_SOAK") else (1000, 200, 8)
EACH_AGAIN = 4
"""Every fourth event is sent twice."""


@dataclass
class Flood:
    """Senders that keep at it until each of their events was answered with a 2xx, as an API's own retries would."""

    receiver: Receiver
    answered: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    forged: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, ids: list[str]) -> None:
        """One sender's share, over a connection that is made again whenever it breaks."""
        connection = self.receiver.connect()
        for id_ in ids:
            real = not id_.startswith("forged")
            body = event(id_, "all.updated")
            end = time.monotonic() + 120
            while True:
                assert time.monotonic() < end, f"{id_} was never taken"
                try:
                    connection.request("POST", "/webhooks/shop", body, signed(body, SECRET if real else "guess"))
                    answer = connection.getresponse()
                    content = answer.read().decode()
                except (OSError, http.client.HTTPException):
                    connection.close()
                    time.sleep(0.02)
                    continue
                if self._done(id_, answer.status, content):
                    break
        connection.close()

    def _done(self, id_: str, status: int, content: str) -> bool:
        with self.lock:
            if id_.startswith("forged"):
                self.forged[status] += 1
                return True
            if status == 200:
                self.answered[id_] += 1
                self.outcomes[content] += 1
                if sum(self.answered.values()) == EVENTS // 3:
                    threading.Thread(target=self._kill_and_start).start()
            return status == 200

    def _kill_and_start(self) -> None:
        self.receiver.kill()
        self.receiver.start()


def shares(ids: list[str]) -> list[list[str]]:
    """The ids dealt out to the senders."""
    return [ids[number::SENDERS] for number in range(SENDERS)]


def test_a_flood_with_a_kill_in_the_middle_is_all_there_once(
    tmp_path: Path, inbox_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Duplicates, forgeries and SIGKILL: what was answered 2xx is in the inbox once, and then in the warehouse once."""
    for name, text in {"INTEGRATION_INBOX_URI": inbox_uri, "SHOP_KEY": KEY, "SHOP_HOOK": SECRET}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setenv("SHOP_SINCE", (datetime.now(UTC) - timedelta(days=1)).date().isoformat())
    real = [f"order-{number}" for number in range(EVENTS)]
    mixed = [*real, *real[::EACH_AGAIN], *(f"forged-{number}" for number in range(FORGED))]
    random.Random(7).shuffle(mixed)  # noqa: S311 - a test's order, the same each time

    with Shop().served() as shop:
        monkeypatch.setenv("SHOP_URL", shop.url)
        for number, id_ in enumerate(real):
            shop.orders.append({"id": id_, "amount": number, "note": "", "updated_at": datetime.now(UTC).isoformat()})
        with Receiver(tmp_path, "integration_assets_tests.inbox.upstream:source", {}) as receiver:
            flood = Flood(receiver)
            with ThreadPoolExecutor(SENDERS) as senders:
                for done in senders.map(flood.send, shares(mixed)):
                    assert done is None
            log = receiver.log()

        assert flood.answered == Counter(real) + Counter(real[::EACH_AGAIN])
        assert flood.forged == {401: FORGED}
        accepted, duplicate = (flood.outcomes[f'{{"outcome":"{outcome}"}}'] for outcome in ("accepted", "duplicate"))
        assert EVENTS * 0.9 < accepted <= EVENTS  # nobody may have heard of some that the kill cut off
        assert accepted + duplicate == EVENTS + len(real[::EACH_AGAIN])
        assert SECRET not in log
        with open_inbox(inbox_uri) as inbox:
            kept = [(count.stream, count.state, count.rows) for count in inbox.counts()]
            assert kept == [("orders", "pending", EVENTS), ("returns", "pending", EVENTS)]

            with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
                daemon = Daemon(make_bench(source(), tmp_path, instance), "shop_inbox")
                for _ in range(100):
                    assert all(daemon.run(daemon.tick()))
                    if {count.state for count in inbox.counts()} == {"acknowledged"}:
                        break
                states = {(count.stream, count.state): count.rows for count in inbox.counts()}
                assert states == {("orders", "acknowledged"): EVENTS, ("returns", "acknowledged"): EVENTS}
                for stream in ("orders", "returns"):
                    found = daemon.bench.rows(f"SELECT id, amount FROM shop.{stream}")
                    assert sorted((row["id"], row["amount"]) for row in found) == sorted(
                        (o["id"], o["amount"]) for o in shop.orders
                    )
