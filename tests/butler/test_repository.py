"""The child that asks: started when needed, ended when it hangs, and with us."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import uvloop

import annolog
from annolog.butler.repository import Patience, Repository
from annolog.domain.errors import UnavailableError
from annolog.domain.registries import ExposureQuery
from tests.support.butlers import CAMERA, MadeButler
from tests.support.nursery import started_from_nothing

HASTY = Patience(answer=0.5, start=30.0, away=1.0)
"""For butlers that are known to be opened quickly, or never."""

ROOT = str(Path(annolog.__file__).parents[1])
"""Where processes of tests find the package."""


@pytest.fixture(autouse=True)
def _children_import_their_library() -> Iterator[None]:
    """Let a child take its time to open a butler: here that is the matter."""
    with started_from_nothing():
        yield


def child_of(repository: Repository) -> int:
    assert repository.pid is not None
    return repository.pid


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").split()[2] != "Z"
    except FileNotFoundError:
        return False


async def test_no_child_is_started_before_the_first_question(today: MadeButler) -> None:
    repository = Repository(today.uri, "butler 1")
    assert repository.pid is None
    await repository.close()


async def test_a_child_that_died_is_replaced_without_a_word(asked: Repository) -> None:
    await asked.instruments()
    first = child_of(asked)
    os.kill(first, signal.SIGKILL)
    assert await asked.instruments() == [CAMERA]
    assert child_of(asked) != first


async def once_open(repository: Repository) -> list[str]:
    """Ask until it is open, which takes longer than its answers."""
    for _ in range(60):
        with suppress(UnavailableError):
            return await repository.instruments()
    pytest.fail("the butler was not opened")


async def test_a_child_that_hangs_is_killed_and_callers_are_told_at_once(
    today: MadeButler,
) -> None:
    repository = Repository(today.uri, "butler 2", HASTY)
    with pytest.raises(UnavailableError, match="butler 2 is being opened"):
        await repository.instruments()
    await once_open(repository)
    hung = child_of(repository)
    os.kill(hung, signal.SIGSTOP)
    waiting = [asyncio.create_task(repository.instruments()) for _ in range(3)]
    refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, UnavailableError) for one in refused)
    assert not runs(hung)
    begun = time.monotonic()
    with pytest.raises(UnavailableError, match="butler 2 is away") as away:
        await repository.instruments()
    assert time.monotonic() - begun < 0.3
    assert away.value.reason_code == "butler_away"
    await asyncio.sleep(HASTY.away)
    assert await once_open(repository) == [CAMERA]
    await repository.close()


async def test_a_butler_that_is_not_there_is_away_and_its_place_stays_untold(
    tmp_path: Path,
) -> None:
    patience = Patience(answer=30.0, start=30.0, away=0.0)
    repository = Repository(str(tmp_path / "nothing"), "butler 3", patience)
    with pytest.raises(UnavailableError) as away:
        await repository.instruments()
    assert away.value.detail == "butler 3 is away; try again in a moment"
    assert repository.pid is None
    await repository.close()


async def test_a_question_that_a_butler_cannot_answer_makes_no_other_wait(
    asked: Repository,
) -> None:
    child = child_of(asked) if await asked.instruments() else 0
    with pytest.raises(UnavailableError, match="cannot answer this"):
        await asked.page(CAMERA, 2**70, 1)  # past what its database can count
    assert await asked.instruments() == [CAMERA]
    assert child_of(asked) == child


async def test_who_goes_away_leaves_no_answer_to_the_next(asked: Repository) -> None:
    await asked.instruments()
    everything = ExposureQuery(CAMERA, limit=None)
    gone = asyncio.create_task(asked.exposures(everything))
    await asyncio.sleep(0)
    gone.cancel()
    counts = [asked.count(CAMERA, 2026011500003) for _ in range(3)]
    assert await asyncio.gather(*counts) == [2, 2, 2]


def test_what_libraries_print_is_no_part_of_the_answers() -> None:
    talking = (
        "import os; from annolog.butler import child; answers = child._apart();"
        " print('hello', flush=True); os.write(1, b'hello'); os.system('echo hello');"
        " answers.write(b'answer'); answers.flush()"
    )
    done = subprocess.run(
        [sys.executable, "-c", talking],
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONPATH": ROOT},
    )
    assert done.stdout == b"answer"
    assert done.stderr.count(b"hello") == 3


SERVING = """
import asyncio, sys
from annolog.butler.registries import Registries
from annolog.butler.repository import Repository

async def main():
    repository = Repository(sys.argv[1], "butler 1")
    assert await repository.instruments() == ["LSSTCam"]
    strangers = sorted(name for name in sys.modules if name.split(".")[0] == "lsst")
    assert not strangers, strangers
    print(repository.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_the_parent_imports_no_butler_and_the_child_dies_with_it(
    today: MadeButler,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, today.uri],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": ROOT},
    ) as serving:
        assert serving.stdout is not None
        child = int(serving.stdout.readline())
        os.kill(child, signal.SIGSTOP)  # it will not see that its input ends
        serving.kill()
    deadline = time.monotonic() + 10
    while runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs(child)


def test_a_child_that_died_is_replaced_in_the_loop_of_the_service_too(
    today: MadeButler,
) -> None:
    async def asked_again() -> list[str]:
        repository = Repository(today.uri, "butler 1", HASTY)
        try:
            await once_open(repository)
            os.kill(child_of(repository), signal.SIGKILL)
            await asyncio.sleep(0.2)
            return await once_open(repository)
        finally:
            await repository.close()

    assert uvloop.run(asked_again()) == [CAMERA]
