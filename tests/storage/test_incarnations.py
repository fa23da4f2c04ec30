"""What is made of a database that is not as it was."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from annolog.domain.errors import ConflictError
from annolog.storage import changes, database, incarnations
from annolog.storage.incarnations import Known
from tests.support import log

Conn = asyncpg.Connection
HEAD = 5


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Conn]:
    connection = await database.connect(database_url, database.WORK)
    await database.ensure_site(connection, log.SITE_ID)
    await log.append_many(connection, HEAD)
    yield connection
    await connection.close()


AS_IT_WAS = "update site set timeline = timeline"
PROMOTED = "update site set timeline = 99"
ELSEWHERE = "update site set system_identifier = '7'"
ANOTHER_TABLE = "update site set place = '7'"
OLDER_SCHEMA = "update site set place = null"


@pytest.mark.parametrize(
    ("moved", "remembered", "stream", "code"),
    [
        (AS_IT_WAS, 0, True, None),
        (AS_IT_WAS, HEAD, True, None),
        (AS_IT_WAS, HEAD + 1, True, "log_went_back"),
        (AS_IT_WAS, HEAD + 1, False, "log_went_back"),
        (OLDER_SCHEMA, 0, True, None),
        (PROMOTED, 0, True, "log_unverified"),
        # Nothing could ever open what only a topic can tell.
        (PROMOTED, 0, False, None),
        (PROMOTED, HEAD, True, None),
        (PROMOTED, HEAD + 1, True, "log_went_back"),
        (ELSEWHERE, 0, True, "log_restored"),
        (ELSEWHERE, HEAD, False, "log_restored"),
        (ANOTHER_TABLE, 0, True, "log_restored"),
    ],
)
async def test_what_is_met_decides_whether_writes_are_closed(
    conn: Conn, moved: str, remembered: int, *, stream: bool, code: str | None
) -> None:
    await conn.execute(moved)
    found = await incarnations.look(conn, remembered=remembered, stream=stream)
    assert (found and found.code) == code
    assert await incarnations.closed(conn) == found
    # Who comes next, knowing nothing, finds the same.
    again = await incarnations.look(conn, remembered=0, stream=stream)
    assert (again and again.code) == code


async def test_a_fail_over_that_lost_nothing_is_opened_by_who_remembers_or_compared(
    conn: Conn,
) -> None:
    for compared in (False, True):
        await conn.execute(PROMOTED)
        assert await incarnations.look(conn, remembered=0, stream=True) is not None
        if compared:
            await incarnations.vouch(conn)
        else:
            await incarnations.look(conn, remembered=HEAD, stream=True)
        assert await incarnations.look(conn, remembered=0, stream=True) is None
    await conn.execute(ELSEWHERE)
    await incarnations.look(conn, remembered=0, stream=True)
    await incarnations.vouch(conn)
    closed = await incarnations.closed(conn)
    assert closed is not None, "only a person can open what was restored"


async def test_a_first_reason_stays_but_gives_way_where_it_was_mild(conn: Conn) -> None:
    await incarnations.close(conn, incarnations.UNVERIFIED, "wait")
    await incarnations.close(conn, incarnations.SPLIT, "two")
    await incarnations.close(conn, incarnations.BEHIND_STREAM, "behind")
    assert await incarnations.closed(conn) == incarnations.Closed("log_split", "two")


async def test_a_life_that_lost_published_changes_is_not_kept(conn: Conn) -> None:
    await conn.execute(ELSEWHERE)
    await incarnations.look(conn, remembered=0, stream=True)
    assert (await incarnations.keep(conn)).closed is None
    await changes.set_floor(conn, "t", HEAD + 1)
    with pytest.raises(ConflictError, match="incarnation new"):
        await incarnations.keep(conn)


@pytest.mark.parametrize(
    ("head", "published", "above", "first"),
    [
        (0, 0, 0, 1_000_000_000),
        (5, 9, 0, 1_000_000_000),
        (999_999_999, 0, 0, 1_000_000_000),
        (1_000_000_000, 0, 0, 2_000_000_000),
        (5, 1_000_000_007, 0, 2_000_000_000),
        (5, 9, 3_000_000_000, 4_000_000_000),
    ],
)
def test_a_life_begins_above_all_that_is_known(
    head: int, published: int, above: int, first: int
) -> None:
    assert Known(head, published).next_first(above) == first


async def test_lives_follow_each_other_without_sharing_a_number(conn: Conn) -> None:
    second = await incarnations.begin(conn)
    third = await incarnations.begin(conn)
    assert (second.first_number, third.first_number) == (10**9, 2 * 10**9)
    assert await log.append(conn) == 2 * 10**9
    found = await incarnations.lives(conn)
    assert [(one.last_number, one.current) for one in found] == [
        (HEAD, False),
        (None, False),
        (2 * 10**9, True),
    ]
    assert len({one.incarnation for one in found}) == 3


async def test_a_database_of_no_site_has_no_life_to_follow(database_url: str) -> None:
    connection = await database.connect(database_url, database.WORK)
    assert await incarnations.look(connection, remembered=0, stream=True) is None
    for work in (incarnations.begin, incarnations.keep):
        with pytest.raises(ConflictError, match="start the service first"):
            await work(connection)
    await connection.close()
