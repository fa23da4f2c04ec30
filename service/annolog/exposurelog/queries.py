"""The statements that find messages.

A page is chosen first, from the table of messages and what else its filters and order
need; then the body of each message is looked up by its key.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from uuid import UUID

import asyncpg

from annolog.domain.errors import UnavailableError
from annolog.domain.vocabulary import Vocabulary
from annolog.exposurelog import models
from annolog.exposurelog.conditions import Sql
from annolog.exposurelog.flags import ShownFlags
from annolog.exposurelog.parameters import REMEMBERED, MessageQuery
from annolog.exposurelog.plans import Plan
from annolog.storage.conditions import columns, fill
from annolog.storage.database import Connection
from annolog.storage.turn_messages import STORED, shown

PIECE = 1_000
"""Messages that a large answer brings at once."""

_ROW = ", ".join(f"m.{name}" for name in STORED)
_SHOWN = shown("m")
_COLUMNS = (*STORED, "body")

_ONE = f"""
select {_SHOWN}, r.body
  from message m join record r on r.record_id = m.revision_id
 where m.message_id = $1
"""  # noqa: S608 - a constant of this module

_PAGE = """
select {shown}, r.body
  from (
    select {row}, m.revision_id, {keys}
      from {messages} m {revisions} {bodies}
     where {where}
     order by {order}
     limit {limit} offset {offset}) m
  cross join lateral (
    select body from record where record_id = m.revision_id offset 0) r
 order by {again}
"""
# The look-up of bodies is lateral: the planner would read all records for a few
# thousand messages. The second order is that of the page, and costs nothing.

_FENCED = "(select * from message m where {where} offset 0)"
"""The messages that matter, gathered before any is sorted."""

_NO_FLAGS = ShownFlags({})

_REVISIONS = "join revision v on v.revision_id = m.revision_id"


async def read_message(
    connection: Connection, vocabulary: Vocabulary, message_id: UUID
) -> bytes | None:
    """Read one message, valid or not, as clients read it.

    Parameters
    ----------
    connection
        Any connection to the database.
    vocabulary
        Says what flags are shown as.
    message_id
        Its id.

    Returns
    -------
    bytes or None
        A JSON object; None if there is no such message.
    """
    row = await connection.fetchrow(_ONE, message_id)
    return None if row is None else models.as_json(row, ShownFlags.of(vocabulary))


async def find(
    connection: Connection,
    asked: MessageQuery,
    plan: Plan,
    most: int,
) -> Sequence[models.Row]:
    """Read the first of the messages that are asked for, where that is quick.

    Parameters
    ----------
    connection
        Any connection to the database.
    asked
        Which messages, in which order.
    plan
        How to look for them: quickly, which is never by their flags.
    most
        How many at most; the limit asked for holds too.

    Raises
    ------
    UnavailableError
        It took too long.
    """
    limit = min(asked.limit, most)
    in_one_row = limit <= PIECE
    sql, values = _quick(asked, plan, limit, in_one_row=in_one_row)
    with _answering():
        if not in_one_row:
            return await connection.fetch(sql, *values)
        found = await connection.fetchrow(sql, *values)
    return [] if found is None or found[0] is None else list(zip(*found, strict=True))


@lru_cache(maxsize=REMEMBERED)
def _quick(
    asked: MessageQuery, plan: Plan, limit: int, *, in_one_row: bool
) -> tuple[str, tuple[object, ...]]:
    sql, values = statement(asked, plan, _NO_FLAGS, limit)
    return columns(sql, _COLUMNS) if in_one_row else sql, tuple(values)


async def pieces(
    connection: Connection, asked: MessageQuery, plan: Plan, flags: ShownFlags
) -> AsyncIterator[Sequence[models.Row]]:
    """Read the messages that are asked for, a piece after the other.

    Parameters
    ----------
    connection
        One in a transaction; all pieces are of the moment of the first.
    asked
        Which messages, in which order.
    plan
        How to look for them.
    flags
        What flags are shown as.

    Yields
    ------
    Sequence
        Up to `PIECE` messages; none at all where nothing was found.

    Raises
    ------
    UnavailableError
        A piece took too long.
    """
    sql, values = statement(asked, plan, flags, asked.limit)
    with _answering():
        cursor = await connection.cursor(sql, *values)
    full = True
    while full:
        with _answering():
            rows = await cursor.fetch(PIECE)
        if rows:
            yield rows
        full = len(rows) == PIECE


def statement(
    asked: MessageQuery, plan: Plan, flags: ShownFlags, limit: int
) -> tuple[str, list[object]]:
    """Give the statement that finds messages, and its values.

    Parameters
    ----------
    asked
        Which messages, in which order.
    plan
        How to look for them.
    flags
        What flags are shown as.
    limit
        How many at most, in place of the limit asked for.
    """
    parts = Sql(asked, plan, flags)
    where, keys = parts.where(), parts.keys()
    text = fill(
        _PAGE,
        shown=_SHOWN,
        row=_ROW,
        keys=", ".join(f"{key} as key_{i}" for i, (key, _) in enumerate(keys)),
        messages=fill(_FENCED, where=where) if plan.fenced else "message",
        revisions=_REVISIONS if plan.revisions else "",
        bodies=parts.bodies(),
        where="true" if plan.fenced else where,
        order=", ".join(f"{key} {way}" for key, way in keys),
        limit=parts.bind(limit, "bigint"),
        offset=parts.bind(asked.offset, "bigint"),
        again=", ".join(f"m.key_{i} {way}" for i, (_, way) in enumerate(keys)),
    )
    return text, parts.bind.values


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except asyncpg.QueryCanceledError as error:
        raise UnavailableError(
            "This search took too long and was ended; ask for a span of nights "
            "(min_day_obs and max_day_obs) or of time (min_date_added and "
            "max_date_added).",
            code="search_too_long",
        ) from error
