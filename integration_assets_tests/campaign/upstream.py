"""A ledger's API on loopback that knows every version it has shown: the truth that a campaign is held against."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "campaign-key-4d1c"
ORIGIN = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 4
PAGE = 7
_MEETING = 20.0
Version = dict[str, Any]


@dataclass
class Ledger:
    """Answers `GET /entries?since=…&before=…&page=…` with the newest version of each entry changed in that time.

    A version with an amount below zero is one that the contract turns away; one with `gone` withdraws the entry.
    clock : what its Date headers say.
    shown : every version that it has had, all of which a sync between two turns is shown.
    """

    seed: int
    clock: datetime = ORIGIN + timedelta(days=DAYS)
    newest: dict[int, Version] = field(default_factory=dict)
    shown: list[Version] = field(default_factory=list)
    url: str = ""
    _meeting: Barrier | None = None

    def __post_init__(self) -> None:
        """Fill every day; one entry of it is bad, and shares its moment with a good one."""
        self._random = random.Random(self.seed)  # noqa: S311 - a repeatable history
        for day in range(DAYS):
            hours = [self._random.randrange(24) for _ in range(5)]
            for number, hour in enumerate([hours[0], *hours]):
                amount = -1 - day if number == 0 else self._random.randrange(1000)
                self._put(len(self.newest), amount, ORIGIN + timedelta(days=day, hours=hour))

    def turn(self) -> None:
        """Let half a day pass in which entries are made, changed and withdrawn; one of them is bad."""
        ids = self._random.sample(sorted(self.newest), 3)
        moment = self.clock + timedelta(hours=self._random.randrange(7, 11))
        later = moment + timedelta(minutes=self._random.randrange(1, 50))
        self._put(ids[0], self._random.randrange(1000), moment)
        self._put(ids[1], 0, moment, gone=True)
        self._put(ids[2], -1 - self._random.randrange(900), later)
        for _ in range(2):
            self._put(len(self.newest), self._random.randrange(1000), later)
        self.clock += timedelta(hours=12)

    def _put(self, number: int, amount: int, moment: datetime, *, gone: bool = False) -> None:
        version = {"id": number, "amount": amount, "changed_at": moment.isoformat(), "gone": gone}
        self.newest[number] = version
        self.shown.append(version)

    def meet(self, runs: int) -> None:
        """Answer no first page before so many runs have asked for theirs: all of them are then at work at once."""
        self._meeting = Barrier(runs, action=self._met)

    def _met(self) -> None:
        self._meeting = None

    def answer(self, path: str, query: Mapping[str, str], key: str | None) -> tuple[int, dict[str, Any]]:
        """Status and body of one request."""
        if key != f"Bearer {KEY}":
            return 401, {}
        if path == "/clock":
            return 200, {}
        since, before = query.get("since", ""), query.get("before", "9")
        start, end = datetime.fromisoformat(since), datetime.fromisoformat(before)
        found = [one for one in self.newest.values() if start <= datetime.fromisoformat(one["changed_at"]) < end]
        found.sort(key=lambda one: (one["changed_at"], one["id"]))
        first = int(query.get("page", "0"))
        if self._meeting is not None and not first:
            with suppress(BrokenBarrierError):  # one run was over before the others came
                self._meeting.wait(_MEETING)
        following = str(first + PAGE) if first + PAGE < len(found) else None
        return 200, {"data": found[first : first + PAGE], "next": following}

    def good(self, *, mended: bool) -> Counter[tuple[int, str]]:
        """Every version that belongs into the lake, once; the bad ones too when the contract was mended."""
        return Counter((one["id"], one["changed_at"]) for one in self.shown if mended or one["amount"] >= 0)

    def bad(self) -> Counter[bytes]:
        """Every version that belongs into quarantine, as it was sent."""
        return Counter(json.dumps(one).encode() for one in self.shown if one["amount"] < 0)

    def rows(self, *, mended: bool) -> list[tuple[int, int, datetime]]:
        """What the warehouse's live rows have to be: id, amount, changed_at."""
        newest: dict[int, Version] = {}
        for one in self.shown:
            if mended or one["amount"] >= 0:
                before = newest.get(one["id"])
                newest[one["id"]] = one if before is None or one["changed_at"] >= before["changed_at"] else before
        live = (one for one in newest.values() if not one["gone"])
        return sorted((one["id"], one["amount"], datetime.fromisoformat(one["changed_at"])) for one in live)

    @contextmanager
    def served(self) -> Iterator[Ledger]:
        """Answer requests while the context is open."""
        ledger = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, body = ledger.answer(url.path, query, self.headers.get("Authorization"))
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True  # the other side was killed

            def date_time_string(self, timestamp: float | None = None) -> str:
                return format_datetime(ledger.clock, usegmt=True)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.url = f"http://127.0.0.1:{server.server_port}"
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
