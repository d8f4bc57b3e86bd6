"""E-mail by SMTP, encrypted."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate

from integration_assets.alert.message import Message
from integration_assets.errors import HumanNeededError, RescheduleError

_PATIENCE = 8.0


@dataclass(frozen=True)
class Mail:
    """One message to all recipients.

    encrypted : `tls` from the start, `starttls`, or `none` for a relay on this machine.
    """

    host: str
    port: int
    encrypted: str
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    name: str = "mail"

    def send(self, message: Message) -> None:
        """Hand the message to the server.

        Raises `HumanNeededError` for a certificate or a password that is not taken, `RescheduleError` for anything else.
        """
        context = ssl.create_default_context()
        try:
            with self._connected(context) as server:
                if self.encrypted == "starttls":
                    server.starttls(context=context)
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(self._written(message))
        except ssl.SSLCertVerificationError as error:
            raise HumanNeededError(
                f"mail: the certificate of {self.host} is not trusted: {error.verify_message}",
                remedy="For a private authority set SSL_CERT_FILE to its certificate.",
            ) from None
        except smtplib.SMTPAuthenticationError as error:
            raise HumanNeededError(
                f"mail: {self.host} refuses user and password ({error.smtp_code})",
                remedy="Set INTEGRATION_ALERT_SMTP_USER and INTEGRATION_ALERT_SMTP_PASSWORD anew.",
            ) from None
        except (smtplib.SMTPException, OSError) as error:
            code = getattr(error, "smtp_code", None)
            raise RescheduleError(
                f"mail: {self.host} did not take it ({type(error).__name__}{f' {code}' if code else ''})",
                remedy="It is sent again.",
            ) from None

    def _connected(self, context: ssl.SSLContext) -> smtplib.SMTP:
        if self.encrypted == "tls":
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_PATIENCE, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=_PATIENCE)

    def _written(self, message: Message) -> EmailMessage:
        """The e-mail; its id follows from the message, so that a mailbox shows one that came twice once."""
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = formatdate()
        digest = hashlib.sha256(message.key.encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{digest}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text())
        return mail
