"""Which certificates are trusted, and how often they are read."""

import os
from pathlib import Path

import certifi
import pytest

from integration_assets.extract.trust import trusted


def test_certificates_are_read_once_and_again_when_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of one process share what was read; an authority that is put in place later is trusted without a restart."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    everyone = trusted()
    assert trusted() is everyone
    several = Path(certifi.where()).read_text().split("\n\n")
    own = tmp_path / "authority.pem"
    own.write_text(several[1])
    os.utime(own, ns=(1, 1))
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    mine = trusted()
    assert len(mine.get_ca_certs()) < len(everyone.get_ca_certs())
    own.write_text("\n\n".join(several))
    assert mine is not trusted()
    assert len(trusted().get_ca_certs()) == len(everyone.get_ca_certs())
