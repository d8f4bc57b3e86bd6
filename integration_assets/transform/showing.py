"""What people see of rows and records: samples, reject previews and the command line, without personal data and secrets.

Columns that the contract marks with `pii` or `mask` are shown as it says. Where it marks any, fields that it does not know are
not shown at all: nobody has said what is in them. Everywhere, what has the name or the form of a secret is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from integration_assets.spec.contract_data import Column, Contract
from integration_assets.spec.formats import Format, Json, Ndjson
from integration_assets.spec.masks import partly
from integration_assets.spec.paths import Path
from integration_assets.transform.masking import keyed_hash

HIDDEN = "***"
_HASH_SHOWN = 12
_NAMES = re.compile(
    r"passw(or)?d|passphrase|secret(?!ar)|apikey|accesskey|privatekey|authori[sz]ation|credential|bearer|cookie|sessionid|tokens?$"
)
_FORMS = re.compile(
    r"eyJ[\w-]{10,}\.[\w-]{5,}(\.[\w-]*)?"  # a JSON web token
    r"|\b(sk|pk|rk)_(live|test)_\w{8,}|\bgh[pousr]_\w{20,}|\bxox[abprs]-[\w-]{10,}|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_GOT = ", got "


@dataclass(frozen=True)
class Showing:
    """How rows and records of a contract are shown.

    key : of `pii="hash"`; without one such a value is hidden.
    """

    contract: Contract
    key: bytes | None = None

    def row(self, row: Mapping[str, object]) -> dict[str, object]:
        """A row of the lake, by column."""
        known = {column.name: column for column in self.contract.columns}
        return {name: self._of_row(known.get(name), name, value) for name, value in row.items()}

    def record(self, payload: bytes, form: Format) -> str:
        """A record as received, as text: JSON with what must not be seen replaced, or what it is where that cannot be told."""
        if isinstance(form, Json | Ndjson):
            try:
                whole = msgspec.json.decode(payload)
                shown = self._value(whole, (), known=False)
                return payload.decode() if shown == whole else msgspec.json.encode(shown).decode()
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # no JSON: shown as text, or not at all, below
        text = payload.decode(errors="backslashreplace")
        if self.contract.personal or _NAMES.search(_letters(text)):
            return f"({len(payload):,} bytes, not shown: what is in them cannot be told apart)"
        return _FORMS.sub(HIDDEN, text)

    def reason(self, reason: str) -> str:
        """A reject's reason, without the value where its column is marked, or unknown beside marked ones."""
        field = reason.partition(":")[0]
        column = next((one for one in self.contract.columns if field in {one.name, _written(one.path)}), None)
        marked = self.contract.personal if column is None else bool(column.pii or column.mask)
        return reason.partition(_GOT)[0] if marked or _secret(field) else _FORMS.sub(HIDDEN, reason)

    def name(self, key: str | None, columns: Iterable[str]) -> str | None:
        """A record's key as text; `columns` are those it is made of."""
        marked = any(self.contract.column(column).pii or self.contract.column(column).mask for column in columns)
        return HIDDEN if key is not None and marked else key

    def _of_row(self, column: Column | None, name: str, value: object) -> object:
        if value is None or (column is None and not _secret(name)):
            return value
        if column is not None and column.mask:
            return value  # what is stored is masked already
        if column is not None and column.pii:
            return self._masked(column, value)
        return self._value(value, column.path if column else (name,), known=True)

    def _value(self, value: Any, path: Path, *, known: bool) -> Any:  # noqa: ANN401 - any JSON value
        """A value at its path in a record. `known`: the contract has a column for it, or for what it is in."""
        column = next((one for one in self.contract.columns if one.path == path), None)
        if value is not None and ((path and _secret(str(path[-1]))) or (column and column.mask)):
            return HIDDEN
        if column and column.pii:
            return self._masked(column, value)
        known = known or column is not None
        if isinstance(value, Mapping):
            return {name: self._value(inner, (*path, name), known=known) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, (*path, number), known=known) for number, inner in enumerate(value)]
        if self.contract.personal and not known and value is not None:
            return HIDDEN
        return _FORMS.sub(HIDDEN, value) if isinstance(value, str) else value

    def _masked(self, column: Column, value: object) -> str | None:
        if value is None:
            return None
        if column.pii == "partial":
            return partly(str(value))
        return keyed_hash(str(value), self.key)[:_HASH_SHOWN] if column.pii == "hash" and self.key else HIDDEN


def _secret(name: str) -> bool:
    return bool(_NAMES.search(_letters(name)))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())


def _written(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
