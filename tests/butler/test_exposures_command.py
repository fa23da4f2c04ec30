"""`annologd exposures import` and `follow`, as an operator runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

import annolog
from annolog.cli.main import main
from tests.support.butlers import CAMERA, MadeButler
from tests.support.postgres import run_apart

ROOT = str(Path(annolog.__file__).parents[1])

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)
    monkeypatch.delenv("ANNOLOG_BUTLER_URIS", raising=False)

    def invoke(*arguments: str, butlers: str = "") -> Result:
        if butlers:
            monkeypatch.setenv("ANNOLOG_BUTLER_URIS", butlers)
        return CliRunner().invoke(main, ["exposures", *arguments, "--from", "butler"])

    return invoke


def test_an_import_says_what_it_brought(run: Run, today: MadeButler) -> None:
    done = run("import", "--json", butlers=f",{today.uri}")
    assert done.exit_code == 0, done.stderr
    instrument = {
        "instrument": CAMERA,
        "swept": True,
        "exposures": 9,
        "exposures_written": 9,
        "visits": 2,
        "visits_written": 2,
        "refused": 0,
    }
    assert json.loads(done.stdout) == {
        "registries": [
            {
                "registry": 2,
                "uri": today.uri,
                "instruments": [instrument],
                "error": None,
            }
        ]
    }
    assert "butler 2: LSSTCam: 9 exposures read, 9 new or changed" in done.stderr
    again = run("import")
    assert again.stdout == (
        "butler 2: LSSTCam: 9 exposures read, 0 new or changed; 2 visits read,"
        " 0 new or changed\n"
    )
    everything = json.loads(run("import", "--all", "--json").stdout)
    assert everything["registries"][0]["instruments"][0]["swept"] is True


def test_a_butler_may_be_named_on_the_spot(run: Run, today: MadeButler) -> None:
    done = run("import", "--uri", today.uri, "--json", "--instrument", CAMERA)
    assert json.loads(done.stdout)["registries"][0]["registry"] is None
    other = run("import", "--uri", today.uri, "--instrument", "LATISS")
    assert other.stdout == "the butler: nothing\n"


def test_a_butler_that_is_away_fails_the_import_but_not_the_others(
    run: Run, today: MadeButler, tmp_path: Path
) -> None:
    done = run("import", "--json", butlers=f"{tmp_path / 'nothing'},{today.uri}")
    assert done.exit_code == 1
    first, second = json.loads(done.stdout)["registries"]
    assert first["error"] == "butler 1 is away; try again in a moment"
    assert second["instruments"][0]["exposures_written"] == 9


@pytest.mark.parametrize(
    ("arguments", "butlers", "reason"),
    [
        (("import",), "", "ANNOLOG_BUTLER_URIS is not set"),
        (("follow",), "", "ANNOLOG_BUTLER_URIS is not set"),
        (("import", "--registry", "2"), "/a,,/b", "names no butler 2; it names 1, 3"),
        (("import", "--registry", "1", "--uri", "/a"), "/a", "not both"),
        (("import", "--registry", "4"), "/a", "4"),
        (("follow", "--interval", "0"), "/a", "0"),
        (("import",), "/a,/b,/c,/d", "up to three butlers"),
    ],
)
def test_wrong_use_is_told_and_ends_with_2(
    run: Run, arguments: tuple[str, ...], butlers: str, reason: str
) -> None:
    done = run(*arguments, butlers=butlers)
    assert done.exit_code == 2
    assert reason in done.stderr


def test_following_goes_on_until_it_is_told_to_stop(
    database_url: str, fresh: MadeButler
) -> None:
    fresh.take([1])
    words = [sys.executable, "-m", "annolog.cli", "exposures", "follow"]
    with subprocess.Popen(
        [*words, "--from", "butler", "--interval", "0.2"],
        env=os.environ
        | {
            "PYTHONPATH": ROOT,
            "ANNOLOG_DATABASE_URL": database_url,
            "ANNOLOG_BUTLER_URIS": fresh.uri,
        },
        stdout=subprocess.PIPE,
    ) as follower:
        try:
            _wait_for(1, database_url)
            fresh.take([2])
            _wait_for(2, database_url)
            follower.send_signal(signal.SIGTERM)
            said, _ = follower.communicate(timeout=20)
        finally:
            follower.kill()
    assert follower.returncode == 0
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert "LSSTCam: 1 exposures and 0 visits are new or have changed" in events


def _wait_for(number: int, url: str) -> None:
    async def count() -> int:
        connection = await asyncpg.connect(url)
        try:
            found: int = await connection.fetchval("select count(*) from exposure")
        finally:
            await connection.close()
        return found

    deadline = time.monotonic() + 60
    while run_apart(count()) != number:
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
