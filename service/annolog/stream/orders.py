"""Carrying out orders: what the relay sends again, between its cycles.

A piece is one Kafka transaction of bounded size by the producer of the cycles, so live
changes wait for one piece at most and nothing overtakes them. How far a part of the
log is in its new topic is read back from that topic; how far states are, which may
come twice without harm, is kept in the database.

An order that cannot be carried out fails with a reason and disturbs nobody. What goes
wrong within Kafka ends the process as ever; the next one goes on where this one was,
and gives the order up after some attempts that brought nothing.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, TypeVar

from kafka.errors import KafkaError
from typing_extensions import override

from annolog.domain.errors import AnnologError
from annolog.domain.events import change_event, state_event
from annolog.storage import changes, orders
from annolog.storage.database import Connection
from annolog.storage.orders import Order
from annolog.stream.mending import demand_ended, mend_changes, settle
from annolog.stream.position import held_by
from annolog.stream.publisher import CYCLE_SECONDS, START_SECONDS, Publisher, Thread
from annolog.stream.topics import CHANGES_CONFIG, Access, TopicError, Topics, ensure

CHANGES_PIECE = 300
"""Changes that one piece sends."""

BYTES_PIECE = 1_000_000
"""Bytes of records that one piece sends; one change is sent at any size."""

ATTEMPTS = 4
"""Relays that may end while they carry out an order, before it fails."""

LOOK_SECONDS = 5.0
"""Orders are looked for so often even if nobody says that there is one."""

_log = logging.getLogger("annolog.relay")

T = TypeVar("T")


class RefusedError(AnnologError):
    """An order that cannot be carried out as it is."""

    code = "order_refused"


@dataclass(frozen=True, slots=True)
class OneTopic(Topics):
    """A topic beside the two, of the kind of the topic of changes."""

    @override
    def configs(self) -> dict[str, dict[str, str]]:
        """Tell how it must be configured."""
        return {self.changes: CHANGES_CONFIG}


class Clerk:
    """Carries out orders, one after the other, piece by piece.

    Parameters
    ----------
    conn
        The relay's connection.
    thread
        Where Kafka is called.
    publisher
        The relay's producer.
    access
        The brokers.
    live
        The topics that the relay itself fills.
    site_id
        Whose log it is.
    replication
        Copies of each partition if a topic must be made.
    """

    def __init__(  # noqa: PLR0913 # the parts of a relay
        self,
        conn: Connection,
        thread: Thread,
        publisher: Publisher,
        access: Access,
        live: Topics,
        site_id: str,
        *,
        replication: int | None = None,
    ) -> None:
        self._conn = conn
        self._thread = thread
        self._publisher = publisher
        self._access = access
        self._live = live
        self._site_id = site_id
        self._replication = replication
        self._order: Order | None = None
        self._look_at = 0.0

    def heard(self) -> None:
        """Take note that an order was placed, or one cancelled."""
        self._look_at = 0.0

    async def work(self, position: int) -> bool:
        """Send one piece of an order, if there is one.

        Parameters
        ----------
        position
            Up to where the log is in the live topic.

        Returns
        -------
        bool
            Whether there is more to do at once.

        Raises
        ------
        Exception
            What went wrong within Kafka. The process must then end.
        """
        now = asyncio.get_running_loop().time()
        if self._order is None:
            if now < self._look_at:
                return False
            self._look_at = now + LOOK_SECONDS
            order = await orders.due(self._conn)
            if order is None or not await orders.start(self._conn, order):
                return False
            self._order = await self._begun(order)
            return True
        try:
            return await self._piece(self._order, position)
        except AnnologError as error:
            await orders.note(self._conn, self._order.order_id, error.detail)
            raise
        except KafkaError as error:
            await self._failed_within_kafka(self._order, error)

    async def _begun(self, order: Order) -> Order | None:
        """See that an order can be carried out, and from where on."""
        try:
            order = await self._checked(order)
        except (RefusedError, TopicError) as error:
            await self._fail(order, error.detail)
            return None
        except KafkaError as error:
            await self._failed_within_kafka(order, error)
        await orders.begin(self._conn, order.order_id)
        _log.info(
            "order %d: %s, from %d on",
            order.order_id,
            order.wish.words,
            order.position + 1,
        )
        return order

    async def _checked(self, order: Order) -> Order:
        if order.attempts >= ATTEMPTS:
            raise RefusedError(
                f"{order.attempts} relays ended while they carried it out; the last"
                f" words: {order.reason or 'none'}"
            )
        wish = order.wish
        if wish.kind == "states":
            return replace(order, wish=replace(wish, topic=self._live.targets))
        first, last = wish.from_number, wish.to_number
        if first is None or last is None or first > last:
            raise RefusedError(f"there are no changes from {first} to {last}")
        head = await changes.head(self._conn)
        if last > head:
            raise RefusedError(
                f"changes up to {last} are wanted, and the log ends at {head}"
            )
        there = await orders.last_change(self._conn, last)
        if there is None or there < first:
            raise RefusedError(f"the log has no changes from {first} to {last}")
        order = replace(order, wish=replace(wish, to_number=there))
        if wish.topic in {self._live.changes, self._live.targets}:
            raise RefusedError(
                f"{wish.topic} is a topic that the relay fills itself; name another one"
            )
        await self._call(
            "looking at the topic",
            functools.partial(
                ensure,
                self._access,
                OneTopic(wish.topic, wish.topic),
                replication=self._replication,
            ),
        )
        return await self._resumed(order, first)

    async def _resumed(self, order: Order, first: int) -> Order:
        """Read back from the new topic how far it is."""
        topic = order.wish.topic
        await settle(self._thread, self._publisher, (topic,))
        held = await self._call(
            "reading back the position",
            functools.partial(held_by, self._access, topic),
        )
        last = held.last
        if last is None:
            return replace(order, position=first - 1, done=0)
        if not last.is_of(self._site_id):
            raise RefusedError(f"topic {topic} holds events of {last.source}")
        if order.started_at is None and last.number >= first:
            raise RefusedError(
                f"topic {topic} holds changes up to {last.number} already, and it is"
                f" to be filled from {first}: name a fresh topic"
            )
        lost = held.lost(last.number)
        await mend_changes(self._conn, self._thread, self._publisher, topic, lost)
        position = max(last.number, first - 1)
        done = await orders.changes_between(self._conn, first - 1, position)
        return replace(order, position=position, done=done)

    async def _piece(self, order: Order, position: int) -> bool:
        if order.wish.kind == "states":
            piece = await orders.states_piece(
                self._conn, order.wish, order.position, position
            )
            events = [(order.wish.topic, state_event(state)) for state in piece.states]
            reached, over, more = piece.position, piece.is_last, True
        else:
            last = order.wish.to_number or 0
            page = await changes.read(
                self._conn,
                order.position,
                CHANGES_PIECE,
                # Never ahead of the live topic, which may be behind the log.
                upto=min(last, position),
                max_bytes=BYTES_PIECE,
            )
            events = [(order.wish.topic, change_event(one)) for one in page.changes]
            reached = page.next_after
            over = reached >= last
            more = bool(page.changes)
        if events:
            await self._thread.call(
                "publishing a piece of an order",
                CYCLE_SECONDS,
                functools.partial(self._publisher.publish, events),
            )
        if over:
            await demand_ended(self._thread, self._publisher, (order.wish.topic,))
        done = order.done + len(events)
        self._order = replace(order, position=reached, done=done)
        if not await orders.advance(
            self._conn, order.order_id, reached, done, over=over
        ):
            _log.info("order %d was cancelled after %d", order.order_id, done)
            self._end()
        elif over:
            _log.info("order %d is done: %d sent", order.order_id, done)
            if order.wish.kind == "states" and order.wish.is_for_all:
                await changes.clear_missing(self._conn, self._live.targets)
            self._end()
        return more or over

    def _end(self) -> None:
        self._order = None
        self._look_at = 0.0

    async def _fail(self, order: Order, reason: str) -> None:
        _log.warning("order %d failed: %s", order.order_id, reason)
        await orders.fail(self._conn, order.order_id, reason)
        self._end()

    async def _failed_within_kafka(self, order: Order, error: KafkaError) -> NoReturn:
        reason = reason_of(error, order.wish.topic)
        if type(error).__name__ in _HINTS:
            await self._fail(order, reason)
        else:
            # Not the order's fault, as far as is known: a broker away, a fenced relay.
            await orders.note(self._conn, order.order_id, reason)
        raise error

    async def _call(self, what: str, function: Callable[[], T]) -> T:
        return await self._thread.call(what, START_SECONDS, function)


def reason_of(error: KafkaError, topic: str) -> str:
    """Say why Kafka refused to take something for a topic, for people."""
    hint = _HINTS.get(type(error).__name__, "")
    return f"topic {topic}: {type(error).__name__}{hint}"


_HINTS: Mapping[str, str] = {
    "TopicAuthorizationFailedError": ": our user needs Describe, Read and Write there",
    "ClusterAuthorizationFailedError": ": our user may not make topics",
    "InvalidTopicError": ": the brokers take no such name",
    "PolicyViolationError": ": the brokers' rules forbid such a topic",
    "InvalidReplicationFactorError": ": there are not so many brokers",
    "MessageSizeTooLargeError": ": it takes no event as large as ours (256 KiB)",
    "RecordListTooLargeError": ": it takes no events as large as ours (256 KiB)",
}
