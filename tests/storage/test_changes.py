"""Reading the log, and the positions and leases of those who follow it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from annolog.domain.events import change_event
from annolog.storage import changes
from annolog.storage.changes import Bounds
from tests.support import log

Conn = asyncpg.Connection


@pytest.fixture
async def conn(database_url: str) -> AsyncIterator[Conn]:
    connection = await asyncpg.connect(database_url)
    await log.begin_site(connection)
    yield connection
    await connection.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Conn]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_an_empty_log_ends_before_its_first_number(conn: Conn) -> None:
    assert await changes.head(conn) == 0
    assert await changes.first_number(conn) == 1
    assert await changes.read(conn, 0, 10) == changes.Page((), 0)


async def test_pages_give_every_change_once_in_order(conn: Conn) -> None:
    await log.append_many(conn, 25)
    after, numbers = 0, []
    while (page := await changes.read(conn, after, 10)).changes:
        numbers += [change.number for change in page.changes]
        after = page.next_after
    assert numbers == list(range(1, 26))
    assert after == await changes.head(conn) == 25


async def test_some_changes_are_picked_out_wherever_they_are(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "PICKED", 4)
    await log.append_many(conn, 30)
    for numbers, there in (
        ([2, 3, 11, 29, 30, 99], [2, 3, 11, 29, 30]),
        ([99], []),
        ([], []),
    ):
        found = await changes.pick(conn, numbers)
        assert [change.number for change in found] == there


async def test_states_are_found_by_the_change_that_left_them(conn: Conn) -> None:
    await log.append(conn, keys=[log.exposure_key(2), log.exposure_key(1)])
    await log.append(conn, keys=[log.exposure_key(2)])
    found = await changes.states_at(conn, [1, 7])
    assert [state.state.key for state in found] == [log.exposure_key(1)]
    assert len(await changes.states_at(conn, [1, 2])) == 2


async def test_an_answer_stops_at_its_bytes_and_goes_on(conn: Conn) -> None:
    await log.append_many(conn, 6, text="x" * 1_000)
    after, sizes = 0, []
    while (page := await changes.read(conn, after, 10, max_bytes=3_500)).changes:
        sizes.append(len(page.changes))
        after = page.next_after
    assert sum(sizes) == 6
    assert max(sizes) < 3
    assert len((await changes.read(conn, 0, 10, max_bytes=1)).changes) == 1


async def test_a_filtered_read_passes_over_the_rest(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SCANNED", 4)
    for number in range(1, 21):
        await log.append(conn, instrument="LATISS" if number in (3, 4, 17) else "HSC")
    after, numbers = 0, []
    while after < 20:
        page = await changes.read(conn, after, 1, instrument="LATISS", max_bytes=9**6)
        numbers += [change.number for change in page.changes]
        assert page.next_after > after
        after = page.next_after
    assert numbers == [3, 4, 17]
    assert not (await changes.read(conn, 0, 10, kind="policy")).changes


async def test_events_name_the_life_of_the_database_that_numbered_them(
    conn: Conn,
) -> None:
    await log.append(conn)
    await log.begin_site(conn, first_number=1_000_000_000, incarnation="ffffffff")
    assert await changes.head(conn) == 999_999_999
    assert await log.append(conn) == 1_000_000_000
    page = await changes.read(conn, 0, 10)
    assert [(c.number, c.incarnation) for c in page.changes] == [
        (1, log.INCARNATION),
        (1_000_000_000, "ffffffff"),
    ]
    states = await changes.states_between(conn, 0, 2_000_000_000)
    assert [s.incarnation for s in states] == [log.INCARNATION, "ffffffff"]
    assert await changes.id_at(conn, 1) == change_event(page.changes[0]).id
    assert await changes.id_at(conn, 2) is None


async def test_states_come_with_key_and_names_in_the_order_of_the_topic(
    conn: Conn,
) -> None:
    await log.append(conn, keys=["exposure:B/2", "exposure:B/10", "exposure:a/1"])
    await conn.execute(
        "insert into target_name select 'B', n, target_id from target,"
        " unnest(array['B_2', 'A_2']) n where key = 'exposure:B/2'"
    )
    states = await changes.states_between(conn, 0, 1)
    assert [s.state.key for s in states] == [
        "exposure:B/10",
        "exposure:B/2",
        "exposure:a/1",
    ]
    assert states[1].state.names == ("A_2", "B_2")
    assert states[1].state.site_id == log.SITE_ID


async def test_a_cycle_takes_the_states_that_its_changes_left(conn: Conn) -> None:
    key = "exposure:LSSTCam/1"
    await log.append(conn, keys=[key], flag="junk")
    await log.append(conn, keys=[key], flag="good")
    first = await changes.cycle(conn, 0, Bounds(changes=1))
    assert [c.number for c in first.changes] == [1]
    assert first.states == ()
    second = await changes.cycle(conn, 1, Bounds(changes=1))
    assert [(s.state.number, s.state.flag) for s in second.states] == [(2, "good")]
    assert await changes.cycle(conn, 2, Bounds()) == changes.Cycle((), ())


@pytest.mark.parametrize(
    "bounds", [Bounds(changes=2), Bounds(states=4), Bounds(99, 9**6, 900)]
)
async def test_a_cycle_is_bounded_by_each_measure(conn: Conn, bounds: Bounds) -> None:
    keys = [log.exposure_key(n) for n in range(2)]
    for n in range(4):
        await log.append(conn, keys=[f"{key}{n}" for key in keys])
    taken = []
    after = 0
    while (cycle := await changes.cycle(conn, after, bounds)).changes:
        taken.append([c.number for c in cycle.changes])
        after = taken[-1][-1]
    assert [n for part in taken for n in part] == [1, 2, 3, 4]
    assert max(map(len, taken)) == 2


async def test_the_lag_counts_what_is_not_published(conn: Conn) -> None:
    await log.append_many(conn, 5)
    never = await changes.lag(conn, "t")
    assert (never.position, never.seen_at, never.changes) == (None, None, 5)
    await changes.set_floor(conn, "t", 3)
    assert await changes.floor(conn, "t") == 3
    lag = await changes.lag(conn, "t")
    assert (lag.position, lag.changes) == (3, 2)
    assert 0 < lag.seconds < 60
    await changes.set_floor(conn, "t", 5)
    assert (await changes.lag(conn, "t")).seconds == 0


async def test_a_listener_hears_of_a_commit(conn: Conn, other: Conn) -> None:
    heard: asyncio.Queue[int] = asyncio.Queue()
    async with changes.listening(other, heard.put_nowait):
        number = await log.append(conn)
        assert await asyncio.wait_for(heard.get(), 5) == number


async def test_a_lease_has_one_holder_until_it_is_given_back(
    conn: Conn, other: Conn
) -> None:
    assert await changes.take_lease(conn, "relay", "one", 10)
    assert not await changes.take_lease(other, "relay", "two", 10)
    assert await changes.renew_lease(conn, "relay", "one", 10)
    assert not await changes.renew_lease(other, "relay", "two", 10)
    await changes.release_lease(conn, "relay", "one")
    assert await changes.take_lease(other, "relay", "two", 10)


async def _take_at_last(conn: Conn) -> None:
    for _ in range(500):
        if await changes.take_lease(conn, "relay", "two", 10):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the lease was never given")


async def test_a_lease_ends_with_the_session_of_its_holder(
    conn: Conn, other: Conn
) -> None:
    assert await changes.take_lease(other, "relay", "one", 1000)
    await other.close()
    await _take_at_last(conn)


async def test_a_silent_holder_is_passed_over(conn: Conn, other: Conn) -> None:
    assert await changes.take_lease(other, "relay", "frozen", -2)
    await _take_at_last(conn)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await other.fetchval("select 1")


async def test_two_leases_of_different_names_are_apart(conn: Conn, other: Conn) -> None:
    assert await changes.take_lease(conn, "relay", "one", 10)
    assert await changes.take_lease(other, "refresh", "two", 10)


async def test_a_refresh_gives_its_record_again_under_an_id_of_its_own(
    conn: Conn,
) -> None:
    record = UUID(int=7)
    await log.append(conn, kind="policy", operation="set", record=record)
    await log.append(conn, kind="policy", operation="refresh", record=record)
    page = await changes.read(conn, 0, 10)
    assert [change_event(c).id for c in page.changes] == [str(record), f"{record}/2"]
    assert await changes.id_at(conn, 2) == f"{record}/2"
