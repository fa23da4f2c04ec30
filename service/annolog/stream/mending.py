"""What a broker forgets of a transaction that it has acknowledged, and its repair.

A broker that starts may take partitions that have no leader yet for deleted ones: then
it calls a transaction ended there and writes no marker (Kafka 4.3.1; its log says
"likely deleted already and hence can be skipped"). What was sent stays in the topic,
neither committed nor aborted. Nobody reads on behind it, until the next transaction of
the same producer that writes there ends it too, the one way or the other: so a part of
a cycle may come late, twice, or never. See docs/decisions/0007.

So a relay ends first what it finds open (`settle`); then it sends again what that, or
the broker, took out of the topic behind its back (`mend`); and while it works it looks
now and then whether its own transactions have ended (`Watch`).
"""

import asyncio
import functools
import logging
from collections.abc import Sequence

from annolog.domain.errors import AnnologError
from annolog.domain.events import Event, change_event, state_event
from annolog.storage import changes
from annolog.storage.database import Connection
from annolog.stream.publisher import (
    CYCLE_SECONDS,
    START_SECONDS,
    Publisher,
    Thread,
    where,
)
from annolog.stream.topics import Topics

WATCH_SECONDS = 5.0
"""A relay that publishes looks so often whether its transactions have ended."""

ENDED_WITHIN = 1.0
"""A broker that is well has ended a transaction everywhere by then."""

_log = logging.getLogger("annolog.relay")


class LeftOpenError(AnnologError):
    """A transaction did not end though the broker says so."""

    code = "left_open"


async def settle(thread: Thread, publisher: Publisher, topics: Sequence[str]) -> None:
    """End what was left open, before anything is read back or sent.

    Parameters
    ----------
    thread
        Where Kafka is called.
    publisher
        The only producer of the topics.
    topics
        Where to look; they are there.
    """
    left = await thread.call(
        "ending open transactions",
        START_SECONDS,
        functools.partial(publisher.settle, topics),
    )
    if left:
        _log.warning(
            "the broker had left a transaction open in %s: what was sent in it is"
            " sent again",
            where(left),
        )


async def mend_changes(
    conn: Connection,
    thread: Thread,
    publisher: Publisher,
    topic: str,
    numbers: Sequence[int],
) -> None:
    """Send changes again that a topic lacks below what it has.

    In one transaction: of a part of them it could not be told again what is lacking.

    Parameters
    ----------
    conn
        Any connection.
    thread
        Where Kafka is called.
    publisher
        Sends them.
    topic
        A topic of changes.
    numbers
        Ascending; those that the log does not have are passed over.
    """
    found = await changes.pick(conn, numbers)
    if found:
        _log.warning(
            "topic %s lacked %d changes from %d to %d that the broker had taken: they"
            " are sent again",
            topic,
            len(found),
            found[0].number,
            found[-1].number,
        )
        events = [(topic, change_event(change)) for change in found]
        await _send_again(thread, publisher, events)


async def mend_states(
    conn: Connection,
    thread: Thread,
    publisher: Publisher,
    topic: str,
    numbers: Sequence[int],
) -> None:
    """Send states again that a topic may lack; as `mend_changes`.

    What has changed since is sent with its change, and what was there already changes
    nothing.

    Parameters
    ----------
    conn
        Any connection.
    thread
        Where Kafka is called.
    publisher
        Sends them.
    topic
        The topic of states.
    numbers
        Changes that left them.
    """
    found = await changes.states_at(conn, numbers) if numbers else ()
    if found:
        _log.warning("topic %s lacked up to %d states: sent again", topic, len(found))
        events = [(topic, state_event(state)) for state in found]
        await _send_again(thread, publisher, events)


async def _send_again(
    thread: Thread, publisher: Publisher, events: Sequence[tuple[str, Event]]
) -> None:
    await thread.call(
        "sending again what was lost",
        CYCLE_SECONDS,
        functools.partial(publisher.publish, events),
    )


class Watch:
    """Sees that the transactions of a relay end.

    Parameters
    ----------
    thread
        Where Kafka is called.
    publisher
        Whose transactions.
    topics
        Where they write.
    """

    def __init__(self, thread: Thread, publisher: Publisher, topics: Topics) -> None:
        self._thread = thread
        self._publisher = publisher
        self._topics = (topics.changes, topics.targets)
        self._looked_at = asyncio.get_running_loop().time()
        self._seen = publisher.published

    async def look(self) -> None:
        """Look, if it is time and anything was published since the last look.

        Raises
        ------
        LeftOpenError
            If the process must end, so that the next one mends it.
        """
        now = asyncio.get_running_loop().time()
        published = self._publisher.published
        if published != self._seen and now - self._looked_at > WATCH_SECONDS:
            await demand_ended(self._thread, self._publisher, self._topics)
            self._looked_at, self._seen = now, published


async def demand_ended(
    thread: Thread, publisher: Publisher, topics: Sequence[str]
) -> None:
    """See that all that was published has ended; nothing is published meanwhile.

    Parameters
    ----------
    thread
        Where Kafka is called.
    publisher
        Whose transactions.
    topics
        Where they wrote.

    Raises
    ------
    LeftOpenError
        If the process must end, so that the next one mends it.
    """
    end = asyncio.get_running_loop().time() + ENDED_WITHIN
    look = functools.partial(publisher.left_open, topics)
    while left := await thread.call("looking at transactions", START_SECONDS, look):
        if asyncio.get_running_loop().time() > end:
            raise LeftOpenError(
                f"the broker left a transaction open in {where(left)}; the next relay"
                " ends it and sends again what is lost with it"
            )
        await asyncio.sleep(ENDED_WITHIN / 10)
