"""A process, all that it starts, and the question what of that still lives."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
"""The top of the clone."""

MARK = "TEST_MARK"
"""A variable that children inherit, and their children, whatever they become."""


class Marked:
    """A command that was started, and a way to find its descendants.

    By environment and not by parent: who lost its parent is who is looked for. The
    sessions of PostgreSQL, which write over theirs, are found by where they work.
    """

    def __init__(
        self,
        argv: Sequence[str],
        home: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._home = home.resolve()
        self._mark = secrets.token_hex(8)
        path = os.pathsep.join(str(ROOT / p) for p in ("", "service", "client"))
        self.process = subprocess.Popen(
            [sys.executable, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": path, MARK: self._mark}
            | dict(environment or {}),
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._streams = {
            stream: lines
            for stream, lines in (
                (self.process.stdout, self.lines),
                (self.process.stderr, self.errors),
            )
            if stream is not None
        }
        self._readers = [
            threading.Thread(target=_collect, args=each, daemon=True)
            for each in self._streams.items()
        ]
        for reader in self._readers:
            reader.start()

    def living(self) -> list[str]:
        """Name the processes of this command that live, itself among them."""
        return [name for _, name in self._found() if name]

    def says(self, words: str, timeout: float = 60.0) -> None:
        """Wait until it has said something."""
        wait_for(lambda: any(words in line for line in self.lines), timeout, self.told)

    def told(self) -> str:
        return "\n".join([*self.lines, *self.errors])

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        """Send it a signal, and give its exit code."""
        self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self, timeout: float = 60.0) -> int:
        code = self.process.wait(timeout)
        if code >= 0:
            for reader in self._readers:
                reader.join(timeout)
        return code

    def close(self) -> None:
        """End everything at once, whatever state it is in."""
        for pid, _ in self._found():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in self._streams:
            stream.close()

    def _found(self) -> list[tuple[int, str]]:
        sought, own = f"{MARK}={self._mark}".encode(), str(self.process.pid)
        found = []
        for place in Path("/proc").iterdir():
            # Others end while we look, and belong to others.
            with contextlib.suppress(OSError):
                if not place.name.isdigit():
                    continue
                marked = sought in (place / "environ").read_bytes().split(b"\0")
                # Forked (tests/support/nursery.py) it shows other variables.
                marked |= place.name == own and self.process.returncode is None
                if marked or (place / "cwd").readlink().is_relative_to(self._home):
                    words = (place / "cmdline").read_bytes().replace(b"\0", b" ")
                    found.append((int(place.name), words.decode(errors="replace")))
        return found


def wait_for(
    condition: Callable[[], bool],
    timeout: float = 30.0,
    told: Callable[[], str] = str,
) -> None:
    """Wait until something holds, or fail with what was told meanwhile."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


def _collect(stream: IO[str], lines: list[str]) -> None:
    lines.extend(line.rstrip("\n") for line in stream)
