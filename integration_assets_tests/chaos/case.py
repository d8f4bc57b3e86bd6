"""What may come, and what must become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integration_assets.spec import Bearer, Cursor, Limits, Source, Stream
from integration_assets_tests.chaos.answers import GOOD
from integration_assets_tests.chaos.upstream import Behaviour

SECRET = 'Pl4nted/K3y+7"Q<z'
"""The planted credential: with characters that each format writes in its own way."""


@dataclass(frozen=True)
class Fails:
    """The run ends with an error.

    kind : the error's class.
    says : words of its message, beside source and stream.
    most : requests that may be spent.
    """

    kind: str
    says: tuple[str, ...] = ()
    most: int = 4


@dataclass(frozen=True)
class Lands:
    """The run ends well.

    more    : records beside the good ones, as the warehouse has them, by id: the values that matter.
    without : ids of good records that are not there yet.
    rejects : for each reject a part of its reason.
    says    : words of the receipt.
    """

    more: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    without: tuple[int, ...] = ()
    rejects: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """One hostility.

    behave   : what the upstream does; None where there is none, or where `base_url` names another place.
    becomes  : what must come of it.
    stream, limits : settings other than the usual ones.
    base_url : where to ask, with `{here}`, `{port}` and `{trap}` filled in.
    tls      : the certificate that the upstream shows, by its name in `certificates`; plain text when None.
    protocols : what the upstream offers in TLS.
    soak     : it takes long, and runs only with INTEGRATION_SOAK.
    grows    : MB by which the process may grow; it is measured in a process of its own when given.
    """

    name: str
    behave: Behaviour | None
    becomes: Fails | Lands
    stream: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = "{here}"
    tls: str | None = None
    protocols: tuple[str, ...] = ("http/1.1",)
    soak: bool = False
    grows: int | None = None

    def source(self, *, well: bool = False) -> Source:
        """The source as it is described; for when the upstream is well, in the usual way."""
        cursor = Cursor(field="seq", kind="integer", start=0, start_param="since")
        stream = Stream(
            name="items",
            path="/items",
            contract="integration_assets_tests.chaos.contract:Item",
            key=("id",),
            cursor=cursor,
            reject_threshold=0.9,
        ).changed(**({} if well else self.stream))
        usual = {"attempts": 2, "wait_initial": 0.0, "pool_timeout": 5, "retry_timeout": 60}
        limits = Limits(**{**usual, **({} if well else self.limits)})
        return Source(
            name="chaos", base_url="http://127.0.0.1:9", auth=Bearer(secret="CHAOS_KEY"), streams=(stream,), limits=limits
        )


QUICK = {"read_timeout": 0.3, "page_timeout": 0.6, "connect_timeout": 0.5, "retry_timeout": 5}
"""Limits under which what never ends is over soon."""
ALL = Lands()
IDS = tuple(record["id"] for record in GOOD)
