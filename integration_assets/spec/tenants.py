"""Whose data a stream holds, when an API keeps it apart: accounts, shops, regions. Each tenant has its own watermark."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.base import Spec
from integration_assets.spec.headers import sendable
from integration_assets.spec.paging import Paging, Single

if TYPE_CHECKING:
    import pyarrow as pa

    from integration_assets.spec.contract_data import Contract
    from integration_assets.spec.source import Source, Stream

_LONGEST = 100
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")
# What Dagster's partition keys and their ranges are written with.
_RESERVED = ("...", "|", "[", "]", ",")


class Listing(Spec):
    """An endpoint that names the tenants. It is asked at the start of each sync, as a stream is.

    name    : of the set, such as `accounts`; streams with the same listing share it.
    path    : endpoint, relative to the source's base_url.
    records : where the list is in the JSON body; the body itself when empty.
    field   : where the tenant's key is in a record, text or a whole number.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    path: str
    field: str
    records: str = ""
    paging: Paging = Single()
    params: Mapping[str, str | int | float | bool] = {}
    headers: Mapping[str, str] = {}


class Tenants(Spec):
    """The tenants of a stream: a fixed set of `keys`, or those that a `listing` names.

    column : the contract's column that says whose a row is. `{column}` in the stream's path, params or headers becomes the
             tenant's key, and a record that comes without the column gets it.
    """

    column: str = Field(pattern=r"^[A-Za-z]\w*$")
    keys: tuple[str, ...] = ()
    listing: Listing | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Tenants:
        if bool(self.keys) == (self.listing is not None):
            raise SpecError(
                "Tenants: a set is either fixed or listed by the API",
                field="tenants.keys",
                remedy="Give keys or a listing, one of them.",
            )
        for key in self.keys:
            if wrong := wrong_key(key):
                raise SpecError(f"Tenants: the key {key!r} {wrong}", field="tenants.keys", remedy="Give another one.")
            if self.keys.count(key) > 1:
                raise SpecError(f"Tenants: the key {key!r} is there twice", field="tenants.keys", remedy="Name each once.")
        return self

    @property
    def placeholder(self) -> str:
        """What stands for the tenant's key in path, params and headers."""
        return f"{{{self.column}}}"

    @property
    def axis(self) -> tuple[str, ...]:
        """What two sets of one source have in common if they have the same tenants, whatever their columns are."""
        return ("listing", self.listing.name) if self.listing else ("keys", *self.keys)

    def choose(self, there: Sequence[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Those of `there` that are wanted, all when None. Raises `SpecError` for one that is not there."""
        if wanted is None:
            return tuple(there)
        for key in wanted:
            if key not in there:
                raise SpecError(f"there is no tenant {key!r}", field="tenant", remedy=f"The tenants are: {enumerated(there)}.")
        return tuple(dict.fromkeys(wanted))


def wrong_key(key: str) -> str | None:
    """What keeps `key` from being a tenant's key, as the end of a sentence; None for a good one."""
    if not key or key != key.strip() or not key.isprintable():
        return "is empty, or has white space around it or characters that cannot be shown"
    if len(key) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    if key in {".", ".."}:
        return "would be a step in a path"
    found = next((text for text in _RESERVED if text in key), None)
    return f"holds {found!r}, which separates partition keys" if found else None


def enumerated(keys: Sequence[str], most: int = 10) -> str:
    """The first of them as text, and how many more there are."""
    more = len(keys) - most
    return ", ".join(keys[:most]) + (f" and {more:,} more" if more > 0 else "")


def for_tenant(stream: Stream, tenant: str | None) -> Stream:
    """The stream as that tenant is asked for it: its key in path, params and headers. Itself without tenants.

    Raises `SpecError` for a stream with tenants of which none is named.
    """
    if stream.tenants is None:
        return stream
    if tenant is None:
        raise _wrong(stream, "tenants", "nobody says of which tenant it is to be pulled", "Name one of them.")
    mark = stream.tenants.placeholder
    if not sendable(tenant) and any(mark in text for text in stream.headers.values()):
        raise _wrong(stream, "headers", f"the tenant {tenant!r} cannot be sent in a header", "Name it in path or params.")

    def named(value: str | float) -> str | float:
        return value.replace(mark, tenant) if isinstance(value, str) else value

    return stream.model_copy(
        update={
            "path": stream.path.replace(mark, quote(tenant, safe="")),
            "params": {name: named(value) for name, value in stream.params.items()},
            "headers": {name: named(value) for name, value in stream.headers.items()},
        }
    )


def check_asking(stream: Stream) -> None:
    """A stream asks for its tenants one by one, and for none if it has none. Raises `SpecError`."""
    if stream.parent is not None:
        return  # its placeholders are its parent's keys
    mark = stream.tenants.placeholder if stream.tenants else None
    for name in _PLACEHOLDER.findall(stream.path):
        if name != mark:
            remedy = f"Write {mark}." if mark else "Say in `tenants` which there are."
            raise _wrong(stream, "path", f"{name} is no tenant's key", remedy)
    if mark is None:
        return
    if not any(mark in str(text) for text in (stream.path, *stream.params.values(), *stream.headers.values())):
        what, remedy = "nothing that the API is asked names the tenant", f"Write {mark} into path, params or headers."
        raise _wrong(stream, "tenants", what, remedy)
    if stream.disposition == "replace":
        raise _wrong(stream, "disposition", "one tenant's snapshot cannot replace the whole table", "Use merge or append.")
    if stream.conditional:
        raise _wrong(stream, "conditional", "an ETag names one page, and each tenant has its own", "Drop conditional.")


def check_listings(source: Source) -> None:
    """A listing's name means one listing throughout a source. Raises `SpecError`."""
    known: dict[str, Listing] = {}
    for stream in source.streams:
        listing = stream.tenants.listing if stream.tenants else None
        if listing and known.setdefault(listing.name, listing) != listing:
            what = f"two listings of tenants are called {listing.name!r}"
            raise SpecError(what, source=source.name, field="tenants.listing", remedy="Name them apart, or make them equal.")


def check_column(stream: Stream, contract: Contract) -> None:
    """The tenants' column is text or a whole number that the keys are, and a part of the stream's key. Raises `SpecError`."""
    tenants = stream.tenants
    if tenants is None:
        return
    import pyarrow as pa

    columns = {column.name: column.type for column in contract.columns}
    type_ = columns.get(tenants.column)
    if type_ is None:
        what, remedy = f"{tenants.column!r} is no column of {contract.name}", f"Its columns are: {', '.join(columns)}."
        raise _wrong(stream, "tenants.column", what, remedy)
    if not (pa.types.is_string(type_) or pa.types.is_integer(type_)):
        what = f"the tenants' column {tenants.column!r} has the type {type_}"
        raise _wrong(stream, "tenants.column", what, "Make it a String or an Int64.")
    if stream.key and tenants.column not in stream.key:
        raise _wrong(
            stream,
            "key",
            f"the key ({', '.join(stream.key)}) lacks the tenants' column, so that two tenants' records of one key would"
            " overwrite each other",
            f"Write key=({', '.join(repr(name) for name in (tenants.column, *stream.key))}).",
        )
    for key in tenants.keys:
        tenant_value(key, type_)


def tenant_value(key: str, type_: pa.DataType) -> str | int:
    """A tenant's key as its column's type has it. Raises `SpecError` for one that is no whole number where one is wanted."""
    import pyarrow as pa

    if pa.types.is_string(type_):
        return key
    try:
        value = int(pa.scalar(int(key), type_).as_py())
    except (ValueError, OverflowError, pa.ArrowInvalid):
        value = None
    if value is None or str(value) != key:
        raise SpecError(f"the tenant {key!r} is no {type_}, as its column is", field="tenants", remedy="Use a String.")
    return value


def _wrong(stream: Stream, field: str, what: str, remedy: str) -> SpecError:
    return SpecError(what, stream=stream.name, field=field, remedy=remedy)
