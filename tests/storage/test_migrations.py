import asyncio

import asyncpg
import pytest
from alembic.command import check
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from annolog.domain.errors import ConflictError
from annolog.storage import database
from annolog.storage.migrations import alembic_config
from annolog.storage.tables import metadata
from tests.support.service import service


async def connected(url: str) -> "asyncpg.Connection[asyncpg.Record]":
    return await database.connect(url, database.WORK)


def test_the_code_needs_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [
        database.SCHEMA
    ]


async def test_the_migrations_give_exactly_the_tables_that_are_declared(
    database_url: str,
) -> None:
    def compare(connection: Connection) -> None:
        config = alembic_config()
        config.attributes["connection"] = connection
        check(config)

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connected(database_url),
        poolclass=NullPool,
    )
    async with engine.connect() as connection:
        await connection.run_sync(compare)
    await engine.dispose()


async def test_an_empty_database_is_brought_to_the_newest_version(
    empty_database_url: str,
) -> None:
    connection = await connected(empty_database_url)
    assert await database.schema_version(connection) is None
    assert not await database.is_current(connection)
    assert await database.migrate(empty_database_url) == database.SCHEMA
    assert await database.is_current(connection)
    await connection.close()


async def test_a_migration_analyses_large_tables_and_leaves_small_ones(
    empty_database_url: str,
) -> None:
    await database.migrate(empty_database_url)
    connection = await connected(empty_database_url)
    await connection.execute(
        "insert into target (key, class_id, kind)"
        " select 'night:' || n, n, 'night' from generate_series(1, 5000) n"
    )
    await database.migrate(empty_database_url)
    # A table that nobody looked at yet has -1 rows.
    known = await connection.fetch(
        "select relname, reltuples from pg_class"
        " join pg_namespace n on n.oid = relnamespace"
        " where nspname = 'public' and relkind = 'r' and reltuples >= 0"
    )
    assert [tuple(row) for row in known] == [("target", 5000)]
    await connection.close()


async def test_two_migrations_at_once_do_not_meet(empty_database_url: str) -> None:
    done = await asyncio.gather(
        *(database.migrate(empty_database_url) for _ in range(3))
    )
    assert done == [database.SCHEMA] * 3


async def test_a_second_migration_changes_nothing(database_url: str) -> None:
    connection = await connected(database_url)
    before = await connection.fetch("select oid, relname from pg_class order by oid")
    await database.migrate(database_url)
    after = await connection.fetch("select oid, relname from pg_class order by oid")
    assert before == after
    assert {r["relname"] for r in after} >= set(metadata.tables)
    await connection.close()


async def test_a_newer_schema_is_left_alone(database_url: str) -> None:
    connection = await connected(database_url)
    await connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(ConflictError, match="9999"):
        await database.migrate(database_url)
    assert not await database.is_current(connection)
    await connection.close()


async def test_a_log_older_than_the_messages_gets_them_with_the_migration(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say("exposure:LSSTCam/2026111900123", text="a trail")
        await annolog.edit(said, text="a long trail")
        await annolog.say("night:LSSTCam/20261119", text="clear")
    connection = await connected(database_url)
    before = await connection.fetch("select * from message order by message_id")
    await connection.execute("delete from message")

    await database.migrate(database_url)
    await database.migrate(database_url)

    after = await connection.fetch("select * from message order by message_id")
    assert len(after) == 2
    assert after == before
    await connection.close()
