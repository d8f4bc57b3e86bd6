"""Every setting, read from the environment in this one place. docs/settings.md is the same table for people."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from integration_assets.errors import SecretMissingError, SpecError
from integration_assets.spec.auth import secret_names
from integration_assets.spec.source import Source, Stream

PREFIX = "INTEGRATION_"
MASK_KEY = "INTEGRATION_MASK_KEY"

TABLE: tuple[tuple[str, str, str], ...] = (
    ("INTEGRATION_LAKE_URI", "data/lake", "Where the lake is: a folder, or a bucket as `gs://BUCKET/PREFIX`."),
    (
        "INTEGRATION_WAREHOUSE_URI",
        "data/warehouse.duckdb",
        "Where the warehouse is: a DuckDB file, or `bigquery://PROJECT?location=EU`.",
    ),
    ("INTEGRATION_WAREHOUSE_WAIT", "300", "Seconds to wait for another run that is writing the warehouse."),
    (
        "INTEGRATION_INBOX_URI",
        "data/inbox.sqlite",
        "Where events wait until they are pulled: a SQLite file, or `postgresql://HOST/DATABASE`.",
    ),
    (
        "INTEGRATION_INBOX_DAYS",
        "30",
        "Days that a finished event is remembered, so that the same one is known when it comes again.",
    ),
    (
        "INTEGRATION_LIMITS_URI",
        "~/.local/state/integration_assets/limits",
        "Where all runs share each API's limits: a folder on a local disk, or `postgresql://HOST/DATABASE` for many machines.",
    ),
    (
        "INTEGRATION_AUTOMATION",
        "off",
        "Whether schedules and sensors run from the start: `on` in production; `off` where someone switches them on in the UI.",
    ),
    ("INTEGRATION_ALERT_SLACK_URL", "none", "Slack's incoming webhook, to which alerts go. It is a secret."),
    ("INTEGRATION_ALERT_WEBHOOK_URL", "none", "Any https receiver of alerts as JSON."),
    ("INTEGRATION_ALERT_WEBHOOK_KEY", "none", "The secret that signs what goes to that receiver."),
    (
        "INTEGRATION_ALERT_SMTP",
        "none",
        "The mail server for alerts: `smtp://HOST:587` with STARTTLS, or `smtps://HOST:465`.",
    ),
    ("INTEGRATION_ALERT_SMTP_USER", "none", "Who logs in there; none where the server asks nobody."),
    ("INTEGRATION_ALERT_SMTP_PASSWORD", "none", "That user's password, a secret."),
    ("INTEGRATION_ALERT_MAIL_FROM", "none", "The sender of alerts by e-mail."),
    ("INTEGRATION_ALERT_MAIL_TO", "none", "Who gets them: addresses with commas between them."),
    ("INTEGRATION_DAGSTER_URL", "none", "Where Dagster's UI is, for the links in alerts."),
    (
        "INTEGRATION_MASK_KEY",
        "none",
        'The secret with which columns marked `mask="hash"` are hashed before they are stored: long, random, never changed.',
    ),
    ("INTEGRATION_<SOURCE>_BROKERS", "the source's own", "Other brokers of a source whose events come by Kafka."),
    ("INTEGRATION_<SOURCE>_BASE_URL", "the source's own", "Another address of a source: a proxy, a region, a test server."),
    (
        "INTEGRATION_<SOURCE>_<STREAM>_BASE_URL",
        "the stream's own",
        "Another address of a stream that has a base_url of its own; needed where the source's is overridden.",
    ),
    (
        "INTEGRATION_<SOURCE>_<STREAM>_CANDIDATE",
        "the candidate's `active`",
        "Whether the stream is its candidate: `1` cuts over, `0` goes back.",
    ),
    ("<SECRET>", "none", "Each secret under the name that its source's spec gives; `integration sources` lists them."),
)
"""Name, default and meaning of each setting."""


@dataclass(frozen=True)
class Settings:
    """The settings of this process.

    lake_uri, warehouse_uri : where data lands.
    warehouse_wait          : seconds to wait for the warehouse's lock.
    environ                 : where secrets and overrides are looked up, by name, when they are needed.
    inbox_uri               : where events wait until they are pulled.
    inbox_days              : days that a finished event's id is remembered.
    limits_uri              : where all runs share each API's limits.
    automation              : whether schedules and sensors run until someone stops them, instead of the other way round.
    """

    lake_uri: str
    warehouse_uri: str
    warehouse_wait: float
    environ: Mapping[str, str]
    inbox_uri: str = "data/inbox.sqlite"
    inbox_days: float = 30.0
    limits_uri: str = field(default="~/.local/state/integration_assets/limits", repr=False)  # it may hold a password
    automation: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment. Raises `SpecError` naming the variable that is wrong."""
        environ = os.environ if environ is None else environ
        wait = environ.get("INTEGRATION_WAREHOUSE_WAIT", "300")
        try:
            seconds = float(wait)
        except ValueError:
            raise SpecError(
                f"{wait!r} is no number of seconds", field="INTEGRATION_WAREHOUSE_WAIT", remedy="Set it to a number such as 300."
            ) from None
        kept = environ.get("INTEGRATION_INBOX_DAYS", "30")
        if not kept.isdigit() or kept == "0":
            raise SpecError(
                f"{kept!r} is no number of days", field="INTEGRATION_INBOX_DAYS", remedy="Set it to a whole number such as 30."
            )
        automation = environ.get("INTEGRATION_AUTOMATION", "off")
        if automation not in {"on", "off"}:
            raise SpecError(
                f"{automation!r} is neither on nor off", field="INTEGRATION_AUTOMATION", remedy="Set it to on or off."
            )
        return cls(
            lake_uri=environ.get("INTEGRATION_LAKE_URI", "data/lake"),
            warehouse_uri=environ.get("INTEGRATION_WAREHOUSE_URI", "data/warehouse.duckdb"),
            warehouse_wait=seconds,
            environ=environ,
            inbox_uri=environ.get("INTEGRATION_INBOX_URI", "data/inbox.sqlite"),
            inbox_days=float(kept),
            limits_uri=environ.get("INTEGRATION_LIMITS_URI") or _limits_folder(),
            automation=automation == "on",
        )

    @property
    def mask_key(self) -> bytes | None:
        """The secret with which columns are hashed before they are stored; None where it is not set."""
        value = self.environ.get(MASK_KEY)
        return value.encode() if value else None

    def locate(self, source: Source) -> Source:
        """The source at the address that the environment gives it, or its own."""
        name = f"{PREFIX}{source.name.upper()}_BASE_URL"
        base_url = self.environ.get(name)
        return source.with_base_url(base_url) if base_url else source

    def locate_stream(self, source: Source, stream: Stream) -> Source:
        """The source at the address that this stream of it is asked at. Raises `SpecError`.

        A stream with an address of its own is never asked there while the source is sent elsewhere, to a test server perhaps.
        """
        moved, own = f"{PREFIX}{source.name.upper()}_BASE_URL", f"{PREFIX}{source.name.upper()}_{stream.name.upper()}_BASE_URL"
        if stream.base_url is None:
            return self.locate(source)
        if self.environ.get(moved) and not self.environ.get(own):
            raise SpecError(
                f"{moved} sends the source elsewhere, and this stream has the base_url {stream.base_url} of its own",
                source=source.name,
                stream=stream.name,
                field="base_url",
                remedy=f"Set {own} too.",
            )
        return source.with_base_url(self.environ.get(own) or stream.base_url)

    def in_force(self, source: Source) -> Source:
        """The source with those streams cut over to their candidates for which the environment or the spec says so.

        Raises `SpecError` for a variable that is neither 1 nor 0, or of a stream without a candidate.
        """
        streams = tuple(
            stream.candidate.cut_over(stream) if stream.candidate and self._active(source, stream) else stream
            for stream in source.streams
        )
        return source.changed(streams=streams) if any(map(operator.is_not, streams, source.streams)) else source

    def _active(self, source: Source, stream: Stream) -> bool:
        name = f"{PREFIX}{source.name.upper()}_{stream.name.upper()}_CANDIDATE"
        value = self.environ.get(name)
        if value and (stream.candidate is None or value not in {"0", "1"}):
            what = "the stream has no candidate" if stream.candidate is None else f"{value!r} is neither 1 nor 0"
            raise SpecError(what, source=source.name, stream=stream.name, field=name, remedy="Unset it, or set it to 1 or 0.")
        return stream.candidate is not None and (value == "1" if value else stream.candidate.active)

    def brokers_of(self, source: Source, own: str) -> str:
        """Where Kafka is for a source: what the environment says, or the source's `own`."""
        return self.environ.get(f"{PREFIX}{source.name.upper()}_BROKERS", own)

    def secrets_for(self, source: Source) -> Callable[[str], str]:
        """A look-up of the secrets that `source` names, for its API or its events, and of no others.

        The look-up raises `SecretMissingError` naming the variable to set.
        """
        allowed = {*secret_names(source.auth), *(source.events.secret_names if source.events else ())}

        def secret(name: str) -> str:
            value = self.environ.get(name) if name in allowed else None
            if not value:
                raise SecretMissingError(
                    f"the secret {name} is not set", source=source.name, remedy=f"Set the environment variable {name}."
                )
            return value

        return secret


def _limits_folder() -> str:
    """The user's own on this machine, whatever folder a command is run from: two runs must not miss each other."""
    return f"{os.environ.get('XDG_STATE_HOME') or '~/.local/state'}/integration_assets/limits"
