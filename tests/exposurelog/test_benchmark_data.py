"""The data that the benchmark measures on: as if it had been said and imported."""

from annolog.actions import check
from annolog.runtime import opened
from annolog.storage import database
from tests.benchmarks import million, nights

MESSAGES = 2 * nights.MESSAGES + 26
"""Two nights and a bit; the last message would have been edited next."""


async def test_made_messages_leave_what_their_records_give(database_url: str) -> None:
    async with opened(database_url, "bench"):
        pass
    at_once = nights.MESSAGES
    await million.make(database_url, MESSAGES, "/nowhere/butler", at_once=at_once)
    pool = await database.pool(database_url, database.BULK)
    try:
        async with database.snapshot(pool) as connection:
            report = await check.check_all(connection)
            counts = await connection.fetchrow(
                """
                select count(*), count(date_invalidated),
                       count(distinct instrument), count(distinct day_obs),
                       (select count(*) from target_state where flag is not null)
                  from message
                """
            )
    finally:
        await pool.close()
    assert [fault.sentence for fault in report.faults] == []
    assert counts is not None
    messages, edited, instruments, days, flagged = counts
    assert (messages, edited) == (MESSAGES, MESSAGES // nights.BLOCK)
    assert (instruments, days) == (len(nights.CAMERAS), 3)
    assert flagged > 0.2 * MESSAGES
