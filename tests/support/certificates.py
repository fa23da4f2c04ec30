"""Certificates for tests, made by openssl: an authority and what it signs."""

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
HERE = "DNS:localhost,IP:127.0.0.1"


class Authority:
    """An authority of its own, whose certificate is `file`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        _openssl(
            *("req", "-x509", *_KEY, "-days", "2", "-subj", f"/CN={name}"),
            *("-keyout", self._key, "-out", self.file),
            *("-addext", "basicConstraints=critical,CA:TRUE"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def sign(
        self, name: str, *, names: str = HERE, days: int = 1, lax: bool = False
    ) -> "Certificate":
        """Make a certificate; with days below 0 it has expired."""
        made = Certificate(self._folder / f"{self._name}-{name}")
        request = made.file.with_suffix(".csr")
        more = made.file.with_suffix(".ext")
        issuer = "none" if lax else "keyid"
        more.write_text(
            f"subjectAltName={names}\nauthorityKeyIdentifier={issuer}\n"
            "subjectKeyIdentifier=hash\n"
        )
        subject = name.partition(".")[0]
        _openssl(
            *("req", *_KEY, "-subj", f"/CN={subject}"),
            *("-keyout", made.key, "-out", request),
        )
        _openssl(
            *("x509", "-req", "-in", request, "-days", str(days)),
            *("-CA", self.file, "-CAkey", self._key, "-CAcreateserial"),
            *("-extfile", more, "-out", made.file),
        )
        # As Kafka wants it: the key, then the certificate.
        made.both.write_text(made.key.read_text() + made.file.read_text())
        return made


class Certificate:
    """A certificate, its key, and a file with both."""

    def __init__(self, stem: Path) -> None:
        self.file = stem.with_name(stem.name + ".pem")
        self.key = stem.with_name(stem.name + ".key")
        self.both = stem.with_name(stem.name + ".both.pem")


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)  # noqa: S607 - the one on the path
