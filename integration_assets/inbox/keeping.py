"""Many deliveries, one commit: each answer waits until its event is on disk, and a sync of the disk serves all that wait."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from integration_assets.errors import RescheduleError
from integration_assets.inbox.event import Event
from integration_assets.inbox.store import Inbox

MOST = 256
"""Events in one commit."""
_LOG = logging.getLogger("integration_assets.inbox")

_Waiting = tuple[Event, "asyncio.Future[bool]"]


@dataclass
class Keeper:
    """Commits what is handed to it, in batches, on a thread of its own."""

    inbox: Inbox
    _queue: asyncio.Queue[_Waiting] = field(default_factory=asyncio.Queue)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="inbox"))
    _work: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Events that no commit has begun with."""
        return self._queue.qsize()

    async def keep(self, event: Event) -> bool:
        """Whether the event is new, once it is on disk. Raises `RescheduleError` when the inbox is not available."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((event, done))
        return await done

    async def check(self) -> None:
        """Raises `RescheduleError` when no event could be kept now: an empty commit goes the way of all others."""
        if self._work is None or self._work.done():
            raise RescheduleError("nothing is kept any more", remedy="Start the process again.")
        await self._commit([])

    @asynccontextmanager
    async def running(self, patience: float) -> AsyncIterator[None]:
        """Commit while the block is open; at its end what waits is committed first, for up to so many seconds."""
        self._work = asyncio.create_task(self._keep_on())
        try:
            yield
            await asyncio.wait_for(self._queue.join(), patience)
        finally:
            self._work.cancel()
            self._thread.shutdown(wait=False)

    async def _keep_on(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < MOST and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                results: list[bool] | RescheduleError = await self._commit([event for event, _ in batch])
            except RescheduleError as error:
                _LOG.warning("%s", error)
                results = error
            for number, (_, done) in enumerate(batch):
                self._queue.task_done()
                if done.cancelled():
                    continue  # who asked has gone; it will send again, and find a duplicate
                if isinstance(results, RescheduleError):
                    done.set_exception(results)
                else:
                    done.set_result(results[number])

    async def _commit(self, events: list[Event]) -> list[bool]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.inbox.put, events)
