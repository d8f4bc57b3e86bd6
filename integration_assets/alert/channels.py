"""Where messages go, as the settings say. A channel's address or password may be a secret, and is in no error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from integration_assets.alert.message import Message
from integration_assets.errors import SpecError

SLACK = "INTEGRATION_ALERT_SLACK_URL"
WEBHOOK, WEBHOOK_KEY = "INTEGRATION_ALERT_WEBHOOK_URL", "INTEGRATION_ALERT_WEBHOOK_KEY"
SMTP, USER, PASSWORD = "INTEGRATION_ALERT_SMTP", "INTEGRATION_ALERT_SMTP_USER", "INTEGRATION_ALERT_SMTP_PASSWORD"
SENDER, RECIPIENTS = "INTEGRATION_ALERT_MAIL_FROM", "INTEGRATION_ALERT_MAIL_TO"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class Channel(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """`slack`, `mail` or `webhook`."""
        ...

    def send(self, message: Message) -> None:
        """Deliver it. Raises `IntegrationError` when it was not, or not certainly, delivered."""
        ...


def channels(environ: Mapping[str, str]) -> list[Channel]:
    """The channels that are set up. Raises `SpecError` naming the setting that is wrong; nothing is connected yet."""
    from integration_assets.alert.http import Slack, Webhook
    from integration_assets.alert.mail import Mail

    found: list[Channel] = []
    if url := environ.get(SLACK):
        found.append(Slack(_http(SLACK, url)))
    if url := environ.get(WEBHOOK):
        key = environ.get(WEBHOOK_KEY)
        if not key:
            raise SpecError("the webhook has no key to sign with", field=WEBHOOK_KEY, remedy="Set it to a long random text.")
        found.append(Webhook(_http(WEBHOOK, url), key))
    if url := environ.get(SMTP):
        host, port, encrypted = _smtp(url)
        sender, recipients = environ.get(SENDER, ""), _addresses(environ.get(RECIPIENTS, ""))
        if not recipients or not all("@" in address and address.isprintable() for address in (sender, *recipients)):
            raise SpecError(
                "an e-mail needs a sender and recipients", field=f"{SENDER}, {RECIPIENTS}", remedy="Set both to e-mail addresses."
            )
        user, password = environ.get(USER, ""), environ.get(PASSWORD, "")
        if bool(user) != bool(password):
            raise SpecError("SMTP user and password go together", field=f"{USER}, {PASSWORD}", remedy="Set both, or none.")
        found.append(Mail(host, port, encrypted, sender, recipients, user, password))
    return found


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(address.strip() for address in text.split(",") if address.strip())


def _http(setting: str, text: str) -> str:
    url = _split(setting, text)
    if url.scheme == "https" or (url.scheme == "http" and url.hostname in _LOOPBACK):
        return text
    raise SpecError("the address is no https URL", field=setting, remedy="Write https://HOST/PATH.")


def _smtp(text: str) -> tuple[str, int, str]:
    """Host, port, and how the connection is encrypted: `tls` from the start, `starttls`, or `none` within this machine."""
    url = _split(SMTP, text)
    here = url.hostname in _LOOPBACK
    match url.scheme:
        case "smtps":
            return str(url.hostname), url.port or 465, "tls"
        case "smtp":
            return str(url.hostname), url.port or 587, "starttls"
        case "smtp+plain" if here:
            return str(url.hostname), url.port or 25, "none"
    raise SpecError(
        "the mail server's address is not one",
        field=SMTP,
        remedy="Write smtp://HOST:587 for STARTTLS or smtps://HOST:465; smtp+plain://localhost:25 for a relay on this machine.",
    )


def _split(setting: str, text: str) -> SplitResult:
    """The URL's parts. It may hold a secret, so an error shows nothing of it."""
    try:
        url = urlsplit(text)
        valid = bool(url.hostname) and not url.username and (url.port is None or url.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise SpecError(
            "the address is no URL, or has a user in it", field=setting, remedy="Write SCHEME://HOST and what follows."
        )
    return url
