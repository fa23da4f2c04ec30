"""What a broker's listener asks for, and how we answer: passwords and certificates."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from annolog.domain.errors import AnnologError


class SecurityError(AnnologError):
    """A file that the settings name cannot be used."""

    code = "setting_kafka"


@dataclass(frozen=True, slots=True)
class Security:
    """What the brokers' listener asks for, and how we answer.

    Attributes
    ----------
    protocol
        PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    mechanism, username, password
        For SASL: how the password is proved, and whose it is.
    cafile
        PEM file with the authority of the brokers' certificates; empty: those that
        this machine trusts.
    certfile, keyfile
        PEM files with our own certificate and its key; empty where there is none, or
        the key stands beside the certificate.
    strict
        Whether certificates must have all that RFC 5280 asks for.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    strict: bool = True

    def options(self) -> Mapping[str, Any]:
        """Give the options of kafka-python that say the same; reads the files.

        Raises
        ------
        SecurityError
            If a file cannot be read or used.
        """
        found: dict[str, Any] = {"security_protocol": self.protocol}
        if self.protocol.endswith("SSL"):
            found["ssl_context"] = self._context()
        if self.protocol.startswith("SASL_"):
            found["sasl_mechanism"] = self.mechanism
            found["sasl_plain_username"] = self.username
            found["sasl_plain_password"] = self.password
        return found

    def _context(self) -> ssl.SSLContext:
        for variable, path in (
            ("CAFILE", self.cafile),
            ("CERTFILE", self.certfile),
            ("KEYFILE", self.keyfile),
        ):
            if path:
                _demand_readable(f"ANNOLOG_KAFKA_SSL_{variable}", path)
        try:
            context = ssl.create_default_context(cafile=self.cafile or None)
        except ssl.SSLError:
            raise SecurityError(
                f"ANNOLOG_KAFKA_SSL_CAFILE: {self.cafile!r} holds no certificate in PEM"
            ) from None
        if self.strict:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
        else:
            # From Python 3.13 on it is set unless it is taken away.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if self.certfile:
            try:
                # Without a password to try, OpenSSL would ask on the terminal.
                context.load_cert_chain(
                    self.certfile, self.keyfile or None, password=lambda: ""
                )
            except ssl.SSLError as error:
                raise SecurityError(_unusable(self, error)) from None
            if _has_expired(self.certfile, self.keyfile or None):
                raise SecurityError(
                    f"ANNOLOG_KAFKA_SSL_CERTFILE: {self.certfile!r} has expired, or is"
                    " not valid yet; have it renewed"
                )
        return context


def _demand_readable(variable: str, path: str) -> None:
    try:
        with open(path, "rb"):  # noqa: PTH123 - only whether it can be
            pass
    except OSError as error:
        raise SecurityError(
            f"{variable}: cannot read {path!r}: {error.strerror}"
        ) from None


def _unusable(security: Security, error: ssl.SSLError) -> str:
    key = security.keyfile or security.certfile
    if error.reason == "KEY_VALUES_MISMATCH":
        why = f"the key in {key!r} belongs to another certificate"
    else:
        why = (
            f"it must hold our certificate in PEM, and {key!r} its key, not locked by a"
            " passphrase"
        )
    return f"ANNOLOG_KAFKA_SSL_CERTFILE: {security.certfile!r} cannot be used: {why}"


_OUT_OF_TIME = frozenset({9, 10})
"""What OpenSSL calls a certificate that is not valid yet, or no longer."""


def _has_expired(certfile: str, keyfile: str | None) -> bool:
    """Tell whether a certificate of ours is out of its time.

    Brokers say no more than that they do not like it. Python tells the dates of a peer
    alone, so we are our own peer, in memory.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certfile, keyfile)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certfile)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(back, there),
        server.wrap_bio(there, back, server_side=True),
    )
    for _ in range(3):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                # Anything else, as its purpose, is for the broker to judge.
                return error.verify_code in _OUT_OF_TIME
            except ssl.SSLError:
                return False
    return False
