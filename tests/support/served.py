"""A service process of its own, which a test may kill, freeze and start again."""

import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.support.marked import Marked
from tests.support.ports import steady_ports

STARTED_WITHIN = 30.0
"""Seconds that a process may take until it serves."""


class ServiceProcess:
    """`annologd serve` on a port that it keeps over all its lives."""

    def __init__(
        self,
        database_url: str,
        home: Path,
        *,
        site_id: str = "summit",
        **settings: str,
    ) -> None:
        (self.port,) = steady_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._home = home
        self._environment = {
            "ANNOLOG_DATABASE_URL": database_url,
            "ANNOLOG_SITE_ID": site_id,
            "ANNOLOG_AUTH": "none",
            "ANNOLOG_HOME": str(home),
            **{f"ANNOLOG_{name.upper()}": value for name, value in settings.items()},
        }
        self._running: Marked | None = None
        self.earlier = ""
        """What it printed in its earlier lives."""

    def __enter__(self) -> Self:
        self.start()
        self.wait_until_ready()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start it anew; it does not serve yet when this returns."""
        self.close()
        argv = ("-m", "annolog.cli", "serve", "--port", str(self.port))
        self._running = Marked(argv, self._home, self._environment)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTED_WITHIN
        while True:
            try:
                if httpx.get(f"{self.url}/health/ready").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.1)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        assert self._running is not None
        self._running.process.send_signal(number)

    def stop(self) -> int:
        """End it in order, and give its exit code."""
        assert self._running is not None
        return self._running.end(signal.SIGTERM)

    def told(self) -> str:
        """Give what it printed in all its lives."""
        return self.earlier + (self._running.told() if self._running else "")

    def close(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            running.close()
            self.earlier += running.told() + "\n"
