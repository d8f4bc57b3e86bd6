"""`integration shadow`: a slice through a stream and through its candidate, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from integration_assets.cli.ranges import asked
from integration_assets.cli.report import block, blocks_table, line
from integration_assets.errors import SpecError
from integration_assets.settings import Settings
from integration_assets.shadow import Account, Outcome, shadow
from integration_assets.spec.source import Source, Stream
from integration_assets.stores import Stores


def run_shadow(
    source: Source,
    stream: Stream,
    settings: Settings,
    out: Console,
    start: str | None,
    end: str | None,
    partition: str | None,
    tenants: Sequence[str] | None,
    examples: int,
) -> bool:
    """Compare, and say what was found; returns whether the candidate may take the stream's place."""
    wanted = asked(source, [stream], start, end, [partition] if partition else None, tenants)
    keys = wanted.keys.get(stream.name, ())
    if len(keys) > 1:
        raise SpecError(
            "one slice at a time is compared", field="--partition", remedy="Name one partition, or use --from and --to."
        )

    def say(sentence: str) -> None:
        line(out, sentence, "yellow")

    found = shadow(
        source,
        stream,
        Stores.from_settings(settings, say),
        settings,
        partition=keys[0] if keys else None,
        span=wanted.spans.get(stream.name),
        tenants=wanted.tenants,
        say=say,
        examples=examples,
    )
    _print(found, out)
    return found.passed


def _print(found: Outcome, out: Console) -> None:
    name = f"{found.source}.{found.stream}"
    table = blocks_table("Shadow run: nothing was written")
    rows = f"{found.found.old:,} and {found.found.new:,}, compared by key"
    lines = {"slice": "; ".join(map(str, found.slices[:5])), "rows": rows}
    lines |= {one.name: _account(one) for one in (found.present, found.candidate)}
    table.add_row(block(name, lines))
    out.print(table)
    for sentence in found.notes:
        line(out, f"{name}: {sentence}")
    for sentence in found.against:
        line(out, f"{name}: {sentence}", "red")
    for example in found.examples:
        line(out, f"  {example.place}: {example.key}{': ' if example.columns else ''}{'; '.join(example.columns)}")
    if found.passed:
        line(out, f"{name}: {found.candidate.name} gives the same as {found.present.name}", "green")


def _account(one: Account) -> str:
    return f"{one.fetched:,} records in {one.pages:,} pages and {one.requests:,} requests, {one.rejected:,} rejected"
