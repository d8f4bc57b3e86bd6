"""Shadow runs by Dagster: a job a source, with a step for each stream that has a candidate.

They are no asset checks: Dagster runs an asset's checks whenever it is materialized, and each shadow run reads the API twice.
"""

# No `from __future__ import annotations` here: Dagster reads the step's annotations as objects.
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from integration_assets.errors import SpecError
from integration_assets.orchestrate.failures import explained
from integration_assets.orchestrate.metadata import Metadata, bullets, markdown_table
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.cursor import Slice
from integration_assets.spec.source import Source, Stream
from integration_assets.spec.values import cursor_value

if TYPE_CHECKING:
    from integration_assets.shadow import Account, Outcome


class ShadowConfig(dg.Config):
    """Which slice to compare. Left out, it is the last partition that is over, or the last slice that was pulled."""

    partition: str | None = Field(default=None, description="Compare this partition.")
    start: str | None = Field(default=None, description="Compare the range from here, inclusive.")
    to: str | None = Field(default=None, description="The range's end, exclusive; now when left out.")
    tenants: list[str] = Field(default=[], description="Of these tenants; of all when empty.")
    examples: int = Field(default=5, ge=0, le=1000, description="Rows to show of each kind of difference.")


def shadow_job(source: Source) -> dg.JobDefinition | None:
    """`<source>_shadow`: each stream with a candidate read through both, nothing written; None where no stream has one.

    A step fails, and shows what differs, when the candidate does not give the same within what is tolerated.
    """
    compared = [stream for stream in source.streams if stream.candidate]
    if not compared:
        return None
    name = f"{source.name}_shadow"
    return dg.GraphDefinition(name=name, node_defs=[_step(source, stream) for stream in compared]).to_job(
        name=name,
        description=f"Read a slice of {', '.join(stream.name for stream in compared)} through the present version of the API or"
        " contract and through its candidate, and say what differs. Writes nothing.",
        tags={"source": source.name},
    )


def _step(source: Source, stream: Stream) -> dg.OpDefinition:
    @dg.op(name=f"{source.name}__{stream.name}__shadow", pool=source.name, out=dg.Out(dg.Nothing))
    def step(context: dg.OpExecutionContext, config: ShadowConfig, stores: StoresResource) -> None:
        from integration_assets.shadow import shadow

        with explained(context):
            found = shadow(
                source,
                stream,
                stores.stores(context.log.info),
                stores.settings(),
                partition=config.partition,
                span=_span(source, stream, config),
                tenants=config.tenants or None,
                say=context.log.info,
                examples=config.examples,
            )
        metadata = _metadata(found)
        context.log_event(dg.AssetObservation(lake_key(source, stream), metadata=metadata))
        if not found.passed:
            raise dg.Failure("; ".join(found.against), metadata=metadata, allow_retries=False)

    return step


def _span(source: Source, stream: Stream, config: ShadowConfig) -> Slice | None:
    if config.start is None and config.to is None:
        return None
    if config.start is None or config.partition is not None:
        raise SpecError(
            "a range needs its start, and is given instead of a partition",
            source=source.name,
            stream=stream.name,
            field="start",
            remedy="Give partition, or start and to.",
        )
    end = cursor_value(source, stream, config.to, "to") if config.to else None
    return Slice(cursor_value(source, stream, config.start, "start"), end)


def _metadata(found: "Outcome") -> Metadata:
    value = dg.MetadataValue
    rows = [{"row": example.place, "key": example.key, "columns": "; ".join(example.columns)} for example in found.examples]
    columns = [{"column": name, "rows that differ": count} for name, count in found.found.columns.items()]
    return {
        "shadow run": value.text("the same" if found.passed else "different"),
        "slice": value.text("; ".join(map(str, found.slices[:5]))),
        f"rows only in {found.present.name}": value.int(found.found.only_old),
        f"rows only in {found.candidate.name}": value.int(found.found.only_new),
        "rows that differ": value.int(found.found.changed),
        **_accounts((found.present, found.candidate)),
        **({"columns that differ": value.md(markdown_table(columns))} if columns else {}),
        **({"examples": value.md(markdown_table(rows, 300))} if rows else {}),
        **({"against the candidate": value.md(bullets(found.against))} if found.against else {}),
        **({"notes": value.md(bullets(found.notes))} if found.notes else {}),
    }


def _accounts(sides: "Sequence[Account]") -> Metadata:
    value = dg.MetadataValue
    return {
        f"{name} of {side.name}": value.int(count)
        for side in sides
        for name, count in (("records", side.fetched), ("requests", side.requests), ("rejects", side.rejected))
    }
