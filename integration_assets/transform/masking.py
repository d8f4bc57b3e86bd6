"""Columns that the contract masks at rest: what is stored of them in place of the value, from the lake onwards."""

from __future__ import annotations

import hmac
from collections.abc import Callable

import pyarrow as pa

from integration_assets.spec.contract import Contract

DIGITS = 32
"""Hex digits of a stored hash: 128 bits, of which no two values ever share all."""
Mask = Callable[[pa.Table], pa.Table]


def keyed_hash(value: str, key: bytes) -> str:
    """The name that a value has in place of itself: the same wherever the key is the same."""
    return hmac.digest(key, value.encode(), "sha256").hex()[:DIGITS]


def needs_key(contract: Contract) -> str | None:
    """The first column that is hashed at rest; None if none is."""
    return next((column.name for column in contract.columns if column.mask == "hash"), None)


def mask_for(contract: Contract, key: bytes | None) -> Mask:
    """What makes of rows as decoded the rows as stored. Nulls stay null, other columns as they are.

    key : the secret of the hash; not needed by a contract that hashes nothing.
    """
    masked = [column for column in contract.columns if column.mask]

    def mask(table: pa.Table) -> pa.Table:
        for column in masked:
            at = table.schema.get_field_index(column.name)
            stored = _hashed(table.column(at), key or b"") if column.mask == "hash" else pa.nulls(table.num_rows, column.type)
            table = table.set_column(at, table.schema.field(at), stored)
        return table

    return mask if masked else unmasked


def unmasked(table: pa.Table) -> pa.Table:
    """The rows as they are."""
    return table


def _hashed(values: pa.ChunkedArray, key: bytes) -> pa.Array:
    """Each distinct value is hashed once."""
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = pa.array([keyed_hash(value, key) for value in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, names).cast(pa.string())
