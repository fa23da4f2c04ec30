"""From a turn to a consumer of Kafka: a broker, a relay and a consumer of their own."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from annolog.local.jars import default_cache, find_jars, find_java
from annolog.local.kafka import Broker
from annolog.storage import changes, database
from annolog.stream.topics import Topics
from tests.benchmarks import cpu, listener, writes
from tests.benchmarks.http import Figures
from tests.benchmarks.report import Goal, Line, Rounds
from tests.benchmarks.servers import Server, Stand, environment

RATE = 200.0
"""Changes a second."""

P50, P99 = 8.0, 25.0
"""Milliseconds from the commit to the consumer."""

TOPICS = Topics.named("bench")
"""Where the relay publishes."""

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Relay:
    """A running relay and its broker.

    Attributes
    ----------
    bootstrap
        Where the broker is.
    pid
        The process of the relay.
    broker
        The process of the broker.
    """

    bootstrap: str
    pid: int
    broker: int


@contextmanager
def relaying(home: Path, server: Server) -> Iterator[Relay]:
    """Run a broker, and a relay that goes on from where the log ends now.

    Parameters
    ----------
    home
        Where the broker's data and the relay's words go.
    server
        The database.
    """
    asyncio.run(_begin_here(server.url))
    broker = Broker(home, java=find_java(), jars=find_jars(default_cache()))
    child = broker.start()
    more = {
        "ANNOLOG_KAFKA_BOOTSTRAP": broker.bootstrap,
        "ANNOLOG_KAFKA_TOPIC_PREFIX": TOPICS.changes.partition(".")[0],
    }
    try:
        with (home / "relay.log").open("ab") as said:
            relay = subprocess.Popen(
                [sys.executable, "-m", "annolog.cli", "relay"],
                env=environment(server.url, more),
                stdout=said,
                stderr=said,
            )
        try:
            yield Relay(broker.bootstrap, relay.pid, child.pid)
        finally:
            relay.send_signal(signal.SIGTERM)
            relay.wait(30)
    finally:
        child.stop()


async def _begin_here(url: str) -> None:
    """Tell the relay that all up to now is published: a topic may forget its past."""
    connection = await database.connect(url, database.WORK)
    head = await changes.head(connection)
    await changes.set_floor(connection, TOPICS.changes, head)
    await connection.close()


def measure(stand: Stand, rounds: int) -> list[Line]:
    """Measure in rounds of a few seconds.

    Parameters
    ----------
    stand
        The database and the service.
    rounds
        How many.
    """
    found, ages = Rounds(), Rounds()
    native = writes.Native()
    with relaying(stand.home, stand.server) as relay:
        hearing = _hearing(stand, native, relay.bootstrap)
        spans = []
        worked = cpu.spent(relay.pid)
        for number in range(rounds + 1):
            into = found if number else Rounds()
            begin = asyncio.run(_head(stand.url))
            into.add("post", stand.steady(native.wires(int(RATE * 2)), RATE, 201))
            spans.append((begin, asyncio.run(_head(stand.url))))
            time.sleep(0.5)
        working = cpu.spent(relay.pid)
        said, _ = hearing.communicate(timeout=_PATIENCE)
    heard = {int(n): float(ms) for n, ms in map(str.split, said.splitlines())}
    for begin, end in spans[1:]:
        span = [heard[number] / 1000 for number in range(begin + 1, end + 1)]
        ages.add("ages", Figures.of(span, len(span) / RATE))
    note = ""
    if worked is not None and working is not None:
        each = (working - worked) / (spans[-1][1] - spans[0][0]) * 1e6
        note = f"relay {each:.0f} us a change"
    post, age = found.figures("post"), ages.figures("ages")
    goals = [
        Goal.below(age.p50, P50, f"p50 < {P50:g} ms"),
        Goal.below(age.p99, P99, f"p99 < {P99:g} ms"),
    ]
    return [
        Line(f"POST, {RATE:.0f} a second", post),
        Line("from the turn to the consumer", age, goals=goals, note=note),
    ]


def _hearing(
    stand: Stand, native: writes.Native, bootstrap: str
) -> "subprocess.Popen[str]":
    """Start a consumer, and wait until it has heard something."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        stand.steady(native.wires(2), RATE, 201)
        child = subprocess.Popen(
            [sys.executable, "-m", listener.__name__, bootstrap, TOPICS.changes],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert child.stdout is not None
        if child.stdout.readline():
            return child
        # There is no topic yet.
        child.wait()
    msg = f"the relay publishes nothing: see {stand.home / 'relay.log'}"
    raise RuntimeError(msg)


async def _head(url: str) -> int:
    connection = await database.connect(url, database.READS)
    try:
        return await changes.head(connection)
    finally:
        await connection.close()
