"""Processes of annolog that need not import everything again.

A run of the tests starts some 250 of them, and each would spend a second or two on
nothing but imports. So those of `MODULES` are forked from a process of this session
that has imported what they need and has done nothing else: their arguments, variables,
files, signals and ends are those of any other process, and its parent is the test's.
How a program starts from nothing is seen by the tests of `annologd run`, by those that
say `started_from_nothing`, and wherever the interpreter gets code or a file.
"""

import atexit
import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).parents[2]

_SERVICE = ("annolog.app", "annolog.cli.serve", "annolog.cli.relay")

MODULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "annolog.butler.child": ("annolog.butler.reading",),
        "annolog.cli": _SERVICE,
        "tests.support.relay_command": _SERVICE,
        "docs.examples.junk_exposures": ("annolog.stream.batches", "httpx"),
        "tests.support.killed_exporter": ("annolog.butler.exporter",),
    }
)
"""What is forked, when it is run with `-m`, and what is imported before."""

_SUBREAPER = 36
_LONGEST = 1 << 20

_waits = threading.Event()


@contextmanager
def started_from_nothing() -> Iterator[None]:
    """Start processes as ever while the block lasts."""
    _waits.set()
    try:
        yield
    finally:
        _waits.clear()


def fork_what_may_be() -> None:
    """Let `subprocess`, and asyncio with it, fork what may be forked; on Linux."""
    if sys.platform != "linux":
        return
    started = subprocess._fork_exec  # type: ignore[attr-defined]
    nursery = _Nursery()

    def fork_exec(
        args: list[Any],
        executables: list[bytes],
        close_fds: bool,  # noqa: FBT001
        kept: tuple[int, ...],
        cwd: object,
        variables: list[bytes] | None,
        *rest: Any,  # noqa: ANN401
    ) -> int:
        words = [os.fsdecode(one) for one in args]
        if len(kept) > 1 or not _may_be_forked(words):
            return int(
                started(args, executables, close_fds, kept, cwd, variables, *rest)
            )
        stdin, _, _, stdout, _, stderr = rest[:6]
        streams = [
            own if given == -1 else given
            for own, given in enumerate((stdin, stdout, stderr))
        ]
        environment = (
            dict(os.environ)
            if variables is None
            else dict(os.fsdecode(one).split("=", 1) for one in variables)
        )
        return nursery.fork(
            {
                "words": words[2:],
                "directory": os.fsdecode(cwd or Path.cwd()),  # type: ignore[arg-type]
                "environment": environment,
                "own_session": bool(rest[9]),
            },
            streams,
        )

    subprocess._fork_exec = fork_exec  # type: ignore[attr-defined]


def _may_be_forked(words: list[str]) -> bool:
    return (
        not _waits.is_set()
        and words[:2] == [sys.executable, "-m"]
        and words[2] in MODULES
        and words[2:4] != ["annolog.cli", "run"]
    )


class _Nursery:
    """The process that forks, started when it is wanted first."""

    def __init__(self) -> None:
        self._orders: socket.socket | None = None
        self._one_at_a_time = threading.Lock()

    def fork(self, order: Mapping[str, object], streams: list[int]) -> int:
        """Have a process forked, and give its id."""
        with self._one_at_a_time:
            if self._orders is None:
                self._orders = _begun()
            # The process in between ends, and what it forked becomes ours.
            _adopt(1)
            try:
                socket.send_fds(self._orders, [json.dumps(order).encode()], streams)
                return int(self._orders.recv(_LONGEST))
            finally:
                _adopt(0)


def _adopt(orphans: int) -> None:
    ctypes.CDLL(None).prctl(_SUBREAPER, orphans)


def _begun() -> socket.socket:
    own, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        for end in (own, its):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
        path = os.pathsep.join(str(ROOT / one) for one in ("", "service", "client"))
        nursery = subprocess.Popen(
            [sys.executable, "-m", __name__, str(its.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            env=os.environ | {"PYTHONPATH": path},
        )
    atexit.register(nursery.wait)
    atexit.register(own.close)
    return own


# ---------------------------------------------------------------- in that process


def _serve(orders: socket.socket) -> dict[str, Any]:
    """Fork whenever it is asked for; return in what was forked, with its order."""
    while True:
        said, streams, _, _ = socket.recv_fds(orders, _LONGEST, 3)
        if not said:
            sys.exit()
        order: dict[str, Any] = json.loads(said)
        for module in MODULES[order["words"][0]]:
            importlib.import_module(module)
        gc.freeze()
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            for stream in streams:
                os.close(stream)
            continue
        middle = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == middle:
            time.sleep(0.0005)
        _become(order, streams)
        orders.send(str(os.getpid()).encode())
        orders.close()
        os.closerange(3, 1024)
        return order


def _become(order: Mapping[str, Any], streams: list[int]) -> None:
    """Take over what the process shall have: before its id is told."""
    if order["own_session"]:
        os.setsid()
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
    os.chdir(order["directory"])
    os.environ.clear()
    os.environ.update(order["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _main() -> None:
    descriptor = int(sys.argv[1])
    # Ctrl-C ends what is forked, and the tests; this ends when nobody can order more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = _serve(socket.socket(fileno=descriptor))
    module, *sys.argv[1:] = order["words"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()
