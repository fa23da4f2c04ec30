"""The lane: nobody waits in it for ever."""

import asyncio

import asyncpg
import pytest

from annolog.actions import lane
from annolog.actions.lane import Work
from annolog.domain.errors import UnavailableError
from annolog.runtime import opened
from annolog.storage.database import LANE_LOCK


async def test_who_waits_too_long_is_told_whether_it_may_be_stored_yet(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(database_url, "summit") as runtime:
        other = await asyncpg.connect(database_url)
        try:
            await other.execute("select pg_advisory_lock($1)", LANE_LOCK)
            monkeypatch.setattr(lane, "LONGEST_WAIT", 0.3)
            work = Work(lambda _: None)
            taken = asyncio.create_task(runtime.lane.submit(work))
            while not work.taken:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
            queued = asyncio.create_task(runtime.lane.submit(Work(lambda _: None)))

            told = await asyncio.gather(taken, queued, return_exceptions=True)
        finally:
            await other.close()

        answer = await runtime.lane.submit(Work(lambda _: "an answer"))

    codes = [one.reason_code for one in told if isinstance(one, UnavailableError)]
    assert codes == ["outcome_unknown", "database_unavailable"]
    assert answer == "an answer"
