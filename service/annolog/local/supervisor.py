"""Start what annolog is made of, in order; watch over it; stop it in order.

The supervisor reads no settings and knows no part from the inside: it starts
programs, waits until they answer, starts again those that die, and ends them. Whoever
kills it outright loses nothing: its children get a signal when it dies, and what is
left all the same is ended by the next start.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType, MappingProxyType

from annolog.local.errors import FailedError, LocalError, NoBrokerError
from annolog.local.jars import find_jars, find_java
from annolog.local.kafka import Broker, free_ports
from annolog.local.postgres import Postgres
from annolog.local.processes import (
    Child,
    Command,
    end_leftover,
    ending,
    interrupted,
    pause,
)

FIRST_DELAY = 0.5
"""Seconds before a part that died is started again, doubled with each death."""

LONGEST_DELAY = 30.0
"""Seconds that are never exceeded between a death and the next start."""

STEADY = 30.0
"""Seconds after which a part that dies counts as one that had started well."""

WATCH = 0.2
"""Seconds between two looks at the parts."""

MIGRATE_PATIENCE = 600.0
"""Seconds that a migration of a large database may take."""

SERVE_PATIENCE = 60.0
"""Seconds until the service must answer."""

SAMPLE_PATIENCE = 120.0
"""Seconds that the sample night may take."""

LEFTOVERS = (
    ("sample", signal.SIGTERM),
    ("relay", signal.SIGTERM),
    ("serve", signal.SIGTERM),
    ("migrate", signal.SIGTERM),
    ("kafka", signal.SIGTERM),
    ("postgres", signal.SIGINT),
)
"""Every child by name, in the order of ending, with the signal that asks it to."""

LEFTOVER_PATIENCE = 20.0
"""Seconds that one of them may take before it is killed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run, and where."""

    home: Path
    """The directory for data, logs and records; made if it is missing."""
    host: str
    """Address or name that the service listens on."""
    port: int
    """Its port; 0: any free one."""
    annologd: tuple[str, ...]
    """How the operator's command is called, without a subcommand."""
    cache: Path
    """A directory for downloads, which many homes may share."""
    database_url: str = ""
    """A database elsewhere; empty: a server of our own."""
    kafka_bootstrap: str = ""
    """A broker elsewhere; empty: one of our own, if this machine can run it."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Further variables for all parts."""


class Part:
    """A child that is started again when it dies.

    Parameters
    ----------
    name
        What it is called in status lines.
    start
        Starts it and returns when it works.
    say
        Takes status lines.
    needs
        Gives the address that it is told at its start and cannot learn anew: it is
        started again when that is another one. None where there is none.
    """

    def __init__(
        self,
        name: str,
        start: Callable[[], Child],
        say: Callable[[str], None],
        needs: Callable[[], str] | None = None,
    ) -> None:
        self.name = name
        self._start = start
        self._say = say
        self._needs = needs or str
        self._deaths = 0
        self._again_at: float | None = None
        self._told = self._needs()
        self.child: Child | None = start()

    def look(self, now: float) -> None:
        """See whether it lives, and start it again once its delay is over.

        Parameters
        ----------
        now
            Seconds of the monotonic clock.
        """
        if self._again_at is not None:
            if now >= self._again_at:
                self._start_again()
        elif self.child is not None and (code := self.child.exit_code()) is not None:
            if now - self.child.began > STEADY:
                self._deaths = 0
            words, log = self.child.last_words(), self.child.log
            self.child.stop()
            self._delay(f"ended ({ending(code)}): {words} (see {log})")
        elif self.child is not None and (needed := self._needs()) != self._told:
            self._say(f"{self.name} is started again for the address {needed}")
            self.child.stop()
            self._start_again()

    def stop(self) -> None:
        """End it and let it be."""
        if self.child is not None:
            self.child.stop()

    def _start_again(self) -> None:
        try:
            self._told = self._needs()
            self.child = self._start()
        except (LocalError, OSError) as error:
            # A full disk among them: room may come, and the others work meanwhile.
            self._delay(f"cannot be started: {error}")
        else:
            self._again_at = None
            self._say(f"{self.name} runs again")

    def _delay(self, cause: str) -> None:
        delay = min(FIRST_DELAY * 2**self._deaths, LONGEST_DELAY)
        self._deaths += 1
        self._again_at = time.monotonic() + delay
        self._say(f"{self.name} {cause}; started again in {delay:g} s")


class Supervisor:
    """All parts of one annolog.

    Parameters
    ----------
    plan
        What to run.
    say
        Takes status lines, without a line end.
    """

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._home = plan.home.absolute()
        self._port = plan.port or free_ports(1)[0]
        self._parts: list[Part] = []
        self._postgres: Postgres | None = None
        self._broker: Broker | None = None

    def run(self) -> None:
        """Start everything, watch over it until a signal comes, and stop it.

        Raises
        ------
        LocalError
            Something stands in the way; everything is stopped again.
        """
        with _locked(self._home), _told_by_signals():
            self._end_leftovers()
            _require_port(self._plan.host, self._port)
            try:
                self._start()
                self._say("annolog runs; Ctrl-C stops it")
                while True:
                    pause(WATCH)
                    for part in self._parts:
                        part.look(time.monotonic())
            except KeyboardInterrupt:
                self._say("annolog stops")
            except OSError as error:
                # Such as a folder in the home that belongs to another user.
                place = error.filename or self._home
                raise LocalError(f"cannot use {place}: {error.strerror}") from None
            finally:
                self._stop()
        self._say("annolog has stopped; the data are kept")

    @property
    def _url(self) -> str:
        host = self._plan.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def _start(self) -> None:
        plan = self._plan
        self._say(f"annolog starts in {self._home}")
        if not plan.database_url:
            self._postgres = Postgres(self._home)
            self._keep("postgres", self._postgres.start)
        if not plan.kafka_bootstrap:
            self._start_broker()
        self._run_once("migrate", MIGRATE_PATIENCE)
        self._keep("serve", self._start_serve)
        if self._bootstrap:
            # A broker that comes back on other ports would be waited for in vain.
            self._keep(
                "relay", lambda: self._child("relay"), needs=lambda: self._bootstrap
            )
        self._load_sample()
        self._say(f"  service     {self._url}/annolog/v1")
        self._say(f"  contract    {self._url}/annolog/docs")
        self._say(f"  exposurelog {self._url}/exposurelog")
        self._say(f"  health      {self._url}/health/ready")
        if self._bootstrap:
            self._say(f"  Kafka       {self._bootstrap}")
        if self._postgres is not None:
            self._say(f"  PostgreSQL  {self._postgres.url()}")
        self._say(f"  logs        {self._home / 'log'}")

    def _start_broker(self) -> None:
        try:
            java, jars = find_java(), find_jars(self._plan.cache)
        except NoBrokerError as error:
            self._say(f"{error}; annolog runs without, and changes wait in the log")
            return
        self._broker = Broker(self._home, java=java, jars=jars)
        self._keep("kafka", self._broker.start)

    def _start_serve(self) -> Child:
        child = self._child("serve")
        try:
            child.wait_until(
                lambda: _is_ready(self._plan.host, self._port), SERVE_PATIENCE
            )
        except BaseException:
            child.stop()
            raise
        return child

    def _load_sample(self) -> None:
        done = self._home / "sample-loaded"
        if done.exists():
            return
        try:
            self._run_once("sample", SAMPLE_PATIENCE)
        except FailedError as error:
            # Something to look at is missing, and everything works.
            self._say(f"{error}; tried again at the next start")
        else:
            done.touch()

    def _keep(
        self,
        name: str,
        start: Callable[[], Child],
        needs: Callable[[], str] | None = None,
    ) -> None:
        self._parts.append(Part(name, start, self._say, needs))
        self._say(f"  {name} runs")

    def _run_once(self, subcommand: str, patience: float) -> None:
        child = self._child(subcommand)
        try:
            child.finish(patience)
        finally:
            child.stop()

    def _child(self, subcommand: str) -> Child:
        command = Command(
            subcommand, (*self._plan.annologd, subcommand), self._environment()
        )
        return Child(command, self._home)

    @property
    def _bootstrap(self) -> str:
        return self._broker.bootstrap if self._broker else self._plan.kafka_bootstrap

    def _environment(self) -> Mapping[str, str]:
        # Asked for at each start: a broker that died may have other ports.
        database = self._postgres.url() if self._postgres else self._plan.database_url
        return {
            **self._plan.environment,
            "ANNOLOG_DATABASE_URL": database,
            "ANNOLOG_HOME": str(self._home),
            "ANNOLOG_HOST": self._plan.host,
            "ANNOLOG_KAFKA_BOOTSTRAP": self._bootstrap,
            "ANNOLOG_PORT": str(self._port),
        }

    def _end_leftovers(self) -> None:
        ended = [
            name
            for name, ask in LEFTOVERS
            if end_leftover(self._home, name, ask, LEFTOVER_PATIENCE)
        ]
        if ended:
            self._say(f"ended what an earlier run left: {', '.join(ended)}")

    def _stop(self) -> None:
        for part in reversed(self._parts):
            part.stop()
        if self._postgres is not None:
            self._postgres.clean()


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        try:
            home.mkdir(mode=0o711, parents=True, exist_ok=True)
            lock = held.enter_context((home / "lock").open("a+", encoding="ascii"))
        except OSError as error:
            raise LocalError(
                f"cannot write to {home}: {error.strerror}; set ANNOLOG_HOME to a "
                "folder that may be written to"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LocalError(
                f"annolog runs in {home} already (process {lock.read().strip()})"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextlib.contextmanager
def _told_by_signals() -> Iterator[None]:
    def tell(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()

    interrupted.clear()
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        # As nohup and shells in the background ask for.
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = [signal.signal(number, tell) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# Says now, and in one line, what the service would say in its log.
def _require_port(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except socket.gaierror:
        raise LocalError(f"ANNOLOG_HOST: there is no host {host!r}") from None
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                why = "is taken by another program; set ANNOLOG_PORT to a free one"
            case errno.EADDRNOTAVAIL:
                why = "cannot be had: the address is none of this machine's"
            case _:
                why = f"cannot be had: {error.strerror}"
        raise LocalError(f"port {port} of {host} {why}") from None


def _is_ready(host: str, port: int) -> bool:
    # Who listens everywhere is reached here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
    connection = HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP's OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
