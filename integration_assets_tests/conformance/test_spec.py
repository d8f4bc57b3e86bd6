"""Every source's spec and contracts say what the rest of the project relies on; no request is made."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from integration_assets.sources import load_sources
from integration_assets.spec import Source, Stream
from integration_assets.spec.auth import secret_names
from integration_assets.spec.contract import check_stream
from integration_assets_tests.conformance.collect import each_source, each_stream
from integration_assets_tests.conformance.fixtures import load

_OWNER = re.compile(r"team:[\w.-]+|[^@\s]+@[^@\s]+\.[^@\s]+")
_CREDENTIAL_HEADERS = {"authorization", "cookie", "x-api-key", "api-key", "x-auth-token"}


def test_there_are_sources() -> None:
    """The suite below is not green because it found nothing."""
    assert load_sources()


def test_every_folder_is_a_source() -> None:
    """No folder under sources/ is left out for want of an __init__.py or a defs.yaml."""
    import integration_assets.sources as package

    root = Path(str(package.__file__)).parent
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(("_", "."))}
    assert folders == {source.name for source in load_sources()}


def test_no_two_sources_share_a_secret() -> None:
    """A credential goes to its own source's host only, so no two sources name the same one."""
    named = Counter(name for source in load_sources() for name in set(secret_names(source.auth)))
    assert [name for name, times in named.items() if times > 1] == []


@each_source
def test_a_source_says_what_it_is_and_whose(source: Source) -> None:
    """Whoever is woken by it finds an owner, a description and the API's own documentation."""
    assert source.owners, f"{source.name}: name an owner, such as team:data-platform or an e-mail address."
    assert all(_OWNER.fullmatch(owner) for owner in source.owners), f"{source.name}: an owner is an e-mail address or team:name."
    assert source.description.strip(), f"{source.name}: say in a sentence what the source is."
    assert source.docs_url, f"{source.name}: give docs_url, where the API is described."
    assert all("/" not in f"{key}{value}" for key, value in source.tags.items()), f"{source.name}: a tag may hold no '/'."


@each_source
def test_a_source_names_its_secrets_and_holds_none(source: Source) -> None:
    """Credentials are looked up by name when data flows; a header or parameter that carries one is refused."""
    for headers in (source.headers, *(stream.headers for stream in source.streams)):
        carried = {name.lower() for name in headers} & _CREDENTIAL_HEADERS
        assert not carried, f"{source.name}: describe {sorted(carried)} as auth, with the secret's name."
    for stream in source.streams:
        param = getattr(source.auth, "param", None)
        assert param not in stream.params, f"{source.name}.{stream.name}: {param!r} is the credential's own parameter."


@each_stream
def test_a_stream_is_described_for_its_readers(source: Source, stream: Stream) -> None:
    """Table, model and every column carry a description; the warehouse shows them."""
    contract = check_stream(source, stream)
    assert stream.description.strip(), f"{source.name}.{stream.name}: say in a sentence what a row is."
    assert contract.description.strip(), f"{source.name}.{stream.name}: describe the contract, or give its model a docstring."
    bare = [column.name for column in contract.columns if not column.description.strip()]
    assert not bare, f"{source.name}.{stream.name}: describe {bare}."


@each_stream
def test_a_contract_fits_its_stream(source: Source, stream: Stream) -> None:
    """Key, cursor and version are columns that cannot be null."""
    contract = check_stream(source, stream)
    needed = {*stream.key, stream.version_column} - {None}
    nullable = [name for name in needed if name is not None and contract.column(name).nullable]
    assert not nullable, f"{source.name}.{stream.name}: {nullable} order or name records; make them nullable=False."


@each_stream
def test_a_contract_survives_parquet_and_pandas(source: Source, stream: Stream) -> None:
    """The Arrow schema comes back from Parquet as it was, and its empty table passes the pandera model."""
    contract = check_stream(source, stream)
    sink = pa.BufferOutputStream()
    pq.write_table(contract.arrow_schema.empty_table(), sink)
    read = pq.read_table(pa.BufferReader(sink.getvalue()))
    assert read.schema.names == contract.arrow_schema.names
    assert read.schema.types == contract.arrow_schema.types
    contract.schema.validate(read.to_pandas(types_mapper=pd.ArrowDtype))


@each_stream
def test_a_stream_has_recorded_responses(source: Source, stream: Stream) -> None:
    """Without a recording nothing below proves anything about the stream; the failure says what to add and where."""
    recording = load(source, stream)
    for phase in recording.phases:
        assert phase.exchanges, f"{recording.path}: a phase without an exchange records nothing."
        assert phase.expect.rows, f"{recording.path}: a recording from which no row comes proves nothing."
