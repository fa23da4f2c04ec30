"""Children that are started and stopped in order, and leave nothing behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from annolog.local import launch
from annolog.local.errors import FailedError

STEP = 0.05
"""Seconds between two looks at a process that is waited for."""

TOLD = 300
"""Characters that are told of a line of somebody else's."""

interrupted = threading.Event()
"""Set by a signal handler when this process shall end.

Looked at where something is waited for and nowhere else: a handler that raised could
do so between the birth of a child and the line that remembers it.
"""

LOG_LIMIT = 16 * 1024 * 1024
"""Bytes after which a log is put aside at the next start, in place of an older one."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who a child runs as, where root may not."""

    name: str
    """Name of the account."""
    uid: int
    """Its user id."""
    gid: int
    """Its group id."""
    reach: bool
    """Whether it needs root's right to pass closed directories on its way."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run as a child."""

    name: str
    """What it is called in status lines and in the names of its files."""
    argv: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Variables set beside those of this process."""
    stop_signal: signal.Signals = signal.SIGTERM
    """The signal that asks it to end in good order."""
    patience: float = 15.0
    """Seconds that it may take to end before it is killed."""
    account: Account | None = None
    """Who it runs as; None: as this process."""


class Child:
    """A running program, with its record on disk.

    Parameters
    ----------
    command
        What to run.
    home
        The directory whose `log` and `run` folders take the log and the record.
    """

    def __init__(self, command: Command, home: Path) -> None:
        self.command = command
        self.log = home / "log" / f"{command.name}.log"
        self._record = record_path(home, command.name)
        for folder in (self.log.parent, self._record.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        self.began = time.monotonic()
        with self.log.open("ab") as output:
            self._log_start = output.tell()
            self._process = subprocess.Popen(
                launched(command, self._record),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | dict(command.environment),
                cwd=_directory(command),
                # Ctrl-C reaches the whole foreground group; the order is ours.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Name the process.

        Returns
        -------
        int
            The process id of the program.
        """
        return self._process.pid

    def exit_code(self) -> int | None:
        """How it ended.

        Returns
        -------
        int or None
            The exit code, negative for a signal; None while it runs.
        """
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Wait for its end.

        Parameters
        ----------
        timeout
            Seconds to wait at most.

        Returns
        -------
        int or None
            The exit code, or None if it still runs.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def wait_until(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until it does its work.

        Parameters
        ----------
        ready
            Asked again and again; must not block for long.
        timeout
            Seconds to wait at most.

        Raises
        ------
        LocalError
            It ended, or was not ready in time. The last line of its log is told.
        """
        deadline = time.monotonic() + timeout
        while not ready():
            code = self.exit_code()
            if code is not None:
                raise FailedError(
                    f"{self.command.name} ended at its start ({ending(code)}): "
                    f"{self.last_words()} (see {self.log})"
                )
            if time.monotonic() > deadline:
                raise FailedError(
                    f"{self.command.name} was not ready within {timeout:.0f} s: "
                    f"{self.last_words()} (see {self.log})"
                )
            pause()

    def finish(self, timeout: float) -> None:
        """Wait until its work is done.

        Parameters
        ----------
        timeout
            Seconds to wait at most.

        Raises
        ------
        FailedError
            It failed, or was not done in time. The last line of its log is told.
        """
        deadline = time.monotonic() + timeout
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            pause()
        if code != 0:
            how = "took too long" if code is None else f"failed ({ending(code)})"
            raise FailedError(
                f"{self.command.name} {how}: {self.last_words()} (see {self.log})"
            )

    def last_words(self) -> str:
        """Give the last line that it wrote since its start.

        Returns
        -------
        str
            The line, shortened, or words that say there is none.
        """
        with self.log.open("rb") as written:
            written.seek(0, os.SEEK_END)
            written.seek(max(self._log_start, written.tell() - 8192))
            lines = written.read().decode("utf-8", "replace").splitlines()
        return last_line(lines)[:TOLD]

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs.

        Parameters
        ----------
        number
            The signal.
        """
        if self.exit_code() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it, in good order if it can, and all that it started."""
        self.send(self.command.stop_signal)
        if self.wait(self.command.patience) is None:
            self.kill()
        _signal_group(self.pid, signal.SIGKILL)
        self._record.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it at once, as a crash would, and wait for that."""
        _signal_group(self.pid, signal.SIGKILL)
        self._process.wait()


def launched(command: Command, record: Path | None = None) -> list[str]:
    """Give the arguments that start a program by way of `annolog.local.launch`.

    Parameters
    ----------
    command
        What to run.
    record
        Where the process says who it is; None: nowhere.

    Returns
    -------
    list of str
        Arguments for a process whose parent is this one.
    """
    words = [sys.executable, "-I", launch.__file__, "--parent", str(os.getpid())]
    words += ["--signal", str(command.stop_signal.value)]
    if record is not None:
        words += ["--record", str(record)]
    if command.account is not None:
        words += ["--account", command.account.name]
        words += ["--reach"] if command.account.reach else []
    return [*words, "--", *command.argv]


def last_line(lines: Sequence[str]) -> str:
    """Choose what most programs give as their reason.

    Parameters
    ----------
    lines
        What a program wrote.

    Returns
    -------
    str
        The last line that is not blank, or words that say there is none.
    """
    spoken = [line.strip() for line in lines if line.strip()]
    return spoken[-1] if spoken else "it wrote nothing"


def run(
    command: Command,
    *,
    timeout: float,
    reason: Callable[[Sequence[str]], str] = last_line,
) -> None:
    """Run a program to its end.

    Parameters
    ----------
    command
        What to run; its name is told if it fails.
    timeout
        Seconds that it may take.
    reason
        Chooses what to tell of what it wrote, if it fails.

    Raises
    ------
    FailedError
        It failed or took too long.
    """
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            launched(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | dict(command.environment),
            cwd=_directory(command),
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise FailedError(f"{command.name} took more than {timeout:.0f} s")
                pause()
        finally:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").splitlines()
    if process.returncode:
        how, why = ending(process.returncode), reason(lines)
        raise FailedError(f"{command.name} failed ({how}): {why[:TOLD]}")


def pause(seconds: float = STEP) -> None:
    """Wait a little, unless this process shall end.

    Parameters
    ----------
    seconds
        How long.

    Raises
    ------
    KeyboardInterrupt
        It shall end.
    """
    if interrupted.wait(seconds):
        raise KeyboardInterrupt


def record_path(home: Path, name: str) -> Path:
    """Say where a child leaves its record.

    Parameters
    ----------
    home
        The directory that the child belongs to.
    name
        The child's name.

    Returns
    -------
    Path
        The file, whether it is there or not.
    """
    return home / "run" / f"{name}.json"


def end_leftover(home: Path, name: str, ask: signal.Signals, patience: float) -> bool:
    """End a child of an earlier parent that could not end it.

    Never a stranger: the record holds the start time beside the process id.

    Parameters
    ----------
    home
        The directory that the child belonged to.
    name
        The child's name.
    ask
        The signal that asks it to end in good order.
    patience
        Seconds that it may take before it is killed.

    Returns
    -------
    bool
        Whether there was one.
    """
    record = record_path(home, name)
    try:
        said = json.loads(record.read_text("ascii"))
        pid, began = int(said["pid"]), str(said["started"])
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        # Cut off by a full disk or a power cut: nobody can be named by it.
        record.unlink()
        return False
    found = launch.started(pid) == began
    if found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, ask)
        if not _gone_within(pid, began, patience):
            _signal_group(pid, signal.SIGKILL)
            _gone_within(pid, began, patience)
    record.unlink(missing_ok=True)
    return found


def ending(code: int) -> str:
    """Put an exit code into words.

    Parameters
    ----------
    code
        As `subprocess` gives it: negative for a signal.

    Returns
    -------
    str
        Such as `exit code 1` or `SIGKILL`.
    """
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


# Another account may not be let into the one where this process is.
def _directory(command: Command) -> str | None:
    return None if command.account is None else "/"


def _gone_within(pid: int, began: str, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while launch.started(pid) == began:
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP)
    return True


def _signal_group(pid: int, number: signal.Signals) -> None:
    # Each child leads a session of its own, so its group holds it and its children.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
