"""Lives of a database: noticing that it went back, and beginning a new one.

A number that others may have seen is never given again. So whoever meets the database
anew looks whether it is what it was (`look`), and whoever finds that it went back
writes that down in its row of `site`, where every turn of the lane reads it. What was
closed opens by an operator's word alone: `begin` or `keep`. Only a new timeline, which
an ordinary fail-over brings as well, may be found harmless by the relay (`vouch`).
"""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from annolog.domain.errors import ConflictError, UnavailableError
from annolog.storage import changes
from annolog.storage.database import (
    LANE_LOCK,
    SITE_LOCK,
    Connection,
    Identity,
    begin_life,
    identity,
)

STEP = 1_000_000_000
"""A new life begins at the next multiple of this."""

RESTORED = "log_restored"
"""The database is a copy: it lives on another server, or its tables are others."""

WENT_BACK = "log_went_back"
"""A process knew a greater number than the log has now."""

BEHIND_STREAM = "log_behind_stream"
"""The topic knows a greater number than the log."""

SPLIT = "log_split"
"""The topic knows another change of the same number."""

UNVERIFIED = "log_unverified"
"""The server was promoted: the relay has yet to hold the log against the topic."""

CODES = frozenset({RESTORED, WENT_BACK, BEHIND_STREAM, SPLIT, UNVERIFIED})
"""Codes of the errors that say that writes are closed."""

WHAT_TO_DO = (
    "If it came from a backup, begin a new life of it with `annologd incarnation new`;"
    " if it is whole, say so with `annologd incarnation keep`"
)
"""The two ways out, for operators."""

RETRY_AFTER = 30
"""Seconds after which a caller should try again when writes are closed: a person has
to act first."""

_NEWEST = (
    "select incarnation, site_id, first_number, system_identifier, timeline, place,"
    " closed_code, closed from site order by first_number desc limit 1"
)


@dataclass(frozen=True, slots=True)
class Closed:
    """Why nothing may be written.

    Attributes
    ----------
    code
        One of `CODES`.
    reason
        A sentence for operators, with what to do.
    """

    code: str
    reason: str

    def error(self) -> UnavailableError:
        """Give the answer that writers get."""
        return UnavailableError(
            f"Nothing can be written now, while reading goes on: {self.reason}.",
            code=self.code,
            extra={"retry_after": 5 if self.code == UNVERIFIED else RETRY_AFTER},
        )


@dataclass(frozen=True, slots=True)
class Life:
    """One life of this database.

    Attributes
    ----------
    incarnation
        Its name in the source of each event.
    site_id
        Whose it is.
    first_number
        Number of its first change, whether there is one yet or not.
    last_number
        Number of its last change; None if it has none.
    started_at
        When it began (UTC).
    current
        Whether it is the present one.
    closed
        Why nothing may be written in it; None for the present one if it is open, and
        for all others.
    """

    incarnation: str
    site_id: str
    first_number: int
    last_number: int | None
    started_at: datetime
    current: bool
    closed: Closed | None


@dataclass(frozen=True, slots=True)
class Known:
    """The greatest numbers that are known to have been given.

    Attributes
    ----------
    head
        In the log.
    published
        In any topic, as far as the database knows; 0 if none is.
    """

    head: int
    published: int

    def next_first(self, above: int = 0) -> int:
        """Give the number with which a new life would begin.

        Parameters
        ----------
        above
            A greater number that is known from elsewhere.
        """
        return (max(self.head, self.published, above) // STEP + 1) * STEP


async def lives(conn: Connection) -> tuple[Life, ...]:
    """List all lives of this database, oldest first."""
    rows = await conn.fetch(
        """
        select l.*, (select max(number) from change
                      where number >= l.first_number
                        and (l.following is null or number < l.following)) as last
          from (select *, lead(first_number) over (order by first_number) as following
                  from site) l
         order by l.first_number
        """
    )
    return tuple(
        Life(
            row["incarnation"],
            row["site_id"],
            row["first_number"],
            row["last"],
            row["started_at"],
            row["following"] is None,
            None
            if row["following"] is not None or row["closed_code"] is None
            else Closed(row["closed_code"], row["closed"]),
        )
        for row in rows
    )


async def known(conn: Connection) -> Known:
    """Tell the greatest numbers that are known to have been given."""
    published = await conn.fetchval("select coalesce(max(number), 0) from relay_floor")
    return Known(await changes.head(conn), published)


async def closed(conn: Connection) -> Closed | None:
    """Tell why nothing may be written; None if everything may."""
    row = await conn.fetchrow(_NEWEST)
    if row is None or row["closed_code"] is None:
        return None
    return Closed(row["closed_code"], row["closed"])


async def close(conn: Connection, code: str, reason: str) -> Closed:
    """Let nothing be written from now on; the first reason stays, but a mild one.

    Parameters
    ----------
    conn
        One that may write.
    code
        One of `CODES`.
    reason
        A sentence for operators, without a full stop.
    """
    await conn.execute(
        "update site set closed_code = $1, closed = $2"
        " where first_number = (select max(first_number) from site)"
        " and (closed_code is null or closed_code = $3)",
        code,
        reason,
        UNVERIFIED,
    )
    return await closed(conn) or Closed(code, reason)


async def look(conn: Connection, *, remembered: int, stream: bool) -> Closed | None:
    """See whether the database that a new connection leads to is what it was.

    Parameters
    ----------
    conn
        A new connection that may write, outside any transaction.
    remembered
        The greatest number that this process knows to be committed; 0 if it has just
        begun.
    stream
        Whether there is a topic that the relay will hold the log against.

    Returns
    -------
    Closed or None
        Why nothing may be written, which by then is written down.
    """
    async with conn.transaction():
        row = await conn.fetchrow(_NEWEST)
        if row is None:
            return None
        now = await identity(conn)
        then = Identity(row["system_identifier"], row["timeline"], row["place"])
        head = await changes.head(conn)
        stands = None if row["closed_code"] is None else _closed(row)
        mild = stands is None or stands.code == UNVERIFIED
        if now == then and head >= remembered and mild:
            # As nearly always; nothing is written, which a standby could not.
            return stands
        await conn.execute("select pg_advisory_xact_lock($1)", SITE_LOCK)
        found = _suspicion(then, now, head, remembered, stream=stream)
        if found is not None:
            return await close(conn, found.code, found.reason)
        if not mild:
            return stands
        # The process that remembers finds all that it knew: a fail-over lost nothing.
        await _accept(conn, now)
        return None


def _suspicion(
    then: Identity, now: Identity, head: int, remembered: int, *, stream: bool
) -> Closed | None:
    """Say what speaks against writing into a database that is not as it was."""
    copied, promoted = now.copied_from(then), now.promoted_from(then)
    if copied is not None:
        return Closed(RESTORED, f"{copied} {WHAT_TO_DO}")
    if head < remembered:
        sentence = f"the log ends at {head}, and a process knew change {remembered}"
        return Closed(WENT_BACK, f"{sentence}. {WHAT_TO_DO}")
    if promoted is not None and stream and not remembered:
        return Closed(
            UNVERIFIED,
            f"{promoted}. Writes open once the relay has held the log against the"
            f" topic. {WHAT_TO_DO}",
        )
    return None


def _closed(row: asyncpg.Record) -> Closed:
    return Closed(row["closed_code"], row["closed"])


async def vouch(conn: Connection) -> None:
    """Take the database as it is: the topic knows nothing that the log does not."""
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock($1)", SITE_LOCK)
        if (await closed(conn) or Closed(UNVERIFIED, "")).code == UNVERIFIED:
            await _accept(conn, await identity(conn))


async def _accept(conn: Connection, now: Identity) -> None:
    await conn.execute(
        "update site set system_identifier = $1, timeline = $2, place = $3,"
        " closed_code = null, closed = null"
        " where first_number = (select max(first_number) from site)"
        " and (system_identifier, timeline, place, closed_code)"
        "     is distinct from ($1, $2, $3, null)",
        now.system_identifier,
        now.timeline,
        now.place,
    )


async def keep(conn: Connection) -> Life:
    """Go on with the present life: the database moved, and nothing was lost.

    Raises
    ------
    ConflictError
        Numbers above the log's are known to be published, so something was lost; or
        the database belongs to no site yet.
    """
    async with conn.transaction():
        await conn.execute("select pg_advisory_xact_lock($1)", SITE_LOCK)
        numbers = await known(conn)
        if numbers.published > numbers.head:
            msg = (
                f"change {numbers.published} was published and the log ends at"
                f" {numbers.head}: what is between is lost here. Begin a new life with"
                " `annologd incarnation new`"
            )
            raise ConflictError(msg, code=BEHIND_STREAM)
        await _accept(conn, await identity(conn))
        return await _present(conn)


async def begin(conn: Connection, *, above: int = 0) -> Life:
    """Begin a new life of this database: writes and relay go on, numbers jump.

    Parameters
    ----------
    conn
        One that may write, outside any transaction.
    above
        A number that is known elsewhere (in a topic, at a peer) to have been given.

    Returns
    -------
    Life
        The new one; it begins at the next multiple of `STEP` above all that is known.

    Raises
    ------
    ConflictError
        The database belongs to no site yet: its first life has not begun.
    """
    async with conn.transaction():
        # Statements of their own: what is read afterwards is what the last turn left.
        await conn.execute("select pg_advisory_xact_lock($1)", LANE_LOCK)
        await conn.execute("select pg_advisory_xact_lock($1)", SITE_LOCK)
        present = await _present(conn)
        first = (await known(conn)).next_first(max(above, present.first_number))
        await begin_life(conn, present.site_id, first, await identity(conn))
        return await _present(conn)


async def _present(conn: Connection) -> Life:
    found = await lives(conn)
    if not found:
        msg = "this database belongs to no site yet: start the service first"
        raise ConflictError(msg, code="no_site")
    return found[-1]
