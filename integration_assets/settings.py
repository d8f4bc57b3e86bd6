"""Every setting, read from the environment in this one place. docs/settings.md is the same table for people."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from integration_assets.errors import SecretMissingError, SpecError
from integration_assets.spec.auth import secret_names
from integration_assets.spec.source import Source

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
