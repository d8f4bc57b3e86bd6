"""Who may ask when, by the rules over the shared state alone: a clock of the test's own, no process and no wait."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration_assets.errors import SpecError
from integration_assets.extract.limits import rules, view
from integration_assets.extract.limits.headers import Budget, budget
from integration_assets.extract.limits.state import State, decode, encode
from integration_assets.spec import Breaker, Limits

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


def asker(owner: str = "a", lease: str = "a:0", patience: float = 300, alive: bool = True) -> rules.Asker:
    """Someone who asks."""
    return rules.Asker(owner, lease, hold=60, patience=patience, alive=lambda _owner: alive)


def fail(state: State, now: float, limits: Limits, times: int, lease: str = "a:0") -> None:
    """So many requests fail."""
    for _ in range(times):
        rules.failed(state, now, limits, lease, "GET /x answered 503")


@settings(max_examples=40, deadline=None)
@given(
    rate=st.sampled_from([0.5, 3.0, 50.0, 1000.0]),
    burst=st.integers(1, 10),
    gaps=st.lists(st.floats(0, 2), min_size=10, max_size=50),
)
def test_no_window_has_more_than_its_rate_and_burst(rate: float, burst: int, gaps: list[float]) -> None:
    """Whenever askers come, no window of any length has more turns than rate times window plus burst."""
    limits, state, now, turns = Limits(rate=rate, burst=burst), State(), NOON, []
    for gap in gaps:
        now += gap / rate * random.Random(gap).choice([0, 1])  # noqa: S311 - a half of them come at once
        got = rules.turn(state, now, limits, asker(patience=1e9))
        assert isinstance(got, rules.Go)
        assert got.due >= now
        turns.append(got.due)
    assert turns == sorted(turns)
    for first in range(len(turns)):
        for last in range(first, len(turns)):
            assert last - first + 1 <= rate * (turns[last] - turns[first]) + burst + 0.05  # the clock's own digits


def test_turns_lose_no_time_while_someone_waits() -> None:
    """A hundred askers at one moment are given turns that are exactly the interval apart."""
    limits, state = Limits(rate=50, burst=1), State()
    due = [rules.turn(state, NOON, limits, asker()).due - NOON for _ in range(100)]  # type: ignore[union-attr]
    assert due == pytest.approx([number / 50 for number in range(100)], abs=1e-5)


def test_a_queue_longer_than_patience_takes_no_turn() -> None:
    """Who would wait too long is told so, and does not lengthen the queue for others."""
    limits, state = Limits(rate=1), State()
    assert isinstance(rules.turn(state, NOON, limits, asker(patience=1.5)), rules.Go)
    assert isinstance(rules.turn(state, NOON, limits, asker(patience=1.5)), rules.Go)
    before = encode(state)
    assert isinstance(rules.turn(state, NOON, limits, asker(patience=1.5)), rules.Wait)
    assert encode(state) == before


def test_those_who_wake_up_late_pass_one_by_one() -> None:
    """After a machine hung for a second, its twenty waiters and whoever comes then are let through at the rate, none lost."""
    limits, state = Limits(rate=50, burst=1), State()
    late = [asker(lease=f"a:{number}") for number in range(20)]
    for one in late:
        rules.turn(state, NOON, limits, one)
    now, passed = NOON + 1, []
    while late:
        waits = [(rules.confirm(state, now, limits, one), one) for one in late]
        passed += [now for wait, _ in waits if wait == 0]
        late = [one for wait, one in waits if wait]
        now += min([wait for wait, _ in waits if wait], default=0)
    assert passed == pytest.approx([NOON + 1 + number / 50 for number in range(20)], abs=1e-3)
    got = rules.turn(state, now, limits, asker("b", "b:0"))
    assert isinstance(got, rules.Go)
    assert got.wait == pytest.approx(1 / 50, abs=1e-3)


def test_a_turn_is_given_back_when_the_api_asks_for_a_pause() -> None:
    """Who waits for its turn when a 429 comes gives it back, and the quota is not charged for it."""
    limits, state = Limits(rate=1, burst=1, daily_quota=100), State()
    rules.turn(state, NOON, limits, asker())
    rules.turn(state, NOON, limits, asker("b", "b:0"))
    rules.throttled(state, NOON, limits, 10, "429")
    assert rules.confirm(state, NOON + 1, limits, asker("b", "b:0")) is None
    assert rules.spent_today(state, NOON, limits) == 1


def test_slots_are_counted_returned_and_expire() -> None:
    """No more hold a slot than may; it is free when it is given back, when its owner is gone, and when its time is up."""
    limits, state = Limits(concurrent=2), State()
    assert isinstance(rules.turn(state, NOON, limits, asker(lease="a:0")), rules.Go)
    assert isinstance(rules.turn(state, NOON, limits, asker(lease="a:1")), rules.Go)
    assert isinstance(rules.turn(state, NOON, limits, asker("b", "b:0")), rules.Wait)
    rules.give_back(state, "a:0")
    assert isinstance(rules.turn(state, NOON, limits, asker("b", "b:0")), rules.Go)
    assert isinstance(rules.turn(state, NOON, limits, asker("c", "c:0")), rules.Wait)
    assert isinstance(rules.turn(state, NOON, limits, asker("c", "c:0", alive=False)), rules.Go)
    assert sorted(state.leases) == ["c:0"]
    assert isinstance(rules.turn(state, NOON + 61, limits, asker("d", "d:0")), rules.Go)
    assert sorted(state.leases) == ["d:0"]


def test_a_pause_holds_for_all_but_who_waited_it_out() -> None:
    """After a 429 nobody asks before the time it named, and the longest of several pauses counts."""
    limits, state = Limits(), State()
    until = rules.throttled(state, NOON, limits, 30, "GET /x answered 429")
    rules.throttled(state, NOON + 1, limits, 5, "GET /x answered 429")
    got = rules.turn(state, NOON + 10, limits, asker("b"))
    assert got == rules.Wait(20, "GET /x answered 429", by_api=True)
    assert not rules.calm(state, NOON + 10, limits)
    assert isinstance(rules.turn(state, NOON + 10, limits, rules.Asker("a", "a:0", 60, 60, served=until)), rules.Go)
    assert isinstance(rules.turn(state, until, limits, asker("b")), rules.Go)


def test_pauses_without_a_length_grow_and_count_once() -> None:
    """429s without Retry-After back off for all: several at one time are one, one after the other they double."""
    limits, state, now, lengths = Limits(wait_initial=1, wait_max=8), State(), NOON, []
    for _ in range(6):
        until = rules.throttled(state, now, limits, None, "429")
        assert rules.throttled(state, now, limits, None, "429") <= max(until, now + 8)
        lengths.append(state.paused_until - now)
        now = state.paused_until
    ceilings = [1, 2, 4, 8, 8, 8]
    assert all(ceiling / 2 <= length <= ceiling for ceiling, length in zip(ceilings, lengths, strict=True))


def test_a_429_slows_the_rate_and_time_heals_it() -> None:
    """Each 429 takes a quarter of the rate, down to a tenth; after ten minutes without one it is whole again."""
    limits, state = Limits(rate=100), State()
    for second in range(20):
        rules.throttled(state, NOON + 2 * second, limits, 1, "429")
    assert rules.pace(state, NOON + 40) == pytest.approx(0.1, abs=0.01)
    assert view("x", state, NOON + 40, limits).rate == pytest.approx(10, abs=1)
    assert rules.pace(state, NOON + 700) == 1


def test_the_day_s_quota_is_spent_down_to_its_reserve() -> None:
    """Of 10 a day with 20 % kept 8 may be spent; the next is told when the next day begins in the API's zone."""
    limits, state = Limits(daily_quota=10, quota_reserve=0.2, quota_timezone="America/New_York"), State()
    for _ in range(8):
        assert isinstance(rules.turn(state, NOON, limits, asker()), rules.Go)
    refused = rules.turn(state, NOON, limits, asker())
    assert isinstance(refused, rules.Refuse)
    assert refused.kind == "quota"
    assert refused.seconds == 17 * 3600  # noon in UTC is seven in New York
    assert "8 of the day's 10" in refused.reason
    assert isinstance(rules.turn(state, NOON + refused.seconds, limits, asker()), rules.Go)
    assert view("x", state, NOON + refused.seconds, limits).quota_left == 7


def test_the_budget_of_retries_is_a_share_of_all_requests() -> None:
    """Of a quiet source the floor may be retried; of a busy one a fifth; a minute later it is there again."""
    limits, state = Limits(retry_floor=3, retry_share=0.2), State()
    assert [rules.may_retry(state, NOON, limits) for _ in range(4)] == [True, True, True, False]
    rules.answered(state, NOON, limits, 100)
    assert sum(rules.may_retry(state, NOON, limits) for _ in range(50)) == 17
    assert rules.last_minute(state, NOON) == (100, 0, 20)
    assert rules.may_retry(state, NOON + 70, limits)


def test_the_breaker_opens_probes_and_closes() -> None:
    """Half of twenty failing opens it; then nobody asks; then one connection alone; its answer lets all ask again."""
    limits, state = Limits(breaker=Breaker(wait=30)), State()
    rules.answered(state, NOON, limits, 10)
    fail(state, NOON, limits, 9)
    assert isinstance(rules.turn(state, NOON, limits, asker()), rules.Go)
    fail(state, NOON, limits, 1)
    refused = rules.turn(state, NOON + 10, limits, asker())
    assert isinstance(refused, rules.Refuse)
    assert (refused.kind, refused.seconds) == ("breaker", 20)
    assert "10 of the last 20 requests failed" in refused.reason
    probe = rules.turn(state, NOON + 31, limits, asker("a"))
    assert isinstance(probe, rules.Go)
    assert probe.probe
    beside = rules.turn(state, NOON + 31, limits, asker("a", "a:1"))
    assert isinstance(beside, rules.Wait)
    assert "another request of this run" in beside.reason
    assert isinstance(rules.turn(state, NOON + 31, limits, asker("a", "a:0")), rules.Go)
    assert isinstance(rules.turn(state, NOON + 31, limits, asker("b", "b:0")), rules.Refuse)
    assert isinstance(rules.turn(state, NOON + 31, limits, asker("b", "b:0", alive=False)), rules.Go)
    rules.leave_probe(state, "a:0")
    assert state.fuse.prober == "b:0"
    rules.leave_probe(state, "b:0")
    assert isinstance(rules.turn(state, NOON + 31, limits, asker("a", "a:1")), rules.Go)
    assert view("x", state, NOON + 31, limits).breaker == "half-open"
    rules.answered(state, NOON + 32, limits, 1, probe=True)
    assert rules.calm(state, NOON + 32, limits)
    assert isinstance(rules.turn(state, NOON + 32, limits, asker("c", "c:0")), rules.Go)


def test_a_probe_that_fails_doubles_the_rest() -> None:
    """Each failed probe makes the next wait twice as long, up to its maximum; failures of others meanwhile do not count."""
    limits, state, now, waits = Limits(breaker=Breaker(volume=2, wait=10, wait_max=35)), State(), NOON, []
    fail(state, now, limits, 2)
    for _ in range(4):
        waits.append(state.fuse.until - now)
        now = state.fuse.until
        assert isinstance(rules.turn(state, now, limits, asker("a")), rules.Go)
        fail(state, now, limits, 1, lease="a:1")
        assert state.fuse.prober == "a:0"
        fail(state, now, limits, 1, lease="a:0")
    assert waits == [10, 20, 35, 35]


def test_a_few_failures_among_many_answers_open_nothing() -> None:
    """A tenth of failures is retried, not rested; failures that are long past are forgotten; no breaker never opens."""
    limits, state = Limits(), State()
    rules.answered(state, NOON, limits, 90)
    fail(state, NOON, limits, 10)
    assert not state.fuse.opens
    fail(state, NOON + 100, limits, 19)
    assert not state.fuse.opens
    without = State()
    fail(without, NOON, Limits(breaker=None), 1000)
    assert isinstance(rules.turn(without, NOON, Limits(breaker=None), asker()), rules.Go)


def test_the_api_s_own_budget_is_shared_and_only_shrinks_within_its_window() -> None:
    """Three requests left are three for all runs together; then all wait for the reset; then it is believed anew."""
    limits, state = Limits(), State()
    rules.told(state, NOON, 3, 30, 100)
    rules.told(state, NOON, 5, 30, 100)
    assert not rules.calm(state, NOON, limits)
    assert [isinstance(rules.turn(state, NOON, limits, asker()), rules.Go) for _ in range(3)] == [True] * 3
    assert rules.turn(state, NOON + 10, limits, asker()) == rules.Wait(20, "the budget that the API tells is spent", by_api=True)
    assert isinstance(rules.turn(state, NOON + 30, limits, asker()), rules.Go)
    rules.told(state, NOON + 31, 99, 60, 100)
    assert rules.calm(state, NOON + 31, limits)


def test_the_last_of_the_api_s_budget_is_spent_by_those_who_took_it() -> None:
    """Eight who took the last eight requests and waited for their turns by the rate all send; what others spent holds them."""
    limits, state = Limits(rate=5, burst=1), State()
    rules.told(state, NOON, 8, 60, 100)
    askers = [asker(lease=f"a:{number}") for number in range(8)]
    turns = [rules.turn(state, NOON, limits, one) for one in askers]
    assert isinstance(rules.turn(state, NOON, limits, asker(lease="a:8")), rules.Wait)
    for sent, (one, turn) in enumerate(zip(askers[:6], turns, strict=False)):
        assert isinstance(turn, rules.Go)
        assert turn.wait == 0 or rules.confirm(state, turn.due, limits, one) == 0
        rules.told(state, turn.due, 7 - sent, NOON + 60 - turn.due, 100)
    rules.told(state, NOON + 1.1, 0, 58.9, 100)
    assert [rules.confirm(state, NOON + 2, limits, one) for one in askers[6:]] == [None, None]
    assert isinstance(rules.turn(state, NOON + 2, limits, askers[6]), rules.Wait)
    assert isinstance(rules.turn(state, NOON + 60, limits, askers[6]), rules.Go)


def test_a_clock_that_is_set_back_lengthens_no_wait() -> None:
    """When the machine's clock goes back an hour, pauses, slots and turns go with it."""
    limits, state = Limits(rate=1, concurrent=1), State()
    state.set_clock(NOON)
    assert isinstance(rules.turn(state, NOON, limits, asker()), rules.Go)
    rules.throttled(state, NOON, limits, 5, "429")
    back = NOON - 3600
    state.set_clock(back)
    got = rules.turn(state, back, limits, asker("b", "b:0"))
    assert isinstance(got, rules.Wait)
    assert got.seconds == 5
    state.set_clock(back + 61)
    assert isinstance(rules.turn(state, back + 61, limits, asker("b", "b:0")), rules.Go)


def test_a_state_survives_its_store_and_later_versions() -> None:
    """What is written is read again, and a field that this version does not know is left out."""
    limits, state = Limits(rate=5, concurrent=3, daily_quota=100), State(source="shop")
    rules.turn(state, NOON, limits, asker())
    fail(state, NOON, limits, 30)
    assert decode(encode(state)) == state
    assert decode(encode(state).replace(b'{"source"', b'{"new":[1],"source"')) == state
    assert decode(b"") == State()


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"x-ratelimit-limit": "60", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "30"}, Budget(7, 30, 60)),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1772366430", "date": "Sun, 01 Mar 2026 12:00:00 GMT"},
            Budget(0, 30),
        ),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1772366430500", "date": "Sun, 01 Mar 2026 12:00:00 GMT"},
            Budget(0, 30.5),
        ),
        ({"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "9", "ratelimit-reset": "5"}, Budget(9, 5, 100)),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, Budget(50, 5, 100)),
        ({"ratelimit": '"minute";r=50;t=30, "day";r=4;t=6000', "ratelimit-policy": '"minute";q=100;w=60'}, Budget(4, 6000)),
        ({"x-rate-limit-remaining": "1", "x-rate-limit-reset": "2.5"}, Budget(1, 2.5)),
        (
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "2026-03-01T12:00Z", "date": "Sun, 01 Mar 2026 11:59:30 GMT"},
            Budget(0, 30),
        ),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1970-01-01"}, Budget(0, 0)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "500ms"}, None),
        ({"x-ratelimit-remaining": "7"}, None),
        ({"x-ratelimit-remaining": "many", "x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-remaining": "-1", "x-ratelimit-reset": "9" * 400}, None),
        ({}, None),
    ],
)
def test_budgets_are_read_in_every_spelling(headers: dict[str, str], told: Budget | None) -> None:
    """Seconds, moments and milliseconds, drafts old and new; the scarcest of several; nothing from half of one."""
    assert budget(headers) == told


def test_wrong_limits_are_refused() -> None:
    """A pattern that is no regular expression, an unknown zone and a rate of nothing are named when the spec is made."""
    with pytest.raises(SpecError, match=r"retry_on_body.*no regular expression"):
        Limits(retry_on_body=("(",))
    with pytest.raises(SpecError, match="Nowhere/Land"):
        Limits(quota_timezone="Nowhere/Land")
    with pytest.raises(SpecError, match="rate"):
        Limits(rate=0)
