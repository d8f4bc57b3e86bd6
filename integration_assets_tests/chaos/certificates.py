"""Certificates that a client must trust, and ones that it must not, made when they are needed."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = timedelta(days=1)


class Authority:
    """A certificate authority of this test run's own, in `folder`; `file` is what a client trusts it by."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chaos authority")])
        self._certificate = self._sign(self._name, self._key, self._name, self._key, authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def context(self, kind: str, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
        """A server's context for localhost: `good`, `expired`, `early`, `other host`, `self-signed` or `other authority`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
        issuer, signer = (self._name, self._key)
        if kind == "self-signed":
            issuer, signer = name, key
        if kind == "other authority":
            signer = ec.generate_private_key(ec.SECP256R1())
        shift = {"expired": -10 * DAY, "early": 10 * DAY}.get(kind, timedelta(0))
        host = "elsewhere.example" if kind == "other host" else "localhost"
        certificate = self._sign(name, key, issuer, signer, shift=shift, host=host)
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A file of its own: cases run at the same time, and two of one kind would write theirs over each other.
        with NamedTemporaryFile(dir=self._folder, suffix=".pem") as file:
            file.write(
                key.private_bytes(serialization.Encoding.PEM, *plain) + certificate.public_bytes(serialization.Encoding.PEM)
            )
            file.flush()
            context.load_cert_chain(file.name)
        context.set_alpn_protocols(list(protocols))
        return context

    @staticmethod
    def _sign(
        name: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Name,
        signer: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        shift: timedelta = timedelta(0),
        host: str = "localhost",
    ) -> x509.Certificate:
        begins = datetime.now(UTC) - DAY + shift
        draft = x509.CertificateBuilder(
            issuer, name, key.public_key(), x509.random_serial_number(), begins, begins + 2 * DAY
        ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        draft = draft.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        theirs = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        draft = draft.add_extension(own, critical=False).add_extension(theirs, critical=False)
        return draft.sign(signer, hashes.SHA256())
