"""A Kafka topic as a queue: read by a consumer group, whose offsets move only with what the inbox has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from integration_assets.errors import HumanNeededError, IntegrationError, RescheduleError, SpecError
from integration_assets.inbox.queues import Message
from integration_assets.spec.events import Kafka

if TYPE_CHECKING:
    import confluent_kafka

_LOG = logging.getLogger("integration_assets.inbox")


class KafkaQueue:
    """A member of the group, open until `close`.

    secret  : looks up a secret by name.
    brokers : `host:port[,host:port]`.
    """

    def __init__(self, source: str, spec: Kafka, secret: Callable[[str], str], brokers: str) -> None:
        import confluent_kafka

        self._kafka = confluent_kafka
        self._source = source
        self._refused: str | None = None
        self._due: IntegrationError | None = None
        secrets = {setting: secret(name) for setting, name in spec.secrets.items()}
        settings = {
            "client.id": "integration-assets",
            "auto.offset.reset": "earliest",  # a group that is new, or was away for too long, begins with what there is
            **spec.config,
            **secrets,
            "bootstrap.servers": brokers,
            "group.id": spec.group or f"integration-{source}",
            "enable.auto.commit": False,
            "error_cb": self._on_error,
        }
        try:
            self._consumer = confluent_kafka.Consumer(settings)
            self._consumer.subscribe([spec.topic])
        except confluent_kafka.KafkaException as error:
            text = str(error)
            for value in secrets.values():
                text = text.replace(value, "***")
            raise SpecError(
                f"Kafka's client refuses its settings: {text}",
                source=source,
                field="events.via",
                remedy="Mend config or secrets.",
            ) from None

    def poll(self, most: int, seconds: float) -> list[Message]:
        """What is there, waiting up to so long for the first. Raises `RescheduleError`, `HumanNeededError`.

        An error that comes among messages is raised by the next call: the client does not give those messages again.
        """
        if self._due:
            due, self._due = self._due, None
            raise due
        first = self._consumer.poll(seconds)
        if self._refused:
            raise HumanNeededError(
                f"the brokers refuse us: {self._refused}", source=self._source, remedy="Renew the secret, or ask for access."
            )
        if first is None:
            return []
        found = [first, *self._consumer.consume(most - 1, 0)]
        good = [_message(message) for message in found if message.error() is None]
        errors = [self._error(error) for message in found if (error := message.error()) is not None]
        if errors:
            worst = next((error for error in errors if isinstance(error, HumanNeededError)), errors[0])
            if not good:
                raise worst
            self._due = worst
        return good

    def ack(self, messages: Sequence[Message]) -> None:
        """Move the group's offsets past these. When that fails they come again, as duplicates."""
        last: dict[tuple[str, int], int] = {}
        for message in messages:
            topic, partition, offset = message.handle
            last[topic, partition] = max(offset, last.get((topic, partition), -1))
        offsets = [self._kafka.TopicPartition(topic, partition, offset + 1) for (topic, partition), offset in last.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except self._kafka.KafkaException as error:
            _LOG.warning("source=%s: offsets were not committed, messages come again: %s", self._source, error)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        """Brokers that are away are found again by the client itself; a refused credential is not."""
        _LOG.warning("source=%s: %s", self._source, error)
        kinds = self._kafka.KafkaError
        if error.code() in {kinds._AUTHENTICATION, kinds.SASL_AUTHENTICATION_FAILED}:  # noqa: SLF001 - librdkafka's own code
            self._refused = str(error)

    def _error(self, error: confluent_kafka.KafkaError) -> IntegrationError:
        kinds = self._kafka.KafkaError
        if error.code() in {kinds.TOPIC_AUTHORIZATION_FAILED, kinds.GROUP_AUTHORIZATION_FAILED}:
            return HumanNeededError(f"the brokers refuse us: {error}", source=self._source, remedy="Ask for access.")
        return RescheduleError(
            f"the brokers answer: {error}", source=self._source, remedy="See that topic and brokers are there."
        )


def _message(found: confluent_kafka.Message) -> Message:
    topic, partition, offset = found.topic(), found.partition(), found.offset()
    pairs = found.headers() or []
    headers = {name.lower(): _text(value) for name, value in (pairs.items() if isinstance(pairs, dict) else pairs)}
    value = found.value()
    body = value if isinstance(value, bytes) else str(value or "").encode()
    return Message(f"{topic}-{partition}-{offset}", body, headers, (topic, partition, offset))


def _text(value: str | bytes | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
