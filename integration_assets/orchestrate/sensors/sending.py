"""Messages on their way: kept in the sensor's cursor, channel by channel, until they are taken or a day is over."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Any

import dagster as dg

from integration_assets.errors import IntegrationError, RescheduleError

if TYPE_CHECKING:
    from integration_assets.alert import Channel, Message

BUDGET = 25.0
"""Seconds after which a tick begins to send nothing more; Dagster ends the tick at 60."""
PATIENCE = 15.0
"""Seconds that one sending may take."""
GIVE_UP = 24 * 3600.0
"""Seconds after which a message that cannot be sent is given up."""
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 1800.0


def now() -> float:
    """Seconds since 1970 by this machine's clock."""
    return time.time()


@dataclass
class Pending:
    """A message on its way.

    message     : its parts.
    left        : the channels that have not taken it.
    since, next : when it was to be sent first, and when to try again; tries: how often that was done.
    """

    message: dict[str, Any]
    left: list[str]
    since: float
    next: float = 0.0
    tries: int = 0


@dataclass
class State:
    """The sensor's cursor.

    failures, successes : positions in Dagster's log of run ends.
    doubtful : runs that Dagster said it would retry, and when that was.
    pending  : messages on their way, the oldest first.
    red      : what is wrong, since when: `source.stream`, or `asset check` of a check.
    told     : of streams that are red, the class of the error that people were told of last, and when that was.
    """

    failures: int
    successes: int
    doubtful: dict[str, float] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)
    red: dict[str, str] = field(default_factory=dict)
    told: dict[str, tuple[str | None, float]] = field(default_factory=dict)

    @classmethod
    def from_cursor(cls, text: str | None) -> State | None:
        """The cursor's state; None when there is none, or what someone wrote there is not one."""
        try:
            found = json.loads(text or "")
            return cls(**{**found, "pending": [Pending(**one) for one in found["pending"]]})
        except (ValueError, TypeError, KeyError):
            return None

    def to_cursor(self) -> str:
        """The inverse of `from_cursor`."""
        return json.dumps(asdict(self), separators=(",", ":"))


def deliver(context: dg.SensorEvaluationContext, state: State, channels: Sequence[Channel]) -> tuple[int, list[str]]:
    """Send what is due; how many messages went out, and why others did not. A channel that fails is left alone for this tick."""
    from integration_assets.alert import Message

    began, sent = time.monotonic(), 0
    failed: dict[str, str] = {}
    for pending in list(state.pending):
        if pending.next > now():
            continue
        refused = False
        for channel in channels:
            if channel.name not in pending.left or channel.name in failed or time.monotonic() - began > BUDGET:
                continue
            try:
                _send(channel, Message.from_parts(pending.message))
            except IntegrationError as error:
                refused, failed[channel.name] = True, str(error)
                context.log.warning("an alert could not be sent: %s", error)
            else:
                pending.left.remove(channel.name)
        pending.left = [name for name in pending.left if name in {channel.name for channel in channels}]
        if not pending.left:
            state.pending.remove(pending)
            sent += 1
        elif now() - pending.since > GIVE_UP:
            state.pending.remove(pending)
            context.log.error("gave up sending to %s: %s", ", ".join(pending.left), pending.message["title"])
        elif refused:  # the others go first next time, should this one be what the channel does not take
            pending.next = now() + min(_FIRST_WAIT * 2.0 ** min(pending.tries, 20), _LONGEST_WAIT)
            pending.tries += 1
    return sent, list(failed.values())


def _send(channel: Channel, message: Message) -> None:
    """Send in a thread of its own: whatever a server does, the tick goes on in time."""
    outcome: list[BaseException | None] = []

    def attempt() -> None:
        try:
            channel.send(message)
        except Exception as error:  # noqa: BLE001 - raised again below
            outcome.append(error)
        else:
            outcome.append(None)

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not outcome:
        raise RescheduleError(f"{channel.name}: no answer within {PATIENCE:g} s", remedy="It is sent again.")
    error = outcome[0]
    if isinstance(error, IntegrationError):
        raise error
    if error is not None:
        raise RescheduleError(f"{channel.name}: {type(error).__name__}", remedy="It is sent again.") from error
