"""The key that masked columns are hashed with: found, long enough to be secret, and the same as before."""

from __future__ import annotations

from integration_assets.errors import LakeError, SecretMissingError, SpecError
from integration_assets.land.state import LakeState
from integration_assets.settings import MASK_KEY, Settings
from integration_assets.spec.contract_data import Contract
from integration_assets.spec.source import Source
from integration_assets.transform.masking import Masking, mask_for, needs_key

_SECURE = 16
"""Characters that a masking key has at least."""


def masking(source: Source, stream: str, contract: Contract, settings: Settings) -> Masking:
    """What masks a stream's rows before they are stored. Raises `SecretMissingError` when the key for it is not set."""
    column, key = needs_key(contract), settings.mask_key
    if column is not None and key is None:
        raise SecretMissingError(
            f"the secret {MASK_KEY}, with which the column is hashed, is not set",
            source=source.name,
            stream=stream,
            field=f"contract.{column}",
            remedy=f"Set {MASK_KEY} to a long random text, the same wherever tables are to be joined, and never change it.",
        )
    if column is not None and len(key or b"") < _SECURE:
        raise SpecError(
            f"the secret {MASK_KEY} is so short that what is hashed with it could be guessed",
            source=source.name,
            stream=stream,
            field=f"contract.{column}",
            remedy=f"Set it to {_SECURE} random characters or more.",
        )
    return mask_for(contract, key)


def check_key(mask: Masking, base: LakeState) -> None:
    """See that values are hashed as they were before. Raises `LakeError`: under two keys every value would have two names."""
    last = base.receipt.mask_key if base.receipt else ""
    if last and mask.key_name and last != mask.key_name:
        raise LakeError(
            f"the lake's columns were hashed with another {MASK_KEY}",
            remedy=f"Set {MASK_KEY} to the one before, or move the table away and sync from the start.",
        )
