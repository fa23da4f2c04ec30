"""Relay processes for tests, which kill and freeze them."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import asyncpg
from kafka import TopicPartition
from kafka.errors import KafkaError

from annolog.storage import changes
from annolog.stream.consume import Received, Until, follow
from annolog.stream.topics import (
    PARTITIONS,
    Access,
    BrokerAwayError,
    Topics,
    administer,
)
from tests.support import log
from tests.support.marked import ROOT

COMMAND = ("-m", "tests.support.relay_command")
PATH = os.pathsep.join(str(ROOT / one) for one in ("", "service"))


class RelayProcess:
    """A relay as operators run it: a process with settings in its environment.

    Like a supervisor it can be started again; `restart` does so for as long as the
    process says that it failed.
    """

    def __init__(
        self,
        database_url: str,
        bootstrap: str,
        prefix: str,
        out: Path,
        *,
        site_id: str = log.SITE_ID,
        piece: int = 0,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": PATH,
            "ANNOLOG_DATABASE_URL": database_url,
            "ANNOLOG_KAFKA_BOOTSTRAP": bootstrap,
            "ANNOLOG_KAFKA_TOPIC_PREFIX": prefix,
            "ANNOLOG_SITE_ID": site_id,
            # So small that an order takes long enough to be interrupted.
            "TEST_PIECE": str(piece),
            **more,
        }
        self._out = out
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._out.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *COMMAND],
                env=self._environment,
                stdout=out,
                stderr=out,
            )

    @property
    def exit_code(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def said(self) -> str:
        """Give all that it wrote, over all its lives."""
        return self._out.read_text() if self._out.exists() else ""

    def lines(self) -> list[str]:
        return self.said().splitlines()

    def wait_for(self, words: str, *, times: int = 1, seconds: float = 20) -> None:
        """Wait until it has written something so many times."""
        deadline = time.monotonic() + seconds
        while self.said().count(words) < times:
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.said()}"
            time.sleep(0.02)

    def wait(self, seconds: float = 20) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> int:
        self._signal(signal.SIGTERM)
        return self.wait()

    def revive(self) -> None:
        """Do what a supervisor does: start it again if it ended with a failure."""
        if self.exit_code is not None:
            self.start()

    def clean(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


async def published(
    bootstrap: str, topic: str, *, ended: bool = True
) -> list[Received]:
    """Read all that a topic has for a read_committed consumer, as it stands there.

    A broker ends a transaction some time after it has acknowledged it, which is waited
    for unless told otherwise.
    """

    def read() -> list[Received]:
        deadline = time.monotonic() + 30
        while ended and is_open(bootstrap, topic):
            assert time.monotonic() < deadline, f"a transaction stays open in {topic}"
            time.sleep(0.02)
        return list(
            follow(Access(bootstrap), topic, until=Until(end=True), dedupe=False)
        )

    return await asyncio.to_thread(read)


async def wait_until_published(
    conn: "asyncpg.Connection[asyncpg.Record]",
    prefix: str,
    number: int,
    seconds: float = 30,
) -> None:
    """Wait until the relay says that it published a change."""
    topic = Topics.named(prefix).changes
    deadline = time.monotonic() + seconds
    while (await changes.floor(conn, topic) or 0) < number:
        assert time.monotonic() < deadline, f"{number} was never published"
        await asyncio.sleep(0.02)


def is_open(bootstrap: str, topic: str) -> bool:
    """Tell whether a transaction is open in a topic; also if no broker can say."""
    try:
        with contextlib.closing(administer(Access(bootstrap))) as admin:
            parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            return any(
                one.current_transaction_start_offset >= 0
                for told in admin.describe_producers(parts).values()
                for one in told.active_producers
            )
    except (KafkaError, BrokerAwayError):
        return True


async def numbers_in(bootstrap: str, topic: str, *, ended: bool = True) -> list[int]:
    """Give the numbers in a topic, ascending; one that is there twice comes twice."""
    received = await published(bootstrap, topic, ended=ended)
    return sorted(one.event.number for one in received)


async def demand_all_once_in_order(
    conn: "asyncpg.Connection[asyncpg.Record]", bootstrap: str, prefix: str, last: int
) -> None:
    """See that the topic of changes is the log, and that of targets the states."""
    topics = Topics.named(prefix)
    received = await published(bootstrap, topics.changes)
    numbers = [one.event.number for one in received]
    assert sorted(numbers) == list(range(1, last + 1))
    for partition in range(6):
        part = [one.event.number for one in received if one.partition == partition]
        assert part == sorted(part)
    page = await changes.read(conn, 0, last)
    by_number = {one.event.number: one.event.id for one in received}
    assert [by_number[c.number] for c in page.changes] == [
        str(c.record_id) for c in page.changes
    ]
    folded: dict[str, object] = {}
    for one in await published(bootstrap, topics.targets):
        folded[one.event.key] = one.event.body()
    states = await changes.states_between(conn, 0, last)
    assert folded == {
        s.state.key: None if s.empty else s.state.model_dump(mode="json")
        for s in states
    }
