"""Why a broker does not let us in, in plain words and before anything else is tried.

kafka-python tries again until its time is up and then says "Unable to bootstrap",
whatever the reason was. So the same way is gone once by hand: connect, TLS, the
protocol, the password, and on to where the broker sends its clients.
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kafka.net.sasl import get_sasl_mechanism

from annolog.domain.errors import AnnologError

SECONDS = 5.0
"""A broker that takes a connection and then says nothing for so long is passed over."""

_API_VERSIONS, _METADATA, _SASL_HANDSHAKE, _SASL_AUTHENTICATE = 18, 3, 17, 36
_UNSUPPORTED_MECHANISM, _ILLEGAL_SASL_STATE = 33, 34
_CLIENT = b"annolog"
_MOST = 1_000_000
"""Bytes of an answer; more means that the other side speaks no Kafka."""

_INTEGER = 4
"""Bytes of a length, and of the correlation id that every answer begins with."""

_TLS_ALERT = b"\x15\x03"
"""How TLS begins to say that it does not understand."""


class RefusedError(AnnologError):
    """A broker is there and does not let us in; somebody has to change something."""

    code = "broker_refuses"


class _Ended(Exception):  # noqa: N818 - not an error to anyone outside
    """The other side ended the connection, or said what is no Kafka."""

    def __init__(self, said: bytes = b"") -> None:
        super().__init__()
        self.said = said


@dataclass(frozen=True, slots=True)
class _Way:
    """How we come to one broker."""

    address: str
    options: Mapping[str, Any]

    @property
    def protocol(self) -> str:
        return str(self.options.get("security_protocol", "PLAINTEXT"))

    @property
    def context(self) -> ssl.SSLContext | None:
        found = self.options.get("ssl_context")
        return found if isinstance(found, ssl.SSLContext) else None

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def try_entrance(address: str, options: Mapping[str, Any]) -> None:
    """See whether a broker lets us in. Blocks.

    Parameters
    ----------
    address
        Host and port, with a colon between.
    options
        Options of kafka-python, as `security.Security.options` gives them.

    Raises
    ------
    OSError
        If nobody answers there.
    RefusedError
        If somebody answers and does not let us in, with the reason.
    """
    way = _Way(address, options)
    with _connected(way) as line:
        others = _let_in(line, way)
    away: list[str] = []
    for other in others:
        if other == address:
            return
        try:
            # Whether its certificate is good for the name that we are sent to.
            with _connected(_Way(other, options)):
                return
        except OSError:
            away.append(other)
        except RefusedError as error:
            raise RefusedError(
                f"{address} lets us in and sends us on: {error.detail}"
            ) from None
    if away:
        raise RefusedError(
            f"{address} lets us in and sends us on to {', '.join(away)}, where nobody"
            " answers: the brokers' advertised.listeners must be reachable from here"
        )


@contextlib.contextmanager
def _connected(way: _Way) -> Iterator[socket.socket]:
    plain = socket.create_connection((way.host, way.port), SECONDS)
    with contextlib.closing(plain):
        plain.settimeout(SECONDS)
        if way.context is None:
            yield plain
            return
        try:
            line = way.context.wrap_socket(plain, server_hostname=way.host)
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(_distrust(way, error)) from None
        except OSError as error:
            raise RefusedError(_no_tls(way, error)) from None
        with contextlib.closing(line):
            yield line


def _distrust(way: _Way, error: ssl.SSLCertVerificationError) -> str:
    """Say what is wrong with the broker's certificate, and what to do."""
    what = f"the certificate of {way.address} is not accepted: "
    said = error.verify_message.strip()
    lowered = said.lower()
    if "mismatch" in lowered or "not valid for" in lowered:
        return what + (
            f"it is not made out to {way.host!r}; name the broker in"
            " ANNOLOG_KAFKA_BOOTSTRAP as its certificate does, or have that name added"
        )
    if "expired" in lowered or "not yet valid" in lowered:
        return what + f"{said}; it must be renewed, or a clock is wrong"
    if "issuer" in lowered or "self" in lowered or "signature" in lowered:
        return what + (
            f"another authority signed it than ANNOLOG_KAFKA_SSL_CAFILE holds ({said})"
        )
    return what + (
        f"{said}; if the brokers' certificates cannot be mended, as Strimzi's, set"
        " ANNOLOG_KAFKA_SSL_STRICT=false"
    )


def _no_tls(way: _Way, error: OSError) -> str:
    reason = getattr(error, "reason", None) or type(error).__name__
    alert = _alert(error)
    if alert:
        return _refused_certificate(way, alert)
    return (
        f"{way.address} does not speak TLS ({reason}), and"
        f" ANNOLOG_KAFKA_SECURITY_PROTOCOL={way.protocol} wants it: use the brokers'"
        " TLS port, or a protocol without SSL"
    )


def _alert(error: OSError) -> str:
    """Give what the other side said by TLS, such as "certificate required"."""
    reason = getattr(error, "reason", None) or ""
    return reason.partition("ALERT_")[2].replace("_", " ").lower()


def _refused_certificate(way: _Way, alert: str) -> str:
    # By TLS 1.2 a broker calls the certificate that it did not get a bad one.
    if alert in {"certificate required", "bad certificate"}:
        return (
            f"{way.address} asks for a certificate of ours: set"
            " ANNOLOG_KAFKA_SSL_CERTFILE and ANNOLOG_KAFKA_SSL_KEYFILE"
        )
    return (
        f"{way.address} refuses the certificate in ANNOLOG_KAFKA_SSL_CERTFILE"
        f" ({alert}): an authority must sign it that the broker trusts"
    )


# ------------------------------------------------------------------ Kafka's protocol


def _let_in(line: socket.socket, way: _Way) -> list[str]:
    """Go in over an open connection, and give where the broker sends its clients."""
    try:
        _ask(line, _API_VERSIONS, 0)
    except _Ended as ended:
        raise RefusedError(_no_kafka(way, ended.said)) from None
    except OSError as error:
        raise RefusedError(_broken(way, error)) from None
    try:
        if way.protocol.startswith("SASL_"):
            _authenticate(line, way)
        return _brokers(_ask(line, _METADATA, 1, struct.pack(">i", 0)))
    except (_Ended, OSError, struct.error):
        if way.protocol.startswith("SASL_"):
            reason = "ended the connection while we proved our password"
        else:
            reason = (
                "wants a user and a password, and ANNOLOG_KAFKA_SECURITY_PROTOCOL="
                f"{way.protocol} sends none: set SASL_{way.protocol}, with"
                " ANNOLOG_KAFKA_SASL_USERNAME and ANNOLOG_KAFKA_SASL_PASSWORD"
            )
        raise RefusedError(f"{way.address} {reason}") from None


def _no_kafka(way: _Way, said: bytes) -> str:
    if way.context is not None:
        return f"{way.address} speaks TLS and no Kafka: is it a broker's port?"
    if said.startswith(_TLS_ALERT):
        return (
            f"{way.address} speaks TLS, and ANNOLOG_KAFKA_SECURITY_PROTOCOL="
            f"{way.protocol} does not: set SSL or SASL_SSL, or use another port"
        )
    return f"{way.address} does not answer as a Kafka broker: is it the right port?"


def _broken(way: _Way, error: OSError) -> str:
    alert = _alert(error)
    if alert:
        return _refused_certificate(way, alert)
    if isinstance(error, TimeoutError):
        return f"{way.address} takes connections and says nothing for {SECONDS:g} s"
    return _no_kafka(way, b"")


def _authenticate(line: socket.socket, way: _Way) -> None:
    wanted = str(way.options["sasl_mechanism"])
    told = _Reader(_ask(line, _SASL_HANDSHAKE, 1, _string(wanted)))
    match told.number(">h"):
        case 0:
            pass
        case code if code == _UNSUPPORTED_MECHANISM:
            known = ", ".join(told.strings()) or "none"
            raise RefusedError(
                f"{way.address} does not take ANNOLOG_KAFKA_SASL_MECHANISM={wanted};"
                f" it takes {known}"
            )
        case code if code == _ILLEGAL_SASL_STATE:
            raise RefusedError(
                f"{way.address} asks for no password: its port is for"
                f" ANNOLOG_KAFKA_SECURITY_PROTOCOL="
                f"{way.protocol.removeprefix('SASL_')}, not {way.protocol}"
            )
        case code:
            raise RefusedError(f"{way.address} refuses SASL (Kafka's error {code})")
    proof = get_sasl_mechanism(wanted)(**way.options)
    while not proof.is_done():
        sent = proof.auth_bytes()
        told = _Reader(
            _ask(line, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(sent)) + sent)
        )
        if told.number(">h"):
            raise RefusedError(
                f"{way.address} refuses user {way.options['sasl_plain_username']!r}:"
                f" wrong name or password, or not for {wanted} ({told.string()})"
            )
        told.string()
        proof.receive(told.block())


def _brokers(answer: bytes) -> list[str]:
    told = _Reader(answer)
    found = []
    for _ in range(told.number(">i")):
        told.number(">i")
        host, port = told.string(), told.number(">i")
        told.string()  # its rack
        found.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return found


def _ask(line: socket.socket, api: int, version: int, body: bytes = b"") -> bytes:
    """Send a request and give the answer behind its correlation id."""
    head = struct.pack(">hhih", api, version, 1, len(_CLIENT)) + _CLIENT
    line.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    start = _exactly(line, _INTEGER)
    (size,) = struct.unpack(">i", start)
    if not _INTEGER <= size <= _MOST:
        raise _Ended(start)
    return _exactly(line, size)[_INTEGER:]


def _exactly(line: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = line.recv(size - len(found))
        if not piece:
            raise _Ended(found)
        found += piece
    return found


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()


class _Reader:
    """Reads an answer from its beginning."""

    def __init__(self, answer: bytes) -> None:
        self._left = answer

    def number(self, form: str) -> int:
        size = struct.calcsize(form)
        found: int
        (found,) = struct.unpack(form, self._left[:size])
        self._left = self._left[size:]
        return found

    def string(self) -> str:
        return self._take(self.number(">h")).decode("utf-8", "replace")

    def strings(self) -> list[str]:
        return [self.string() for _ in range(self.number(">i"))]

    def block(self) -> bytes:
        return self._take(self.number(">i"))

    def _take(self, size: int) -> bytes:
        size = max(size, 0)  # -1 means that there is none
        found, self._left = self._left[:size], self._left[size:]
        return found
