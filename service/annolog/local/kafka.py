"""A real Kafka broker of annolog's own, with its data in a home.

One node in KRaft mode that is broker and controller, on two free ports of loopback.
The ports may be others at the next start; topics, offsets and transactions stay.
"""

import base64
import contextlib
import hashlib
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from annolog.local.errors import LocalError
from annolog.local.jars import SHIPPED
from annolog.local.processes import Child, Command, run

START_PATIENCE = 60.0
"""Seconds until the port must be open; 2 to 4 on an idle machine."""

LOOPBACK = "127.0.0.1"
"""The only address that the broker listens on."""

_PORTS_TRIED = 3


@dataclass(frozen=True, slots=True)
class Ports:
    """The two ports of a broker."""

    broker: int
    """For clients."""
    controller: int
    """For the node itself."""


class Broker:
    """One broker: where its data are, and how to start it.

    Parameters
    ----------
    home
        The directory whose `kafka` folder holds the data.
    java
        The program `java`.
    jars
        The directory of the jars, checked.
    configure
        Gives further properties, or others, for the ports of a start; None: the
        plain node on loopback.
    format_with
        Further words for the formatting of its storage.
    flags
        Further flags of the program `java` for the broker itself.
    """

    def __init__(
        self,
        home: Path,
        *,
        java: Path,
        jars: Path,
        configure: Callable[[Ports], Mapping[str, str]] | None = None,
        format_with: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self._home = home.absolute()
        self._directory = self._home / "kafka"
        self._java = java
        self._jars = jars
        self._configure = configure
        self._format_with = tuple(format_with)
        self._flags = tuple(flags)
        self._ports: Ports | None = None

    @property
    def bootstrap(self) -> str:
        """Where clients connect.

        Returns
        -------
        str
            Host and port, once it was started.
        """
        if self._ports is None:
            raise LocalError("the broker has no ports before its first start")
        return f"{LOOPBACK}:{self._ports.broker}"

    def start(self) -> Child:
        """Start the broker, formatting its storage on first use.

        The ports of the last start are taken again if they are free, so that
        consumers with a fixed address find it.

        Returns
        -------
        Child
            The broker, whose port is open.

        Raises
        ------
        LocalError
            The storage cannot be used, or the broker ended at its start.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            return self._start()
        except OSError as error:
            # Where a disk is full no file is named.
            place, why = error.filename or self._directory, error.strerror
            raise LocalError(f"cannot use {place}: {why}") from None

    def _start(self) -> Child:
        for tries_left in reversed(range(_PORTS_TRIED)):
            self._ports = self._choose_ports()
            self._write_properties(self._ports)
            self._format()
            child = Child(self._server(), self._home)
            try:
                child.wait_until(lambda: _answers(self.bootstrap), START_PATIENCE)
            except BaseException as error:
                child.stop()
                # Somebody may have taken a port since we looked.
                taken = not _free(self._ports.broker, self._ports.controller)
                if tries_left and taken and isinstance(error, LocalError):
                    continue
                raise
            else:
                return child
        raise AssertionError  # the last try returns or raises

    def _choose_ports(self) -> Ports:
        remembered = self._directory / "ports"
        with contextlib.suppress(OSError, ValueError):
            broker, controller = map(int, remembered.read_text("ascii").split())
            if _free(broker, controller):
                return Ports(broker, controller)
        ports = Ports(*free_ports(2))
        _write(remembered, b"%d %d\n" % (ports.broker, ports.controller))
        return ports

    def _write_properties(self, ports: Ports) -> None:
        wanted = dict(properties(self._data, ports))
        if self._configure is not None:
            wanted |= self._configure(ports)
        lines = (f"{k}={v}\n" for k, v in wanted.items())
        _write(self._directory / "server.properties", "".join(lines).encode())
        log = (SHIPPED / "log4j2.properties").read_bytes()
        _write(self._directory / "log4j2.properties", log)

    def _format(self) -> None:
        formatted = self._directory / "formatted"
        if formatted.exists():
            return
        name = self._directory / "cluster-id"
        if not name.exists():
            # 16 bytes as Kafka writes them; a leading dash would be an option to it.
            cluster = b"-"
            while cluster.startswith(b"-"):
                cluster = base64.urlsafe_b64encode(secrets.token_bytes(16))
            _write(name, cluster.rstrip(b"="))
        words = ("format", "-t", name.read_text("ascii"), "--ignore-formatted")
        run(
            self._java_command(
                "the formatting of the broker's storage",
                "kafka.tools.StorageTool",
                *words,
                "-c",
                str(self._directory / "server.properties"),
                *self._format_with,
            ),
            timeout=START_PATIENCE,
        )
        formatted.touch()

    def _server(self) -> Command:
        properties_file = str(self._directory / "server.properties")
        return self._java_command(
            "kafka", "kafka.Kafka", properties_file, flags=self._flags
        )

    def _java_command(
        self, name: str, main: str, *arguments: str, flags: Sequence[str] = ()
    ) -> Command:
        return Command(
            name,
            (
                str(self._java),
                "-Xmx192m",
                # A small heap and short runs: both start faster than the defaults.
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                *(flags or shared_classes(self._java, self._jars)),
                f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}",
                "-cp",
                f"{self._jars}/*",
                main,
                *arguments,
            ),
        )

    @property
    def _data(self) -> Path:
        return self._directory / "data"


def shared_classes(java: Path, jars: Path) -> Sequence[str]:
    """Give the flags by which a broker finds its classes in the archive.

    Parameters
    ----------
    java
        The program `java`.
    jars
        The directory of the jars.

    Returns
    -------
    Sequence
        Empty where there is no archive. Java looks itself whether one fits to it and to
        the jars, and without a word goes on without one that does not.
    """
    try:
        archive = archive_of(java, jars)
    except OSError:
        return ()  # who starts it says what is wrong with it
    if not archive.exists():
        return ()
    return (
        f"-XX:SharedArchiveFile={archive}",
        "-Xshare:auto",
        "-Xlog:cds=off",
        "-Xlog:cds+dynamic=off",
    )


def archive_of(java: Path, jars: Path) -> Path:
    """Give where the classes of a broker are kept as Java has them after its start.

    Brokers that find them start in half of the time. To make it takes a start and an
    end of a broker, so it is for those who start many, as tests do.

    Parameters
    ----------
    java
        The program `java`; another one has another archive.
    jars
        The directory of the jars, beside which it is.

    Returns
    -------
    Path
        The archive, which need not be there.

    Raises
    ------
    OSError
        There is no such program.
    """
    program = java.resolve()
    made = program.stat()
    known = f"{program} {made.st_mtime_ns} {made.st_size}"
    digest = hashlib.sha256(known.encode()).hexdigest()[:16]
    return jars.with_name(f"{jars.name}-{digest}.jsa")


def properties(data: Path, ports: Ports) -> Mapping[str, str]:
    """Give the configuration of a single node.

    Parameters
    ----------
    data
        The directory of its log.
    ports
        The ports that it listens on.

    Returns
    -------
    Mapping
        Values by property.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        # Not `controller.quorum.bootstrap.servers`: that writes the controller's port
        # into the log, and this one may change from start to start.
        "controller.quorum.voters": f"1@{LOOPBACK}:{ports.controller}",
        "listeners": (
            f"PLAINTEXT://{LOOPBACK}:{ports.broker},"
            f"CONTROLLER://{LOOPBACK}:{ports.controller}"
        ),
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{ports.broker}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A mistyped topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # The default takes 128 MB, more than half of this heap.
        "log.cleaner.dedupe.buffer.size": "8388608",
        # After a crash the controller waits for this before it lets the broker in
        # again: by default 9 s.
        "broker.session.timeout.ms": "1500",
        "broker.heartbeat.interval.ms": "300",
        "log.dirs": str(data),
    }


def free_ports(count: int) -> list[int]:
    """Find ports of loopback that nobody listens on now.

    Parameters
    ----------
    count
        How many.

    Returns
    -------
    list of int
        Different ports, in no order.
    """
    with contextlib.ExitStack() as held:
        # All are held until the last is found, or one could be found twice.
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _write(path: Path, content: bytes) -> None:
    # Whole or not at all: a name that a full disk cut off would be used for ever.
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(content)
    draft.replace(path)


def _free(*ports: int) -> bool:
    for port in ports:
        with socket.socket() as probe:
            # Else the closed connections of a broker that just stopped count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                return False
    return True


def _answers(bootstrap: str) -> bool:
    host, port = bootstrap.split(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host, int(port)), timeout=1).close()
        return True
    return False
