"""The stage: all parts of a site, and who watches over them."""

import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from annolog.local.processes import interrupted
from annolog.stream.topics import Topics
from tests.faults.parts import Brokers, Kept, Relay, Service, at
from tests.support.postgres import PostgresServer
from tests.support.small_disk import SmallDisk

LOOK = 0.1
"""Seconds between two looks at the processes."""

SERVES_WITHIN = 90.0
"""Seconds that all may take until they are of use, on a machine with much to do."""


@dataclass(frozen=True)
class Site:
    """Where a stage plays.

    Attributes
    ----------
    home
        Directory of logs and records.
    postgres
        The server, which runs.
    database_url
        A migrated database on it.
    brokers
        The brokers, which run.
    broker_count
        How many they are, and how many copies each partition has.
    prefix
        What the names of the topics begin with.
    disks
        Small disks by part, where they can be filled.
    """

    home: Path
    postgres: PostgresServer
    database_url: str
    brokers: Brokers
    broker_count: int = 1
    prefix: str = "faults"
    disks: Mapping[str, SmallDisk] = field(default_factory=dict)


class Stage:
    """Two services and two relays on a site, watched over.

    `watch` and `settle` belong to the thread that made the stage.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.topics = Topics.named(site.prefix)
        self.services = [Service(n, site.home, self._environment()) for n in range(2)]
        self.relays = [self.relay(f"relay-{n + 1}") for n in range(2)]
        self._held = ExitStack()
        self._hands: dict[str, ThreadPoolExecutor] = {}
        self._aborted = threading.Event()

    def __enter__(self) -> Self:
        try:
            self._await_all()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._aborted.set()
        if error is not None:
            # Whoever waits for a server in another thread shall not go on.
            interrupted.set()
            for part in self._all():
                part.kill()
        for part in self._all():
            part.close()
        self._held.close()
        interrupted.clear()

    def hand(self, part: str) -> ThreadPoolExecutor:
        """Give the thread that harms a part: one after the other, and to the end.

        A server ends with the thread that started it, so there is one for good.
        """
        if part not in self._hands:
            made = ThreadPoolExecutor(1, thread_name_prefix=part)
            self._hands[part] = self._held.enter_context(made)
        return self._hands[part]

    def settle(self) -> None:
        """Make sure that all parts are there, and wait until they are of use."""
        started = [self.hand("postgres 0").submit(self.site.postgres.start)]
        for which in range(self.site.broker_count):
            start = self.site.brokers.start
            started.append(self.hand(f"broker {which}").submit(start, which))
        for each in started:
            each.result()
        self._await_all()

    def command_environment(self) -> dict[str, str]:
        """Give the variables with which an operator's command works on this site."""
        return {**os.environ, **self._environment(), **at(self.site.home)}

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than the stage lasts."""
        self._aborted.wait(seconds)

    def _all(self) -> Sequence[Kept]:
        return [*self.services, *self.relays]

    def watch(self) -> None:
        """Look after all processes once; for whoever waits for something."""
        for part in self._all():
            part.look()
        for relay in self.relays:
            # A broker whose port was taken while it was dead comes back elsewhere.
            if relay.bootstrap and relay.bootstrap != self._bootstrap():
                relay.kill()

    def _await_all(self) -> None:
        deadline = time.monotonic() + SERVES_WITHIN
        while not all(part.is_ready for part in self._all()):
            self.watch()
            if time.monotonic() > deadline:
                late = [part for part in self._all() if not part.is_ready]
                words = "; ".join(f"{p.name}: {p.told()[-500:]!r}" for p in late)
                raise TimeoutError(f"not of use within {SERVES_WITHIN:g} s: {words}")
            time.sleep(LOOK)

    def relay(self, name: str) -> Relay:
        """Make one more relay of this site."""
        return Relay(name, self.site.home, self._environment, self.site.broker_count)

    def _environment(self) -> Mapping[str, str]:
        return {
            "ANNOLOG_DATABASE_URL": self.site.database_url,
            "ANNOLOG_KAFKA_BOOTSTRAP": self._bootstrap(),
            "ANNOLOG_KAFKA_TOPIC_PREFIX": self.site.prefix,
        }

    def _bootstrap(self) -> str:
        return self.site.brokers.bootstrap
