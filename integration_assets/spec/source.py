"""What a source is: plain typed data, from which assets, checks, schedules, requests and tables follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, JsonValue, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.auth import Auth, NoAuth
from integration_assets.spec.base import Spec
from integration_assets.spec.candidate import Candidate, ContractName, check_candidate
from integration_assets.spec.cursor import Cursor, CursorValue
from integration_assets.spec.events import Events
from integration_assets.spec.files import SCHEMES, Files, check_file_source, check_file_stream
from integration_assets.spec.formats import Format, Json
from integration_assets.spec.freshness import Freshness
from integration_assets.spec.headers import unsendable
from integration_assets.spec.inline import InlineContract
from integration_assets.spec.limits import Limits as Limits  # noqa: PLC0414 - its old place
from integration_assets.spec.paging import NextLink, Offset, Paging, Single, Token
from integration_assets.spec.parent import Parent, check_parent_stream, check_parents
from integration_assets.spec.partitions import Partitions
from integration_assets.spec.probe import Probe
from integration_assets.spec.sweep import Sweep, check_sweep
from integration_assets.spec.tenants import Tenants, check_asking, check_listings
from integration_assets.spec.tombstone import Tombstone as Tombstone  # noqa: PLC0414 - its old place

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Disposition = Literal["append", "merge", "replace", "history"]


class Stream(Spec):
    """One endpoint and the table it becomes.

    name       : the table's: small letters, digits and underscores.
    path       : endpoint, relative to the source's base_url.
    base_url   : another address of the API than the source's, for this stream alone; a version's, for example.
                 INTEGRATION_<SOURCE>_<STREAM>_BASE_URL overrides it.
    contract   : `package.module:Model`, a pandera DataFrameModel that is imported only when data flows; or the columns
                 themselves, as an `InlineContract`.
    key        : the columns that name a record; needed for merge and history.
    disposition : the newest version of each record (`merge`), every event once (`append`), the full list as it is now
                 (`replace`), or each version of a record with the range in which it held (`history`).
    params, headers : sent with each request of the stream; never a credential.
    method, body : POST for an API that is searched so: params, cursor and page then go into the JSON body, a dotted name such as
                 `variables.after` below the fields that `body` begins with.
    version    : the column that orders a record's versions; the cursor's field when None.
    tenants    : whose data the API keeps apart; each tenant is asked for alone and has a watermark of its own.
    parent     : the stream whose records are asked for these one by one, as `/orders/{order_id}/items` is.
    ignore     : paths of fields the API sends and the contract leaves out on purpose; all others are reported as drift.
    reject_threshold : the share of a slice's records that may be rejected before the slice is refused whole; ten are always
                 tolerated beside good ones.
    allow_empty : a full snapshot without a record may replace a table that has some; otherwise it is refused.
    partition_by : a date or timestamp column that never changes, such as the one of creation: the warehouse's table is
                 partitioned by its days, where the warehouse has partitions; by those of the version when None.
    maximum_bytes_billed : a merge that would scan more is refused, where the warehouse bills by bytes; the warehouse's own
                 limit when None.
    files      : the pages are files in a folder or a bucket.
    probe      : how to see with one request whether the stream has something new; the source's own when None.
    sweep      : the full list of keys that is held against the table now and then, to find what the API only stops listing.
    conditional : remember the ETag and ask with If-None-Match; for small full snapshots.
    freshness  : how old the stream may become; the source's schedule decides when None.
    candidate  : the API's or the contract's next version, which a shadow run compares and a flag puts in this one's place.
    description : what a row is, for the catalogue.
    docs_url   : where the API describes the endpoint.
    """

    name: Name
    path: str
    contract: ContractName | InlineContract
    key: tuple[str, ...] = ()
    version: str | None = None
    format: Format = Json()
    paging: Paging = Single()
    cursor: Cursor | None = None
    partitions: Partitions | None = None
    tenants: Tenants | None = None
    parent: Parent | None = None
    disposition: Disposition = "merge"
    params: Mapping[str, str | int | float | bool] = {}
    headers: Mapping[str, str] = {}
    method: Literal["GET", "POST"] = "GET"
    body: Mapping[str, JsonValue] = {}
    tombstone: Tombstone | None = None
    ignore: tuple[str, ...] = ()
    reject_threshold: float = Field(default=0.05, ge=0, le=1)
    conditional: bool = False
    allow_empty: bool = False
    partition_by: str | None = None
    maximum_bytes_billed: int | None = Field(default=None, ge=1)
    files: Files | None = None
    probe: Probe | None = None
    freshness: Freshness | None = None
    sweep: Sweep | None = None
    base_url: str | None = None
    candidate: Candidate | None = None
    description: str = ""
    docs_url: str | None = None

    @model_validator(mode="after")
    def _sendable(self) -> Stream:
        if wrong := unsendable(self.headers):
            raise self._wrong("headers", wrong, "Mend it; what is no ASCII goes into params.")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Stream:
        self._check_disposition()
        if self.partitions and (not self.cursor or self.cursor.kind != "timestamp"):
            raise self._wrong("partitions", "partitions need a timestamp cursor", "Describe the cursor, or drop the partitions.")
        if self.partitions and self.cursor and not (self.cursor.start_param or self.files or self.parent):
            raise self._wrong("cursor.start_param", "partitions need an API that filters by the cursor", "Name the parameter.")
        if self.conditional and (self.cursor or not isinstance(self.paging, Single)):
            raise self._wrong("conditional", "an ETag names one page of a full snapshot", "Use Single paging and no cursor.")
        if self.method == "GET" and self.body:
            raise self._wrong("body", "a GET has no body", 'Set method="POST".')
        if self.method == "POST" and self.conditional:
            raise self._wrong("conditional", "an ETag answers a GET", "Drop conditional.")
        if isinstance(self.paging, Token | NextLink) and self.paging.path and not isinstance(self.format, Json):
            raise self._wrong(
                "paging.path", f"a {self.format.kind} body has no field to page by", "Use the Link header or numbers."
            )
        if isinstance(self.paging, Offset) and self.paging.overlap and not self.key:
            raise self._wrong("paging.overlap", "records without a key would land twice", "Name the key, or drop the overlap.")
        if isinstance(self.contract, InlineContract):
            self._check_columns(self.contract)
        if self.base_url and (self.files or self.probe):
            setting = "files" if self.files else "probe"
            raise self._wrong("base_url", f"{setting} is asked at the source's own address", f"Drop base_url or {setting}.")
        check_asking(self)
        check_parent_stream(self)
        check_file_stream(self)
        check_sweep(self)
        check_candidate(self)
        return self

    def _check_disposition(self) -> None:
        """What the way of landing needs."""
        if self.disposition in {"merge", "history"} and not self.key:
            raise self._wrong("key", f"{self.disposition} needs a key", "Name the key columns, or use append or replace.")
        if self.disposition == "history" and not self.version_column:
            raise self._wrong("version", "history needs a version to order by", "Name a cursor or a version column.")
        if self.disposition == "merge" and not self.version_column and self.tombstone:
            raise self._wrong("version", "a tombstone needs a version to be ordered by", "Name a cursor or a version column.")
        if self.partitions and self.disposition == "replace":
            raise self._wrong("disposition", "a partition cannot replace the whole table", "Use merge or append.")
        if self.cursor and self.disposition == "replace":
            raise self._wrong(
                "disposition", "a slice of a cursor cannot replace the whole table", "Use merge, or drop the cursor."
            )
        # Files have names by which each lands once.
        if self.cursor and self.disposition == "append" and not self.key and not self.files:
            self._check_keyless(self.cursor)

    def _check_keyless(self, cursor: Cursor) -> None:
        """Rows without a key must not be read again by themselves."""
        again = "and records without a key would land once more each time"
        if cursor.kind == "integer":
            what = f"a sync reads the highest number again, {again}"
            raise self._wrong("cursor.kind", what, "Name the key, which may be the cursor's column.")
        if cursor.lookback:
            what = f"a lookback reads records again, {again}"
            raise self._wrong("cursor.lookback", what, "Name the key, or use a safety_lag instead of the lookback.")
        if self.parent:
            what = f"children are asked for again when their parent changes, {again}"
            raise self._wrong("key", what, "Name the key, with the parent's.")

    def _check_columns(self, contract: InlineContract) -> None:
        """What the spec says of its own columns; those of an imported contract are checked when it is imported."""
        wanted = [("key", name) for name in self.key]
        wanted += [("version", self.version)] if self.version else []
        wanted += [("cursor.field", self.cursor.field)] if self.cursor else []
        wanted += [("partition_by", self.partition_by)] if self.partition_by else []
        for setting, name in wanted:
            if name not in contract.columns:
                remedy = f"Its columns are: {', '.join(contract.columns)}."
                raise self._wrong(setting, f"{name!r} is no column of the contract", remedy)
        if self.cursor:
            column, fits = contract.columns[self.cursor.field], "timestamp" if self.cursor.kind == "timestamp" else "int64"
            if column.type != fits:
                what = f"the {self.cursor.kind} cursor {self.cursor.field!r} has the type {column.type}"
                raise self._wrong("cursor.kind", what, f"Make the column {fits}, or change the cursor's kind.")

    def _wrong(self, field: str, what: str, remedy: str) -> SpecError:
        return SpecError(what, stream=self.name, field=field, remedy=remedy)

    @property
    def contract_name(self) -> str:
        """`package.module:Model`, or that the contract is in the spec itself."""
        return self.contract if isinstance(self.contract, str) else "in the spec"

    @property
    def version_column(self) -> str | None:
        """The column that orders a record's versions, None for a snapshot without one."""
        return self.version or (self.cursor.field if self.cursor else None)

    @property
    def origin(self) -> CursorValue | None:
        """Where the stream's history begins."""
        if self.cursor and self.cursor.start is not None:
            return self.cursor.start
        return self.partitions.origin if self.partitions else None


class Source(Spec):
    """An API: where it is, how it is asked, who owns it, and its streams.

    name       : the folder's: small letters, digits and underscores.
    base_url   : `https://host/path`, without credentials; INTEGRATION_<SOURCE>_BASE_URL overrides it.
    headers    : sent with each request; never a credential.
    clock_path : an endpoint whose `Date` header is the API's own clock, so that slices end by its time and not by
                 ours; None trusts this machine's clock.
    schedule   : cron of the nightly sync in `timezone`; None has no schedule.
    jitter     : the nightly sync begins up to this much later, an hour at most and always the same for one source, so that
                 many sources do not begin at once; None is half an hour for the default schedule and nothing for another.
    probe      : how to see with one request whether any of its streams has something new.
    events     : how the API says that something changed, so that it is pulled at once; None waits for the schedule.
    timezone   : IANA name of the zone that the schedule is in.
    owners     : who is called: e-mail addresses, or `team:name`.
    tags       : of the assets, for the catalogue.
    description : what the API is about, for the catalogue.
    docs_url   : where the API is described.
    """

    name: Name
    base_url: str
    streams: tuple[Stream, ...] = Field(min_length=1)
    auth: Auth = NoAuth()
    headers: Mapping[str, str] = {}
    limits: Limits = Limits()
    clock_path: str | None = None
    schedule: str | None = "0 2 * * *"
    jitter: timedelta | None = None
    timezone: str = "UTC"
    probe: Probe | None = None
    events: Events | None = None
    owners: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    description: str = ""
    docs_url: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        if wrong := unsendable(self.headers):
            raise self._wrong("headers", wrong, "Mend it; what is no ASCII goes into a stream's params.")
        check_file_source(self, urlsplit(self.base_url).scheme)
        self._check_address(self.base_url)
        for stream in self.streams:
            for address in (stream.base_url, stream.candidate.base_url if stream.candidate else None):
                if address is not None:
                    self._check_address(address, stream)
        names = [stream.name for stream in self.streams]
        for name in names:
            if names.count(name) > 1:
                raise self._wrong("streams", f"stream {name!r} is there twice", "Give each stream its own name.")
        self._check_events(names)
        if self.probe and not self.probe.path:
            raise self._wrong("probe.path", "a source's probe needs a path of its own", "Name the endpoint to look at.")
        if self.jitter is not None and not timedelta(0) <= self.jitter <= timedelta(hours=1):
            raise self._wrong("jitter", f"{self.jitter} is not between nothing and an hour", "Give minutes, such as 30.")
        check_listings(self)
        check_parents(self)
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise self._wrong("timezone", f"no time zone {self.timezone!r}", "Use an IANA name such as Europe/Berlin.") from None
        return self

    def _check_events(self, names: Sequence[str]) -> None:
        """What the streams that events ask for need."""
        for name in self.events.wanted if self.events else ():
            if name not in names:
                raise self._wrong("events.streams", f"there is no stream {name!r}", f"Its streams are: {', '.join(names)}.")
            if self.stream(name).disposition == "append" and not self.stream(name).key:
                raise SpecError(
                    "an event has a range pulled again, which doubles the rows of an append stream without a key",
                    source=self.name,
                    stream=name,
                    field="events.streams",
                    remedy="Name the stream's key, or leave it to the schedule.",
                )

    def _check_address(self, address: str, stream: Stream | None = None) -> None:
        """What a base URL must be: the source's, or the one that a stream has of its own."""
        url = urlsplit(address)
        of_files = stream is None and url.scheme in SCHEMES and bool(url.path if url.scheme == "file" else url.netloc)
        of_api = url.scheme in {"http", "https"} and bool(url.hostname)
        whose = stream.name if stream else None
        if not (of_files or of_api) or url.username or url.query:
            what = f"{url.scheme}://{url.hostname} is no base URL"
            raise self._wrong("base_url", what, "Give https://host/path, no credentials in it.").at(stream=whose)
        if url.scheme == "http" and not isinstance(self.auth, NoAuth) and url.hostname not in {"localhost", "127.0.0.1", "::1"}:
            raise self._wrong("base_url", "a credential would travel in clear text", "Use https.").at(stream=whose)

    def _wrong(self, field: str, what: str, remedy: str) -> SpecError:
        return SpecError(what, source=self.name, field=field, remedy=remedy)

    def stream(self, name: str) -> Stream:
        """The stream of that name. Raises `SpecError` that lists the names there are."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise SpecError(
            f"there is no stream {name!r}",
            source=self.name,
            remedy=f"Its streams are: {', '.join(stream.name for stream in self.streams)}.",
        )

    def with_base_url(self, base_url: str) -> Source:
        """The same source at another address: a test server, a proxy, a region."""
        return self.changed(base_url=base_url)
