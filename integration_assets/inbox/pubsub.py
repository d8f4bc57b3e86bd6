"""A subscription of Google Pub/Sub as a queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from integration_assets.errors import AccessDeniedError, HumanNeededError, RescheduleError
from integration_assets.inbox.queues import Message
from integration_assets.spec.events import PubSub

_ANSWER = 30.0
"""Seconds that an acknowledgement may take."""


class PubSubQueue:
    """A client of the subscription, open until `close`, with the environment's credentials (or emulator)."""

    def __init__(self, source: str, spec: PubSub) -> None:
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.pubsub_v1 import SubscriberClient

        self._exceptions: Any = exceptions
        self._auth_error: type[Exception] = GoogleAuthError
        self._source, self._path = source, spec.path
        with self._explained():
            self._client = SubscriberClient()

    def poll(self, most: int, seconds: float) -> list[Message]:
        """What is there, waiting up to so long for the first. Raises `RescheduleError`, `HumanNeededError`."""
        try:
            with self._explained():
                answer = self._client.pull(subscription=self._path, max_messages=most, timeout=seconds, retry=None)
        except TimeoutError:
            return []
        return [
            Message(
                one.message.message_id,
                one.message.data,
                {name.lower(): text for name, text in one.message.attributes.items()},
                one.ack_id,
            )
            for one in answer.received_messages
        ]

    def ack(self, messages: Sequence[Message]) -> None:
        """Tell Pub/Sub that these are here. When that fails they come again, as duplicates."""
        with self._explained():
            ids = [str(message.handle) for message in messages]
            self._client.acknowledge(subscription=self._path, ack_ids=ids, timeout=_ANSWER)

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Google's errors as ours; `TimeoutError` when nothing came in time."""
        kinds = self._exceptions
        try:
            yield
        except kinds.DeadlineExceeded:
            raise TimeoutError from None
        except (kinds.PermissionDenied, kinds.Unauthenticated, self._auth_error) as error:
            raise AccessDeniedError(
                f"Pub/Sub refuses us: {error}",
                source=self._source,
                remedy=f"Grant roles/pubsub.subscriber on {self._path}, and see which credentials the environment gives.",
            ) from None
        except kinds.NotFound:
            raise HumanNeededError(
                f"there is no {self._path}", source=self._source, field="events.via", remedy="Make it, or mend its name."
            ) from None
        except kinds.GoogleAPICallError as error:
            raise RescheduleError(f"Pub/Sub is not available: {error}", source=self._source) from None
