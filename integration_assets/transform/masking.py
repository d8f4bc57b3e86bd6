"""Columns that the contract masks at rest: what is stored of them in place of the value, from the lake onwards."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

import pyarrow as pa

from integration_assets.spec.contract_data import Column, Contract

DIGITS = 32
"""Hex digits of a stored hash: 128 bits, of which no two values ever share all."""
_NAME = 8


def keyed_hash(value: str, key: bytes) -> str:
    """The name that a value has in place of itself: the same wherever the key is the same."""
    return hmac.digest(key, value.encode(), "sha256").hex()[:DIGITS]


def needs_key(contract: Contract) -> str | None:
    """The first column that is hashed at rest; None if none is."""
    return next((column.name for column in contract.columns if column.mask == "hash"), None)


@dataclass(frozen=True)
class Masking:
    """Makes of rows as decoded the rows as stored. Nulls stay null, other columns as they are.

    columns : those that are masked.
    key     : the secret of the hash; not needed where nothing is hashed.
    """

    columns: tuple[Column, ...] = ()
    key: bytes | None = field(default=None, repr=False)

    def __call__(self, table: pa.Table) -> pa.Table:
        """`table` with its masked columns in place of the values."""
        for column in self.columns:
            at = table.schema.get_field_index(column.name)
            hashed = column.mask == "hash"
            stored = _hashed(table.column(at), self.key or b"") if hashed else pa.nulls(table.num_rows, column.type)
            table = table.set_column(at, table.schema.field(at), stored)
        return table

    @property
    def key_name(self) -> str:
        """What tells one key from another and says nothing of it; empty where nothing is hashed."""
        hashes = self.key is not None and any(column.mask == "hash" for column in self.columns)
        return keyed_hash("integration_assets", self.key or b"")[:_NAME] if hashes else ""


UNMASKED = Masking()


def mask_for(contract: Contract, key: bytes | None) -> Masking:
    """The masking of a contract."""
    return Masking(tuple(column for column in contract.columns if column.mask), key)


def _hashed(values: pa.ChunkedArray, key: bytes) -> pa.Array:
    """Each distinct value is hashed once."""
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    names = pa.array([keyed_hash(value, key) for value in encoded.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, names).cast(pa.string())
