"""States follow an entry that changes many of them, in pieces."""

import asyncio

from annolog.actions import check, refresh
from annolog.domain.entries import Alias, Policy
from annolog.storage import refresh as stored
from annolog.storage.database import reading, snapshot
from tests.support.service import Service, service


async def settled(annolog: Service) -> None:
    """Wait until the background has brought all states up to date."""
    runtime = annolog.runtime
    for _ in range(200):
        async with reading(runtime.reads) as connection:
            if not await stored.pending(connection):
                return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def faults(annolog: Service) -> list[str]:
    async with snapshot(annolog.runtime.reads) as connection:
        report = await check.check_all(connection)
    assert report.pending == 0
    return [one.sentence for one in report.faults]


async def test_a_policy_moves_1200_targets_in_pieces_and_is_read_at_once(
    database_url: str,
) -> None:
    keys = [f"exposure:LSSTCam/20261119{n:05}" for n in range(1, 1_201)]
    other = "exposure:LATISS/2026111900001"
    async with service(database_url) as annolog:
        await annolog.say(*keys, other, flag="junk", by="ann")
        await annolog.say(*keys, other, flag="good", by="bob")
        await settled(annolog)
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="latest"))

        assert (await annolog.state(keys[-1]))["flag"] == "good"
        assert (await annolog.state(other))["flag"] == "junk"
        await settled(annolog)
        async with reading(annolog.runtime.reads) as connection:
            pieces = await connection.fetchval(
                "select count(*) from change where operation = 'refresh'"
            )
            flags = await connection.fetch(
                "select instrument, flag, disputed, count(*) from target_state"
                " group by 1, 2, 3 order by 1"
            )
        assert pieces == 3
        assert [tuple(row) for row in flags] == [
            ("LATISS", "junk", True, 1),
            ("LSSTCam", "good", False, 1_200),
        ]
        assert await faults(annolog) == []


async def test_an_alias_makes_two_voters_one_and_its_end_makes_them_two(
    database_url: str,
) -> None:
    key = "exposure:LSSTCam/2026111900001"
    async with service(database_url) as annolog:
        await annolog.say(key, flag="junk", by="ann@host")
        await annolog.say(key, flag="good", by="ann")
        await annolog.set_entry(Alias(name="ann@host", leads_to="ann"))
        await settled(annolog)
        assert (await annolog.state(key))["flag"] == "good"
        await annolog.set_entry(Alias(name="ann@host", leads_to=None))
        await settled(annolog)

        assert (await annolog.state(key))["disputed"] is True
        assert await faults(annolog) == []


async def test_a_refresh_goes_on_where_it_was_left(database_url: str) -> None:
    keys = [f"exposure:LSSTCam/20261119{n:05}" for n in range(1, 1_201)]
    async with service(database_url) as annolog:
        await annolog.say(*keys, flag="junk", by="ann")
        await annolog.say(*keys, flag="good", by="bob")
        await settled(annolog)
        runtime = annolog.runtime
        async with runtime.work.acquire() as other:
            # Another process is at it, and dies after its first piece.
            assert await stored.take_lock(other)
            await annolog.set_entry(Policy(rule="latest"))
            assert not await refresh.refresh_all(runtime.lane, runtime.work)
            due = (await stored.due(other))[0]
            half = (await stored.affected(other, 0, 500))[-1][0]
            await stored.remember(other, due, half, done=False)
            await stored.release_lock(other)
        await refresh.refresh_all(runtime.lane, runtime.work)
        await settled(annolog)
        async with reading(runtime.reads) as connection:
            moved = await connection.fetchval(
                "select count(*) from target_state where flag = 'good'"
            )

        assert moved == 700
