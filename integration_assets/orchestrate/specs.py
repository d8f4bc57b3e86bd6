"""What Dagster's catalogue says about a stream before it has run: keys, owners, tags, versions, links. No I/O, no pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import dagster as dg

from integration_assets import __version__
from integration_assets.errors import SpecError
from integration_assets.orchestrate.describe import contract_doc, contract_text, promise
from integration_assets.orchestrate.freshness import policy
from integration_assets.orchestrate.partitions import stream_partitions
from integration_assets.settings import Settings
from integration_assets.spec.parent import ancestors
from integration_assets.spec.source import Source, Stream


def lake_key(source: Source, stream: Stream) -> dg.AssetKey:
    """`[source, stream]`."""
    return dg.AssetKey([source.name, stream.name])


def warehouse_key(source: Source, stream: Stream) -> dg.AssetKey:
    """`["warehouse", source, stream]`."""
    return dg.AssetKey(["warehouse", source.name, stream.name])


def api_key(source: Source, stream: Stream) -> dg.AssetKey:
    """`["api", source, stream]`."""
    return dg.AssetKey(["api", source.name, stream.name])


def api_spec(source: Source, stream: Stream) -> dg.AssetSpec:
    """The API's endpoint, which Dagster only shows: where the stream's columns come from."""
    asked = f"`{stream.method} {stream.path}`, {stream.format.kind}, paged by {stream.paging.kind}. {promise(stream)}"
    return dg.AssetSpec(
        api_key(source, stream),
        kinds={"api"},
        description=f"{stream.description or source.description or source.name}\n\n{asked}".strip(),
        group_name=source.name,
        owners=list(source.owners),
        tags={**source.tags, "source": source.name},
        metadata=_metadata(source, stream),
    )


def lake_spec(source: Source, stream: Stream) -> dg.AssetSpec:
    """The stream's append-only lake table: one row per record version seen."""
    above = next(iter(ancestors(source, stream)), None)
    return _spec(
        source,
        stream,
        key=lake_key(source, stream),
        # A run that pulls both pulls the parents first. Their lake's own output may stay away: docs/decisions/0004.
        deps=[api_key(source, stream), *([warehouse_key(source, above)] if above else [])],
        kinds={"api", "deltalake", "parquet"},
        partitions=stream_partitions(source, stream),
        description=_described(source, stream, "Every version of every record that the API showed, as it came."),
        # Its event per partition is explicit, so its output stays away in runs of several: docs/decisions/0004.
        skippable=True,
    )


def warehouse_spec(source: Source, stream: Stream) -> dg.AssetSpec:
    """The stream's current-state table."""
    about = {
        "merge": f"One row a record, the newest version, by {', '.join(stream.key)}.",
        "append": "One row a record version.",
        "replace": "The API's last full snapshot.",
        "history": f"One row a version of a record by {', '.join(stream.key)}, each with the range in which it held.",
    }[stream.disposition]
    return _spec(
        source,
        stream,
        key=warehouse_key(source, stream),
        deps=[lake_key(source, stream)],
        kinds={"bigquery" if Settings.from_environ().warehouse_uri.startswith("bigquery://") else "duckdb"},
        description=_described(source, stream, about),
    )


def _spec(
    source: Source,
    stream: Stream,
    *,
    key: dg.AssetKey,
    kinds: set[str],
    description: str,
    deps: Sequence[dg.AssetKey] = (),
    partitions: dg.PartitionsDefinition[str] | None = None,
    skippable: bool = False,
) -> dg.AssetSpec:
    try:
        return dg.AssetSpec(
            key,
            deps=deps,
            kinds=kinds,
            description=description,
            partitions_def=partitions,
            skippable=skippable,
            group_name=source.name,
            owners=list(source.owners),
            tags={**source.tags, "source": source.name},
            code_version=code_version(source, stream),
            freshness_policy=policy(source, stream),
            metadata=_metadata(source, stream),
        )
    except (dg.DagsterInvalidDefinitionError, dg.DagsterInvariantViolationError) as error:
        raise SpecError(
            f"Dagster refuses the description: {' '.join(str(error).split())}",
            source=source.name,
            stream=stream.name,
            remedy="An owner is an e-mail address or team:<name>; a tag has letters, digits, '_', '-' and '.', at most 63.",
        ) from error


def _described(source: Source, stream: Stream, table: str) -> str:
    said = [stream.description or source.description or source.name, contract_doc(source, stream), table]
    return "\n\n".join(dict.fromkeys(text.strip() for text in said if text.strip()))


def _metadata(source: Source, stream: Stream) -> dict[str, dg.MetadataValue[Any]]:
    cursor = stream.cursor
    found: dict[str, dg.MetadataValue[Any]] = {
        "endpoint": dg.MetadataValue.url((stream.base_url or source.base_url).rstrip("/") + "/" + stream.path.lstrip("/")),
        "disposition": dg.MetadataValue.text(stream.disposition),
        "contract": dg.MetadataValue.text(stream.contract_name),
    }
    if stream.key:
        found["key"] = dg.MetadataValue.text(", ".join(stream.key))
    if stream.tenants:
        found["tenants"] = dg.MetadataValue.text(stream.tenants.column)
    if stream.parent:
        found["parent"] = dg.MetadataValue.asset(dg.AssetKey([source.name, stream.parent.stream]))
    if cursor:
        found["cursor"] = dg.MetadataValue.text(f"{cursor.field} ({cursor.kind})")
    return found | docs_link(source, stream)


def docs_link(source: Source, stream: Stream) -> dict[str, dg.MetadataValue[Any]]:
    """`{"docs": url}` of the API's own documentation, where the spec names it."""
    url = stream.docs_url or source.docs_url
    return {"docs": dg.MetadataValue.url(url)} if url else {}


def code_version(source: Source, stream: Stream) -> str:
    """12 hex digits that change when the package's version, the contract's module or the stream's spec does."""
    spec = stream.model_dump_json(exclude={"description", "docs_url", "probe", "freshness"})
    contract = contract_text(source.name, stream.name, stream.contract) if isinstance(stream.contract, str) else ""
    text = f"{__version__}\n{contract}\n{spec}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
