"""The supervisor, with stand-ins for the parts of annolog and a real PostgreSQL."""

import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from annolog.local.errors import FailedError
from annolog.local.kafka import free_ports
from annolog.local.processes import Child, Command
from annolog.local.supervisor import FIRST_DELAY, STEADY, Part
from tests.support.marked import Marked, wait_for
from tests.support.postgres import connected

Start = Callable[..., Marked]

ELSEWHERE = (
    "--database",
    "postgresql://elsewhere/annolog",
    "--kafka",
    "elsewhere:9092",
)
"""Spares the supervisor servers of its own, where a test is not about them."""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


@pytest.fixture
def start(home: Path, port: int) -> Iterator[Start]:
    """Start the supervisor; whatever happens, nothing of it outlives the test."""
    started: list[Marked] = []

    def run(*arguments: str, parts: str = "", **environment: str) -> Marked:
        argv = ["-m", "tests.support.local_run", str(home), str(port), *arguments]
        started.append(Marked(argv, home, {"PARTS": parts} | environment))
        return started[-1]

    yield run
    for each in started:
        each.close()


def starts(home: Path) -> list[str]:
    return (home / "starts").read_text().split()


def test_everything_starts_in_order_and_ctrl_c_leaves_no_process(
    start: Start, home: Path, port: int
) -> None:
    running = start("--kafka", "elsewhere:9092")
    running.says("Ctrl-C stops it")

    # The supervisor does not wait for the relay.
    wait_for(lambda: sorted(starts(home)) == ["migrate", "relay", "sample", "serve"])
    assert starts(home)[:2] == ["migrate", "serve"]
    assert f"  service     http://127.0.0.1:{port}/annolog/v1" in running.lines
    assert running.end(signal.SIGINT) == 0
    assert running.living() == []
    assert running.errors == []


async def test_the_next_start_finds_the_data_and_loads_no_second_sample(
    start: Start, home: Path
) -> None:
    first = start("--kafka", "elsewhere:9092")
    first.says("Ctrl-C stops it")
    async with connected(home) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert first.end(signal.SIGTERM) == 0

    second = start("--kafka", "elsewhere:9092")
    second.says("Ctrl-C stops it")
    async with connected(home) as connection:
        assert await connection.fetchval("SELECT answer FROM kept") == 42
    assert second.end() == 0
    assert starts(home).count("sample") == 1


async def test_a_killed_supervisor_leaves_no_process_after_the_next_start(
    start: Start, home: Path
) -> None:
    first = start("--kafka", "elsewhere:9092", parts="relay-lingers serve-lingers")
    first.says("Ctrl-C stops it")
    # Before it has begun it does not linger.
    wait_for(lambda: "relay" in starts(home))
    async with connected(home) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    first.end(signal.SIGKILL)
    wait_for(lambda: len(first.living()) == 2, told=lambda: str(first.living()))

    second = start("--kafka", "elsewhere:9092")
    second.says("Ctrl-C stops it")
    assert "ended what an earlier run left: relay, serve" in second.lines
    # Only PostgreSQL works in the home, and it is the second one's.
    assert not [name for name in first.living() if "local_parts" in name]
    async with connected(home) as connection:
        assert await connection.fetchval("SELECT answer FROM kept") == 42
    assert second.end() == 0
    assert second.living() == []


def test_a_stranger_with_the_process_id_of_a_record_is_left_alone(
    start: Start, home: Path
) -> None:
    record = home / "run" / "serve.json"
    record.parent.mkdir(parents=True)
    record.write_text(f'{{"pid": {os.getpid()}, "started": "boot/1"}}')
    (home / "run" / "relay.json").write_text('{"pid":')

    running = start(*ELSEWHERE)
    running.says("Ctrl-C stops it")

    assert not [line for line in running.lines if "left" in line]
    assert running.end() == 0


def test_a_taken_port_is_one_line_and_exit_code_2(
    start: Start, home: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        running = start(*ELSEWHERE)
        assert running.exit_code() == 2
    assert running.told() == (
        f"port {port} of 127.0.0.1 is taken by another program; "
        "set ANNOLOG_PORT to a free one"
    )
    assert not (home / "starts").exists()


def test_a_home_that_cannot_be_written_is_one_line_and_exit_code_2(
    start: Start, home: Path
) -> None:
    home.write_text("in the way of a directory, for root too")
    running = start(*ELSEWHERE)
    assert running.exit_code() == 2
    assert running.told() == (
        f"cannot write to {home}: File exists; "
        "set ANNOLOG_HOME to a folder that may be written to"
    )


def test_a_second_supervisor_in_one_home_is_refused(start: Start, home: Path) -> None:
    first = start(*ELSEWHERE)
    first.says("Ctrl-C stops it")

    second = start(*ELSEWHERE)

    assert second.exit_code() == 2
    pid = first.process.pid
    assert second.errors == [f"annolog runs in {home} already (process {pid})"]
    assert first.end() == 0


def test_without_java_annolog_runs_without_a_broker_and_says_so(
    start: Start, home: Path, tmp_path: Path
) -> None:
    running = start(
        "--database", "postgresql://elsewhere/annolog", PATH=str(tmp_path), JAVA_HOME=""
    )
    running.says("Ctrl-C stops it")

    assert (
        "a Kafka broker needs Java >= 17, and there is no java on the path; "
        "annolog runs without, and changes wait in the log"
    ) in running.lines
    assert "relay" not in starts(home)
    assert running.end() == 0


def test_without_maven_annolog_runs_without_a_broker_and_says_so(
    start: Start, home: Path, tmp_path: Path
) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\" 2026-01-01' >&2\n")
    java.chmod(0o755)
    running = start(
        *("--database", "postgresql://elsewhere/annolog"),
        *("--cache", str(tmp_path / "cache")),
        PATH=str(tmp_path),
        JAVA_HOME="",
    )
    running.says("Ctrl-C stops it")

    assert [line for line in running.lines if "needs Maven once" in line]
    assert "relay" not in starts(home)
    assert running.end() == 0


def test_a_migration_that_fails_stops_everything_and_tells_its_last_line(
    start: Start, home: Path
) -> None:
    running = start("--kafka", "elsewhere:9092", parts="migrate-fails")
    assert running.exit_code() == 1
    log = home / "log" / "migrate.log"
    assert running.errors == [
        f"migrate failed (exit code 1): migrate says why (see {log})"
    ]
    assert running.living() == []


def test_a_sample_that_fails_is_told_and_tried_again_next_time(
    start: Start, home: Path
) -> None:
    first = start(*ELSEWHERE, parts="sample-fails")
    first.says("tried again at the next start")
    first.says("Ctrl-C stops it")
    assert first.end() == 0

    second = start(*ELSEWHERE)
    second.says("Ctrl-C stops it")
    assert second.end() == 0
    assert starts(home).count("sample") == 2


@pytest.mark.parametrize("name", ["serve", "relay"])
def test_a_part_that_is_killed_runs_again(start: Start, home: Path, name: str) -> None:
    running = start(*ELSEWHERE)
    running.says("Ctrl-C stops it")
    # It is killed once it has written down that it began.
    wait_for(lambda: starts(home).count(name) == 1)

    kill(home, name)

    running.says(f"{name} ended (SIGKILL)")
    running.says(f"{name} runs again")
    wait_for(lambda: starts(home).count(name) == 2)
    assert running.end() == 0
    assert running.living() == []


def test_a_relay_is_started_again_for_a_broker_on_other_ports(
    start: Start, home: Path
) -> None:
    running = start("--database", "postgresql://elsewhere/annolog")
    running.says("Ctrl-C stops it", timeout=120)
    before = told_broker(home)

    kill(home, "kafka")
    with taken(int(before.split(":")[1])):
        running.says("kafka runs again", timeout=120)
        running.says("relay is started again for the address ")
        running.says("relay runs again")
        said = next(line for line in running.lines if " for the address " in line)
        assert told_broker(home) == said.split()[-1] != before
    assert running.end() == 0
    assert running.living() == []


async def test_a_killed_postgres_runs_again_with_its_data(
    start: Start, home: Path
) -> None:
    running = start("--kafka", "elsewhere:9092")
    running.says("Ctrl-C stops it")
    async with connected(home) as connection:
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    kill(home, "postgres")

    running.says("postgres runs again")
    async with connected(home) as connection:
        assert await connection.fetchval("SELECT answer FROM kept") == 42
    assert running.end() == 0


def test_a_part_that_keeps_dying_is_started_less_and_less_often(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    command = Command("relay", (sys.executable, "-c", "raise SystemExit('no broker')"))
    part = Part("relay", lambda: Child(command, tmp_path), said.append)
    now = 0.0
    for _ in range(8):
        assert part.child is not None
        part.child.wait(30)
        now = part.child.began + 1
        part.look(now)
        part.look(now + STEADY + 1)
    part.stop()
    delays = [float(line.rsplit(" ", 2)[1]) for line in said if "started again" in line]
    assert delays == [FIRST_DELAY, 1, 2, 4, 8, 16, 30, 30]
    log = tmp_path / "log" / "relay.log"
    assert said[0] == (
        f"relay ended (exit code 1): no broker (see {log}); started again in 0.5 s"
    )


def test_a_start_without_room_on_the_disk_is_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    dies = Command("kafka", (sys.executable, "-c", ""))
    lives = Command("kafka", (sys.executable, "-c", "import time; time.sleep(60)"))
    outcomes: list[Command | OSError] = [dies, full, lives]

    def begin() -> Child:
        outcome = outcomes.pop(0)
        if isinstance(outcome, OSError):
            raise outcome
        return Child(outcome, tmp_path)

    part = Part("kafka", begin, said.append)
    assert part.child is not None
    part.child.wait(30)
    for _ in range(3):
        part.look(part.child.began + 2 * STEADY)
    try:
        assert part.child.exit_code() is None
        assert said[1:] == [
            f"kafka cannot be started: {full}; started again in 1 s",
            "kafka runs again",
        ]
    finally:
        part.stop()


def test_a_child_that_is_never_ready_is_told_with_its_last_line(
    tmp_path: Path,
) -> None:
    program = "import time; print('still thinking', flush=True); time.sleep(60)"
    child = Child(Command("serve", (sys.executable, "-c", program)), tmp_path)
    try:
        with pytest.raises(FailedError, match="not ready within 1 s: still thinking"):
            child.wait_until(lambda: False, 1)
    finally:
        child.stop()


def kill(home: Path, name: str) -> None:
    """Kill a child as the supervisor's record names it."""
    os.kill(recorded(home, name), signal.SIGKILL)


def recorded(home: Path, name: str) -> int:
    """Give the process of a child."""
    said = json.loads((home / "run" / f"{name}.json").read_text())
    return int(said["pid"])


def told_broker(home: Path) -> str:
    """Give the address of the broker that the relay was told."""
    # The child writes down itself who it is, and the supervisor does not wait for that:
    # what stands there may be a relay that has ended.
    told: dict[str, str] = {}

    def is_told() -> bool:
        with suppress(FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
            environment = Path(f"/proc/{recorded(home, 'relay')}/environ").read_text()
            told.update(
                (name, value)
                for name, _, value in (
                    w.partition("=") for w in environment.split("\0")
                )
            )
        return "ANNOLOG_KAFKA_BOOTSTRAP" in told

    wait_for(is_told)
    return told["ANNOLOG_KAFKA_BOOTSTRAP"]


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Take a port of loopback as soon as nobody else has it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        def bound() -> bool:
            try:
                other.bind(("127.0.0.1", port))
            except OSError:
                return False
            return True

        wait_for(bound)
        other.listen()
        yield
