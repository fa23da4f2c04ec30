"""Time that processes spent on a processor, as Linux tells it.

Elsewhere there is no `/proc`; then nothing is known, and nothing is printed.
"""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PROC = Path("/proc")


def spent(process: int) -> float | None:
    """Give the seconds that a process has worked; None if that cannot be known."""
    numbers = _numbers(process)
    return None if numbers is None else sum(numbers[:2]) / _TICKS


def spent_with_children(process: int) -> float | None:
    """Give the seconds of a process and its children, those that ended included."""
    own = _numbers(process)
    if own is None:
        return None
    children = (_numbers(child) for child in children_of(process))
    return (sum(own) + sum(sum(one) for one in children if one)) / _TICKS


def resident(process: int) -> int | None:
    """Give the bytes of memory that are a process's own; None if unknown.

    Without what it shares: of a server's cache each session maps as much as it has
    read so far.
    """
    with suppress(OSError):
        sizes = (_PROC / str(process) / "statm").read_text().split()
        return (int(sizes[1]) - int(sizes[2])) * os.sysconf("SC_PAGE_SIZE")
    return None


def children_of(parent: int) -> list[int]:
    """Give the processes whose parent a process is."""
    found = []
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(_after_name(entry)[1]) == parent:
                found.append(int(entry.parent.name))
    return found


@contextmanager
def pinned(cores: Collection[int], *processes: int) -> Iterator[None]:
    """Keep processes, with all their threads, on some cores for a while."""
    before = {}
    threads = [int(p.name) for one in processes for p in _threads(one)]
    try:
        for thread in threads:
            # One may have ended since it was listed.
            with suppress(ProcessLookupError):
                before[thread] = os.sched_getaffinity(thread)
                os.sched_setaffinity(thread, cores)
        yield
    finally:
        for thread, cores_before in before.items():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores_before)


def _threads(process: int) -> Iterator[Path]:
    return (_PROC / str(process) / "task").glob("[0-9]*")


_TICKS = os.sysconf("SC_CLK_TCK")


def _numbers(process: int) -> tuple[int, int, int, int] | None:
    """Give ticks in user and system mode, of it and of children that ended."""
    with suppress(OSError):
        words = _after_name(_PROC / str(process) / "stat")
        own_user, own_system, user, system = map(int, words[11:15])
        return own_user, own_system, user, system
    return None


def _after_name(stat: Path) -> list[str]:
    # The name, in brackets, may hold blanks.
    return stat.read_text().rpartition(")")[2].split()
