"""`annologd run` from nothing to a running annolog, with every real part."""

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from annolog.local.kafka import free_ports
from tests.support.marked import Marked

Run = Callable[..., Marked]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Call the command; whatever happens, nothing of it outlives the test."""
    started: list[Marked] = []

    def call(**environment: str) -> Marked:
        home = tmp_path / "home"
        variables = {"ANNOLOG_HOME": str(home), "ANNOLOG_AUTH": "none"} | environment
        started.append(Marked(["-m", "annolog.cli", "run"], home, variables))
        return started[-1]

    yield call
    for each in started:
        each.close()


def get(port: int, path: str) -> Any:  # noqa: ANN401 - JSON
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"X-Annolog-User": "observer"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        return json.loads(answer.read())
    finally:
        connection.close()


def last_change(port: int) -> int:
    return int(get(port, "/annolog/v1/changes?limit=1")["head"])


def test_a_night_is_there_at_the_first_start_and_still_after_a_kill(
    run: Run, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    first = run(ANNOLOG_PORT=str(port))
    first.says("Ctrl-C stops it", timeout=120)
    assert f"  health      http://127.0.0.1:{port}/health/ready" in first.lines
    assert (tmp_path / "home" / "sample-loaded").exists(), first.told()
    loaded = last_change(port)
    assert loaded > 0
    first.process.kill()
    first.exit_code()

    second = run(ANNOLOG_PORT=str(port))
    second.says("Ctrl-C stops it", timeout=120)
    assert last_change(port) == loaded
    assert not [line for line in second.lines if "ended (" in line]
    assert second.end() == 0
    assert first.living() == []
    assert second.living() == []


def test_wrong_settings_are_one_line_each_and_exit_code_2(run: Run) -> None:
    wrong = run(ANNOLOG_PORT="eighty", ANNOLOG_HOTS="localhost")
    assert wrong.exit_code() == 2
    assert len(wrong.errors) == 2
    assert [line for line in wrong.errors if "ANNOLOG_PORT" in line]
    assert [line for line in wrong.errors if "ANNOLOG_HOTS" in line]


def test_a_service_without_logins_is_refused_on_an_address_that_others_reach(
    run: Run,
) -> None:
    wrong = run(ANNOLOG_HOST="0.0.0.0")  # noqa: S104 - what is refused
    assert wrong.exit_code() == 2
    assert len(wrong.errors) == 1
    assert "set ANNOLOG_AUTH=tokens" in wrong.errors[0]
