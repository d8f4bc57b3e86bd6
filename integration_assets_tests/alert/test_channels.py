"""A message arrives as it was meant, once a channel; and what does not arrive is an error without a secret in it."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import ssl
from pathlib import Path

import pytest

from integration_assets.alert import About, Message, channels
from integration_assets.alert.mail import Mail
from integration_assets.errors import HumanNeededError, RescheduleError, SpecError
from integration_assets_tests.alert.receiving import certificate, mailbox, posts

MESSAGE = Message(
    kind="failed",
    key="run-1.failed",
    title="shop.orders: 3 of 30 slices failed",
    lines=("The API refused the credential <401> & more.",),
    url="https://dagster.example/runs/run-1",
    streams=(About("shop.orders", error="AccessDeniedError", slices=30, missing=3),),
)
MAIL = {"INTEGRATION_ALERT_MAIL_FROM": "dagster@example.com", "INTEGRATION_ALERT_MAIL_TO": "a@example.com, b@example.com"}


def test_slack_gets_text_that_is_no_markup(caplog: pytest.LogCaptureFixture) -> None:
    """Title in bold, what an error quotes escaped; the URL, which is the secret, is in no log however much is logged."""
    caplog.set_level(logging.DEBUG)
    with posts() as taken:
        (slack,) = channels({"INTEGRATION_ALERT_SLACK_URL": taken.url})
        slack.send(MESSAGE)
        (got,) = taken.messages
    assert got["text"].startswith("*shop.orders: 3 of 30 slices failed*\n")
    assert "&lt;401&gt; &amp; more" in got["text"]
    assert got["text"].endswith("https://dagster.example/runs/run-1")
    assert "secret-path" not in caplog.text
    assert "secret-path" not in repr(slack)


def test_a_webhook_can_check_who_sent_it() -> None:
    """The signature is the HMAC of time and body by the shared key; the message's key is the idempotency key."""
    with posts() as taken:
        (hook,) = channels({"INTEGRATION_ALERT_WEBHOOK_URL": taken.url, "INTEGRATION_ALERT_WEBHOOK_KEY": "shared"})
        hook.send(MESSAGE)
        headers, body = taken.headers[0], taken.bodies[0]
    signed = hmac.new(b"shared", headers["x-integration-timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["x-integration-signature"] == f"sha256={signed}"
    assert headers["idempotency-key"] == "run-1.failed"
    assert (taken.messages[0]["kind"], taken.messages[0]["streams"][0]["missing"]) == ("failed", 3)


@pytest.mark.parametrize("status", [302, 403, 500])
def test_what_a_receiver_does_not_take_is_an_error_without_its_address(status: int) -> None:
    """Redirects are not followed: the secret in the path goes to no other host. The error names channel, host and status."""
    with posts() as taken:
        taken.status = status
        (slack,) = channels({"INTEGRATION_ALERT_SLACK_URL": taken.url})
        with pytest.raises(RescheduleError, match=rf"slack: 127\.0\.0\.1 answered {status}") as caught:
            slack.send(MESSAGE)
    assert "secret-path" not in str(caught.value)


def test_a_receiver_that_is_not_there_is_an_error() -> None:
    """A refused connection is told as one, without the address's path."""
    (slack,) = channels({"INTEGRATION_ALERT_SLACK_URL": "http://127.0.0.1:1/secret-path"})
    with pytest.raises(RescheduleError, match=r"no answer from 127\.0\.0\.1") as caught:
        slack.send(MESSAGE)
    assert "secret-path" not in str(caught.value)


def test_a_mail_goes_encrypted_and_with_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """STARTTLS first, then the password, then the mail; its id is the same for the same message."""
    public, private = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(public, private)
    with mailbox(tls) as box:
        login = {"INTEGRATION_ALERT_SMTP_USER": "me", "INTEGRATION_ALERT_SMTP_PASSWORD": "password"}
        (mail,) = channels({"INTEGRATION_ALERT_SMTP": f"smtp://127.0.0.1:{box.port}", **MAIL, **login})
        mail.send(MESSAGE)
        mail.send(MESSAGE)
        first, second = box.mails
    assert [verb for verb, encrypted in box.said if not encrypted] == ["EHLO", "STARTTLS"] * 2
    assert first["Subject"] == MESSAGE.title
    assert first["To"] == "a@example.com, b@example.com"
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_content().splitlines() == MESSAGE.text().splitlines()


def test_a_server_without_encryption_gets_no_mail() -> None:
    """Where STARTTLS is asked for and not offered, neither password nor message leaves."""
    with mailbox() as box:
        (mail,) = channels({"INTEGRATION_ALERT_SMTP": f"smtp://127.0.0.1:{box.port}", **MAIL})
        with pytest.raises(RescheduleError, match=r"mail: 127\.0\.0\.1 did not take it"):
            mail.send(MESSAGE)
        assert not box.mails


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    """Whoever poses as the mail server gets nothing."""
    public, private = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(public, private)
    with mailbox(tls) as box, pytest.raises(HumanNeededError, match=r"certificate of 127\.0\.0\.1 is not trusted"):
        Mail("127.0.0.1", box.port, "starttls", "a@example.com", ("b@example.com",)).send(MESSAGE)


def test_a_relay_on_this_machine_needs_no_encryption() -> None:
    """A local relay takes the mail as it is; a wrong password and a refusal are told by their codes."""
    with mailbox() as box:
        plain = {"INTEGRATION_ALERT_SMTP": f"smtp+plain://127.0.0.1:{box.port}", **MAIL}
        channels(plain)[0].send(MESSAGE)
        assert len(box.mails) == 1
        wrong = {"INTEGRATION_ALERT_SMTP_USER": "me", "INTEGRATION_ALERT_SMTP_PASSWORD": "pass-4711"}
        with pytest.raises(HumanNeededError, match="refuses user and password") as caught:
            channels(plain | wrong)[0].send(MESSAGE)
        assert "4711" not in str(caught.value)
        box.refuse = True
        with pytest.raises(RescheduleError, match="451"):
            channels(plain)[0].send(MESSAGE)


def test_a_silent_mail_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts the connection and says nothing ends in an error after the time allowed."""
    monkeypatch.setattr("integration_assets.alert.mail._PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mail = Mail("127.0.0.1", silent.getsockname()[1], "none", "a@example.com", ("b@example.com",))
        with pytest.raises(RescheduleError):
            mail.send(MESSAGE)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"INTEGRATION_ALERT_SLACK_URL": "http://hooks.example.com/secret"}, "SLACK_URL"),
        ({"INTEGRATION_ALERT_SLACK_URL": "hooks/secret"}, "SLACK_URL"),
        ({"INTEGRATION_ALERT_WEBHOOK_URL": "https://example.com/secret"}, "WEBHOOK_KEY"),
        ({"INTEGRATION_ALERT_SMTP": "smtp+plain://mail.example.com", **MAIL}, "ALERT_SMTP"),
        ({"INTEGRATION_ALERT_SMTP": "smtp://me:secret@mail.example.com", **MAIL}, "ALERT_SMTP"),
        ({"INTEGRATION_ALERT_SMTP": "smtp://mail.example.com"}, "MAIL_FROM"),
        ({"INTEGRATION_ALERT_SMTP": "smtp://mail.example.com", **MAIL, "INTEGRATION_ALERT_MAIL_TO": "a@b\nBcc: c@d"}, "MAIL_TO"),
        ({"INTEGRATION_ALERT_SMTP": "smtp://mail.example.com", **MAIL, "INTEGRATION_ALERT_SMTP_USER": "me"}, "PASSWORD"),
    ],
)
def test_a_wrong_setting_is_named_and_shown_to_nobody(environ: dict[str, str], named: str) -> None:
    """The error names the variable and what to write there, and nothing of a value that may be a secret."""
    with pytest.raises(SpecError) as caught:
        channels(environ)
    assert named in str(caught.value.field)
    assert "secret" not in str(caught.value)


def test_nothing_set_up_is_no_channel() -> None:
    """Alerts are off until someone sets a channel up."""
    assert channels({}) == []
