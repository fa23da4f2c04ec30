"""Log and topics held against each other: where to go on, and when to stop.

The topic is the truth about what was published, the log about what was said. Where the
topic knows what the log does not, the database went back, and writing on would give
numbers a second time: writes are closed and the relay ends until an operator acts.
Where the topic lost what it had, the relay goes on and says so.
"""

import functools
import logging
from typing import NoReturn

from annolog.domain.errors import AnnologError
from annolog.storage import changes, incarnations
from annolog.storage.database import Connection, Site
from annolog.stream.mending import mend_changes, mend_states
from annolog.stream.position import Held, ends_of, held_by
from annolog.stream.publisher import START_SECONDS, Publisher, Thread
from annolog.stream.topics import Access, Topics

_log = logging.getLogger("annolog.relay")


class StopRelayError(AnnologError):
    """The log and the topic contradict each other; a person must look."""

    code = "relay_stopped"


class LogAndTopics:
    """The log of a site, and the topics that shall have what is in it.

    Parameters
    ----------
    conn
        The relay's connection.
    thread
        Where Kafka is called.
    access
        The brokers.
    topics
        The two topics.
    site
        Whose log it is.
    """

    def __init__(
        self,
        conn: Connection,
        thread: Thread,
        access: Access,
        topics: Topics,
        site: Site,
    ) -> None:
        self.conn = conn
        """The relay's connection."""
        self._thread = thread
        self._access = access
        self._topics = topics
        self._site = site

    async def expect(self, publisher: Publisher, position: int) -> None:
        """Note where the topics end, and whether that of states is empty."""
        topics = self._topics
        for topic in (topics.changes, topics.targets):
            ends = await self._thread.call(
                "looking at the ends",
                START_SECONDS,
                functools.partial(ends_of, self._access, topic),
            )
            publisher.expect(topic, ends)
            if (
                topic == topics.targets
                and not any(ends.values())
                and await changes.has_states(self.conn, position)
            ):
                await self.miss(topic, position, "is empty")

    async def mend(self, publisher: Publisher, position: int) -> None:
        """Send again what the topics lack up to the position.

        Parameters
        ----------
        publisher
            Sends it; nothing of its own is open.
        position
            As `position` gave it.
        """
        topics = self._topics
        for topic, mend in (
            (topics.changes, mend_changes),
            (topics.targets, mend_states),
        ):
            held = await self._held_by(topic)
            await mend(self.conn, self._thread, publisher, topic, held.lost(position))

    async def _held_by(self, topic: str) -> Held:
        return await self._thread.call(
            "reading back what a topic holds",
            START_SECONDS,
            functools.partial(held_by, self._access, topic),
        )

    async def miss(self, topic: str, position: int, how: str) -> None:
        """Say and keep that a topic lost what it had."""
        way = (
            "send the states again with `annologd replay --states`"
            if topic == self._topics.targets
            else "fill a topic with them by `annologd replay --from N --topic NEW`"
        )
        await changes.set_missing(self.conn, topic, position)
        _log.warning(
            "topic %s %s: what was published up to change %d is not in it; %s",
            topic,
            how,
            position,
            way,
        )

    async def position(self) -> int:
        """Find out after which change to go on.

        Raises
        ------
        StopRelayError
            If the topic is another site's, or knows more than the log.
        """
        topic = self._topics.changes
        held = await self._held_by(topic)
        head = await changes.head(self.conn)
        if held.last is None:
            position = await self._after_emptied(topic, held, head)
        elif not held.last.is_of(self._site.site_id):
            raise StopRelayError(
                f"topic {topic} holds events of {held.last.source}, and this is site"
                f" {self._site.site_id}: choose another prefix"
            )
        else:
            position = held.last.number
            if position > head:
                await self.stop_ahead(position, head)
            if position >= self._site.first_number:
                there = await changes.id_at(self.conn, position)
                if there != held.last.event_id:
                    await self._stop_writes(
                        incarnations.SPLIT,
                        f"change {position} is {held.last.event_id} in topic {topic}"
                        f" and {there} in the log: two databases have published there."
                        " Begin a new life of this one with `annologd incarnation new`",
                    )
        closed = await incarnations.look(self.conn, remembered=0, stream=True)
        if closed is not None and closed.code != incarnations.UNVERIFIED:
            raise StopRelayError(closed.reason)
        if closed is not None:
            await incarnations.vouch(self.conn)
            _log.warning("the log has all that topic %s knows: writes open", topic)
        return position

    async def _after_emptied(self, topic: str, held: Held, head: int) -> int:
        """Find the position where the topic has no event to read it from."""
        beginning = await changes.beginning(self.conn)
        floor = await changes.floor(self.conn, topic)
        position = beginning if floor is None else floor
        if position > head:
            await self.stop_ahead(position, head)
        if position > beginning:
            how = "was emptied by its retention" if held.had_more else "is new or empty"
            await self.miss(topic, position, how)
        return position

    async def stop_ahead(self, published: int, head: int) -> NoReturn:
        """Close writes and end, as more was published than the log has.

        Raises
        ------
        StopRelayError
            Always.
        """
        topic = self._topics.changes
        # Web processes compare this with the log and refuse writes.
        await changes.set_floor(self.conn, topic, published)
        await self._stop_writes(
            incarnations.BEHIND_STREAM,
            f"topic {topic} holds change {published} and the log ends at {head}: the"
            " database is older than what was published. Begin a new life of it with"
            " `annologd incarnation new`",
        )

    async def _stop_writes(self, code: str, reason: str) -> NoReturn:
        await incarnations.close(self.conn, code, reason)
        raise StopRelayError(reason)
