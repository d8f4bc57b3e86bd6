"""Queues over the wire: Kafka against librdkafka's own mock cluster, Pub/Sub against a service of the client's own messages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
import pytest

from integration_assets.errors import HumanNeededError, RescheduleError, SecretMissingError, SpecError
from integration_assets.inbox.kafka import KafkaQueue
from integration_assets.inbox.pubsub import PubSubQueue
from integration_assets.inbox.queues import Message, Queue, consume, keep, open_queue
from integration_assets.inbox.store import Inbox, open_inbox
from integration_assets.settings import Settings
from integration_assets.spec import Events, Kafka, PubSub, Source
from integration_assets_tests.inbox.pubsub import Subscription
from integration_assets_tests.inbox.upstream import source

EVENTS = 200
# The mock cluster hears no good-bye: it gives a group's partitions on when a member was silent for its session's time.
QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}
KAFKA = Kafka(brokers="127.0.0.1:1", topic="orders", config=QUICK)
PUBSUB = PubSub(project="shop-project", subscription="orders")


def shop(via: Kafka | PubSub, **events: str) -> Source:
    """The shop, whose events come by a queue."""
    paths = {"type": "type", "time": "at", **events}
    return source(events=Events(via=via, streams={"order.*": "orders"}, **paths))


def body(number: int) -> bytes:
    """One message."""
    return json.dumps({"type": "order.updated", "number": number, "at": "2024-03-04T15:00:00Z"}).encode()


def states(inbox: Inbox) -> dict[tuple[str, str], int]:
    """Rows by stream and state."""
    return {(count.stream, count.state): count.rows for count in inbox.counts()}


@dataclass
class Watched:
    """A queue that looks, at each acknowledgement, whether the inbox has what is acknowledged; `fail` then forgets to do it."""

    queue: Queue
    inbox_uri: str
    fail: bool = False
    acknowledged: list[str] = field(default_factory=list)

    def poll(self, most: int, seconds: float) -> list[Message]:
        """As the queue."""
        return self.queue.poll(most, seconds)

    def ack(self, messages: Sequence[Message]) -> None:
        """As the queue, after a look by another connection."""
        with open_inbox(self.inbox_uri) as inbox:
            assert sum(states(inbox).values()) >= len({message.id for message in messages} | set(self.acknowledged))
        self.acknowledged += [message.id for message in messages]
        if not self.fail:
            self.queue.ack(messages)

    def close(self) -> None:
        """As the queue."""
        self.queue.close()

    def until(self, messages: int, empty: int = 8) -> object:
        """Go on until so many messages came, or nothing did so many times."""
        left = iter(range(empty))
        return lambda: len(self.acknowledged) < messages and next(left, None) is not None


class Erring:
    """A client's consumer among whose next messages are errors: the mock cluster cannot be asked for them."""

    def __init__(self, consumer: confluent_kafka.Consumer, *codes: int) -> None:
        self._consumer, self._codes = consumer, list(codes)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the consumer
        return getattr(self._consumer, name)

    def consume(self, most: int, seconds: float) -> list[confluent_kafka.Message]:
        """The errors, and what there is."""
        errors = [confluent_kafka.Message(topic="orders", error=confluent_kafka.KafkaError(code)) for code in self._codes]
        self._codes.clear()
        return [*errors, *self._consumer.consume(most, seconds)]


@pytest.fixture
def inbox(inbox_uri: str) -> Iterator[Inbox]:
    """An empty inbox."""
    with open_inbox(inbox_uri) as opened:
        yield opened


@pytest.fixture
def cluster() -> Iterator[tuple[confluent_kafka.Producer, str]]:
    """A mock cluster inside a producer, and the address at which others reach it."""
    producer = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=60).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(10)


def committed(brokers: str) -> int:
    """How many messages the group has acknowledged to the brokers."""
    with closing(confluent_kafka.Consumer({"bootstrap.servers": brokers, "group.id": "integration-shop"})) as looker:
        partitions = looker.list_topics("orders", timeout=60).topics["orders"].partitions
        found = looker.committed([confluent_kafka.TopicPartition("orders", number) for number in partitions], timeout=60)
    return sum(max(one.offset, 0) for one in found)


def test_kafka_s_messages_are_acknowledged_when_the_inbox_has_them(
    inbox: Inbox, inbox_uri: str, cluster: tuple[confluent_kafka.Producer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that dies before its acknowledgement leaves all to the next, which finds duplicates and moves the offsets."""
    producer, brokers = cluster
    for number in range(EVENTS):
        producer.produce("orders", body(number), key=str(number))
    producer.produce("orders", b"no JSON")
    producer.flush(20)
    monkeypatch.setenv("INTEGRATION_SHOP_BROKERS", brokers)
    mine = shop(KAFKA)

    for fail in (True, False):
        with closing(Watched(open_queue(mine, Settings.from_environ()), inbox_uri, fail)) as queue:
            consume(mine, queue, inbox, queue.until(EVENTS + 1))  # type: ignore[arg-type]
            assert len(set(queue.acknowledged)) == EVENTS + 1
        assert states(inbox) == {("orders", "pending"): EVENTS, ("", "unreadable"): 1}
        assert committed(brokers) == (0 if fail else EVENTS + 1)


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (confluent_kafka.KafkaError._TRANSPORT, RescheduleError),
        (confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED, HumanNeededError),
    ],
)
def test_an_error_among_kafka_s_messages_loses_none_of_them(
    cluster: tuple[confluent_kafka.Producer, str], code: int, raised: type[Exception]
) -> None:
    """The messages that came with it are delivered, since the client is past them; the next question raises it, and only once."""
    producer, brokers = cluster
    for number in range(EVENTS):
        producer.produce("orders", body(number))
    producer.flush(20)
    with closing(KafkaQueue("shop", KAFKA, str, brokers)) as queue:
        queue._consumer = Erring(queue._consumer, confluent_kafka.KafkaError._TRANSPORT, code)  # type: ignore[assignment]
        found: list[Message] = []
        for _ in range(8):
            found = queue.poll(500, 5)
            if found:
                break
        assert found
        with pytest.raises(raised):
            queue.poll(500, 5)
        for _ in range(8):
            if len(found) == EVENTS:
                break
            found += queue.poll(500, 5)
        assert len({message.id for message in found}) == len(found) == EVENTS


def test_pubsub_s_messages_are_acknowledged_when_the_inbox_has_them(
    inbox: Inbox, inbox_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same: what was not acknowledged in time comes again and is a duplicate; ids and types may be attributes."""
    mine = shop(PUBSUB, type="header:eventType")
    with Subscription(PUBSUB.path).served() as subscription:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", subscription.address)
        for number in range(EVENTS):
            subscription.publish(body(number), eventType="order.new")
        subscription.publish(b"no type")
        for fail in (True, False):
            with closing(Watched(open_queue(mine, Settings.from_environ()), inbox_uri, fail)) as queue:
                consume(mine, queue, inbox, queue.until(EVENTS + 1))  # type: ignore[arg-type]
            assert states(inbox) == {("orders", "pending"): EVENTS, ("", "unreadable"): 1}
            assert len(subscription.acknowledged) == (0 if fail else EVENTS + 1)
            subscription.expire()
        assert subscription.waiting == {}
        assert subscription.asked == {PUBSUB.path}
        with closing(open_queue(mine, Settings.from_environ())) as empty:
            assert empty.poll(10, 0.1) == []


def test_a_subscription_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped name is for a human to mend, not waited for."""
    with Subscription("projects/other/subscriptions/other").served() as subscription:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", subscription.address)
        with closing(PubSubQueue("shop", PUBSUB)) as queue, pytest.raises(HumanNeededError, match="shop-project"):
            queue.poll(1, 5)


def test_where_an_event_has_its_id_in_the_message_that_counts(inbox: Inbox) -> None:
    """Two messages of one event, sent twice by its producer, are one event; without a path each message is its own."""
    messages = [Message(f"m-{number}", body(number // 2), {}, None) for number in range(4)]
    assert keep(shop(KAFKA, id="number"), inbox, messages) == 2
    assert keep(shop(KAFKA), inbox, messages) == 4


def test_a_message_that_cannot_be_read_is_kept_and_said(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    """It does not hold the others up, is counted, and the log has its id and not its content."""
    odd = Message("orders-0-7", b"private-note-3141", {}, None)
    with caplog.at_level(logging.WARNING, "integration_assets.inbox"):
        assert keep(shop(KAFKA), inbox, [odd, Message("orders-0-8", body(1), {}, None)]) == 2
    assert states(inbox) == {("", "unreadable"): 1, ("orders", "pending"): 1}
    assert "orders-0-7" in caplog.text
    assert "private" not in caplog.text


def test_a_queue_s_secret_is_looked_up_by_name_and_not_shown() -> None:
    """Missing, it is named; in a setting that the client refuses, it is blotted out."""
    secret = Kafka(
        brokers="127.0.0.1:1", topic="orders", secrets={"sasl.password": "SHOP_KAFKA", "sasl.mechanisms": "SHOP_KAFKA"}
    )
    with pytest.raises(SecretMissingError, match="SHOP_KAFKA"):
        open_queue(shop(secret), Settings.from_environ({}))
    wrong = Kafka(brokers="127.0.0.1:1", topic="orders", secrets={"security.protocol": "SHOP_KAFKA"})
    with pytest.raises(SpecError) as error:
        open_queue(shop(wrong), Settings.from_environ({"SHOP_KAFKA": "hunter2"}))
    assert "hunter2" not in str(error.value)
    assert "security.protocol" in str(error.value)


def test_a_source_whose_events_come_by_webhook_has_no_queue() -> None:
    """Asked to consume it, we say what is for webhooks."""
    with pytest.raises(SpecError, match="integration inbox serve"):
        open_queue(source(), Settings.from_environ({}))
