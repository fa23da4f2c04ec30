"""The raw limit of writing: the lane's own statements, and nothing around them.

Turns are decided beforehand and what they would send to the database is kept; only
sending it is timed: lock, statements, commit, on one connection.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from annolog import runtime
from annolog.actions.desk import Desk
from annolog.domain.ledger import NeedMore, Wants
from annolog.domain.records import Origin
from annolog.storage import database, entries, turn
from annolog.storage.database import Connection

TURN = 64
"""Requests of one turn: as many as the lane takes at most."""


@dataclass(frozen=True, slots=True)
class Item:
    """One request: what it needs, and its decision."""

    wants: Wants
    decide: Callable[[Desk], object]


@dataclass(slots=True)
class _Kept:
    """Takes statements like a connection, and keeps them."""

    statements: list[tuple[str, Sequence[Any]]] = field(default_factory=list)

    async def execute(self, statement: str, *values: object) -> None:
        self.statements.append((statement, values))

    async def fetch(self, statement: str, *values: object) -> list[Any]:
        self.statements.append((statement, values))
        return []

    async def executemany(
        self, statement: str, rows: Iterable[Sequence[object]]
    ) -> None:
        self.statements += [(statement, row) for row in rows]


async def rate(url: str, items: Sequence[Item]) -> float:
    """Store what requests come to; give requests a second.

    Parameters
    ----------
    url
        The database.
    items
        The requests, about different things; a turn of them is not timed.
    """
    connection = await database.connect(url, database.LANE)
    try:
        turns = await _decided(connection, items)
        # The first one is for the server, which plans its statements then.
        await _store(connection, turns[0])
        begun = time.perf_counter()
        for statements in turns[1:]:
            await _store(connection, statements)
        took = time.perf_counter() - begun
    finally:
        await connection.close()
    return (len(turns) - 1) * TURN / took


async def _store(
    connection: Connection, statements: Sequence[tuple[str, Sequence[Any]]]
) -> None:
    await connection.execute(turn.ENTER)
    for statement, values in statements:
        await connection.execute(statement, *values)
    await connection.execute("commit")


async def _decided(
    connection: Connection, items: Sequence[Item]
) -> list[list[tuple[str, Sequence[Any]]]]:
    known = await entries.read(connection)
    site = await database.one_row(connection, "select site_id, incarnation from site")
    origin = Origin(site["site_id"], site["incarnation"])
    now = runtime.now()
    head: int | None = None
    turns = []
    for first in range(0, len(items) - TURN + 1, TURN):
        taken = items[first : first + TURN]
        wants = Wants()
        for item in taken:
            wants |= item.wants
        book, _ = await turn.open_book(connection, origin, known, wants.keys)
        await turn.load(connection, book, Wants(wants.annotations))
        if head is not None:
            book.head = head
        desk = Desk(book, now, lambda: runtime.new_id(now))
        for item in taken:
            await _decide(connection, desk, item)
        head = book.head
        kept = _Kept()
        await turn.write(cast("Connection", kept), book, now)
        turns.append(kept.statements)
    return turns


async def _decide(connection: Connection, desk: Desk, item: Item) -> None:
    while True:
        try:
            item.decide(desk)
        except NeedMore as need:
            await turn.load(connection, desk.book, need.wants)
        else:
            return
