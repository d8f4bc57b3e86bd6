"""Small files joined into larger ones, with their rows in the order in which they landed.

deltalake's own compaction mixes the rows of the files that it joins. Their order matters: a duplicate is told by the last one of
a record version that landed, and of two that came with one pull the later one counts when a table is built again. So neighbours
are joined here, row after row, and the file that they become takes their place in the order.

Consumers of versions see nothing of it: the commit says that no row was added or taken away.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from integration_assets.land import reading
from integration_assets.land.reading import LakeFile
from integration_assets.land.state import carry, read_state
from integration_assets.land.store import Store, VersionsGoneError
from integration_assets.land.writer import DataFile, Writer
from integration_assets.spec.records import TENANT

_SHARE = 4
"""Files are joined beside slices that are pulled at the same time: a row group takes a quarter of the memory."""
_TRIES = 10
_LONGEST_PAUSE = 0.5
_JOINS = "integration_assets.joins"
_STATISTICS = "delta.dataSkippingStatsColumns"
Rows = Sequence[Mapping[str, Any]]


def join_files(store: Store, target_bytes: int, fewest: int = 2) -> int:
    """Join neighbours of less than half of `target_bytes` each, up to that size. Returns how many files were replaced.

    fewest : neighbours that are worth a file of their own.
    Each joined file is a commit. What another run replaced or deleted meanwhile is left to it. Memory holds a row group.
    """
    table = store.open()
    replaced = 0
    for run in [] if table is None else _runs(reading.active(table), target_bytes, fewest):
        replaced += len(run) if _join(store, run) else 0
    if replaced:
        pa.default_memory_pool().release_unused()  # the C library would keep what hundreds of small files took, thread by thread
    return replaced


def _runs(files: Rows, target_bytes: int, fewest: int) -> Iterator[Rows]:
    """Neighbours to be joined: small ones in their order, none of which landed in the same millisecond as the file after them."""
    run: list[Mapping[str, Any]] = []
    size = 0
    for file in [*files, None]:
        small = file is not None and file["size_bytes"] < target_bytes // 2
        if file is not None and small and size + file["size_bytes"] <= target_bytes:
            run.append(file)
            size += file["size_bytes"]
            continue
        # The joined file stands where its last one stood: a tie with the next would be broken by their names.
        while run and file is not None and run[-1]["modification_time"] >= file["modification_time"]:
            run.pop()
        if len(run) >= fewest:
            yield run
        run, size = ([file], file["size_bytes"]) if file is not None and small else ([], 0)


def _join(store: Store, run: Rows) -> bool:
    """Write one joined file and commit it in the place of the others; False when they are no more what they were."""
    table = store.open()
    if table is None:
        return False
    schema = _with_tenant(reading.arrow_schema(table), table)
    files = [LakeFile(table.version(), file["path"], 0) for file in run]
    with Writer(store, schema, _SHARE) as writer:
        try:
            for batch in reading.scan(store, schema, files):
                writer.write(batch)
        except VersionsGoneError:
            return False
        made = writer.finish()
        # From here on a failure may hide a commit that happened. What none took is an orphan, which a vacuum finds.
        writer.keep()
        return _commit(store, run, made)


def _commit(store: Store, run: Rows, made: Sequence[DataFile]) -> bool:
    landed = _millis(run[-1])
    adds = [AddAction(file.path, file.size, {}, landed, data_change=False, stats=file.stats) for file in made]
    paths = {file["path"] for file in run}
    for attempt in range(_TRIES):
        table = store.open()
        present = {row["path"] for row in reading.active(table)} if table is not None else set()
        if {file.path for file in made} & present:
            return True  # by a try whose answer was lost
        if table is None or not paths <= present:
            # Without the files that it replaces, no try of ours can land any more.
            for made_file in made:
                store.delete(made_file.path)
            return False
        store.check_there([file.path for file in made])
        now = time.time_ns() // 1_000_000
        removes = [RemoveAction(file["path"], data_change=False, deletion_timestamp=now, size=file["size_bytes"]) for file in run]
        try:
            table.create_write_transaction(
                [*adds, *removes],
                mode="append",
                schema=table.schema(),
                commit_properties=_alone(table, carry(read_state(store, table))),
            )
        except CommitFailedError:
            time.sleep(min(_LONGEST_PAUSE, 0.01 * 2**attempt))
            continue
        except (OSError, DeltaError) as error:
            raise store.explain(error, "join the files of") from error
        return True
    return False


def _alone(table: DeltaTable, properties: CommitProperties) -> CommitProperties:
    """The properties with the next number of joins: Delta lets two commits replace one file, but not have one number."""
    number = (table.transaction_version(_JOINS) or 0) + 1
    return CommitProperties(custom_metadata=properties.custom_metadata, app_transactions=[Transaction(_JOINS, number)])


def _millis(file: Mapping[str, Any]) -> int:
    moment = file["modification_time"]
    return int(moment) if isinstance(moment, int) else round(moment.timestamp() * 1000)


def _with_tenant(schema: pa.Schema, table: DeltaTable) -> pa.Schema:
    """The table's columns, with the tenants' marked again: Delta keeps no such mark, only whose statistics it keeps."""
    configured = table.metadata().configuration.get(_STATISTICS) or ""
    kept = set(json.loads(f"[{configured}]") if configured.startswith('"') else configured.split(","))
    return pa.schema(
        [
            field.with_metadata({**(field.metadata or {}), TENANT: b"yes"})
            if field.name in kept and pa.types.is_string(field.type)
            else field
            for field in schema
        ]
    )
