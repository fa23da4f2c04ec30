"""Orders to the relay: what it shall send again, and how far it is with that.

An order is a row. The relay that runs takes the oldest one, carries it out in pieces
between its cycles, and writes down after each piece how far it came; whoever comes
after it goes on from there. Orders are local: they never travel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import asyncpg

from annolog.domain.events import LoggedState
from annolog.storage.changes import states_of
from annolog.storage.database import Connection, one_row

CHANNEL = "annolog_orders"
"""Notified with the order's id when one is placed or cancelled."""

STATES_WINDOW = 500
"""Targets that one piece sends."""

SCANNED_WINDOW = 5_000
"""Targets that one piece looks at, where only some of them are sent."""

OPEN = ("waiting", "running")
"""States of orders that are not over."""

OrderKind: TypeAlias = Literal["states", "changes"]
OrderState: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody orders.

    Attributes
    ----------
    kind
        "states": what holds for targets, again and in place; "changes": a part of the
        log, into a topic of its own.
    topic
        Where to.
    instrument, keys
        Of states: only targets of this instrument, or these; None means all.
    from_number, to_number
        Of changes: the first and the last (inclusive).
    """

    kind: OrderKind
    topic: str
    instrument: str | None = None
    keys: tuple[str, ...] | None = None
    from_number: int | None = None
    to_number: int | None = None

    @property
    def is_for_all(self) -> bool:
        """Whether it is about all targets there are."""
        return self.instrument is None and self.keys is None

    @property
    def words(self) -> str:
        """What it is about, in a few words."""
        if self.kind == "changes":
            return f"changes {self.from_number} to {self.to_number} into {self.topic}"
        if self.keys is not None:
            return f"states of {len(self.keys)} targets"
        return f"states of {self.instrument or 'all targets'}"


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands.

    Attributes
    ----------
    order_id
        Its number, in the order of placing.
    wish
        What was ordered.
    state
        "waiting" for a relay, "running", or how it ended.
    reason
        Why it failed, or what went wrong last while it was carried out; else None.
    position
        The greatest change number, or target id, that was sent.
    done, total
        Events sent, and how many there were to send when it was ordered.
    attempts
        How many relays ended while they carried it out, since it last moved.
    ordered_by, ordered_at, started_at, ended_at
        Who and when (UTC).
    """

    order_id: int
    wish: Wish
    state: OrderState
    reason: str | None
    position: int
    done: int
    total: int
    attempts: int
    ordered_by: str
    ordered_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state not in OPEN


@dataclass(frozen=True, slots=True)
class StatesPiece:
    """States to send, and up to which target id all that are wanted are here."""

    states: tuple[LoggedState, ...]
    position: int
    is_last: bool


# ------------------------------------------------------------------ for operators


async def place(conn: Connection, wish: Wish, ordered_by: str) -> Order:
    """Write an order down and tell the relay.

    Parameters
    ----------
    conn
        One that may write, without a limit of time: what is to be sent is counted.
    wish
        What is ordered.
    ordered_by
        Who does, for the list.
    """
    before = 0 if wish.from_number is None else wish.from_number - 1
    async with conn.transaction():
        row = await one_row(
            conn,
            "insert into relay_order (kind, topic, instrument, keys, from_number,"
            " to_number, state, position, done, total, attempts, ordered_by,"
            " ordered_at) values ($1, $2, $3, $4, $5, $6, 'waiting', $7, 0, $8, 0, $9,"
            " now()) returning *",
            wish.kind,
            wish.topic,
            wish.instrument,
            wish.keys,
            wish.from_number,
            wish.to_number,
            before,
            await _total(conn, wish),
            ordered_by,
        )
        await _notify(conn, row["order_id"])
    return _order(row)


async def _total(conn: Connection, wish: Wish) -> int:
    total: int
    if wish.kind == "changes":
        total = await conn.fetchval(
            "select count(*) from change where number between $1 and $2",
            wish.from_number,
            wish.to_number,
        )
    else:
        total = await conn.fetchval(
            "select count(*) from target_state"
            " where ($1::text is null or instrument = $1)"
            " and ($2::text[] is null or target_id in"
            " (select class_id from target where key = any($2)))",
            wish.instrument,
            wish.keys,
        )
    return total


async def cancel(conn: Connection, order_id: int) -> bool:
    """End an order that is not over; False if there is none such."""
    async with conn.transaction():
        status = await conn.execute(
            "update relay_order set state = 'cancelled', ended_at = now()"
            " where order_id = $1 and state in ('waiting', 'running')",
            order_id,
        )
        await _notify(conn, order_id)
    return status == "UPDATE 1"


async def _notify(conn: Connection, order_id: int) -> None:
    await conn.execute("select pg_notify($1, $2)", CHANNEL, str(order_id))


async def find(conn: Connection, order_id: int) -> Order | None:
    """Read one order; None if there is none of this number."""
    row = await conn.fetchrow("select * from relay_order where order_id = $1", order_id)
    return None if row is None else _order(row)


async def latest(conn: Connection, limit: int) -> list[Order]:
    """List the last orders, the newest first."""
    rows = await conn.fetch(
        "select * from relay_order order by order_id desc limit $1", limit
    )
    return [_order(row) for row in rows]


async def open_count(conn: Connection) -> int:
    """Count the orders that are not over."""
    count: int = await conn.fetchval(
        "select count(*) from relay_order where state in ('waiting', 'running')"
    )
    return count


async def unknown_keys(conn: Connection, keys: Sequence[str]) -> list[str]:
    """Give those keys that no target here has, in their order."""
    rows = await conn.fetch("select key from target where key = any($1)", list(keys))
    found = {row["key"] for row in rows}
    return [key for key in keys if key not in found]


# ---------------------------------------------------------------------- for the relay


async def due(conn: Connection) -> Order | None:
    """Give the order to carry out next: the oldest that is not over."""
    row = await conn.fetchrow(
        "select * from relay_order where state in ('waiting', 'running')"
        " order by order_id limit 1"
    )
    return None if row is None else _order(row)


async def start(conn: Connection, order: Order) -> bool:
    """Note that a relay begins with an order, or goes on with a predecessor's.

    Parameters
    ----------
    conn
        One that may write.
    order
        As it was read.

    Returns
    -------
    bool
        False if it is over by now.
    """
    status = await conn.execute(
        "update relay_order set state = 'running', attempts = attempts + 1"
        " where order_id = $1 and state in ('waiting', 'running')",
        order.order_id,
    )
    return status == "UPDATE 1"


async def begin(conn: Connection, order_id: int) -> None:
    """Note that an order was found good, so that what is sent from now on is its."""
    await conn.execute(
        "update relay_order set started_at = now()"
        " where order_id = $1 and started_at is null",
        order_id,
    )


async def advance(
    conn: Connection, order_id: int, position: int, done: int, *, over: bool
) -> bool:
    """Note how far an order is.

    Parameters
    ----------
    conn
        One that may write.
    order_id
        The order.
    position, done
        What `Order` says of them.
    over
        Whether all is sent.

    Returns
    -------
    bool
        False if it was cancelled meanwhile.
    """
    status = await conn.execute(
        "update relay_order set position = $2, done = $3, attempts = 1, reason = null,"
        " state = case when $4 then 'done' else state end,"
        " ended_at = case when $4 then now() end"
        " where order_id = $1 and state = 'running'",
        order_id,
        position,
        done,
        over,
    )
    return status == "UPDATE 1"


async def fail(conn: Connection, order_id: int, reason: str) -> None:
    """End an order that cannot be carried out."""
    await conn.execute(
        "update relay_order set state = 'failed', reason = $2, ended_at = now()"
        " where order_id = $1 and state in ('waiting', 'running')",
        order_id,
        reason,
    )


async def note(conn: Connection, order_id: int, reason: str) -> None:
    """Keep what went wrong with an order that will be tried again."""
    await conn.execute(
        "update relay_order set reason = $2 where order_id = $1 and state = 'running'",
        order_id,
        reason,
    )


async def changes_between(conn: Connection, after: int, upto: int) -> int:
    """Count the changes (after, upto]."""
    count: int = await conn.fetchval(
        "select count(*) from change where number > $1 and number <= $2", after, upto
    )
    return count


async def last_change(conn: Connection, upto: int) -> int | None:
    """Give the greatest number up to one; None if there is none so small."""
    number: int | None = await conn.fetchval(
        "select max(number) from change where number <= $1", upto
    )
    return number


async def states_piece(
    conn: Connection, wish: Wish, after: int, upto: int
) -> StatesPiece:
    """Read the next states of an order, as they are published.

    Parameters
    ----------
    conn
        A connection outside any transaction.
    wish
        Which ones.
    after
        Target id up to which all were sent.
    upto
        The position of the topics. A state that a later change left is passed over:
        it will come with that change, and sent now it would be ahead of it.
    """
    window = STATES_WINDOW if wish.is_for_all else SCANNED_WINDOW
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        if wish.keys is None:
            ids = await conn.fetch(
                "select target_id, instrument from target_state where target_id > $1"
                " order by target_id limit $2",
                after,
                window,
            )
        else:
            ids = await conn.fetch(
                "select s.target_id, s.instrument from target_state s"
                " where s.target_id > $1 and s.target_id in"
                " (select class_id from target where key = any($3))"
                " order by s.target_id limit $2",
                after,
                SCANNED_WINDOW,
                wish.keys,
            )
        wanted = [
            row["target_id"]
            for row in ids
            if wish.instrument in {None, row["instrument"]}
        ]
        cut = wanted[:STATES_WINDOW]
        if len(cut) < len(wanted):
            position = cut[-1]
        else:
            position = ids[-1]["target_id"] if ids else after
        states = await states_of(conn, cut, upto) if cut else ()
        full = len(ids) == window
        return StatesPiece(states, position, not full and len(cut) == len(wanted))


def _order(row: asyncpg.Record) -> Order:
    fields: dict[str, Any] = dict(row)
    keys = fields.pop("keys")
    wish = Wish(
        fields.pop("kind"),
        fields.pop("topic"),
        fields.pop("instrument"),
        None if keys is None else tuple(keys),
        fields.pop("from_number"),
        fields.pop("to_number"),
    )
    return Order(wish=wish, **fields)
