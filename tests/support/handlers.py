"""Handlers of one module on a real database, without the rest of the service.

Nothing is written by starting them, so tests may fill the tables as they like.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
from litestar import Litestar
from litestar.di import Provide

from annolog.actions.lane import Lane
from annolog.actions.resolve import Resolver
from annolog.api import problems
from annolog.butler.registries import Registries
from annolog.domain.records import Origin
from annolog.runtime import Runtime, new_id, now
from annolog.storage import entries
from annolog.storage.database import READS, Site, pool
from annolog.stream.feed import Feed


@asynccontextmanager
async def handlers(
    routes: Sequence[Any], database_url: str
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve some handlers, for reading."""
    reads = await pool(database_url, READS, most=2)
    async with reads.acquire() as connection:
        known = await entries.read(connection)
    site = Site("summit", "0a1b2c3d", 1)
    lane = Lane(reads, Origin("summit", "0a1b2c3d"), known, now=now, new_id=new_id)
    feed = Feed(database_url, reads)
    feed.start()
    resolver = Resolver(reads, reads, lane.known_keys)
    butlers = Registries((), reads, reads, lane)
    runtime = Runtime(
        site, reads, reads, lane, feed, resolver, reads, reads, reads, butlers
    )
    app = Litestar(
        routes,
        dependencies={"runtime": Provide(lambda: runtime, sync_to_thread=False)},
        exception_handlers=problems.HANDLERS,
    )
    # Not Litestar's client: that one runs the application in a loop of its own, and
    # the pool belongs to this one.
    transport = httpx.ASGITransport(cast("Any", app))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as one:
        yield one
    await feed.close()
    await reads.close()
