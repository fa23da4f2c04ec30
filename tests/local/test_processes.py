"""Children, their records, and what is left of them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from annolog.local import launch
from annolog.local.errors import FailedError
from annolog.local.processes import (
    LOG_LIMIT,
    Child,
    Command,
    end_leftover,
    record_path,
    run,
)
from tests.support.marked import wait_for

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
STUBBORN = (sys.executable, "-c", DEAF)


def test_a_process_is_told_from_a_later_one_of_the_same_id() -> None:
    assert launch.started(os.getpid()) == launch.started(os.getpid())
    other = subprocess.Popen(SLEEP)
    try:
        assert launch.started(other.pid) not in {None, launch.started(os.getpid())}
        other.kill()
        # A zombie until it is waited for.
        wait_for(lambda: launch.started(other.pid) is None)
    finally:
        other.kill()
        other.wait()
    assert launch.started(other.pid) is None


def test_a_child_leaves_a_record_while_it_runs(tmp_path: Path) -> None:
    child = Child(Command("one", SLEEP), tmp_path)
    record = record_path(tmp_path, "one")
    wait_for(record.exists)
    assert json.loads(record.read_text()) == {
        "pid": child.pid,
        "started": launch.started(child.pid),
    }
    child.stop()
    assert not record.exists()


def test_a_child_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    child = Child(Command("deaf", STUBBORN, patience=0.3), tmp_path)
    wait_for(lambda: child.last_words() == "deaf")
    child.stop()
    assert child.exit_code() == -signal.SIGKILL


def test_a_leftover_that_ignores_its_signal_is_killed(tmp_path: Path) -> None:
    child = Child(Command("deaf", STUBBORN), tmp_path)
    try:
        wait_for(lambda: child.last_words() == "deaf")
        assert end_leftover(tmp_path, "deaf", signal.SIGTERM, 0.3)
        assert child.wait(5) == -signal.SIGKILL
    finally:
        child.stop()
    assert not end_leftover(tmp_path, "deaf", signal.SIGTERM, 0.3)


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time;"
        f" print(subprocess.Popen({list(SLEEP)!r}).pid, flush=True); time.sleep(600)"
    )
    child = Child(Command("parent", (sys.executable, "-c", program)), tmp_path)
    wait_for(lambda: child.last_words().isdigit())
    grandchild = int(child.last_words())
    child.stop()
    wait_for(lambda: launch.started(grandchild) is None)


def test_a_program_that_is_missing_is_told(tmp_path: Path) -> None:
    child = Child(Command("none", (str(tmp_path / "none"),)), tmp_path)
    with pytest.raises(FailedError, match="No such file or directory"):
        child.finish(30)
    child.stop()


def test_a_run_that_fails_or_hangs_is_told() -> None:
    with pytest.raises(FailedError, match=r"it failed \(exit code 3\): why"):
        run(Command("it", ("/bin/sh", "-c", "echo so; echo why; exit 3")), timeout=30)
    before = time.monotonic()
    with pytest.raises(FailedError, match="it took more than 0 s"):
        run(Command("it", SLEEP), timeout=0.2)
    assert time.monotonic() - before < 10


def test_a_log_that_grew_too_long_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "log" / "one.log"
    log.parent.mkdir()
    with log.open("wb") as written:
        written.truncate(LOG_LIMIT + 1)
    child = Child(Command("one", ("/bin/echo", "first words")), tmp_path)
    child.finish(30)
    assert child.last_words() == "first words"
    assert log.with_name("one.log.1").stat().st_size == LOG_LIMIT + 1
    child.stop()
