"""What one turn of the lane reads and writes, each in as few statements as can be.

`load` fills a `Book` with what the requests of a turn touch; `write` stores what the
book holds afterwards. Both run on the lane's connection, inside its transaction and
after its lock (storage design: one lane, number order = commit order). How the rows
are read is in `turn_load`, what every turn writes in `turn_rows`, and what only
some turns write in `turn_views`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from annolog.domain.book import Book
from annolog.domain.ledger import Known, Wants
from annolog.domain.records import Origin
from annolog.storage import entries, turn_dataids, turn_load, turn_messages, turn_views
from annolog.storage.database import LANE_LOCK, Connection, one_row
from annolog.storage.incarnations import BEHIND_STREAM, Closed
from annolog.storage.large import MANY, more_time, worked_out
from annolog.storage.turn_rows import WRITE, arguments

__all__ = [
    "ENTER",
    "ENTER_IF_FREE",
    "LOCK",
    "WRITE",
    "arguments",
    "load",
    "open_book",
    "write",
]

LOCK = f"select pg_advisory_xact_lock({LANE_LOCK})"
"""The lock is a statement of its own: a snapshot taken before the wait would be old."""

ENTER = f"begin; {LOCK}"
"""Begins a turn."""

ENTER_IF_FREE = f"begin; select where pg_try_advisory_xact_lock({LANE_LOCK})"
"""Begins a turn without waiting: one row where it has the lock, otherwise none."""


Messages = Mapping[UUID, tuple[Any, ...]]
"""Rows of messages by their ids: what of them is shown."""


async def open_book(
    conn: Connection, origin: Origin, known: Known, keys: Iterable[str]
) -> tuple[Book, Known]:
    """Start a turn's book: the head of the log, the vocabulary, and targets.

    Parameters
    ----------
    conn
        The lane's connection, behind its lock.
    origin
        This site and incarnation.
    known
        The vocabulary as this process knew it last.
    keys
        Targets that the turn is known to touch.

    Returns
    -------
    tuple of Book and Known
        The book with the places and standings of the targets (the rest is loaded
        when asked for), and the vocabulary with what other processes wrote. The book's
        origin is the present life, also where another one has begun meanwhile.

    Raises
    ------
    UnavailableError
        Nothing may be written: the database went back, or may have.
    """
    wanted = list(keys)
    if len(wanted) > MANY:
        await more_time(conn)
    row = await one_row(conn, turn_load.TARGETS, wanted)
    if row["closed_code"] is not None:
        raise Closed(row["closed_code"], row["closed"]).error()
    if row["published"] > row["head"]:
        # A restored backup: numbers that others have seen would be given again.
        reason = (
            f"the stream holds changes up to {row['published']}, and this database"
            f" ends at {row['head']}: it was restored from a backup. Begin a new life"
            " of it with `annologd incarnation new`"
        )
        raise Closed(BEHIND_STREAM, reason).error()
    if row["incarnation"] not in {origin.incarnation, None}:
        # A new life has begun, and what this process knew may be lost.
        origin = Origin(origin.site_id, row["incarnation"])
        known = await entries.read(conn)
    if row["entered"] != known.number:
        known = await entries.catch_up(conn, known)
    book = Book(origin, row["head"], known)
    await worked_out(len(wanted), turn_load.take_targets, book, row)
    return book, known


async def load(conn: Connection, book: Book, wants: Wants) -> None:
    """Bring into the book what is wanted and not there yet.

    A turn that turns out to be a large one gets more time.

    Parameters
    ----------
    conn
        The lane's connection.
    book
        Where it goes.
    wants
        What is wanted; keys must have rows in `target`.
    """
    small = book.size <= MANY
    if wants.annotations:
        await turn_load.load_annotations(conn, book, wants.annotations)
    if small and book.size + len(wants.keys) > MANY:
        await more_time(conn)
    if wants.keys:
        row = await one_row(conn, turn_load.TARGETS, list(wants.keys))
        await worked_out(len(wants.keys), turn_load.take_targets, book, row)
    if wants.facts:
        await turn_load.load_facts(conn, book, wants.facts)
    if wants.records:
        await turn_load.load_records(conn, book, wants.records)
    if wants.sets:
        await turn_dataids.load(conn, book, wants.sets)
    if wants.bodies:
        await turn_load.load_bodies(conn, book, wants.bodies)


async def write(conn: Connection, book: Book, now: datetime) -> Messages:
    """Store all that the book brought about.

    Parameters
    ----------
    conn
        The lane's connection.
    book
        The turn's book.
    now
        Wall time of the turn (UTC): `committed_at` of its changes.

    Returns
    -------
    Mapping
        The messages that began, each as its row now is: `STORED`, then the body.
        Nothing where more than `MANY` began.
    """
    if not book.entered:
        return {}
    rows = await worked_out(book.size, arguments, book, now)
    stored = await conn.fetch(WRITE, *rows)
    if book.closed or book.ended or book.counted:
        await turn_views.close(conn, book)
    begun_anew = book.begun_anew()
    if begun_anew:
        await turn_views.write_beginnings(conn, book, begun_anew)
    if book.new_reviews:
        await turn_views.write_reviews(conn, book)
    if book.new_entries:
        await turn_views.write_entries(conn, book)
    if book.new_facts:
        await turn_views.write_facts(conn, book)
    if book.blanked:
        await turn_views.blank(conn, book)
    if book.moved:
        await turn_views.write_classes(conn, book)
    if book.new_waiting:
        await turn_views.write_waiting(conn, book)
    await turn_views.write_others(conn, book)
    await turn_messages.close(conn, book)
    return {
        row["message_id"]: (*row[1:], book.bodies[row["revision_id"]])
        for row in stored
        if row["message_id"] is not None
    }
