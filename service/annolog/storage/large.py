"""Turns of very many targets: what they are allowed, and where they are worked out."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from annolog.storage.database import Connection

MANY = 1_000
"""Targets from which on a turn is a large one: more take longer than others may wait
for their answers."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

# Threads of their own: those that all share may wait for something else.
_beside = ThreadPoolExecutor(2, "annolog large turns")


async def worked_out(
    count: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """Do what takes long beside the event loop, so that others are answered meanwhile.

    Parameters
    ----------
    count
        How many targets it is about; of up to `MANY` it is done at once.
    work
        What is to be done: it may touch nothing that others change.
    *args, **kwargs
        What it is called with.
    """
    if count <= MANY:
        return work(*args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_beside, lambda: work(*args, **kwargs))


async def more_time(conn: Connection) -> None:
    """Let the lane's session be idle for longer than 2 s until its transaction ends.

    Working very many targets out may take that long on a busy machine. Others keep
    the short limit, after which the server takes a frozen process out of the lane.
    """
    await conn.execute("set local idle_in_transaction_session_timeout = '15s'")
