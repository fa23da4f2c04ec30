"""What commands on the database share: one connection, and errors in one line."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from annolog.cli.main import database_url
from annolog.storage import database
from annolog.storage.database import Connection, Use

T = TypeVar("T")


def on_database(
    work: Callable[[Connection], Awaitable[T]], use: Use = database.WORK
) -> T:
    """Do the work of a command on a connection of its own.

    Parameters
    ----------
    work
        What is to be done.
    use
        What the connection is for: how long its statements may take.

    Raises
    ------
    UnavailableError
        The database is away.
    """
    url = database_url()

    async def run() -> T:
        connection = await database.connect(url, use)
        try:
            with database.answering():
                return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())
