"""Whatever number of runs asks an API, it meets one polite guest."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from integration_assets.errors import (
    AccessDeniedError,
    BreakerOpenError,
    IntegrationError,
    LimitsUnavailableError,
    QuotaSpentError,
    ResponseError,
    UpstreamUnavailableError,
)
from integration_assets.extract.client import SourceClient
from integration_assets.extract.limits import open_store, views
from integration_assets.spec import Bearer, Breaker, Source
from integration_assets_tests.extract.asking import Told, go, shop, start, told
from integration_assets_tests.extract.serving import Answer, Asked, Script, in_turn, page, serve
from integration_assets_tests.inbox.postgres import postgres

OK = page({"data": []})
QUICK: dict[str, Any] = {"wait_initial": 0.001, "wait_max": 0.002}
SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
LATE = 1.0
"""Seconds by which a busy machine may note two arrivals closer together than they were sent."""


@contextmanager
def client(where: Path | str, source: Source) -> Iterator[SourceClient]:
    """A run's client: its own opening of the store at `where`, as another process would have."""
    with open_store(str(where)) as store, SourceClient(source, lambda _name: "key", store=store) as opened:
        yield opened


def crowd(url: str, where: Path | str, limits: dict[str, Any], processes: int, pages: int, threads: int = 1) -> list[Told]:
    """So many processes that ask at once; what became of each."""
    with ExitStack() as stack:
        started = [stack.enter_context(start(url, str(where), limits, pages, threads=threads)) for _ in range(processes)]
        go(started)
        return [told(process) for process in started]


def within(arrivals: Sequence[float], rate: float, burst: int) -> bool:
    """Whether no window of any length saw more than it may."""
    arrived = sorted(arrivals)
    return all(
        number + 1 <= rate * (last - first + LATE) + burst
        for start_, first in enumerate(arrived)
        for number, last in enumerate(arrived[start_:])
    )


def until(done: Callable[[], bool]) -> None:
    """Look again and again until it is so, half a minute at most."""
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline, "it never came to be so"
        time.sleep(0.002)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A Postgres server."""
    with postgres() as uri:
        yield uri


@pytest.fixture
def noted() -> tuple[list[float], Script]:
    """When requests arrived, and the script that notes it."""
    arrivals: list[float] = []

    def script(_asked: Asked) -> Answer:
        arrivals.append(time.monotonic())
        return OK

    return arrivals, script


@pytest.mark.parametrize("kind", ["folder", *(["postgres"] if SOAK else [])])
def test_processes_keep_the_rate_together(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, noted: tuple[list[float], Script]
) -> None:
    """Four processes with two threads each hold to one rate: no window has more than it, none ends with an error."""
    where = tmp_path if kind == "folder" else request.getfixturevalue("database")
    arrivals, script = noted
    began = time.monotonic()
    with serve(script) as server:
        ended = crowd(server.url, where, {"rate": 60, "burst": 4}, processes=4, threads=2, pages=10)
    assert [one.error for one in ended] == [""] * 4
    assert len(arrivals) == 80
    assert within(arrivals, 60, 4)
    assert max(arrivals) - began >= (80 - 4) / 60
    assert sum(one.queued for one in ended) > 0


def test_processes_share_the_slots(tmp_path: Path) -> None:
    """With two slots for three processes of two threads, never more than two requests are in flight, and both are used."""
    lock, flying, most = threading.Lock(), [0], [0]

    def script(_asked: Asked) -> Answer:
        with lock:
            flying[0] += 1
            most[0] = max(most[0], flying[0])
        time.sleep(0.01)  # what an answer takes
        with lock:
            flying[0] -= 1
        return OK

    with serve(script) as server:
        ended = crowd(server.url, tmp_path, {"concurrent": 2}, processes=3, threads=2, pages=5)
    assert [(one.error, one.pages) for one in ended] == [("", 10)] * 3
    assert most == [2]


def test_one_429_pauses_every_process(tmp_path: Path) -> None:
    """What the API told one process holds another back: it asks only when the time is over."""
    arrivals: list[float] = []

    def script(_asked: Asked) -> Answer:
        arrivals.append(time.monotonic())
        return page({}, 429, Retry_After="1") if len(arrivals) == 1 else OK

    with serve(script) as server, ExitStack() as stack:
        first, second = (stack.enter_context(start(server.url, str(tmp_path), QUICK, pages=1)) for _ in range(2))
        go([first])
        with open_store(str(tmp_path)) as store:
            until(lambda: any(state.paused_until for _, state, _ in store.all()))
        go([second])
        ended = [told(process) for process in (first, second)]
    assert [one.pages for one in ended] == [1, 1]
    assert all(arrival - arrivals[0] > 0.75 for arrival in arrivals[1:])
    assert all(one.throttled > 0 for one in ended)


def test_a_pause_that_is_too_long_ends_the_others_at_once(tmp_path: Path) -> None:
    """After a Retry-After of an hour no run asks again: each is told when to come back."""
    with serve(in_turn([page({}, 429, Retry_After="3600"), OK])) as server:
        for _ in range(2):
            with client(tmp_path, shop(server.url, QUICK)) as run, pytest.raises(UpstreamUnavailableError) as refused:
                run.get("/things")
            assert 3590 < (refused.value.retry_after or 0) <= 3600
    assert len(server.asked) == 1


def test_the_api_s_own_budget_is_waited_for(tmp_path: Path) -> None:
    """With none left for a second the next run waits that second; with none left for an hour it ends."""
    arrivals: list[float] = []
    resets = iter(["1", "3600"])

    def script(_asked: Asked) -> Answer:
        arrivals.append(time.monotonic())
        return page({}, X_RateLimit_Remaining="0", X_RateLimit_Reset=next(resets))

    with serve(script) as server:
        for _ in range(2):
            with client(tmp_path, shop(server.url, QUICK)) as run:
                run.get("/things")
        with client(tmp_path, shop(server.url, QUICK)) as run, pytest.raises(UpstreamUnavailableError, match="budget"):
            run.get("/things")
        with client(tmp_path, shop(server.url, {**QUICK, "group": "unbound", "obey_headers": False})) as run:
            with pytest.raises(StopIteration):
                next(resets)
            assert run.limits().api_left is None
    assert len(arrivals) == 2
    assert arrivals[1] - arrivals[0] > 0.75


@pytest.mark.usefixtures("one_day")
def test_the_quota_of_a_day_is_shared_and_a_part_is_kept(tmp_path: Path) -> None:
    """Of ten requests a day two processes spend eight together; whoever asks for the ninth is told when the day is over."""
    with serve(in_turn([OK])) as server:
        ended = crowd(server.url, tmp_path, {"daily_quota": 10, "quota_reserve": 0.2}, processes=2, pages=6)
        assert len(server.asked) == 8
    assert sum(one.pages for one in ended) == 8
    refused = [one for one in ended if one.error]
    assert {one.error for one in refused} == {QuotaSpentError.__name__}
    assert all(0 < (one.retry_after or 0) <= 86_400 and "8 of the day's 10" in one.text for one in refused)


@pytest.mark.usefixtures("one_day")
def test_another_key_has_a_quota_of_its_own(tmp_path: Path) -> None:
    """Limits belong to the credential: what one key spends is not charged to the other, and neither key is in the folder."""
    keys = ["one-secret-key", "two-secret-key"]
    with serve(in_turn([OK])) as server:
        source = shop(server.url, {"daily_quota": 1, "quota_reserve": 0}).changed(auth=Bearer(secret="KEY"))
        for key in keys:
            with open_store(str(tmp_path)) as store, SourceClient(source, lambda _name, key=key: key, store=store) as run:
                run.get("/things")
                with pytest.raises(QuotaSpentError):
                    run.get("/things")
    assert len(server.asked) == 2
    kept = b"".join(path.name.encode() + path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not any(key.encode() in kept for key in keys)


def test_an_outage_opens_the_breaker_for_all_runs_and_no_other_source(tmp_path: Path) -> None:
    """After four failures nobody asks the API, each run ends at once and says until when; another source goes on."""
    limits = {**QUICK, "attempts": 2, "breaker": Breaker(volume=4, wait=60)}
    with serve(in_turn([page({}, 503)])) as server, serve(in_turn([OK])) as healthy:
        errors = []
        for _ in range(4):
            with client(tmp_path, shop(server.url, limits)) as run, pytest.raises(IntegrationError) as refused:
                run.get("/things")
            errors.append(refused.value)
        with client(tmp_path, shop(healthy.url, limits, "other")) as run:
            assert run.get("/things").status == 200
        with client(tmp_path, shop(server.url, limits)) as run:
            assert (run.limits().breaker, run.limits().failures) == ("open", 0)
    assert len(server.asked) == 4
    assert [type(error) for error in errors] == [UpstreamUnavailableError] * 2 + [BreakerOpenError] * 2
    assert "GET /things answered 503" in str(errors[2])
    assert "at 20" in str(errors[2])
    assert 50 < (errors[2].retry_after or 0) <= 60  # type: ignore[attr-defined]


def test_one_run_alone_finds_out_that_the_api_is_back(tmp_path: Path) -> None:
    """When the rest is over one run probes; others are refused until its answer is there, and then all ask again."""
    limits = {**QUICK, "attempts": 1, "breaker": Breaker(volume=1, wait=0.01)}
    arrived, release = threading.Event(), threading.Event()
    broken = [True]

    def script(asked: Asked) -> Answer:
        if broken[0]:
            return page({}, 500)
        if asked.query.get("who") == "probe":
            arrived.set()
            release.wait(20)
        return OK

    with (
        serve(script) as server,
        client(tmp_path, shop(server.url, limits)) as one,
        client(tmp_path, shop(server.url, limits)) as other,
    ):
        with pytest.raises(UpstreamUnavailableError):
            one.get("/things")
        broken[0] = False
        until(lambda: one.limits().breaker == "half-open")
        probe = threading.Thread(target=lambda: one.get("/things", {"who": "probe"}))
        probe.start()
        assert arrived.wait(20)
        with pytest.raises(BreakerOpenError, match="another run is finding out"):
            other.get("/things", {"who": "other"})
        release.set()
        probe.join(20)
        assert other.get("/things", {"who": "other"}).status == 200
        assert other.limits().breaker == "closed"
    assert Counter(asked.query.get("who") for asked in server.asked) == {None: 1, "probe": 1, "other": 1}


def test_one_connection_of_a_run_probes_and_the_others_wait_for_its_answer(tmp_path: Path) -> None:
    """Of a run's four threads one asks when the rest is over; the others ask once it was answered, and none ends."""
    limits = {**QUICK, "attempts": 1, "breaker": Breaker(volume=1, wait=0.01)}
    arrived, release = threading.Event(), threading.Event()
    broken = [True]

    def script(_asked: Asked) -> Answer:
        if broken[0]:
            return page({}, 500)
        arrived.set()
        release.wait(20)
        return OK

    with serve(script) as server, client(tmp_path, shop(server.url, limits)) as run, ThreadPoolExecutor(4) as pool:
        with pytest.raises(UpstreamUnavailableError):
            run.get("/things")
        broken[0] = False
        until(lambda: run.limits().breaker == "half-open")
        asking = [pool.submit(run.get, "/things") for _ in range(4)]
        assert arrived.wait(20)
        until(lambda: run.usage.queued >= 0.5)
        asked = len(server.asked)
        release.set()
        assert [one.result(20).status for one in asking] == [200] * 4
    assert asked == 2
    assert len(server.asked) == 5


def test_a_probe_that_is_told_to_slow_down_leaves_the_next_to_another(tmp_path: Path) -> None:
    """A 429 says neither that the API works nor that it does not: whoever asks next finds out."""
    limits = {**QUICK, "attempts": 1, "breaker": Breaker(volume=1, wait=0.01)}
    with (
        serve(in_turn([page({}, 500), page({}, 429, Retry_After="0"), OK])) as server,
        client(tmp_path, shop(server.url, limits)) as one,
        client(tmp_path, shop(server.url, limits)) as other,
    ):
        with pytest.raises(UpstreamUnavailableError):
            one.get("/things")
        until(lambda: one.limits().breaker == "half-open")
        with pytest.raises(UpstreamUnavailableError, match="429"):
            one.get("/things")
        assert other.get("/things").status == 200
        assert one.limits().breaker == "closed"


def test_retries_of_all_runs_have_one_budget(tmp_path: Path) -> None:
    """Where each run alone would try five times, three runs together try as often as the budget says, and say so."""
    limits = {**QUICK, "attempts": 5, "retry_floor": 5, "retry_share": 0, "breaker": None}
    with serve(in_turn([page({}, 503)])) as server:
        texts = []
        for _ in range(3):
            with client(tmp_path, shop(server.url, limits)) as run, pytest.raises(UpstreamUnavailableError) as refused:
                run.get("/things")
            texts.append(str(refused.value))
    assert len(server.asked) == 3 + 5
    assert "asked 5 times" in texts[0]
    assert all("budget of retries" in text for text in texts[1:])


@pytest.mark.parametrize(
    ("answer", "patterns"),
    [
        (Answer(200, b'{"error": "Rate Limited, slow down"}', {"Content-Type": "application/json"}), ("rate limited",)),
        (Answer(400, b"calm down please"), ("calm down",)),
        (Answer(403, b"You have exceeded a secondary rate limit."), ()),
        (Answer(400, b'{"code": 17, "message": "User request limit reached"}'), ()),
        (Answer(403, b'{"reason": "dailyLimit", "message": "Quota exceeded."}'), ()),
        (Answer(403, b"no", {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "0"}), ()),
        (Answer(420), ()),
        (Answer(529), ()),
        (Answer(522), ()),
    ],
)
def test_too_fast_is_understood_however_it_is_said(answer: Answer, patterns: tuple[str, ...]) -> None:
    """Statuses, headers and texts that mean "too fast" are waited out and asked again, and are never a page or a refusal."""
    with (
        serve(in_turn([answer, OK])) as server,
        SourceClient(shop(server.url, {**QUICK, "retry_on_body": patterns}), str) as run,
    ):
        assert run.get("/things").body == OK.body
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(403, b"not yours"), AccessDeniedError),
        (Answer(400, b"the parameter limit must be below 500"), ResponseError),
        (Answer(418), ResponseError),
    ],
)
def test_a_refusal_is_not_taken_for_a_pause(answer: Answer, error: type[IntegrationError]) -> None:
    """A wrong key or parameter is a human's matter at once; a status of the source's own choice is retried."""
    with serve(in_turn([answer])) as server, SourceClient(shop(server.url, QUICK), str) as run, pytest.raises(error):
        run.get("/things")
    assert len(server.asked) == 1
    limits = {**QUICK, "retry_on_status": (answer.status,)}
    with serve(in_turn([answer, OK])) as server, SourceClient(shop(server.url, limits), str) as run:
        assert run.get("/things").status == 200


def test_a_page_that_speaks_of_limits_is_a_page() -> None:
    """Records may hold any words: without a pattern of the source's own a 200 is a page."""
    body = page({"data": [{"text": "rate limit exceeded, too many requests"}]})
    with serve(in_turn([body])) as server, SourceClient(shop(server.url, QUICK), str) as run:
        assert run.get("/things").body == body.body


def test_a_post_keeps_its_key_through_retries() -> None:
    """Each POST has an idempotency key that its retries repeat; body, parameters and a 307 are kept."""
    bodies: list[Answer] = [page({}, 503), Answer(307, b"", {"Location": "/moved"}), OK, OK]
    with serve(in_turn(bodies)) as server, SourceClient(shop(server.url, QUICK), str) as run:
        for _ in range(2):
            run.post("/search", {"query": "ä", "after": None}, {"v": 2}, {"X-Mine": "1"})
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert len(set(keys[:3])) == 1
    assert keys[3] != keys[0]
    assert {asked.method for asked in server.asked} == {"POST"}
    assert [asked.path for asked in server.asked] == ["/search", "/search", "/moved", "/search"]
    assert {asked.body for asked in server.asked} == {'{"query":"ä","after":null}'.encode()}
    assert server.asked[0].query == {"v": "2"}
    assert server.asked[0].headers["content-type"] == "application/json"
    assert server.asked[0].headers["x-mine"] == "1"


def test_a_post_is_not_turned_into_a_get() -> None:
    """A redirect that would lose what was posted is an error, not a silent other request."""
    with (
        serve(in_turn([Answer(302, b"", {"Location": "/moved"})])) as server,
        SourceClient(shop(server.url, QUICK), str) as run,
        pytest.raises(ResponseError, match="POST /search answered 302"),
    ):
        run.post("/search", {})
    assert len(server.asked) == 1


def stuck(release: threading.Event) -> Script:
    """An API that accepts and does not answer."""

    def script(_asked: Asked) -> Answer:
        release.wait(20)
        return OK

    return script


def test_all_tries_of_a_page_have_one_time_limit() -> None:
    """However many tries are allowed, a page is given up when its time is over, and a try gets no more than is left."""
    release = threading.Event()
    limits = {**QUICK, "attempts": 100, "read_timeout": 0.2, "retry_timeout": 0.5, "breaker": None, "retry_floor": 100}
    with serve(stuck(release)) as server, SourceClient(shop(server.url, limits), str) as run:
        with pytest.raises(UpstreamUnavailableError, match="took too long"):
            run.get("/things")
        release.set()
        assert 1 <= len(server.asked) <= 4


def test_waiting_for_a_turn_is_not_counted_as_the_api_s_time(tmp_path: Path) -> None:
    """A page whose turn comes later than its time limit is still asked for, with all of its time."""
    limits = {**QUICK, "rate": 0.8, "burst": 1, "retry_timeout": 1}
    with serve(in_turn([OK])) as server, client(tmp_path, shop(server.url, limits)) as run:
        for _ in range(2):
            run.get("/things")
        assert run.usage.queued > 0
        assert run.usage.throttled == 0
    assert len(server.asked) == 2


@pytest.mark.parametrize("limits", [{"rate": 0.001, "burst": 1}, {"concurrent": 1}, {"max_connections": 1}])
def test_a_turn_that_does_not_come_ends_the_run(limits: dict[str, Any]) -> None:
    """The queue is left after the source's pool_timeout: the run is rescheduled, and nothing was asked."""
    arrived, release = threading.Event(), threading.Event()

    def script(asked: Asked) -> Answer:
        arrived.set()
        return stuck(release)(asked)

    with serve(script) as server, SourceClient(shop(server.url, {**QUICK, **limits, "pool_timeout": 0.2}), str) as run:
        first = threading.Thread(target=lambda: run.get("/things"))
        first.start()
        assert arrived.wait(20)
        with pytest.raises(UpstreamUnavailableError, match=r"within 0\.2 s"):
            run.get("/things")
        release.set()
        first.join(20)
    assert len(server.asked) == 1


def test_a_run_that_ends_sends_its_waiting_threads_away(tmp_path: Path) -> None:
    """A thread that waits for its turn when its client closes is told so and asks nothing."""
    ended: list[BaseException] = []
    with serve(in_turn([OK])) as server:
        with client(tmp_path, shop(server.url, {**QUICK, "rate": 0.01, "burst": 1})) as run:
            run.get("/things")

            def wait() -> None:
                try:
                    run.get("/things")
                except IntegrationError as error:
                    ended.append(error)

            waiting = threading.Thread(target=wait)
            waiting.start()
            until(lambda: run.usage.queued > 0)
        waiting.join(20)
    assert [type(error) for error in ended] == [LimitsUnavailableError]
    assert len(server.asked) == 1


def test_a_run_that_ends_sends_threads_away_that_wait_to_try_again() -> None:
    """A thread that would try again in four minutes when its client closes ends at once: the process can, too."""
    waiting = threading.Event()
    with serve(in_turn([page({}, 503, Retry_After="240")])) as server, ThreadPoolExecutor(1) as pool:
        with SourceClient(shop(server.url, QUICK), str, lambda _why, _seconds: waiting.set()) as run:
            asking = pool.submit(run.get, "/things")
            assert waiting.wait(20)
        with pytest.raises(LimitsUnavailableError, match="closed"):
            asking.result(60)
    assert len(server.asked) == 1


def test_without_the_store_nothing_is_asked() -> None:
    """When what runs share cannot be reached the run is rescheduled, and the API is not asked as if there were no limits."""
    away = "postgresql://nobody:s3cr3t@127.0.0.1:9/limits"
    with (
        serve(in_turn([OK])) as server,
        client(away, shop(server.url, QUICK)) as run,
        pytest.raises(LimitsUnavailableError, match=r"^shop \(INTEGRATION_LIMITS_URI\): the database") as refused,
    ):
        run.get("/things")
    assert server.asked == []
    assert "s3cr3t" not in str(refused.value)


def test_what_is_shared_can_be_seen(tmp_path: Path) -> None:
    """The client and whoever opens the store later see rate, quota, slots and counts; no secret is needed."""
    with serve(in_turn([OK])) as server:
        source = shop(server.url, {"rate": 100, "concurrent": 3, "daily_quota": 100})
        with client(tmp_path, source) as run:
            for _ in range(3):
                run.get("/things")
            seen = run.limits()
        with open_store(str(tmp_path)) as store:
            (later,) = views(store, [source])
    assert (seen.rate, seen.concurrent, seen.in_flight, seen.quota_left, seen.breaker) == (100, 3, 0, 87, "closed")
    assert (later.source, later.host, later.requests, later.failures) == ("shop", server.url, 3, 0)


def test_answers_are_timed(tmp_path: Path) -> None:
    """Half and nineteen twentieths of the answers came within so many seconds; of no answer there is none."""
    with serve(in_turn([OK])) as server, client(tmp_path, shop(server.url, QUICK)) as run:
        assert run.usage.quantile(0.5) is None
        for _ in range(5):
            run.get("/things")
        half, most = run.usage.quantile(0.5), run.usage.quantile(0.95)
    assert half is not None
    assert most is not None
    assert 0 < half <= most


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="long; set INTEGRATION_SOAK")
@pytest.mark.parametrize("kind", ["folder", "postgres"])
def test_eight_processes_use_the_rate_and_no_more(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, noted: tuple[list[float], Script]
) -> None:
    """Eight processes at 50 a second for half a minute: no second has more than rate and burst, nine tenths of it are used.

    A tenth is allowed for what this machine, which serves too, notes later than it came.
    """
    where = tmp_path if kind == "folder" else request.getfixturevalue("database")
    arrivals, script = noted
    with serve(script) as server:
        crowd(server.url, where, {"rate": 50, "burst": 3}, processes=8, pages=190)
    fullest = max(sum(first <= arrival < first + 1 for arrival in arrivals) for first in arrivals)
    assert fullest <= (50 + 3) * 1.1
    assert (len(arrivals) - 1) / (max(arrivals) - min(arrivals)) > 0.9 * 50


@pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="long; set INTEGRATION_SOAK")
@pytest.mark.parametrize(
    ("limits", "most"), [({}, 100e-6), ({"rate": 99_999.0, "burst": 99_999, "concurrent": 8, "daily_quota": 10**9}, 1e-3)]
)
def test_a_turn_costs_little(limits: dict[str, Any], most: float, tmp_path: Path) -> None:
    """Below a tenth of a millisecond where nothing is limited, and below one where everything is, on the local store."""
    from integration_assets.extract.limits import Limiter
    from integration_assets.extract.usage import Usage

    with open_store(str(tmp_path)) as store:
        limiter = Limiter(store, "shop-1", shop("http://127.0.0.1:9", limits), "there", Usage(), None)

        def once() -> None:
            with limiter.turn():
                limiter.heard({})
            limiter.answered()

        assert _median(once) < most


def _median(what: Callable[[], None], times: int = 2000) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        what()
        took.append(time.perf_counter() - began)
    return sorted(took)[times // 2]
