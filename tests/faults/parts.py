"""Parts that are harmed: processes that a supervisor starts again, and brokers."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import httpx

from annolog.local.processes import Child, Command, ending
from tests.support.kafka import KafkaServer
from tests.support.marked import ROOT
from tests.support.ports import HOST, steady_ports
from tests.support.relay import COMMAND

AGAIN = 0.5
"""Seconds between a death and the next start."""

SITE_ID = "summit"


class Kept:
    """A process that is started again whenever it ends, as `annologd run` does.

    `look` does so; only who calls it starts processes, as a process ends with the
    thread that started it. All else may be called from any thread.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        command: Callable[[], Command],
        ready: Callable[["Kept"], bool],
    ) -> None:
        self.name = name
        self._home = home
        self._command = command
        self._ready = ready
        self._lock = threading.RLock()
        self._child: Child | None = None
        self._told_from = 0
        self._gone_at: float | None = time.monotonic() - AGAIN
        self._down_since: float | None = None
        self._closed = False
        self.restarts: list[float] = []
        """Seconds from each end until it was of use again."""
        self.endings: list[str] = []
        """How it ended, each time that nobody killed it."""

    @property
    def log(self) -> Path:
        return self._home / "log" / f"{self.name}.log"

    @property
    def is_ready(self) -> bool:
        """Whether it was found to be of use since its last start."""
        return self._child is not None and self._down_since is None

    def look(self) -> None:
        """Start it if it is not there; see whether it is of use already."""
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            child = self._child
            if child is not None and (code := child.exit_code()) is not None:
                if code != -signal.SIGKILL:
                    self.endings.append(f"{ending(code)}: {child.last_words()[:160]}")
                self._child, self._gone_at = None, now
                self._down_since = self._down_since or now
            elif child is None and self._gone_at is not None:
                if now - self._gone_at >= AGAIN:
                    log = self.log
                    self._told_from = log.stat().st_size if log.exists() else 0
                    self._child = Child(self._command(), self._home)
                    self._down_since = self._down_since or now
            elif self._down_since is not None and self._ready(self):
                self.restarts.append(time.monotonic() - self._down_since)
                self._down_since = None

    def kill(self) -> None:
        with self._lock:
            if self._child is not None:
                self._child.kill()
                self._down_since = self._down_since or time.monotonic()

    def send(self, number: signal.Signals) -> None:
        with self._lock:
            if self._child is not None:
                self._child.send(number)

    def close(self) -> None:
        """End it for good."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.send(signal.SIGCONT)
                self._child.stop()

    def told(self) -> str:
        """Give what it wrote since its last start."""
        with self._lock:
            if self._child is None or not self.log.exists():
                return ""
            with self.log.open("rb") as log:
                log.seek(self._told_from)
                return log.read().decode("utf-8", "replace")


class Service(Kept):
    """`annologd serve` on a port that it keeps over all its lives."""

    def __init__(self, which: int, home: Path, environment: Mapping[str, str]) -> None:
        (port,) = steady_ports(1)
        self.url = f"http://{HOST}:{port}"
        argv = (sys.executable, "-m", "annolog.cli", "serve", "--port", str(port))
        name = f"serve-{which + 1}"
        variables = {**environment, **at(home), "ANNOLOG_AUTH": "none"}
        super().__init__(name, home, lambda: Command(name, argv, variables), _serves)


class Relay(Kept):
    """`annologd relay`, one of two."""

    def __init__(
        self,
        name: str,
        home: Path,
        environment: Callable[[], Mapping[str, str]],
        replication: int,
    ) -> None:
        self.bootstrap = ""
        """The brokers that the present process knows."""

        def command() -> Command:
            variables = {**environment(), **at(home)}
            self.bootstrap = variables["ANNOLOG_KAFKA_BOOTSTRAP"]
            argv = (sys.executable, *COMMAND, "--replication", str(replication))
            return Command(name, argv, variables)

        super().__init__(name, home, command, _relays)

    @property
    def is_at_work(self) -> bool:
        """Whether it is the one that publishes, and not the one that waits."""
        return WORKS in self.told()


WORKS = "goes on after change"
WAITS = "another relay is at work"


def _relays(relay: Kept) -> bool:
    told = relay.told()
    return WORKS in told or WAITS in told


def _serves(service: Kept) -> bool:
    assert isinstance(service, Service)
    try:
        answer = httpx.get(f"{service.url}/health/ready", timeout=1.0)
    except httpx.TransportError:
        return False
    return answer.status_code == 200


def at(home: Path) -> Mapping[str, str]:
    """Give the variables that every process of a home has."""
    path = ":".join(str(ROOT / place) for place in ("", "service", "client"))
    return {
        "PYTHONPATH": path,
        "ANNOLOG_HOME": str(home),
        "ANNOLOG_SITE_ID": SITE_ID,
    }


class Brokers(Protocol):
    """One broker or several, of which each may be harmed."""

    @property
    def bootstrap(self) -> str: ...

    def start(self, which: int = 0) -> None: ...

    def stop(self, which: int = 0) -> None: ...

    def kill(self, which: int = 0) -> None: ...

    def freeze(self, which: int = 0) -> None: ...

    def thaw(self, which: int = 0) -> None: ...


class OneBroker:
    """A single broker, as a home has one."""

    def __init__(self, server: KafkaServer) -> None:
        self._server = server

    @property
    def bootstrap(self) -> str:
        return self._server.bootstrap

    def start(self, which: int = 0) -> None:
        del which
        self._server.start()

    def stop(self, which: int = 0) -> None:
        del which
        self._server.stop()

    def kill(self, which: int = 0) -> None:
        del which
        self._server.kill()

    def freeze(self, which: int = 0) -> None:
        del which
        self._server.freeze()

    def thaw(self, which: int = 0) -> None:
        del which
        self._server.thaw()
