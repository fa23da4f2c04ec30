"""The schema's versions, and the one way to bring a database to the newest.

Imported by `annolog.storage.database.migrate` alone, when it is called: this is the
only code of the service that needs alembic and SQLAlchemy's engine.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from annolog.domain.errors import ConflictError

HERE = Path(__file__).parent
"""The alembic environment, shipped in the wheel."""

_LARGE = """
select relid::regclass::text from pg_stat_user_tables
 where pg_relation_size(relid) >= 10 * current_setting('block_size')::int
"""


def alembic_config() -> Config:
    """Give alembic's configuration without an .ini file.

    A connection in `attributes["connection"]` is what commands then work on.

    Returns
    -------
    alembic.config.Config
        Knows where the migrations are, and no database.
    """
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(
    connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]], lock: int
) -> None:
    """Run all migrations that are missing, in one transaction, and ANALYZE.

    Not what has fewer than ten pages: of a table that was never looked at PostgreSQL
    expects that many. Once it was found empty or nearly so, any index looks as good as
    another, and a statement planned then searches through a wrong one row by row until
    autovacuum has come round, however large the table has grown.

    Parameters
    ----------
    connect
        Opens a connection that may create tables.
    lock
        The advisory lock that keeps a second migration waiting.

    Raises
    ------
    ConflictError
        The database is at a version that this code does not know.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.execute(
                text("select pg_advisory_xact_lock(:lock)"), {"lock": lock}
            )
            await connection.run_sync(_to_head)
            # Without it the first statements would be planned on empty statistics.
            for table in await connection.scalars(text(_LARGE)):
                await connection.execute(text(f"analyze {table}"))
    finally:
        await engine.dispose()


def _to_head(connection: Connection) -> None:
    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except (CommandError, ResolutionError) as error:
        message = (
            f"The schema of this database is of a version that this annolog does not"
            f" know ({error}). Is the program older than the database?"
        )
        raise ConflictError(message, code="schema_unknown") from None
