"""`integration inbox`: receive events, read them from a queue, and look at what waits."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.errors import SpecError
from integration_assets.settings import Settings
from integration_assets.sources import load_source, load_sources

inbox_app = typer.Typer(no_args_is_help=True, help="Events of the sources: receive them, and see what waits.")
_out = Console()
_OPEN = ("pending", "requested")


@inbox_app.command()
def serve(
    source: Annotated[list[str] | None, typer.Argument(help="SOURCE …; all that have webhooks when left out.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 8014,
    at_once: Annotated[int, typer.Option(min=1, help="Deliveries handled at the same time; more are answered 503.")] = 128,
) -> None:
    """Receive webhooks at /webhooks/SOURCE until ctrl-C. Answers once an event is on disk; logs each delivery."""
    from integration_assets.inbox import serving

    log_to_stderr()
    chosen = [load_source(name) for name in source] if source else load_sources()

    def ready(url: str) -> None:
        line(_out, f"Receiving at {url}/webhooks/SOURCE, healthy when {url}/healthz says so. Ctrl-C stops.")

    serving.serve(chosen, Settings.from_environ(), host, port, at_once, ready)


@inbox_app.command()
def consume(source: Annotated[str, typer.Argument(help="A SOURCE whose events come by Kafka or Pub/Sub.")]) -> None:
    """Move a queue's messages into the inbox until ctrl-C. A message is acknowledged once its event is on disk."""
    from integration_assets.inbox.queues import consume, open_queue
    from integration_assets.inbox.serving import stop_on_signals
    from integration_assets.inbox.store import open_inbox

    log_to_stderr()
    chosen, settings = load_source(source), Settings.from_environ()
    with open_inbox(settings.inbox_uri) as inbox, closing(open_queue(chosen, settings)) as queue:
        stop_on_signals()
        consume(chosen, queue, inbox)


@inbox_app.command()
def status(source: Annotated[str | None, typer.Argument(help="SOURCE; all when left out.")] = None) -> None:
    """Show how many events wait, are being pulled and are done, and which of them no run could settle."""
    from integration_assets.inbox.drain import STUCK
    from integration_assets.inbox.store import open_inbox

    if source:
        load_source(source)
    with open_inbox(Settings.from_environ().inbox_uri) as inbox:
        counts = [count for count in inbox.counts() if source in {None, count.source}]
        line(_out, f"Inbox: {inbox.where}")
        if not counts:
            line(_out, "Nothing came yet.")
            return
        table = blocks_table("Events")
        for name in dict.fromkeys((count.source, count.stream) for count in counts):
            mine = [count for count in counts if (count.source, count.stream) == name]
            lines = {count.state: f"{count.rows:,}{_since(count.oldest) if count.state in _OPEN else ''}" for count in mine}
            table.add_row(block(".".join(part for part in name if part), lines))
        _out.print(table)
        for item in inbox.troubled(STUCK, source):
            line(_out, f"stuck: {item.source}.{item.stream} {item.id} after {item.attempts} runs: {item.trouble}", "yellow")


@inbox_app.command()
def dismiss(
    source: Annotated[str, typer.Argument(help="SOURCE")],
    event: Annotated[str, typer.Argument(help="The event's id, as status shows it.")],
) -> None:
    """Set aside an event that is stuck for good: it asks for no more runs. The schedule pulls its stream as ever."""
    from integration_assets.inbox.store import open_inbox

    with open_inbox(Settings.from_environ().inbox_uri) as inbox:
        if not inbox.dismiss(load_source(source).name, event, datetime.now(UTC)):
            raise SpecError(f"no event {event!r} waits", source=source, remedy="See: integration inbox status.")
    line(_out, f"{source}: {event} is set aside.")


def log_to_stderr() -> None:
    """One line a delivery or batch, with the time in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("integration_assets.inbox").setLevel(logging.INFO)


def _since(oldest: datetime) -> str:
    seconds = int((datetime.now(UTC) - oldest).total_seconds())
    return f", the oldest for {seconds:,} s"
