"""The lake: one append-only Delta table per stream, whose commits hold data, watermark and receipt together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import StructType

from integration_assets.errors import IntegrationError, LakeError, LakeNewerThanContractError, ReplanError, RescheduleError
from integration_assets.land import reading
from integration_assets.land.checkpoints import Checkpoints, files_kept
from integration_assets.land.committing import Proposal, commit, landed_once, ticket
from integration_assets.land.gcs import StorageClients, check_bucket, is_bucket
from integration_assets.land.joining import join_files
from integration_assets.land.pinned import PinnedStore
from integration_assets.land.reading import LakeFile
from integration_assets.land.state import LakeState, carry, entries, read_state
from integration_assets.land.store import Store, VersionsGoneError
from integration_assets.land.turns import turn
from integration_assets.land.warehouse import SWEPT_AT
from integration_assets.land.waste import Waste, delete_waste, find_waste
from integration_assets.land.writer import DataFile, Writer, skipping_columns
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.receipt import Receipt

__all__ = ["Lake", "LakeFile", "LakeState", "LakeTable", "VersionsGoneError"]

_TRIES = 10
_PROBE_BYTES = 4096
_WEEK = 7 * 24
_JOINED_BYTES = 256 * 2**20
_SMALL_BYTES = 32 * 2**20
MANY_FILES = 100
"""Small files of a table before they are joined: each costs every reader an opening."""
_EVERY = 25
"""Commits after which they are counted."""


class Lake:
    """A folder, or a `gs://` prefix, with one Delta table per stream at `<uri>/<source>/<stream>`.

    storage_options : for the object store, as deltalake takes them; credentials are better left to the environment.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        root = Store(uri, dict(storage_options or {}))
        self.uri = uri.rstrip("/") if not root.local or uri.startswith("file://") else str(Path(uri).absolute())
        self._options = root.options

    def check(self, clients: StorageClients | None = None) -> None:
        """Prove that the root can be written, by writing and deleting a small file. Raises `LakeError`.

        clients : opens the client that a bucket is looked at with; Google's own when None.
        """
        if is_bucket(self.uri):
            check_bucket(self.uri, clients)
        root = Store(self.uri, self._options)
        path = f"_probe-{uuid4().hex}"
        with root.guard("write"):
            if root.local:
                folder = Path(self.uri.removeprefix("file://"))
                folder.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(bytes(_PROBE_BYTES))
            else:
                root.handler.open_output_stream(path).close()
            root.files.delete_file(path)

    def table(self, source: str, stream: str) -> LakeTable:
        """The stream's table, whether or not it is there yet."""
        return LakeTable(Store(f"{self.uri}/{source}/{stream}", self._options))


class LakeTable:
    """One stream's table. Nothing is held open: each call sees the table as it is then."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def uri(self) -> str:
        """Where the table's folder is."""
        return self._store.uri

    def at(self, version: int) -> LakeTable:
        """The table as it was at `version`, for reading; what needs files that were vacuumed raises `VersionsGoneError`."""
        return LakeTable(PinnedStore(self._store.uri, self._store.options, version))

    def bounds(self, column: str) -> list[tuple[CursorValue | None, CursorValue | None]]:
        """The least and the greatest value of a column in each file, oldest file first; None where no statistics are kept."""
        table = self._store.open()
        files = [] if table is None else reading.active(table)
        return [(row.get(f"min.{column}"), row.get(f"max.{column}")) for row in files if row["num_records"]]

    def exists(self) -> bool:
        """Whether the table has been made."""
        return self._store.open() is not None

    def version(self) -> int | None:
        """The table's newest version, None if there is no table."""
        table = self._store.open()
        return None if table is None else table.version()

    def identity(self) -> str | None:
        """The table's own id, which changes when it is deleted and made anew; None if there is no table."""
        table = self._store.open()
        return None if table is None else str(table.metadata().id)

    def schema(self) -> pa.Schema:
        """The table's columns as Arrow fields. Raises `LakeError` if there is no table."""
        return reading.arrow_schema(self._existing())

    def count(self) -> int:
        """Record versions in the table; 0 if there is none."""
        table = self._store.open()
        return 0 if table is None else table.count()

    def state(self, version: int | None = None) -> LakeState:
        """What the stream's commits remember now, or did at `version`; sequence 0 before the first. Raises `LakeError`."""
        return read_state(self._store, self._store.open(version))

    def receipts(self, limit: int = 20) -> list[Receipt]:
        """The newest receipts first, as far back as the log goes. A receipt appears once, whoever carried it along."""
        version = self.version()
        found: dict[int, Receipt] = {}
        if version is None:
            return []
        for entry in entries(self._store, version):
            if entry.state.receipt and (not entry.carried or entry.state.sequence not in found):
                if len(found) == limit and entry.state.sequence not in found:
                    break
                found[entry.state.sequence] = entry.state.receipt
        return [found[sequence] for sequence in sorted(found, reverse=True)]

    def prepare(self, schema: pa.Schema) -> None:
        """Make the table, or add the columns that `schema` gained. Safe when several runs do it at once.

        Raises `LakeNewerThanContractError` when the table has columns that `schema` lacks, `LakeError` when a type changed.
        """
        wanted = self._delta_schema(schema)
        for _ in range(_TRIES):
            table = self._store.open()
            try:
                if table is None:
                    with turn(self.uri):
                        if self._store.open() is None:
                            self._create(wanted, schema)
                    continue
                missing = self._compare(table, wanted)
                if not missing:
                    return
                properties = carry(read_state(self._store, table))
                table.alter.add_columns(missing, commit_properties=properties)
            except (OSError, DeltaError) as error:
                # Another run made the table or added the columns first: look again.
                if not isinstance(error, CommitFailedError) and not self._overtaken(table):
                    raise self._store.explain(error, "prepare") from error
        raise RescheduleError(f"the table at {self.uri} kept changing while it was prepared", remedy="Sync again later.")

    def writer(self, schema: pa.Schema, share: int = 1) -> Writer:
        """A context that streams rows into the table's folder; commit inside it, or its files are deleted.

        share : how many writers work at once in this process.
        """
        return Writer(self._store, schema, share)

    def commit(
        self,
        source: Writer | Sequence[DataFile],
        receipt: Receipt,
        slice_: Slice | None,
        base: LakeState,
        origin: CursorValue | None,
        etag: str | None = None,
        content_hash: str | None = None,
        once: Collection[str] = (),
    ) -> Receipt:
        """Commit the files, `slice_` as finished, and the receipt, atomically; returns the receipt as committed.

        slice_ : None for a stream without a cursor; the finished ranges stay as they are.
        base   : the state the slice was planned on.
        origin : where the stream's history begins, for the watermark.
        once   : names of what lands, which no other commit may land again, ever.
        Raises `SliceTakenError` when another run committed an overlapping slice since `base`; our files are then deleted.
        """
        files = source.finish() if isinstance(source, Writer) else source
        if isinstance(source, Writer):
            # From here on a failure may hide a commit that happened; deleting its files would lose rows.
            source.keep()
        try:
            with turn(self.uri):
                landed = commit(self._store, Proposal(files, receipt, slice_, origin, etag, content_hash, ticket(), once), base)
        except ReplanError:
            for file in files:
                # What an earlier run left may be in the commit that won.
                if not (isinstance(source, Writer) and source.shares(file)):
                    self._store.delete(file.path)
            raise
        return self._tidied(landed)

    def _tidied(self, receipt: Receipt) -> Receipt:
        """Join small files now and then. What hinders that is a warning and no error: the slice has landed."""
        if receipt.version is None or receipt.version % _EVERY:
            return receipt
        try:
            self.tidy()
        except IntegrationError as error:
            warning = f"the table's small files could not be joined: {error}"
            return replace(receipt, warnings=(*receipt.warnings, warning))
        return receipt

    @property
    def checkpoints(self) -> Checkpoints:
        """What runs left of slices that they could not finish."""
        return Checkpoints(self._store)

    def once(self) -> set[str]:
        """The names that commits landed once and for good."""
        table = self._store.open()
        return set() if table is None else landed_once(self._store, table.version())

    def append(self, writer: Writer) -> None:
        """Commit the writer's files with no slice, watermark or receipt. For tables that are not a stream's."""
        files = writer.finish()
        writer.keep()
        if not files:
            return
        with self._store.guard("commit to"):
            table = self._existing()
            table.create_write_transaction([file.add() for file in files], mode="append", schema=table.schema())

    def known(
        self, columns: Sequence[str], cursor_field: str, slice_: Slice, tenant_column: str | None = None
    ) -> Iterator[pa.Table]:
        """`columns` of the rows whose `cursor_field` lies in `[slice_.start, slice_.end)`, in tables of 64 Ki rows at most.

        tenant_column : where the slice's tenant is; other tenants' files are not even opened.
        """
        table = self._store.open()
        if table is None:
            return
        yield from reading.known(self._store, table, columns, cursor_field, slice_, tenant_column)

    def files(self, after: int | None, upto: int | None = None) -> list[LakeFile]:
        """The data files that versions in `(after, upto]` added, in version order; `upto` None is the newest version.

        after : None begins with the first version.
        Raises `VersionsGoneError` when that cannot be told any more; then take `snapshot_files()`.
        """
        table = self._store.open()
        if table is None:
            return []
        first, last = -1 if after is None else after, table.version() if upto is None else upto
        if first > table.version():
            raise VersionsGoneError(f"{self.uri}: version {first} is beyond the table's newest, {table.version()}")
        return reading.files_between(self._store, table, first, last)

    def rewritten(self, after: int, upto: int) -> bool:
        """Whether a version in `(after, upto]` deleted or changed rows, as far as the log still goes."""
        return reading.rewritten(self._store, after, upto)

    def snapshot_files(self, version: int | None = None) -> list[LakeFile]:
        """The files that make up the table now, or at `version`, oldest first."""
        table = self._store.open(version)
        return [] if table is None else reading.snapshot_files(table)

    def scan(self, files: Sequence[LakeFile], columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
        """Stream the rows of `files` in their order, aligned to the table's current schema.

        Raises `VersionsGoneError` while it is read when a file has been vacuumed.
        """
        schema = self.schema()
        return reading.scan(self._store, pa.schema([schema.field(name) for name in columns]) if columns else schema, files)

    def compact(self, target_bytes: int = _JOINED_BYTES, fewest: int = 2) -> int:
        """Join small files into larger ones, rows in their order; consumers of versions see nothing of it.

        fewest : neighbours that are worth it.
        Returns how many files were replaced. Safe beside commits and beside another run that does the same.
        """
        self._existing()
        return join_files(self._store, target_bytes, fewest)

    def tidy(self, many: int | None = None) -> int:
        """`compact`, once so `many` small files (100 for None) make it worth reading them again; how many were replaced."""
        many = MANY_FILES if many is None else many
        table = self._store.open()
        small = [] if table is None else [row for row in reading.active(table) if row["size_bytes"] < _SMALL_BYTES]
        return self.compact(fewest=max(2, many // 10)) if len(small) >= many else 0

    def waste(self, before: datetime, wanted: Collection[str] = ()) -> list[Waste]:
        """The files in the table's folder that nothing has needed since `before`, but `wanted`. See `find_waste`."""
        return find_waste(self._store, before, wanted)

    def delete_waste(self, waste: Iterable[Waste]) -> None:
        """Delete what `waste` found."""
        delete_waste(self._store, waste)

    def vacuum(self, hours: int = _WEEK) -> list[str]:
        """Deltalake's own: delete files that no version of the last `hours` needs, and orphans; returns their paths.

        It knows nothing of unfinished slices, of a warehouse that has not merged yet, and of half-written files: see `waste`.
        Files of unfinished slices that may still be taken up stay.
        hours : must be longer than the longest run: a file that is being written looks like an orphan.
        """
        table, kept = self._existing(), files_kept(self.checkpoints)
        with self._store.guard("vacuum"):
            if kept:
                return self._vacuum_but(kept, hours)
            return table.vacuum(
                retention_hours=hours,
                dry_run=False,
                enforce_retention_duration=False,
                full=True,
                commit_properties=carry(read_state(self._store, table)),
            )

    def _vacuum_but(self, kept: Collection[str], hours: int) -> list[str]:
        """The same by hand, for deltalake knows only the files of its own log."""
        found = self._existing().vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        paths = [path for path in found if unquote(path) not in kept]
        for path in paths:
            self._store.delete(unquote(path))
        return paths

    def delete(self, predicate: str) -> int:
        """Delete the rows that a SQL `predicate` selects, for retention or a right to be forgotten; returns how many.

        The old files go with the next `vacuum`. Consumers of versions rebuild from the snapshot. The log keeps the predicate
        itself, so select by a key rather than by a person's data.
        """
        table = self._existing()
        with self._store.guard("delete from"):
            metrics = table.delete(predicate, commit_properties=carry(read_state(self._store, table)))
        return int(metrics["num_deleted_rows"])

    def _existing(self) -> DeltaTable:
        table = self._store.open()
        if table is None:
            raise LakeError(f"there is no table at {self.uri}", remedy="Sync the stream first.")
        return table

    def _delta_schema(self, schema: pa.Schema) -> Schema:
        described = [
            field.with_metadata({"comment": field.metadata[b"description"]})
            if field.metadata and field.metadata.get(b"description")
            else field.remove_metadata()
            for field in schema
        ]
        try:
            return Schema.from_arrow(pa.schema([field.with_nullable(nullable=True) for field in described]))
        except Exception as error:  # deltalake raises a bare Exception here, with a Rust backtrace as its text
            raise LakeError(
                f"Delta cannot store a column: {str(error).splitlines()[0]}", remedy="Use a type of spec.contract."
            ) from error

    def _create(self, wanted: Schema, schema: pa.Schema) -> None:
        DeltaTable.create(
            self.uri,
            # deltalake 1.6 reads no statistics of the columns that follow a struct, so structs come last.
            schema=Schema(sorted(wanted.fields, key=lambda field: isinstance(field.type, StructType))),
            storage_options=dict(self._store.options),
            configuration={
                # The receipts are the audit: log entries are kept for a hundred years.
                "delta.logRetentionDuration": "interval 36500 days",
                # Opening a table reads the log since its last checkpoint, and each slice opens it a few times.
                "delta.checkpointInterval": "10",
                "delta.dataSkippingStatsColumns": ",".join(skipping_columns(schema)),
            },
        )

    def _compare(self, table: DeltaTable, wanted: Schema) -> list[Field]:
        """The fields that the table lacks. Raises when the table has others than `wanted`, or of other types."""
        there = {field.name: field for field in table.schema().fields}
        known = {field.name for field in wanted.fields}
        extra = [name for name in there if name not in known and name != SWEPT_AT]
        if extra:
            raise LakeNewerThanContractError(
                f"the table at {self.uri} has columns that this code's contract does not know: {', '.join(extra)}",
                field=extra[0],
                remedy="Deploy the newer code, or declare the columns in the contract (nullable, if the API dropped them).",
            )
        for field in wanted.fields:
            old = there.get(field.name)
            if old is not None and old.type != field.type:
                raise LakeError(
                    f"the column is {_type(old)} in the lake and {_type(field)} in the contract",
                    field=field.name,
                    remedy="Give the new type a new column name, or move the table away and sync from the start.",
                )
        return [field for field in wanted.fields if field.name not in there]

    def _overtaken(self, seen: DeltaTable | None) -> bool:
        now = self._store.open()
        return now is not None and (seen is None or now.version() > seen.version())


def _type(field: Field) -> str:
    text = json.loads(field.to_json())["type"]
    return text if isinstance(text, str) else json.dumps(text)
