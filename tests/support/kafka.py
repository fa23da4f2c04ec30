"""The Kafka brokers of tests: one of the session, and one that lets in a few only."""

import fcntl
import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
)
from typing_extensions import override

from annolog.local.errors import LocalError
from annolog.local.jars import default_cache, find_jars, find_java
from annolog.local.kafka import LOOPBACK, Broker, Ports, archive_of, free_ports
from annolog.local.processes import Child
from tests.support.certificates import Authority, Certificate

_TERMINATED = 143
"""How Java ends that was told to."""


@cache
def java_and_jars() -> tuple[Path, Path]:
    """Find what a broker is made of, its classes ready for many starts."""
    java, jars = find_java(), find_jars(default_cache())
    _share_classes(java, jars)
    return java, jars


def _share_classes(java: Path, jars: Path) -> None:
    """Make the archive of a broker's classes, unless it is there."""
    archive = archive_of(java, jars)
    if archive.exists() or not os.access(archive.parent, os.W_OK):
        return
    with archive.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if archive.exists():
            return
        with tempfile.TemporaryDirectory() as home:
            # Under another name until it is whole: the end may be a kill.
            draft = archive.with_suffix(".new")
            flags = (f"-XX:ArchiveClassesAtExit={draft}", "-Xlog:cds*=off")
            child = Broker(Path(home), java=java, jars=jars, flags=flags).start()
            child.stop()
            if child.exit_code() in {0, _TERMINATED} and draft.exists():
                draft.replace(archive)


class KafkaServer:
    """A real broker. Without Java or Maven it raises: no test is skipped."""

    def __init__(self, home: Path) -> None:
        java, jars = java_and_jars()
        self._broker = Broker(home, java=java, jars=jars)
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        return self._broker.bootstrap

    def start(self) -> None:
        """Start it on the ports that it had, unless it runs."""
        if self._child is None or self._child.exit_code() is not None:
            self._child = self._broker.start()

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None

    def freeze(self) -> None:
        """Make it look slow: it answers nothing until it is thawed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._child is not None and self._child.exit_code() is None:
            self._child.send(number)


USER, PASSWORD = "annolog", "swordfish"

_LISTENERS = {
    "TLS": "SSL",  # lets in whoever comes, as nobody
    "SCRAM": "SASL_SSL",
    "CLEAR": "SASL_PLAINTEXT",
    "MUTUAL": "SSL",  # wants a certificate of the client
    "OTHERNAME": "SSL",  # its certificate is made out to another host
    "EXPIRED": "SSL",
    "LAX": "SSL",  # its certificate lacks what Strimzi's lack
}
_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Who signed what.

    Attributes
    ----------
    authority
        The one that broker and clients trust.
    stranger
        One that nobody trusts.
    client, expired, foreign
        Certificates of our user: a good one, and two that are none.
    """

    authority: Authority
    stranger: Authority
    client: Certificate
    expired: Certificate
    foreign: Certificate


class SecuredKafka(KafkaServer):
    """A broker with a listener for each way of letting clients in.

    Only `PLAINTEXT` (`bootstrap`) is open: whoever comes there may do everything, so
    that tests can grant rights to `USER`.
    """

    def __init__(self, home: Path) -> None:
        folder = home / "certificates"
        folder.mkdir(parents=True)
        own, stranger = Authority(folder, "own"), Authority(folder, "stranger")
        self.certificates = Certificates(
            own,
            stranger,
            own.sign(USER),
            own.sign(f"{USER}.expired", days=-1),
            stranger.sign(USER),
        )
        self._server = {
            "": own.sign("broker"),
            "OTHERNAME": own.sign("other", names="DNS:kafka.example"),
            "EXPIRED": own.sign("old", days=-1),
            "LAX": own.sign("lax", lax=True),
        }
        self._ports: dict[str, int] = {}
        java, jars = java_and_jars()
        self._broker = Broker(
            home,
            java=java,
            jars=jars,
            configure=self._properties,
            format_with=self._users(),
        )
        self._child = None

    @override
    def start(self) -> None:
        """Start it; its listeners have other ports each time."""
        try:
            super().start()
        except LocalError:
            # Of so many ports somebody may have taken one meanwhile.
            super().start()

    def at(self, listener: str) -> str:
        """Give the address of one of `_LISTENERS`, or of PLAINTEXT."""
        if listener == "PLAINTEXT":
            return self.bootstrap
        return f"{LOOPBACK}:{self._ports[listener]}"

    def allow(self, resource: str, name: str, *operations: str) -> None:
        """Grant rights to `USER` on a topic ("TOPIC") or another resource."""
        pattern = ResourcePattern(
            ResourceType[resource], name, ACLResourcePatternType.LITERAL
        )
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_acls(
                [
                    ACL(
                        f"User:{USER}",
                        "*",
                        ACLOperation[operation],
                        ACLPermissionType.ALLOW,
                        pattern,
                    )
                    for operation in operations
                ]
            )
        finally:
            admin.close()

    @staticmethod
    def _users() -> Sequence[str]:
        return ("--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")

    def _properties(self, ports: Ports) -> Mapping[str, str]:
        found_ports = free_ports(len(_LISTENERS))
        self._ports = dict(zip(_LISTENERS, found_ports, strict=True))
        plain = f"PLAINTEXT://{LOOPBACK}:{ports.broker}"
        more = [f"{name}://{self.at(name)}" for name in _LISTENERS]
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", **_LISTENERS}
        listeners = [plain, *more, f"CONTROLLER://{LOOPBACK}:{ports.controller}"]
        found = {
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join([plain, *more]),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.certificates.authority.file),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._server[""].both),
            "listener.name.mutual.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/,DEFAULT",
            "authorizer.class.name": (
                "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
            ),
            "super.users": "User:ANONYMOUS",
        }
        for name in ("SCRAM", "CLEAR"):
            place = f"listener.name.{name.lower()}.scram-sha-512.sasl.jaas.config"
            found[place] = _LOGIN
        for name, certificate in self._server.items():
            if name:
                place = f"listener.name.{name.lower()}.ssl.keystore"
                found[f"{place}.type"] = "PEM"
                found[f"{place}.location"] = str(certificate.both)
        return found
