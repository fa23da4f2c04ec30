import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime

import asyncpg
import pytest

from annolog.domain.errors import ConflictError, UnavailableError
from annolog.storage import database
from tests.support.postgres import PostgresServer
from tests.support.sse import until

NOWHERE = "postgresql://annolog@127.0.0.1:1/annolog"


async def test_readers_cannot_write(database_url: str) -> None:
    pool = await database.pool(database_url, database.READS)
    with pytest.raises(UnavailableError) as refused:
        async with database.reading(pool) as connection:
            await connection.execute("delete from record")
    assert isinstance(refused.value.__cause__, asyncpg.ReadOnlySQLTransactionError)
    await pool.close()


async def test_sessions_have_the_limits_of_their_use(database_url: str) -> None:
    pool = await database.pool(database_url, database.LANE)
    async with database.begin(pool) as connection:
        found = [
            await connection.fetchval(f"show {name}")
            for name in (
                "idle_in_transaction_session_timeout",
                "statement_timeout",
                "lock_timeout",
                "enable_seqscan",
                "timezone",
                "application_name",
            )
        ]
    assert found == ["2s", "15s", "15s", "off", "UTC", "annolog lane"]
    assert pool.get_max_size() == 1
    await pool.close()


async def test_whoever_freezes_in_a_transaction_loses_it(database_url: str) -> None:
    pool = await database.pool(database_url, database.LANE)

    async def freeze() -> None:
        async with database.begin(pool) as connection:
            await connection.execute(
                "set local idle_in_transaction_session_timeout = '50ms'"
            )
            await asyncio.sleep(0.3)
            await connection.execute("select 1")

    with pytest.raises(UnavailableError):
        await freeze()
    async with database.begin(pool) as connection:
        assert await connection.fetchval("select 1") == 1
    await pool.close()


async def test_a_failed_block_leaves_nothing_behind(database_url: str) -> None:
    pool = await database.pool(database_url, database.WORK)

    async def fail() -> None:
        async with database.begin(pool) as connection:
            await connection.execute(
                "insert into target_list values (gen_random_uuid(), '')"
            )
            raise ZeroDivisionError

    with suppress(ZeroDivisionError):
        await fail()
    async with database.reading(pool) as connection:
        assert await connection.fetchval("select count(*) from target_list") == 0
    await pool.close()


async def test_a_snapshot_sees_one_moment(database_url: str) -> None:
    pool = await database.pool(database_url, database.WORK)
    async with database.snapshot(pool) as old:
        count = "select count(*) from target_list"
        assert await old.fetchval(count) == 0
        async with database.begin(pool) as other:
            await other.execute(
                "insert into target_list values (gen_random_uuid(), '')"
            )
        assert await old.fetchval(count) == 0
    await pool.close()


async def test_values_travel_raw(database_url: str) -> None:
    pool = await database.pool(database_url, database.READS)
    async with database.reading(pool) as connection:
        row = await connection.fetchrow(
            "select '{\"a\": 1}'::jsonb, timestamptz '2026-11-19 03:12Z'"
        )
    assert row is not None
    assert row[0] == '{"a": 1}'
    assert row[1] == datetime(2026, 11, 19, 3, 12, tzinfo=UTC)
    await pool.close()


async def test_no_database_is_an_answer_that_says_when_to_try_again() -> None:
    for attempt in (database.pool, database.connect):
        with pytest.raises(UnavailableError) as refused:
            await attempt(NOWHERE, database.READS)
        assert refused.value.extra == {"retry_after": 2}
        assert refused.value.reason_code == "database_unavailable"
    with pytest.raises(UnavailableError):
        await database.migrate(NOWHERE)


async def test_a_pool_recovers_by_itself_when_the_server_comes_back(
    postgres_server: PostgresServer, database_url: str
) -> None:
    pool = await database.pool(database_url, database.READS)

    async def ask() -> object:
        async with database.reading(pool) as connection:
            return await connection.fetchval("select 1")

    assert await ask() == 1
    # Not in a thread: a server dies with the thread that started it.
    postgres_server.kill()
    for _ in range(4):
        with pytest.raises(UnavailableError):
            await ask()
    postgres_server.start()
    assert await ask() == 1
    await pool.close()


async def test_what_trying_again_does_not_mend_is_no_absence(database_url: str) -> None:
    pool = await database.pool(database_url, database.WORK)
    async with database.reading(pool) as connection:
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.execute("selec 1")
    assert not database.is_away(FileNotFoundError(2, "No such file", "x"))
    # A server's socket that is gone has no name in the error.
    assert database.is_away(FileNotFoundError(2, "No such file"))
    assert not database.is_away(asyncpg.UniqueViolationError("x"))
    assert not database.is_away(asyncpg.InterfaceError("wrong number of arguments"))
    assert database.is_away(asyncpg.InterfaceError("connection is closed"))
    assert database.is_away(OSError("Multiple exceptions"))
    assert database.is_away(TimeoutError())
    await pool.close()


async def test_the_first_start_names_this_life_and_later_ones_find_it(
    database_url: str,
) -> None:
    connections = [
        await database.connect(database_url, database.WORK) for _ in range(2)
    ]
    first, second = await asyncio.gather(
        *(database.ensure_site(connection, "summit") for connection in connections)
    )
    assert first == second
    assert (first.site_id, first.first_number, first.moved) == ("summit", 1, None)
    assert len(bytes.fromhex(first.incarnation)) == 4
    with pytest.raises(ConflictError, match="belongs to the site 'summit'"):
        await database.ensure_site(connections[0], "usdf")
    for connection in connections:
        await connection.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [("system_identifier = '7'", "another server"), ("timeline = 99", "timeline")],
)
async def test_a_database_that_moved_is_reported(
    database_url: str, change: str, words: str
) -> None:
    connection = await database.connect(database_url, database.WORK)
    await database.ensure_site(connection, "summit")
    await connection.execute(f"update site set {change}")
    site = await database.ensure_site(connection, "summit")
    assert site.moved is not None
    assert words in site.moved
    await connection.close()


async def test_whoever_waits_too_long_for_a_connection_is_told(
    database_url: str,
) -> None:
    reads = await database.pool(database_url, database.READS, most=1)
    async with database.reading(reads):
        with pytest.raises(UnavailableError):
            async with database.reading(reads, wait=0.05):
                pass
    async with database.reading(reads, wait=0.05) as connection:
        assert await connection.fetchval("select 1") == 1
    await reads.close()


async def test_a_connection_comes_back_however_its_block_ends(
    database_url: str,
) -> None:
    reads = await database.pool(database_url, database.READS, most=1)

    async def read(query: str) -> object:
        async with database.reading(reads) as connection:
            return await connection.fetchval(query)

    pids = {await read("select pg_backend_pid()")}
    sleeper = asyncio.create_task(read("select pg_sleep(5)"))
    waiting = asyncio.create_task(read("select pg_backend_pid()"))
    await asyncio.sleep(0.05)
    sleeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeper
    pids.add(await waiting)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await read("select 1/0")
    waiting = asyncio.create_task(read("select 1"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    pids.add(await read("select pg_backend_pid()"))
    assert len(pids) == 1
    assert reads.get_idle_size() == 1
    await reads.close()


async def test_a_session_that_ends_after_its_statements_harms_nobody(
    database_url: str,
) -> None:
    reads = await database.pool(database_url, database.READS, most=1)
    other = await database.connect(database_url, database.WORK)
    async with database.reading(reads) as connection:
        ended = await connection.fetchval("select pg_backend_pid()")
        await other.execute("select pg_terminate_backend($1)", ended)
        # Not its size: the pool connects anew at once, and may never be seen empty.
        with pytest.raises(asyncpg.InterfaceError):  # noqa: PT012 - the wait for it
            while connection.get_server_pid():  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
    async with database.reading(reads) as connection:
        assert await connection.fetchval("select pg_backend_pid()") != ended
    await other.close()
    await reads.close()


async def test_an_outage_is_one_line_for_all_pools(
    database_url: str,
    postgres_server: PostgresServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    uses = (database.READS, database.WORK)
    pools = [await database.pool(database_url, use) for use in uses]

    def said() -> list[logging.LogRecord]:
        loggers = {"annolog.database", "asyncpg.pool"}
        return [each for each in caplog.records if each.name in loggers]

    for outage in (1, 2):
        postgres_server.kill()
        await until(lambda: len(said()) > outage - 1)  # noqa: B023 - used at once
        # Both pools try again meanwhile, more than once.
        await asyncio.sleep(1.5)
        assert len(said()) == outage
        postgres_server.start()
        for pool in pools:
            async with database.reading(pool) as connection:
                assert await connection.fetchval("select 1") == 1
    for line in said():
        assert (line.levelname, line.exc_info) == ("WARNING", None)
        assert line.getMessage().startswith("the database is away; ")
    for pool in pools:
        await pool.close()


async def test_what_else_a_pool_has_to_say_is_said(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await database.pool(database_url, database.WORK)
    pools = logging.getLogger("asyncpg.pool")
    pools.warning("Pool.close() is taking over 60 seconds to complete.")
    pools.warning("Failed to restore", exc_info=ZeroDivisionError())
    assert [each.name for each in caplog.records] == ["asyncpg.pool"] * 2
    await pool.close()
