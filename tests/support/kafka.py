"""The Kafka broker of a test session, which tests may kill and start again."""

import signal
from pathlib import Path

from annolog.local.jars import default_cache, find_jars, find_java
from annolog.local.kafka import Broker
from annolog.local.processes import Child


class KafkaServer:
    """A real broker. Without Java or Maven it raises: no test is skipped."""

    def __init__(self, home: Path) -> None:
        jars = find_jars(default_cache())
        self._broker = Broker(home, java=find_java(), jars=jars)
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
