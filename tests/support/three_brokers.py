"""Three brokers on loopback that are one cluster, to be killed one by one.

Each is broker and controller. Topics have three copies, of which two must have a
record before it counts: one broker may go at any time.
"""

import base64
import contextlib
import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from annolog.local.jars import SHIPPED
from annolog.local.kafka import Ports, properties, shared_classes
from annolog.local.processes import Child, Command, run
from tests.support.kafka import java_and_jars
from tests.support.ports import HOST, steady_ports

BROKERS = 3

PATIENCE = 90.0
"""Seconds until a port must be open: each waits for another one to vote for it."""


class ThreeBrokers:
    """A cluster whose brokers keep their ports over all their lives."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._java, self._jars = java_and_jars()
        numbers = steady_ports(2 * BROKERS)
        self._ports = [
            Ports(broker, controller)
            for broker, controller in zip(
                numbers[:BROKERS], numbers[BROKERS:], strict=True
            )
        ]
        self._children: list[Child | None] = [None] * BROKERS

    @property
    def bootstrap(self) -> str:
        return ",".join(f"{HOST}:{ports.broker}" for ports in self._ports)

    def start_all(self) -> None:
        """Format the storage of each, start them, and wait until all serve."""
        # 16 bytes as Kafka writes them; a leading dash would be an option to it.
        cluster = "-"
        while cluster.startswith("-"):
            cluster = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()
        for which in range(BROKERS):
            self._configure(which)
            words = ("format", "-t", cluster.rstrip("="), "-c", str(self._file(which)))
            main = "kafka.tools.StorageTool"
            run(self._java_command(which, main, *words), timeout=PATIENCE)
        # A quorum is two: none would get ready while it is waited for alone.
        for which in range(BROKERS):
            self._launch(which)
        for which in range(BROKERS):
            self.start(which)

    def start(self, which: int = 0) -> None:
        """Start one, unless it runs, and wait until it serves."""
        child = self._children[which]
        if child is None or child.exit_code() is not None:
            child = self._launch(which)
        child.wait_until(lambda: _answers(self._ports[which].broker), PATIENCE)

    def stop(self, which: int = 0) -> None:
        """End one in order; one that has lost its quorum would never end so."""
        child, self._children[which] = self._children[which], None
        if child is not None:
            child.stop()

    def kill(self, which: int = 0) -> None:
        child, self._children[which] = self._children[which], None
        if child is not None:
            child.kill()

    def freeze(self, which: int = 0) -> None:
        self._signal(which, signal.SIGSTOP)

    def thaw(self, which: int = 0) -> None:
        self._signal(which, signal.SIGCONT)

    def close(self) -> None:
        for which in range(BROKERS):
            self.kill(which)

    def _signal(self, which: int, number: signal.Signals) -> None:
        child = self._children[which]
        if child is not None:
            child.send(number)

    def _launch(self, which: int) -> Child:
        command = self._java_command(which, "kafka.Kafka", str(self._file(which)))
        child = self._children[which] = Child(command, self._home)
        return child

    def _configure(self, which: int) -> None:
        file = self._file(which)
        file.parent.mkdir(parents=True)
        lines = (f"{name}={value}\n" for name, value in self._properties(which).items())
        file.write_text("".join(lines), "utf-8")
        log = (SHIPPED / "log4j2.properties").read_bytes()
        (file.parent / "log4j2.properties").write_bytes(log)

    def _properties(self, which: int) -> Mapping[str, str]:
        voters = ",".join(
            f"{node}@{HOST}:{ports.controller}"
            for node, ports in enumerate(self._ports, start=1)
        )
        copies = str(BROKERS)
        return {
            **properties(self._file(which).parent / "data", self._ports[which]),
            "node.id": str(which + 1),
            "controller.quorum.voters": voters,
            "default.replication.factor": copies,
            "min.insync.replicas": "2",
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": "2",
            "share.coordinator.state.topic.replication.factor": copies,
            # With the 1.5 s of a single one, a busy machine loses healthy brokers.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
        }

    def _file(self, which: int) -> Path:
        return self._home / "kafka" / str(which + 1) / "server.properties"

    def _java_command(self, which: int, main: str, *arguments: str) -> Command:
        settings = self._file(which).parent / "log4j2.properties"
        return Command(
            f"kafka-{which + 1}",
            (
                str(self._java),
                "-Xmx192m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *shared_classes(self._java, self._jars),
                f"-Dlog4j2.configurationFile={settings}",
                "-cp",
                f"{self._jars}/*",
                main,
                *arguments,
            ),
            patience=5.0,
        )


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((HOST, port), timeout=1).close()
        return True
    return False
