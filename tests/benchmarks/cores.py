"""What one process does on one core, and how it grows with a second process.

Everything shares the machine: the client that sends requests, and PostgreSQL. So the
first row has the service on a core of its own and all others on the rest; and the
time on a processor tells what a core would do for whoever has more of them.
"""

import asyncio
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

from tests.benchmarks import cpu, native, servers, writes
from tests.benchmarks.http import Figures, request
from tests.benchmarks.report import Line, Rounds
from tests.benchmarks.servers import Stand

READERS = 16
"""Requests at a time."""

ALONE, ONE, TWO = "one process on a core", "one process", "two processes"


def measure(
    stand: Stand, rounds: int, size: int, seconds: float, messages: int
) -> list[Line]:
    """Measure in rounds, in each of which everything has its turn.

    Parameters
    ----------
    stand
        The database and the first process.
    rounds, size, seconds
        How many rounds, requests of one that write, and how long others have in one.
    messages
        How many messages the database was made with.
    """
    calls = asyncio.run(native.of_database(stand.url, messages))
    writing = writes.Native()
    paths = {
        call.title: [request("GET", one.path) for one in call.asked]
        for call in (calls[3], calls[0])
    }

    def post(at: Stand, _: float) -> Figures:
        return at.drive(writing.wires(size), READERS, 201)

    def get(wires: Sequence[bytes]) -> Callable[[Stand, float], Figures]:
        return lambda at, length: at.drive(
            itertools.cycle(wires), READERS, 200, seconds=length
        )

    kinds = {"native POST": post} | {name: get(wires) for name, wires in paths.items()}
    found = Rounds()
    with servers.service(stand.url) as second:
        two = replace(stand, services=(*stand.services, second))
        for number in range(rounds + 1):
            into, length = (found, seconds) if number else (Rounds(), seconds / 3)
            for title, kind in kinds.items():
                for way, at in ((ALONE, stand), (ONE, stand), (TWO, two)):
                    with _apart(stand) if way == ALONE else nullcontext():
                        into.add(f"{title}: {way}", kind(at, length))
    return list(_lines(found, kinds))


def _lines(found: Rounds, kinds: Iterable[str]) -> Iterable[Line]:
    for title in kinds:
        one = found.rate(f"{title}: {ONE}")
        for way in (ALONE, ONE, TWO):
            figures = found.figures(f"{title}: {way}")
            notes = []
            if figures.service:
                notes.append(f"a core of service: {1e6 / figures.service:.0f} a second")
            if way == TWO:
                notes.append(f"{figures.rate / one:.2f} x one")
            yield Line(f"{title}: {way}", figures, note=", ".join(notes))


@contextmanager
def _apart(stand: Stand) -> Iterator[None]:
    """Give the service a core of its own, and all others the rest."""
    cores = sorted(os.sched_getaffinity(0))
    others = (os.getpid(), stand.server.pid, *cpu.children_of(stand.server.pid))
    with (
        cpu.pinned(cores[:1], stand.services[0].pid),
        cpu.pinned(cores[1:] or cores, *others),
    ):
        yield
