"""The lake: one append-only Delta table per stream, whose commits hold data, watermark and receipt together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pyarrow as pa

from integration_assets.errors import IntegrationError, ReplanError
from integration_assets.land import reading
from integration_assets.land.checkpoints import Checkpoints
from integration_assets.land.committing import Proposal, commit, landed_once, ticket
from integration_assets.land.gcs import StorageClients, check_bucket, is_bucket
from integration_assets.land.joining import join_files
from integration_assets.land.pinned import PinnedStore
from integration_assets.land.preparing import prepare
from integration_assets.land.reading import LakeFile
from integration_assets.land.state import LakeState, carry, entries, read_state
from integration_assets.land.store import Store, VersionsGoneError
from integration_assets.land.turns import alone, turn
from integration_assets.land.waste import Waste, delete_waste, find_waste, vacuum
from integration_assets.land.writer import DataFile, Writer
from integration_assets.spec.cursor import CursorValue, Slice
from integration_assets.spec.receipt import Receipt

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

    def name_at(self, version: int) -> str | None:
        """The table's id, and a mark of what its `version` was; None if there is no table. See `is_at`."""
        name, mark = self.identity(), self._store.mark(version)
        return name if name is None or mark is None else f"{name}@{mark}"

    def is_at(self, name: str | None, version: int) -> bool:
        """Whether the table is the one that `name_at` named at that version, as far as the log still tells.

        One that was made anew is not, and neither is one that was put back from a backup and went on otherwise.
        """
        found, _, mark = (name or "").partition("@")
        return found == self.identity() and (not mark or self._store.mark(version) in {None, mark})

    def schema(self) -> pa.Schema:
        """The table's columns as Arrow fields. Raises `LakeError` if there is no table."""
        return reading.arrow_schema(self._store.existing())

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
        prepare(self._store, schema)

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
        self._store.check_there([file.path for file in files])
        with self._store.guard("commit to"):
            table = self._store.existing()
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
        self._store.existing()
        return join_files(self._store, target_bytes, fewest)

    def tidy(self, many: int | None = None) -> int:
        """`compact`, once so `many` small files (100 for None) make it worth reading them again; how many were replaced.

        None when another thread of this process is at it.
        """
        many = MANY_FILES if many is None else many
        with alone(f"tidy {self.uri}") as first:
            table = self._store.open() if first else None
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
        return vacuum(self._store, hours)

    def delete(self, predicate: str) -> int:
        """Delete the rows that a SQL `predicate` selects, for retention or a right to be forgotten; returns how many.

        The old files go with the next `vacuum`. Consumers of versions rebuild from the snapshot. The log keeps the predicate
        itself, so select by a key rather than by a person's data.
        """
        table = self._store.existing()
        with self._store.guard("delete from"):
            metrics = table.delete(predicate, commit_properties=carry(read_state(self._store, table)))
        return int(metrics["num_deleted_rows"])
