"""From a message queue into the inbox: a message is acknowledged to its broker only once the inbox has it on disk."""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from integration_assets.errors import RescheduleError, SpecError
from integration_assets.inbox.event import LONGEST, Event, UnreadableEventError, read
from integration_assets.inbox.store import UNREADABLE, Inbox
from integration_assets.settings import Settings
from integration_assets.spec.events import Kafka, PubSub
from integration_assets.spec.source import Source

MOST = 500
"""Messages that are asked for, and committed, at once."""
POLL = 5.0
"""Seconds that one question waits for messages."""
_TRIES = 6
_Result = TypeVar("_Result")
_LOG = logging.getLogger("integration_assets.inbox")


@dataclass(frozen=True)
class Message:
    """What a queue delivers.

    id      : the queue's own, the same when the message is delivered again.
    headers : its headers or attributes, names in lower case.
    handle  : what the queue acknowledges it by.
    """

    id: str
    body: bytes
    headers: Mapping[str, str]
    handle: Any


class Queue(Protocol):
    """A queue that delivers a message again until it is acknowledged."""

    def poll(self, most: int, seconds: float) -> list[Message]:
        """Up to so many messages, waiting up to so long for the first. Raises `RescheduleError`, `HumanNeededError`."""

    def ack(self, messages: Sequence[Message]) -> None:
        """These need not come again. One that comes nevertheless is a duplicate in the inbox, and does no harm."""

    def close(self) -> None:
        """Let go; what is not acknowledged is delivered to the next who asks."""


def open_queue(source: Source, settings: Settings) -> Queue:
    """The queue that the source's events come by. Raises `SpecError` for a source without one, `SecretMissingError`."""
    via = source.events.via if source.events else None
    for kind, library in ((Kafka, "confluent_kafka"), (PubSub, "google.cloud.pubsub_v1")):
        if isinstance(via, kind) and not _installed(library):
            raise SpecError(
                f"the client of {kind.__name__} is not installed",
                source=source.name,
                field="events.via",
                remedy="Install integration-assets[queues].",
            )
    match via:
        case Kafka() as kafka:
            from integration_assets.inbox.kafka import KafkaQueue

            return KafkaQueue(source.name, kafka, settings.secrets_for(source), settings.brokers_of(source, kafka.brokers))
        case PubSub() as pubsub:
            from integration_assets.inbox.pubsub import PubSubQueue

            return PubSubQueue(source.name, pubsub)
        case _:
            raise SpecError(
                "the source's events come by no queue",
                source=source.name,
                field="events.via",
                remedy="Describe it: Events(via=Kafka(…) or PubSub(…), …); webhooks are for `integration inbox serve`.",
            )


def _installed(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ModuleNotFoundError:
        return False  # nor is what it is part of


def consume(source: Source, queue: Queue, inbox: Inbox, go_on: Callable[[], bool] = lambda: True) -> None:
    """Move messages into the inbox while `go_on()`, which is asked between batches.

    Raises `RescheduleError` when queue or inbox stay away for minutes: the process ends and whoever watches it starts it again;
    nothing was acknowledged that is not in the inbox.
    """
    while go_on():
        messages = _patiently(lambda: queue.poll(MOST, POLL))
        if not messages:
            continue
        began = time.monotonic()
        new = _patiently(lambda: keep(source, inbox, messages))  # noqa: B023 - called at once
        queue.ack(messages)
        milliseconds = (time.monotonic() - began) * 1000
        size = sum(len(message.body) for message in messages)
        _LOG.info("kept: source=%s messages=%d new=%d bytes=%d ms=%.0f", source.name, len(messages), new, size, milliseconds)


def keep(source: Source, inbox: Inbox, messages: Sequence[Message]) -> int:
    """Put the messages' events into the inbox; how many were new. What cannot be read is kept too, as `unreadable`."""
    assert source.events is not None  # noqa: S101 - asked only for sources with events
    events: list[Event] = []
    odd: list[Event] = []
    now = datetime.now(UTC)
    for message in messages:
        try:
            events.append(read(source.name, source.events, message.body, message.headers, now, message.id))
        except UnreadableEventError as error:
            _LOG.warning("unreadable: source=%s message=%s bytes=%d %s", source.name, message.id, len(message.body), error.what)
            odd.append(Event(source.name, message.id[:LONGEST], "", (), None, now))
    return sum(inbox.put(events)) + sum(inbox.put(odd, UNREADABLE))


def _patiently(work: Callable[[], _Result]) -> _Result:
    """Try again a few times, ever later, while the queue or the inbox is not available."""
    for tries in range(_TRIES):
        try:
            return work()
        except RescheduleError as error:
            if tries == _TRIES - 1:
                raise
            _LOG.warning("%s Trying again in %d s.", error, 2**tries)
            time.sleep(2**tries)
    raise AssertionError  # the last try returned or raised
