"""`integration`: list and check sources, sync, show status and rejects, run the sandbox."""

from __future__ import annotations

import sys
from typing import Annotated
from uuid import uuid4

import typer
from rich.console import Console

from integration_assets.cli.contracts import contracts_app
from integration_assets.cli.inbox import inbox_app
from integration_assets.cli.quarantine import quarantine_app
from integration_assets.errors import IntegrationError, RejectThresholdError, RescheduleError, SpecError
from integration_assets.settings import Settings
from integration_assets.sources import load_source, load_sources
from integration_assets.spec.source import Source, Stream

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Turn APIs into trusted tables.", pretty_exceptions_enable=False
)
sources_app = typer.Typer(invoke_without_command=True, help="List the sources, or check one against its live API.")
app.add_typer(sources_app, name="sources")
app.add_typer(inbox_app, name="inbox")
app.add_typer(contracts_app, name="contracts")
app.add_typer(quarantine_app, name="quarantine")
out = Console()
err = Console(stderr=True)

EXIT_SPEC, EXIT_HUMAN, EXIT_LATER = 2, 1, 75
"""Exit statuses: a wrong request or spec; something a human must mend; not now, try again later (sysexits' TEMPFAIL)."""


@app.callback()
def prepare() -> None:
    """Turn APIs into trusted tables."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])  # each wait is said in our own words


@sources_app.callback()
def sources(context: typer.Context) -> None:
    """List every source with its streams and the secrets it needs."""
    if context.invoked_subcommand is None:
        from integration_assets.cli.report import sources_table

        settings = Settings.from_environ()
        out.print(sources_table(map(settings.in_force, load_sources()), settings))


@sources_app.command("check")
def check(name: Annotated[str, typer.Argument(help="SOURCE or SOURCE.STREAM")]) -> None:
    """Ask the live API: spec valid, key accepted, first page decodes, contract holds. Writes nothing."""
    from integration_assets.cli.check import check_source

    source, streams = _named(name)
    if not check_source(source, streams, Settings.from_environ(), out):
        raise typer.Exit(EXIT_HUMAN)


@app.command()
def sync(
    name: Annotated[str, typer.Argument(help="SOURCE or SOURCE.STREAM")],
    start: Annotated[str | None, typer.Option("--from", help="Pull this range again: its start, inclusive.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The range's end, exclusive; now when left out.")] = None,
    partition: Annotated[
        list[str] | None, typer.Option(help="A partition key, or FIRST..LAST; may be given several times.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="A tenant of the stream; may be given several times. All when left out.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be pulled, ask for one page, write nothing.")
    ] = False,
) -> None:
    """Pull what is new (or the range, or the partitions), land it in the lake, merge it into the warehouse."""
    from integration_assets.cli.ranges import asked
    from integration_assets.cli.run import run_sync

    source, streams = _named(name)
    wanted = asked(source, streams, start, end, partition, tenant)
    run_sync(source, wanted, Settings.from_environ(), out, run_id=uuid4().hex, dry_run=dry_run)


@app.command()
def sweep(
    name: Annotated[str, typer.Argument(help="SOURCE.STREAM, which has a sweep")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="The share of live rows that may be deleted, for this once.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="A tenant of the stream; may be given several times. All when left out.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who does it; the user of this machine when left out.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and write nothing.")] = False,
) -> None:
    """Hold the API's list of all keys against the warehouse's table, and delete softly what the list does not have any more."""
    from integration_assets.cli.quarantine import who
    from integration_assets.cli.sweep import run_sweep

    source, (stream, *_) = _named(name)
    if "." not in name:
        names = ", ".join(f"{source.name}.{stream.name}" for stream in source.streams if stream.sweep)
        remedy = f"Name one that has a sweep: {names or 'none has one'}."
        raise SpecError("one stream at a time is swept", source=source.name, remedy=remedy)
    settings = Settings.from_environ()
    run_sweep(source, stream, settings, out, uuid4().hex, who(by), tenants=tenant, threshold=threshold, dry_run=dry_run)


@app.command()
def status(name: Annotated[str | None, typer.Argument(help="SOURCE or SOURCE.STREAM; all when left out.")] = None) -> None:
    """Show each stream's watermark, frontier, gaps and last receipt, and how far the warehouse follows."""
    from integration_assets.cli.status import show_status

    settings = Settings.from_environ()
    chosen = [_named(name)] if name else [(source, source.streams) for source in map(settings.in_force, load_sources())]
    show_status(chosen, settings, out)


@app.command()
def shadow(
    name: Annotated[str, typer.Argument(help="SOURCE.STREAM, which has a candidate")],
    start: Annotated[str | None, typer.Option("--from", help="Compare this range: its start, inclusive.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="The range's end, exclusive; now when left out.")] = None,
    partition: Annotated[str | None, typer.Option(help="Compare this partition.")] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="A tenant of the stream; may be given several times. All when left out.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=1000, help="Rows to show of each kind of difference.")] = 5,
) -> None:
    """Read one slice through the stream and through its candidate, and say what differs. Writes nothing; exits with 1 if so.

    The slice is the last partition that is over, or the last one that was pulled, unless it is named.
    """
    from integration_assets.cli.shadow import run_shadow

    source, streams = _named(name)
    if "." not in name:
        names = ", ".join(f"{source.name}.{stream.name}" for stream in source.streams if stream.candidate)
        remedy = f"Name one that has a candidate: {names or 'none has one'}."
        raise SpecError("one stream at a time is compared", source=source.name, remedy=remedy)
    settings = Settings.from_environ()
    if not run_shadow(source, streams[0], settings, out, start, end, partition, tenant, examples):
        raise typer.Exit(EXIT_HUMAN)


@app.command()
def vacuum(
    name: Annotated[str | None, typer.Argument(help="SOURCE or SOURCE.STREAM; all when left out.")] = None,
    older_than: Annotated[str, typer.Option(help="Only files that were written, or replaced, so long ago: 7d, 36h.")] = "7d",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")] = False,
) -> None:
    """Delete files of the lake that nothing needs any more, those of killed runs among them, and join small ones."""
    from integration_assets.cli.vacuum import run_vacuum

    settings = Settings.from_environ()
    chosen = [_named(name)] if name else [(source, source.streams) for source in map(settings.in_force, load_sources())]
    run_vacuum(chosen, settings, out, older_than, dry_run=dry_run)


@app.command()
def limits(name: Annotated[str | None, typer.Argument(help="SOURCE; all when left out.")] = None) -> None:
    """Show what all runs together have of each API: rate, quota, pause and breaker, and when it is tried again."""
    from integration_assets.cli.limits import show_limits

    show_limits([load_source(name)] if name else load_sources(), Settings.from_environ(), out)


@app.command()
def rejects(
    name: Annotated[str, typer.Argument(help="SOURCE.STREAM")],
    limit: Annotated[int, typer.Option(min=1, help="How many to show, the newest first.")] = 20,
    unmasked: Annotated[bool, typer.Option("--unmasked", help="Show personal data and what looks like a secret too.")] = False,
) -> None:
    """Show what came into a stream's quarantine: each record that could not become a row, and why. See also `quarantine`."""
    from integration_assets.cli.rejects import show_rejects

    source, streams = _named(name)
    if "." not in name:
        raise SpecError(
            "each stream has a quarantine of its own",
            source=source.name,
            remedy=f"Name one: {', '.join(f'{source.name}.{stream.name}' for stream in streams)}.",
        )
    show_rejects(source, streams[0], Settings.from_environ(), out, limit, whole=unmasked)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port; 0 picks a free one.")] = 8013,
    clock: Annotated[str, typer.Option(help="What the API's clock starts at, ISO 8601.")] = "2013-02-01T00:00:00Z",
    speed: Annotated[float, typer.Option(help="Simulated seconds a real second; 0 stands still.")] = 1.0,
) -> None:
    """Serve the sandbox upstream on loopback until ctrl-C. Its key is that of NYC_OPS_KEY, or `sandbox-key`."""
    import os

    from integration_assets.sandbox import serve

    serve(port=port, clock=clock, speed=speed, key=os.environ.get("NYC_OPS_KEY", "sandbox-key"), admin=True)


def main() -> None:
    """Run the command line. An error of ours is one sentence and an exit status, not a traceback."""
    try:
        app()
    except IntegrationError as error:
        err.print(f"[bold red]{type(error).__name__}[/]", end=" ")
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        if isinstance(error, RejectThresholdError):
            err.print(f"See them: integration rejects {error.source}.{error.stream}", markup=False, highlight=False)
        sys.exit(EXIT_SPEC if isinstance(error, SpecError) else EXIT_LATER if isinstance(error, RescheduleError) else EXIT_HUMAN)


def _named(name: str) -> tuple[Source, tuple[Stream, ...]]:
    """`SOURCE` or `SOURCE.STREAM` as the source and the streams that are meant."""
    source_name, _, stream_name = name.partition(".")
    source = Settings.from_environ().in_force(load_source(source_name))
    return source, (source.stream(stream_name),) if stream_name else source.streams
