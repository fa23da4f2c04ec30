"""Reads of what stood on targets."""

from datetime import UTC, datetime, timedelta

from annolog.storage import standings
from annolog.storage.standings import LATEST
from tests.support.service import service

EXPOSURE = "exposure:LSSTCam/2026111900123"


async def test_intervals_cover_exactly_the_changes_between_their_ends(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        junk = await annolog.say(EXPOSURE, flag="junk")
        good = await annolog.edit(junk, flag="good")
        text = await annolog.edit(good, text="moves no vote")
        taken = await annolog.retract(text)
        async with annolog.runtime.reads.acquire() as conn:
            (row,) = await standings.members(conn, [EXPOSURE])
            every = await standings.intervals(conn, [row.target_id])
            then = {
                number: [
                    one.standing.said.flag
                    for one in await standings.intervals(conn, [row.target_id], number)
                ]
                for number in range(junk["number"] - 1, taken["number"] + 1)
            }
            now = await standings.intervals(conn, [row.target_id], LATEST)

    assert [(i.standing.said.flag, i.from_number, i.to_number) for i in every] == [
        ("junk", junk["number"], good["number"]),
        ("good", good["number"], taken["number"]),
    ]
    assert list(then.values()) == [[], ["junk"], ["good"], ["good"], []]
    assert now == []
    for one in every:
        for number, flags in then.items():
            assert one.covers(number) == (one.standing.said.flag in flags)


async def test_time_means_the_last_change_that_the_site_had_then(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(EXPOSURE, flag="junk")
        async with annolog.runtime.reads.acquire() as conn:
            at = await conn.fetchval(
                "select committed_at from change where number = $1", said["number"]
            )
            moment = timedelta(microseconds=1)
            assert await standings.number_at(conn, at) == said["number"]
            assert await standings.number_at(conn, at - moment) < said["number"]
            long_ago = datetime(2020, 1, 1, tzinfo=UTC)
            assert await standings.number_at(conn, long_ago) == 0


async def test_row_without_a_statement_is_not_known(database_url: str) -> None:
    other = "exposure:LSSTCam/2026111900124"
    async with service(database_url) as annolog:
        said = await annolog.say(EXPOSURE, other, flag="junk")
        await annolog.edit(said, targets={"remove": [other]})
        async with annolog.runtime.reads.acquire() as conn:
            rows = await standings.overviews(conn, [EXPOSURE, other, "night:X/1"])
            known = await standings.is_known(conn, [EXPOSURE, other, "night:X/1"])

    # Who was spoken of once stays known, though nothing stands there now.
    assert set(rows) == known == {EXPOSURE, other}
    stored = rows[other].stored
    assert stored is not None
    assert stored.state.empty
