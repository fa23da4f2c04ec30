"""Working states out anew after an entry that changes many of them at once.

A policy, an alias of a person or a flag's entry may change what holds for a million
targets. The entry lands in its own turn; the states follow in pieces through the lane,
each of them a change of the log with the entry's record. Until its piece comes, an
older state is worked out when it is read.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

from annolog.actions.desk import Desk, Work
from annolog.actions.lane import Lane
from annolog.domain.errors import AnnologError, UnavailableError
from annolog.domain.ledger import Wants
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import refresh
from annolog.storage.database import Connection, Pool, reading
from annolog.storage.refresh import Due

PIECE = 500
"""Targets that are worked out in one turn; between two, other requests pass."""

GLANCE = 0.25
"""Seconds between two looks at what this process knows."""

LOOK = 5.0
"""Seconds after which the database is asked in any case: another process may have
died over its work."""

_log = logging.getLogger(__name__)


async def follow(lane: Lane, work: Pool) -> NoReturn:
    """Refresh whenever an entry asks for it, for as long as the process serves.

    Parameters
    ----------
    lane
        The way of all writes.
    work
        For positions, and for the lock that keeps a second process from the same work.
    """
    while True:
        basis = lane.known.basis
        try:
            done = await refresh_all(lane, work)
        except AnnologError as error:
            _log.info("states could not be refreshed, and will be later: %s", error)
            done = False
        except Exception:  # noqa: BLE001 - the task outlives any failure
            _log.exception("states could not be refreshed, and will be later")
            done = False
        waited = 0.0
        while waited < LOOK and not (done and lane.known.basis != basis):
            await asyncio.sleep(GLANCE)
            waited += GLANCE


async def refresh_all(lane: Lane, work: Pool) -> bool:
    """Work out anew all states that entries ask for, from where it was left.

    Parameters
    ----------
    lane, work
        As for `follow`.

    Returns
    -------
    bool
        False if another process is at it.
    """
    async with reading(work) as connection:
        if not await refresh.pending(connection):
            return True
        if not await refresh.take_lock(connection):
            return False
        try:
            for one in await refresh.due(connection):
                await _refresh(lane, connection, one)
        finally:
            if not connection.is_closed():
                await refresh.release_lock(connection)
    return True


async def _refresh(lane: Lane, connection: Connection, one: Due) -> None:
    """Bring the targets of one entry up to date, piece by piece."""
    scope = _scope(one, lane.known.vocabulary)
    after_id = one.after_id
    while True:
        piece = await refresh.affected(connection, after_id, PIECE, **scope)
        if piece:
            keys = frozenset(key for _, key in piece)
            await lane.submit(Work(_decision(one, keys), Wants(keys=keys), len(keys)))
            after_id = piece[-1][0]
        done = len(piece) < PIECE
        await refresh.remember(connection, one, after_id, done=done)
        if done:
            return


def _decision(one: Due, keys: frozenset[str]) -> Callable[[Desk], None]:
    def decide(desk: Desk) -> None:
        book = desk.book
        if book.known.basis < one.number:
            # Other vocabularies were loaded than the one that this is about.
            raise UnavailableError("the vocabulary is not up to date yet")
        book.require(Wants(keys=keys))
        outdated = book.outdated(keys)
        if outdated:
            book.enter_refresh(one.record, f"{one.kind}:{one.key}", outdated)

    return decide


def _scope(one: Due, vocabulary: Vocabulary) -> dict[str, Any]:
    """Say which targets an entry can have changed anything for."""
    match one.kind:
        case "flag":
            return {"flag": one.key}
        case "policy":
            return {"instrument": None if one.key == "*" else one.key}
        case "alias":
            names = _led_through(one.key, vocabulary)
            return {"authors": names | {name.replace("#", "##") for name in names}}
        case _:
            return {}


def _led_through(name: str, vocabulary: Vocabulary) -> set[str]:
    """Give a name and all aliases that lead to it or through it."""
    found = {name}
    while True:
        more = {a for a, to in vocabulary.alias_steps.items() if to in found} - found
        if not more:
            return found
        found |= more
