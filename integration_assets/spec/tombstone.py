"""How an API says that a record is gone."""

from __future__ import annotations

from integration_assets.spec.base import Spec


class Tombstone(Spec):
    """How the API says that a record is gone: the field at `path` equals `value`. Such a record needs only key and cursor."""

    path: str
    value: str | bool | int = True
