"""Reading the log, and the positions and leases of those who follow it.

Numbers have no gaps within a life of the database and are given in the order of
commits, so "everything above N" is everything that a follower has not seen.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from annolog.domain.events import LoggedChange, LoggedState, id_of
from annolog.domain.states import TargetState
from annolog.storage.database import Connection, Site

CHANNEL = "annolog_changes"
"""Writers notify here, in the transaction of the change, with the greatest number."""

RELAY_LEASE = "relay"
"""Name of the lease that lets one relay work and others wait."""

SCANNED = 10_000
"""So many changes are looked at by one filtered read, found or not."""

PICKED = 500
"""Some changes are picked out of so many at a time."""


@dataclass(frozen=True, slots=True)
class Page:
    """Part of the log.

    Attributes
    ----------
    changes
        In the order of their numbers.
    next_after
        Read on after this number: all up to it are here or did not match.
    """

    changes: tuple[LoggedChange, ...]
    next_after: int


@dataclass(frozen=True, slots=True)
class Cycle:
    """What one transaction of the relay publishes, all out of one snapshot.

    Attributes
    ----------
    changes
        The changes (after, upto], in order.
    states
        The state of each target whose last change lies there, ordered by number and
        key (as bytes).
    """

    changes: tuple[LoggedChange, ...]
    states: tuple[LoggedState, ...]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one cycle takes; one change with its states is taken at any size."""

    changes: int = 300
    states: int = 2_000
    bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a topic is behind the log.

    Attributes
    ----------
    position
        Greatest number published; None if the relay never ran.
    seen_at
        When the relay last said so (UTC).
    changes
        How many changes are not published yet.
    seconds
        Age of the oldest of them; 0 if there is none.
    missing
        A topic lost what it had up to this number, as far as is known; None if none
        is known to have lost anything.
    stopped
        Why the relay ended last, if a person has to act; None while it runs.
    """

    position: int | None
    seen_at: datetime | None
    changes: int
    seconds: float
    missing: int | None = None
    stopped: str | None = None


# -------------------------------------------------------------------------- the log


async def site(conn: Connection) -> Site:
    """Tell whose database this is, and in which life.

    Raises
    ------
    LookupError
        If the database was migrated and never given to a site.
    """
    row = await conn.fetchrow(
        "select site_id, incarnation, first_number from site"
        " order by first_number desc limit 1"
    )
    if row is None:
        raise LookupError("this database belongs to no site yet: start the service")
    return Site(*row)


async def first_number(conn: Connection) -> int:
    """Give the number with which the present life of the database began."""
    return (await site(conn)).first_number


async def beginning(conn: Connection) -> int:
    """Give the number below the first one that any life of the database may have."""
    number: int = await conn.fetchval(
        "select coalesce(min(first_number), 1) - 1 from site"
    )
    return number


async def head(conn: Connection) -> int:
    """Give the greatest number; before the first change the one below the first."""
    number: int = await conn.fetchval(
        "select greatest("
        " (select max(number) from change),"
        " (select max(first_number) - 1 from site), 0)"
    )
    return number


async def id_at(conn: Connection, number: int) -> str | None:
    """Give the id of the event of a change; None if the log has no such number."""
    row = await conn.fetchrow(
        "select record_id, operation, number from change where number = $1", number
    )
    return None if row is None else id_of(*row)


async def read(  # noqa: PLR0913 # the bounds and filters of one statement
    conn: Connection,
    after: int,
    limit: int,
    *,
    upto: int | None = None,
    kind: str | None = None,
    instrument: str | None = None,
    max_bytes: int | None = None,
) -> Page:
    """Read the log on from a number.

    Parameters
    ----------
    conn
        Any connection.
    after
        The first change read is the one above this number.
    limit
        At most so many changes.
    upto
        Nothing above this number; None means no bound.
    kind
        Only records of this kind.
    instrument
        Only changes that concern this instrument.
    max_bytes
        Stop before records and details have more bytes together; the first change is
        read at any size. None means no bound.

    Returns
    -------
    Page
        A filtered read looks at `SCANNED` changes at most, so it may be short or
        empty and yet not at the end: `next_after` says how far it went.
    """
    filtered = kind is not None or instrument is not None
    last: int | None = await conn.fetchval(
        "select max(number) from (select number from change where number > $1"
        " and ($2::bigint is null or number <= $2) order by number limit $3) w",
        after,
        upto,
        SCANNED if filtered else limit,
    )
    if last is None:
        return Page((), after)
    rows = await _between(conn, after, last, limit, kind, instrument, max_bytes)
    # What the bytes or the limit cut off is read next; else the window is done.
    cut = bool(rows) and len(rows) < rows[0]["matched"]
    changes = tuple(map(_change, rows))
    return Page(changes, changes[-1].number if cut else last)


async def pick(conn: Connection, numbers: Sequence[int]) -> tuple[LoggedChange, ...]:
    """Read some changes.

    Parameters
    ----------
    conn
        Any connection.
    numbers
        Ascending. What lies between those that are close to each other is read too.

    Returns
    -------
    tuple of LoggedChange
        Those of them that the log has, ascending.
    """
    wanted, rest = frozenset(numbers), numbers
    found: list[LoggedChange] = []
    while rest:
        page = await read(conn, rest[0] - 1, PICKED, upto=rest[-1])
        if not page.changes:
            break
        found += [change for change in page.changes if change.number in wanted]
        rest = [number for number in rest if number > page.next_after]
    return tuple(found)


async def _between(  # noqa: PLR0913, PLR0917 # as `read`
    conn: Connection,
    after: int,
    last: int,
    limit: int,
    kind: str | None = None,
    instrument: str | None = None,
    max_bytes: int | None = None,
) -> list[asyncpg.Record]:
    """Read changes of (after, last], each with how many there are in all."""
    return await conn.fetch(
        """
        with lives as materialized (
          select site_id, incarnation, first_number as low,
                 lead(first_number) over (order by first_number) as high
          from site),
        found as (
          select c.*, r.body,
                 sum(octet_length(r.body) + coalesce(octet_length(c.detail), 0))
                   over (order by c.number) as bytes,
                 row_number() over (order by c.number) as place,
                 count(*) over () as matched
          from change c join record r on r.record_id = c.record_id
          where c.number > $1 and c.number <= $2
            and ($3::text is null or c.kind = $3)
            and ($4::text is null or c.instruments @> array[$4])
          order by c.number limit $5)
        select f.number, f.record_id, f.kind, f.operation, f.subject, f.instruments,
               f.detail, f.body, f.committed_at, l.site_id, l.incarnation,
               f.matched
        from found f left join lives l
          on f.number >= l.low and (l.high is null or f.number < l.high)
        where $6::bigint is null or f.bytes <= $6 or f.place = 1
        order by f.number
        """,
        after,
        last,
        kind,
        instrument,
        limit,
        max_bytes,
    )


def _change(row: asyncpg.Record) -> LoggedChange:
    return LoggedChange(
        number=row["number"],
        record_id=row["record_id"],
        kind=row["kind"],
        operation=row["operation"],
        subject=row["subject"],
        instruments=tuple(row["instruments"]),
        detail=row["detail"],
        body=row["body"],
        committed_at=row["committed_at"],
        site_id=row["site_id"],
        incarnation=row["incarnation"],
    )


_STATES = """
with lives as materialized (
  select site_id, incarnation, first_number as low,
         lead(first_number) over (order by first_number) as high
  from site)
select t.key, s.kind, s.instrument, s.day_obs, s.seq_num, t.exposure_id,
       t.detector, t.dataset_id, s.flag, s.decided_by, s.outvoted, s.disputed,
       s.bots_differ, s.follow_ups, s.tags, s.notes, s.number,
       array(select distinct n.name collate "C"
             from target j join target_name n on n.target_id = j.target_id
             where j.class_id = t.class_id order by 1) as names,
       s.empty, c.committed_at, l.site_id, l.incarnation
from target_state s
  join target t on t.target_id = s.target_id
  join change c on c.number = s.number
  left join lives l
    on s.number >= l.low and (l.high is null or s.number < l.high)
"""
"""States as they are published; what follows says which."""


async def states_between(
    conn: Connection, after: int, upto: int
) -> tuple[LoggedState, ...]:
    """Read the states whose last change lies in (after, upto].

    Parameters
    ----------
    conn
        A connection within the transaction that also reads the changes, if both must
        fit together.
    after, upto
        The numbers; the lower one is excluded.

    Returns
    -------
    tuple of LoggedState
        Ordered by number, then by key as bytes.
    """
    rows = await conn.fetch(
        _STATES
        + """
        where s.number > $1 and s.number <= $2
        order by s.number, t.key collate "C"
        """,
        after,
        upto,
    )
    return tuple(_state(row) for row in rows)


async def states_at(
    conn: Connection, numbers: Sequence[int]
) -> tuple[LoggedState, ...]:
    """Read the states whose last change is one of some.

    Parameters
    ----------
    conn
        Any connection.
    numbers
        Numbers of changes.

    Returns
    -------
    tuple of LoggedState
        Ordered by number, then by key as bytes.
    """
    rows = await conn.fetch(
        _STATES
        + """
        where s.number = any($1)
        order by s.number, t.key collate "C"
        """,
        numbers,
    )
    return tuple(_state(row) for row in rows)


async def has_states(conn: Connection, upto: int) -> bool:
    """Tell whether any target has a state that a change up to a number left."""
    found: bool = await conn.fetchval(
        "select exists (select from target_state where number <= $1)", upto
    )
    return found


async def states_of(
    conn: Connection, target_ids: Sequence[int], upto: int
) -> tuple[LoggedState, ...]:
    """Read the states of targets that no change above a number has left.

    Parameters
    ----------
    conn
        Any connection.
    target_ids
        The targets that stand for their classes.
    upto
        Greatest number of a state's last change.

    Returns
    -------
    tuple of LoggedState
        Ordered by target id.
    """
    rows = await conn.fetch(
        _STATES
        + """
        where s.target_id = any($1) and s.number <= $2
        order by s.target_id
        """,
        target_ids,
        upto,
    )
    return tuple(_state(row) for row in rows)


_BESIDE_THE_STATE = frozenset({"empty", "committed_at", "incarnation"})


def _state(row: asyncpg.Record) -> LoggedState:
    fields: dict[str, Any] = {
        name: value for name, value in row.items() if name not in _BESIDE_THE_STATE
    }
    return LoggedState(
        TargetState(**fields), row["empty"], row["committed_at"], row["incarnation"]
    )


async def cycle(conn: Connection, after: int, bounds: Bounds) -> Cycle:
    """Read what the relay publishes next, in one snapshot of its own.

    Parameters
    ----------
    conn
        A connection outside any transaction.
    after
        All up to this number is published.
    bounds
        How much to take.

    Returns
    -------
    Cycle
        Empty if there is nothing new.
    """
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        sizes = await conn.fetch(
            """
            select c.number,
                   octet_length(r.body) + coalesce(octet_length(c.detail), 0) as bytes,
                   (select count(*) from target_state s where s.number = c.number)
                     as states
            from change c join record r on r.record_id = c.record_id
            where c.number > $1 order by c.number limit $2
            """,
            after,
            bounds.changes,
        )
        upto = _end_of_cycle([tuple(row) for row in sizes], bounds)
        if upto is None:
            return Cycle((), ())
        rows = await _between(conn, after, upto, bounds.changes)
        states = await states_between(conn, after, upto)
        return Cycle(tuple(map(_change, rows)), states)


def _end_of_cycle(sizes: Sequence[tuple[int, int, int]], bounds: Bounds) -> int | None:
    """Choose the last change of a cycle out of (number, bytes, states)."""
    upto: int | None = None
    all_bytes = all_states = 0
    for number, size, states in sizes:
        all_bytes += size
        all_states += states
        if upto is not None and (
            all_bytes > bounds.bytes or all_states > bounds.states
        ):
            break
        upto = number
    return upto


# ---------------------------------------------------------------- listen and notify


async def notify(conn: Connection, number: int) -> None:
    """Tell all who listen, once the present transaction commits, of a new head."""
    await conn.execute("select pg_notify($1, $2)", CHANNEL, str(number))


# ------------------------------------------------------------------------ positions


async def floor(conn: Connection, topic: str) -> int | None:
    """Give the number up to which a topic is known to be complete; None if unknown."""
    number: int | None = await conn.fetchval(
        "select number from relay_floor where topic = $1", topic
    )
    return number


async def set_floor(conn: Connection, topic: str, number: int) -> None:
    """Keep that a topic holds all up to a number, now."""
    await conn.execute(
        "insert into relay_floor (topic, number, published_at) values ($1, $2, now())"
        " on conflict (topic) do update"
        " set number = excluded.number, published_at = excluded.published_at",
        topic,
        number,
    )


async def clear_missing(conn: Connection, topic: str) -> None:
    """Keep that a topic has all again that it shall have."""
    await conn.execute("update relay_floor set missing = null where topic = $1", topic)


async def set_missing(conn: Connection, topic: str, number: int) -> None:
    """Keep that a topic was emptied: what it had up to a number is not there now."""
    await conn.execute(
        "insert into relay_floor (topic, number, published_at, missing)"
        " values ($1, $2, now(), $2) on conflict (topic) do update"
        " set missing = excluded.missing",
        topic,
        number,
    )


async def set_stopped(
    conn: Connection, topic: str, reason: str | None, position: int
) -> None:
    """Keep why the relay ended, for the health page; None: it runs.

    Parameters
    ----------
    conn
        One that may write.
    topic
        The topic of changes.
    reason
        A sentence.
    position
        Number up to which the topic is known to be complete, if none was kept yet.
    """
    await conn.execute(
        "insert into relay_floor (topic, number, published_at, stopped)"
        " select $1, $3, now(), $2::text where $2 is not null"
        " or exists (select from relay_floor where topic = $1)"
        " on conflict (topic) do update set stopped = excluded.stopped"
        " where relay_floor.stopped is distinct from excluded.stopped",
        topic,
        reason,
        position,
    )


async def lag(conn: Connection, topic: str) -> Lag:
    """Tell how far a topic is behind the log, for metrics and the health page."""
    row = await conn.fetchrow(
        """
        select f.number, f.published_at,
               (select count(*) from (select 1 from change c
                 where c.number > coalesce(f.number, -1) limit 100000) w) as behind,
               coalesce(extract(epoch from clock_timestamp() -
                 (select c.committed_at from change c
                  where c.number > coalesce(f.number, -1)
                  order by c.number limit 1)), 0)::float8 as seconds,
               (select max(missing) from relay_floor) as missing, f.stopped
        from (select 1) one left join relay_floor f on f.topic = $1
        """,
        topic,
    )
    assert row is not None  # noqa: S101 # a left join of one row gives one row
    return Lag(row[0], row[1], row[2], max(row[3], 0.0), row[4], row[5])


# --------------------------------------------------------------------------- leases
#
# The advisory lock says who may; it ends with its session, so the successor of a
# killed process need not wait. The row says who is alive: a frozen process keeps its
# session and its lock, but does not renew its row.


async def take_lease(conn: Connection, name: str, holder: str, seconds: float) -> bool:
    """Take a lease if nobody has it, or if its holder has stopped renewing it.

    Parameters
    ----------
    conn
        A connection that lives as long as the lease: it holds the lock.
    name
        What only one may do.
    holder
        Who asks, unique among processes.
    seconds
        For how long, unless renewed.

    Returns
    -------
    bool
        Whether it is ours now. If not, and the present holder let its row run out,
        that one's session has been ended, so the next try succeeds.
    """
    got: bool = await conn.fetchval(
        "select pg_try_advisory_lock(hashtextextended('annolog lease ' || $1, 0))", name
    )
    if not got:
        await _end_silent_holder(conn, name)
        return False
    await conn.execute(
        "insert into lease (name, holder, until)"
        " values ($1, $2, clock_timestamp() + make_interval(secs => $3))"
        " on conflict (name) do update"
        " set holder = excluded.holder, until = excluded.until",
        name,
        holder,
        seconds,
    )
    return True


async def _end_silent_holder(conn: Connection, name: str) -> None:
    await conn.execute(
        """
        select pg_terminate_backend(l.pid)
        from pg_locks l,
             (select hashtextextended('annolog lease ' || $1, 0) as key) k
        where l.locktype = 'advisory' and l.granted and l.objsubid = 1
          and l.database = (select oid from pg_database
                            where datname = current_database())
          and l.classid::bigint = (k.key >> 32) & 4294967295
          and l.objid::bigint = k.key & 4294967295
          and exists (select 1 from lease
                      where name = $1 and until < clock_timestamp() - interval '1 s')
        """,
        name,
    )


async def is_leased(conn: Connection, name: str) -> bool:
    """Tell whether somebody holds a lease now."""
    found: bool = await conn.fetchval(
        "select exists (select from lease where name = $1"
        " and until >= clock_timestamp())",
        name,
    )
    return found


async def renew_lease(conn: Connection, name: str, holder: str, seconds: float) -> bool:
    """Keep a lease for longer; False if another one holds it by now."""
    status = await conn.execute(
        "update lease set until = clock_timestamp() + make_interval(secs => $3)"
        " where name = $1 and holder = $2",
        name,
        holder,
        seconds,
    )
    return status == "UPDATE 1"


async def release_lease(conn: Connection, name: str, holder: str) -> None:
    """Give a lease back, so that the next one need not wait."""
    await conn.execute(
        "delete from lease where name = $1 and holder = $2", name, holder
    )
    await conn.execute(
        "select pg_advisory_unlock(hashtextextended('annolog lease ' || $1, 0))", name
    )


@asynccontextmanager
async def listening(
    conn: Connection, heard: Callable[[int], None], *, channel: str = CHANNEL
) -> AsyncIterator[None]:
    """Listen to the log on a connection of one's own.

    Parameters
    ----------
    conn
        A connection, not one of a pool.
    heard
        Called with the head of the log each time that it grew.
    channel
        Another channel whose notifications are numbers.
    """

    def notified(_conn: object, _pid: int, _channel: str, payload: object) -> None:
        heard(int(str(payload)))

    await conn.add_listener(channel, notified)
    try:
        yield
    finally:
        if not conn.is_closed():
            await conn.remove_listener(channel, notified)
