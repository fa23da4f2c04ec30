"""The parts of a serving process: opened in order, closed in order.

This module wires what others may not know of each other: pools, the lane, the feed,
the clock. It is also the only place that asks for the time or for randomness.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from annolog.actions import dataid_drift, receive, refresh
from annolog.actions import entries as entry_actions
from annolog.actions.lane import Lane, Seen
from annolog.actions.resolve import Resolver
from annolog.butler.registries import Registries
from annolog.domain import records
from annolog.domain.errors import UnavailableError
from annolog.domain.instruments import Instruments
from annolog.domain.records import Origin
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import database, entries, incarnations
from annolog.storage.database import Connection, Pool, Site
from annolog.stream.feed import Feed

_log = logging.getLogger(__name__)


def now() -> datetime:
    """Give the wall time, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one clock


def new_id(moment: datetime) -> UUID:
    """Give a fresh id: a UUIDv7 whose last 14 bits are zero."""
    return records.revision_id(moment, secrets.randbits(60))


@dataclass(slots=True)
class Runtime:
    """What the handlers of one process share.

    Attributes
    ----------
    site
        Whose database this is.
    reads
        Read-only connections.
    work
        Connections for small writes outside the lane.
    lane
        The way of all writes.
    feed
        Follows the log, for all who wait for it to grow.
    resolver
        Finds targets by their names.
    messages
        Connections for what clients of exposurelog read all night.
    searches
        Connections for searches that no index helps.
    streams
        Connections for answers too large to be held.
    registries
        The butlers of the site.
    clock
        Gives the wall time.
    """

    site: Site
    reads: Pool
    work: Pool
    lane: Lane
    feed: Feed
    resolver: Resolver
    messages: Pool
    searches: Pool
    streams: Pool
    registries: Registries
    clock: Callable[[], datetime] = now
    _instruments: tuple[int, Instruments] | None = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of now, as this process knows it."""
        return self.lane.known.vocabulary

    @property
    def instruments(self) -> Instruments:
        """The instruments of now, as this process knows them."""
        number = self.lane.known.number
        if self._instruments is None or self._instruments[0] != number:
            self._instruments = (
                number,
                Instruments.from_entries(self.vocabulary.instruments),
            )
        return self._instruments[1]


@contextlib.asynccontextmanager
async def opened(
    url: str,
    site_id: str,
    *,
    butlers: Sequence[str] = (),
    stream: bool = True,
    observe: Callable[[Seen], None] = lambda _: None,
) -> AsyncIterator[Runtime]:
    """Open the parts of a serving process on a migrated database.

    Parameters
    ----------
    url
        Where the database is.
    site_id
        Which site this is.
    butlers
        Where its butlers are, by number; empty where there is none.
    stream
        Whether a relay publishes the log. If so, a server that was promoted is written
        to only after the relay has held the log against the topic.
    observe
        Is told of each turn of the lane.

    Raises
    ------
    UnavailableError
        If the database is away.
    ConflictError
        If it is another site's.
    """
    async with contextlib.AsyncExitStack() as stack:
        work = await database.pool(url, database.WORK)
        stack.push_async_callback(work.close)
        reads = await database.pool(url, database.READS)
        stack.push_async_callback(reads.close)
        messages = await database.pool(url, database.MESSAGES)
        stack.push_async_callback(messages.close)
        searches = await database.pool(url, database.SEARCHES)
        stack.push_async_callback(searches.close)
        streams = await database.pool(url, database.STREAMS)
        stack.push_async_callback(streams.close)
        async with database.reading(work) as connection:
            site = await database.ensure_site(connection, site_id)
        if site.moved is not None:
            _log.warning("%s", site.moved)
        door = _Door(stream=stream)
        lane_pool = await database.pool(url, database.LANE, greet=door.greet)
        stack.push_async_callback(lane_pool.close)
        async with database.reading(reads) as connection:
            known = await entries.read(connection)
        lane = Lane(
            lane_pool,
            Origin(site.site_id, site.incarnation),
            known,
            now=now,
            new_id=new_id,
            observe=observe,
        )
        feed = door.feed = Feed(url, reads)
        door.lane = lane
        await stack.enter_async_context(lane.running())
        resolver = Resolver(reads, work, lane.known_keys)
        registries = Registries(butlers, reads, work, lane)
        await stack.enter_async_context(registries.running())
        runtime = Runtime(
            site,
            reads,
            work,
            lane,
            feed,
            resolver,
            messages,
            searches,
            streams,
            registries,
        )
        try:
            await receive.records(lane, work, entry_actions.shipped())
        except UnavailableError as error:
            # Reading goes on where writes are closed until an operator acts.
            if error.reason_code not in incarnations.CODES:
                raise
        feed.start()
        stack.push_async_callback(feed.close)
        refreshing = asyncio.create_task(
            refresh.follow(lane, work), name="annolog refresh"
        )
        stack.push_async_callback(_ended, refreshing)
        watching = asyncio.create_task(
            dataid_drift.follow(lane, reads, site.site_id), name="annolog drift"
        )
        stack.push_async_callback(_ended, watching)
        yield runtime


class _Door:
    """Looks at each connection of the lane, for what a new one may lead to.

    A database that was replaced by an older copy of itself has to be met anew: no
    session outlives that. What this process knows to be committed then tells more
    than any mark within the database could.
    """

    def __init__(self, *, stream: bool) -> None:
        self._stream = stream
        self._said: str | None = None
        self.feed: Feed | None = None
        self.lane: Lane | None = None

    async def greet(self, connection: Connection) -> None:
        """See whether the database is what it was; the lane reads what was found."""
        closed = await incarnations.look(
            connection,
            remembered=0 if self.feed is None else self.feed.greatest,
            stream=self._stream,
        )
        if closed is not None and self.lane is not None:
            self.lane.known_keys.forget()
        reason = None if closed is None else closed.reason
        if reason != self._said and reason is not None:
            _log.error("nothing can be written now: %s", reason)
        self._said = reason


async def _ended(task: "asyncio.Task[None]") -> None:
    """End a task of the background, before what it works with is closed."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
