"""Pub/Sub's subscriber service on loopback, over gRPC and with the client library's own messages, as far as a puller needs it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from threading import Condition

import grpc
from google.protobuf import empty_pb2
from google.pubsub_v1 import types


@dataclass
class Subscription:
    """Messages until they are acknowledged; what was delivered and not acknowledged comes again after `expire`.

    asked : the subscriptions that were named in requests.
    """

    path: str
    address: str = ""
    waiting: dict[str, types.PubsubMessage] = field(default_factory=dict)
    leased: dict[str, str] = field(default_factory=dict)
    acknowledged: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    _changed: Condition = field(default_factory=Condition)
    _leases: Iterator[int] = field(default_factory=count)

    def publish(self, body: bytes, **attributes: str) -> str:
        """Add a message; its id."""
        with self._changed:
            id_ = str(len(self.waiting) + len(self.acknowledged) + 1000)
            self.waiting[id_] = types.PubsubMessage(data=body, attributes=attributes, message_id=id_)
            self._changed.notify_all()
        return id_

    def expire(self) -> None:
        """The time to acknowledge what was delivered is over."""
        with self._changed:
            self.leased.clear()
            self._changed.notify_all()

    def pull(self, request: types.PullRequest, context: grpc.ServicerContext) -> types.PullResponse:
        """Messages that nobody has leased, waiting for the first until the caller's deadline."""
        self.asked.add(request.subscription)
        if request.subscription != self.path:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such subscription")
        with self._changed:
            self._changed.wait_for(self._free, context.time_remaining())
            found = []
            for id_ in self._free()[: request.max_messages]:
                lease = f"lease-{next(self._leases)}"
                self.leased[lease] = id_
                found.append(types.ReceivedMessage(ack_id=lease, message=self.waiting[id_]))
        return types.PullResponse(received_messages=found)

    def acknowledge(self, request: types.AcknowledgeRequest, _context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Forget messages by their leases; a lease that expired is ignored, as Pub/Sub does."""
        with self._changed:
            for lease in request.ack_ids:
                id_ = self.leased.pop(lease, None)
                if id_ is not None and self.waiting.pop(id_, None) is not None:
                    self.acknowledged.append(id_)
        return empty_pb2.Empty()

    def _free(self) -> list[str]:
        return [id_ for id_ in self.waiting if id_ not in self.leased.values()]

    @contextmanager
    def served(self) -> Iterator[Subscription]:
        """Answer on a free port of loopback while the block is open."""
        methods = {
            "Pull": grpc.unary_unary_rpc_method_handler(self.pull, types.PullRequest.deserialize, types.PullResponse.serialize),
            "Acknowledge": grpc.unary_unary_rpc_method_handler(
                self.acknowledge, types.AcknowledgeRequest.deserialize, empty_pb2.Empty.SerializeToString
            ),
        }
        server = grpc.server(futures.ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", methods),))
        self.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            server.stop(None).wait(10)
