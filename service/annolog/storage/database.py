"""The database itself: its schema, its connections, whose it is, and is it there.

Every use of a connection has settings of its own (`LANE`, `READS`, `WORK`, `LISTEN`,
`BULK`), so that a frozen writer lets go of the lane by itself and no slow list can
hold a write up. Values travel as asyncpg gives them: `jsonb` as text, `uuid` as UUID,
`timestamptz` as aware UTC.

`begin`, `reading` and `snapshot` are the only places where a transaction opens; they
turn every way of a database being away into one `UnavailableError`.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import asyncpg
from typing_extensions import override

from annolog.domain.errors import ConflictError, UnavailableError

Connection: TypeAlias = (
    "asyncpg.Connection[asyncpg.Record]"
    " | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
)
"""One connection, out of a pool or not."""

Lent: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
"""One connection out of a pool."""

Pool: TypeAlias = asyncpg.Pool
"""A pool of connections for one use; Litestar evaluates annotations at run time."""

Greeting: TypeAlias = Callable[
    ["asyncpg.Connection[asyncpg.Record]"], Coroutine[Any, Any, None]
]
"""Meets each new connection of a pool before it is lent."""

SCHEMA = "0004"
"""The migration that this code needs; a test holds it equal to the newest one."""

OLDEST_SERVER = 15
"""Major version of the oldest PostgreSQL that is supported."""

LANE_LOCK = 0x616E_6E6F_0001
"""Advisory lock of the one lane that all writers of a site pass."""

MIGRATION_LOCK = 0x616E_6E6F_0002
"""Advisory lock of a running migration: a second one waits for the first."""

SITE_LOCK = 0x616E_6E6F_0003
"""Advisory lock of a first start: two processes agree on one incarnation."""

RETRY_AFTER = 2
"""Seconds after which a caller should try again when the database is away."""

CONNECT_TIMEOUT = 5.0
"""Seconds to wait for a new connection, and for a free one of a pool."""

_log = logging.getLogger("annolog.database")
_pools = logging.getLogger("asyncpg.pool")


@dataclass(frozen=True, slots=True)
class Use:
    """What connections are for, and what the server shall do about them.

    Attributes
    ----------
    name
        Shown as `application_name` in `pg_stat_activity`.
    least, most
        How many connections a pool of them keeps and may open.
    patience
        Seconds after which the client gives a statement up (the server should have
        done so earlier); None waits for ever.
    settings
        Session settings, as the server spells them.
    """

    name: str
    least: int
    most: int
    patience: float | None
    settings: Mapping[str, str]


def _use(
    name: str, least: int, most: int, patience: float | None, **settings: str
) -> Use:
    return Use(name, least, most, patience, MappingProxyType(settings))


# Statements prepared on empty tables would otherwise scan whole tables until the
# first ANALYZE. On servers before 18 that switch makes every scan it cannot avoid
# look so dear that the JIT compiler starts (100 ms for a small table): off as well.
_HOT = {"enable_seqscan": "off", "jit": "off"}

LANE = _use(
    "annolog lane",
    1,
    1,
    20.0,
    idle_in_transaction_session_timeout="2s",
    statement_timeout="15s",
    lock_timeout="15s",
    plan_cache_mode="force_generic_plan",
    **_HOT,
)
"""The writers' lane: one connection a process; whoever freezes in it loses it, so that
others only have to be patient with those who work: a turn of very many targets. Its
statements look up row by row whatever the values are, and planning what a turn writes
takes longer than writing one statement."""

READS = _use(
    "annolog reads",
    2,
    6,
    20.0,
    default_transaction_read_only="on",
    idle_in_transaction_session_timeout="10s",
    statement_timeout="10s",
    **_HOT,
)
"""Answers to readers; nothing can be written over them by mistake."""

MESSAGES = _use(
    "annolog messages",
    1,
    4,
    20.0,
    default_transaction_read_only="on",
    idle_in_transaction_session_timeout="10s",
    statement_timeout="10s",
    plan_cache_mode="force_generic_plan",
    **_HOT,
)
"""The few statements by which clients of exposurelog read all night. Their plans do not
depend on values, and planning anew each time takes as long as the smaller answers."""

WORK = _use(
    "annolog work",
    1,
    3,
    20.0,
    idle_in_transaction_session_timeout="10s",
    statement_timeout="10s",
    lock_timeout="5s",
    **_HOT,
)
"""Small writes outside the lane: new target rows, tokens, leases, positions."""

SEARCHES = _use(
    "annolog searches",
    0,
    2,
    35.0,
    default_transaction_read_only="on",
    idle_in_transaction_session_timeout="60s",
    statement_timeout="30s",
    jit="off",
)
"""Searches that no index helps: two at a time, free plans, a limit of time."""

STREAMS = _use(
    "annolog streams",
    0,
    4,
    35.0,
    default_transaction_read_only="on",
    idle_in_transaction_session_timeout="60s",
    statement_timeout="30s",
    **_HOT,
)
"""Answers too large to be held, read as fast as their readers take them."""

LISTEN = _use("annolog listen", 1, 1, None)
"""Waits for notifications; never in a transaction."""

BULK = _use("annolog bulk", 1, 2, None, lock_timeout="60s")
"""Operators' commands: checks, loads, exports. No limit of time, free plans."""


# --------------------------------------------------------------- connections


async def pool(
    url: str,
    use: Use,
    *,
    most: int | None = None,
    greet: Greeting | None = None,
) -> "asyncpg.Pool[asyncpg.Record]":
    """Open a pool of connections for one use.

    Parameters
    ----------
    url
        A `postgresql://` URL.
    use
        What they are for.
    most
        How many at most, instead of the number in `use`.
    greet
        Called with each new connection before it is lent: who is there now may be
        another server than before. What it raises keeps the connection from use.

    Returns
    -------
    asyncpg.Pool
        The open pool; the caller closes it.

    Raises
    ------
    UnavailableError
        No connection could be made within `CONNECT_TIMEOUT`.
    """
    _pools.addFilter(_outage)
    with answering():
        return await asyncpg.create_pool(
            url,
            min_size=min(use.least, most or use.most),
            max_size=most or use.most,
            timeout=CONNECT_TIMEOUT,
            command_timeout=use.patience,
            server_settings=_session(use),
            init=_met(greet),
            reset=_reset,
            # An idle connection may have died with a router in between.
            max_inactive_connection_lifetime=300.0,
        )


class _Outage(logging.Filter):
    """Says once that a database is away, where each pool would with a traceback.

    Pools try again by themselves to have the connections that they keep, and asyncpg
    writes each failure down.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said = False

    def is_over(self) -> None:
        """Take note of a new connection."""
        self._said = False

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is None or not is_away(error):
            return True
        if not self._said:
            self._said = True
            cause = " ".join(str(error).split()) or type(error).__name__
            _log.warning("the database is away; pools connect again: %s", cause)
        return False


_outage = _Outage()


def _met(greet: Greeting | None) -> Greeting:
    async def meet(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        if greet is not None:
            await greet(connection)
        _outage.is_over()

    return meet


async def connect(url: str, use: Use) -> "asyncpg.Connection[asyncpg.Record]":
    """Open one connection for one use; the caller closes it.

    Parameters
    ----------
    url
        A `postgresql://` URL.
    use
        What it is for.

    Returns
    -------
    asyncpg.Connection
        The open connection.

    Raises
    ------
    UnavailableError
        No connection could be made within `CONNECT_TIMEOUT`.
    """
    with answering():
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=use.patience,
            server_settings=_session(use),
        )


def _session(use: Use) -> dict[str, str]:
    return {
        "application_name": use.name,
        "timezone": "UTC",
        "datestyle": "ISO",
        **use.settings,
    }


async def _reset(connection: Connection) -> None:
    # The usual reset costs a round trip a request. No code of ours changes the state
    # of a pooled session, so there is something to undo only after a broken exit.
    if connection.is_in_transaction():
        await connection.reset()


# -------------------------------------------------------------- transactions


@asynccontextmanager
async def begin(
    connections: "asyncpg.Pool[asyncpg.Record]",
) -> AsyncIterator[Connection]:
    """Run a transaction: committed at the end of the block, or rolled back.

    Parameters
    ----------
    connections
        The pool to lend from.

    Yields
    ------
    Connection
        A connection in an open transaction.

    Raises
    ------
    UnavailableError
        The database is away, or the block waited too long for it. After a broken
        commit the outcome is not known: look it up before answering.
    """
    async with reading(connections) as connection, connection.transaction():
        yield connection


@asynccontextmanager
async def snapshot(
    connections: "asyncpg.Pool[asyncpg.Record]", *, wait: float = CONNECT_TIMEOUT
) -> AsyncIterator[Connection]:
    """Lend a connection on which every statement sees the same moment, read-only.

    Parameters
    ----------
    connections
        The pool to lend from.
    wait
        Seconds to wait for a free one.

    Yields
    ------
    Connection
        A connection in an open read-only transaction.

    Raises
    ------
    UnavailableError
        The database is away, or a statement took too long.
    """
    async with (
        reading(connections, wait=wait) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection


@asynccontextmanager
async def reading(
    connections: "asyncpg.Pool[asyncpg.Record]", *, wait: float = CONNECT_TIMEOUT
) -> AsyncIterator[Connection]:
    """Lend a connection for statements that stand alone (no transaction).

    Parameters
    ----------
    connections
        The pool to lend from.
    wait
        Seconds to wait for a free one.

    Yields
    ------
    Connection
        A connection without a transaction.

    Raises
    ------
    UnavailableError
        The database is away, or a statement took too long.
    """
    with answering():
        connection = await lent(connections, wait)
        try:
            yield connection
        except BaseException as error:
            if has_ended(error):
                drop(connection)
            await connections.release(connection)
            raise
        await give_back(connection)


def drop(connection: Connection) -> None:
    """Drop a connection whose state is not known.

    Parameters
    ----------
    connection
        One of a pool or not. One that is lost has gone back to its pool by itself
        already, and that is as good.
    """
    # The proxy of such a one raises whatever it is asked for.
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def lent(connections: "asyncpg.Pool[asyncpg.Record]", wait: float) -> Lent:
    """Lend a connection; `give_back` takes it.

    Parameters
    ----------
    connections
        The pool to lend from.
    wait
        Seconds to wait for a free one.

    Raises
    ------
    TimeoutError
        None was free in time.
    """
    # Given a time limit, asyncpg makes a task for each loan. With an idle connection
    # there is nothing to wait for; a new one has a limit of its own.
    if connections.get_idle_size():
        return await connections.acquire()
    async with asyncio.timeout(wait):
        return await connections.acquire()


async def give_back(
    connection: Lent,
) -> None:
    """Take a connection back that has no open transaction, or has ended.

    Parameters
    ----------
    connection
        One that was lent.
    """
    # What `release` of the pool does, but for the task that it makes, so that nobody
    # cancels it: with a rollback it waits, and after a block that went well it does
    # not. Tasks and turns of the event loop cost more than a small statement.
    holder = connection._holder  # noqa: SLF001 - see above
    session = getattr(connection, "_con")  # noqa: B009 - unknown to the stubs
    if session is not None:  # else it ended, and its place is another's already
        session._on_release()  # noqa: SLF001 - see above
        await holder.release(None)


async def one_row(
    connection: Connection, query: str, *arguments: object
) -> asyncpg.Record:
    """Read the row of a query that always gives one.

    Raises
    ------
    LookupError
        It gave none.
    """
    row = await connection.fetchrow(query, *arguments)
    if row is None:
        msg = "a query gave no row that always gives one"
        raise LookupError(msg)
    return row


# ------------------------------------------------------------- is it there?

_AWAY = (
    asyncpg.PostgresConnectionError,  # 08: broken on the way
    asyncpg.InvalidAuthorizationSpecificationError,  # 28: may not enter
    asyncpg.InvalidCatalogNameError,  # 3D: no such database (being restored?)
    asyncpg.OperatorInterventionError,  # 57: shutdown, starting, cancelled, timeout
    asyncpg.InsufficientResourcesError,  # 53: disk full, too many connections
    asyncpg.LockNotAvailableError,  # 55P03: the lane is taken for too long
    asyncpg.TransactionRollbackError,  # 40: deadlock, serialization
    asyncpg.InvalidTransactionStateError,  # 25: read-only standby, idle too long
    asyncpg.PostgresSystemError,  # 58: an error of the disk
    asyncpg.UndefinedTableError,  # 42P01: not migrated, or being restored
    asyncpg.UndefinedColumnError,  # 42703: another version's schema
    # asyncpg lost count of the protocol: what it says of a session that the server
    # ended while nobody looked.
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
)

_SESSION_GOES_ON = (
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InsufficientResourcesError,
)


def is_away(error: BaseException) -> bool:
    """Say whether an error means that the database cannot serve now.

    True for a lost or refused connection, a server that starts, stops or has no
    room, a wait that was cut short, and a schema that does not fit; false for
    everything that trying again would not mend.

    Parameters
    ----------
    error
        What a driver or the system raised.

    Returns
    -------
    bool
        Whether trying again may help.
    """
    if isinstance(error, asyncpg.InterfaceError):
        # asyncpg has one class for "connection is closed" and for wrong use of it.
        words = str(error)
        return "clos" in words or "released" in words
    # OSError as a whole would take in a missing file. What an address causes names no
    # file: not even FileNotFoundError, where a server's socket of a path is gone.
    return isinstance(error, _AWAY) or (
        isinstance(error, OSError) and error.filename is None
    )


def has_ended(error: BaseException) -> bool:
    """Say whether an error means that its session is of no use any more.

    A session that the server ended while it was idle leaves asyncpg in the middle of
    an operation that never ends; lent again, it would fail every time. So such a
    connection is dropped, not rolled back.

    Parameters
    ----------
    error
        What a statement raised.

    Returns
    -------
    bool
        False where the session only lost its transaction, or the error is none of the
        database's being away.
    """
    return is_away(error) and not isinstance(error, _SESSION_GOES_ON)


@contextmanager
def answering() -> Iterator[None]:
    """Turn a database that is away into one error for users.

    Raises
    ------
    UnavailableError
        `is_away` holds for what was raised inside; the cause is kept for the log.
    """
    try:
        yield
    except Exception as error:
        if is_away(error):
            raise unavailable() from error
        raise


def unavailable() -> UnavailableError:
    """Make the error that says: the database is away, try again.

    Returns
    -------
    UnavailableError
        With `retry_after`, which becomes the header Retry-After.
    """
    return UnavailableError(
        f"The database cannot answer now; nothing was refused for what it says. Try"
        f" again in {RETRY_AFTER} seconds.",
        code="database_unavailable",
        extra={"retry_after": RETRY_AFTER},
    )


# --------------------------------------------------------------- the schema


async def migrate(url: str) -> str:
    """Bring the schema to the newest version; nothing happens when it is there.

    Several may call this at once: one works, the others wait and find it done. A
    migration is one transaction: it is done, or nothing of it is.

    Parameters
    ----------
    url
        A `postgresql://` URL of a UTF-8 database, by a role that may create tables.

    Returns
    -------
    str
        The version that the schema has now.

    Raises
    ------
    ConflictError
        The server is too old, the database is not UTF-8, or its schema is of a
        version that this code does not know.
    UnavailableError
        The database cannot be reached.
    """
    raw = await connect(url, BULK)
    try:
        await _check_server(raw)
    finally:
        await raw.close()
    # Here, not above: the service itself needs neither alembic nor SQLAlchemy.
    from annolog.storage import fill_messages, migrations  # noqa: PLC0415 - see above

    with answering():
        await migrations.upgrade(lambda: connect(url, BULK), MIGRATION_LOCK)
        raw = await connect(url, BULK)
        try:
            await fill_messages.fill(raw)
        finally:
            await raw.close()
    return SCHEMA


async def is_current(connection: Connection) -> bool:
    """Say whether the schema is the one that this code needs.

    Parameters
    ----------
    connection
        Any connection to the database.

    Returns
    -------
    bool
        False too where there is no schema at all.
    """
    return await schema_version(connection) == SCHEMA


async def schema_version(connection: Connection) -> str | None:
    """Read which migration the schema is at; None before the first.

    Parameters
    ----------
    connection
        Any connection to the database.

    Returns
    -------
    str or None
        The version, as alembic keeps it.
    """
    found = await connection.fetchval("select to_regclass('alembic_version')::text")
    if found is None:
        return None
    version: str | None = await connection.fetchval(
        "select max(version_num) from alembic_version"
    )
    return version


async def _check_server(connection: Connection) -> None:
    version = connection.get_server_version()
    if version.major < OLDEST_SERVER:
        message = (
            f"PostgreSQL {version.major} is too old; annolog needs {OLDEST_SERVER} or"
            f" newer."
        )
        raise ConflictError(message, code="server_too_old")
    encoding = await connection.fetchval("show server_encoding")
    if encoding != "UTF8":
        message = (
            f"The database is encoded as {encoding}; annolog keeps any Unicode and"
            f" needs one created with ENCODING 'UTF8'."
        )
        raise ConflictError(message, code="encoding")


# ------------------------------------------------------- whose database it is


@dataclass(frozen=True, slots=True)
class Site:
    """Which site this database is, and which life of it.

    Attributes
    ----------
    site_id
        The site's name, for ever.
    incarnation
        Eight hexadecimal digits; new after a restore from a backup.
    first_number
        The number of the first change of this incarnation.
    moved
        What is not as it was when this incarnation was last known to be whole (the
        server's identity, its timeline, the log's table): a sentence for operators.
        None when all is as it was.
    """

    site_id: str
    incarnation: str
    first_number: int
    moved: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one database from a copy of it.

    Attributes
    ----------
    system_identifier
        Of the server's data directory; a dump restored elsewhere has another one.
    timeline
        Goes up with a fail-over, and with a restore to a point in time.
    place
        Of the log's table in its database; a dump restored on the same server has
        another one. None where it was never looked at.
    """

    system_identifier: str
    timeline: int
    place: str | None

    def copied_from(self, other: "Identity") -> str | None:
        """Say why this is a restored copy of the other one; None if it is not."""
        if self.system_identifier != other.system_identifier:
            return (
                f"the database lives on another server ({self.system_identifier}) than"
                f" this incarnation began on ({other.system_identifier}): a restored"
                " copy?"
            )
        if other.place is not None and self.place != other.place:
            return (
                f"the log's table is another one ({self.place}) than this incarnation"
                f" began with ({other.place}): a restored dump?"
            )
        return None

    def promoted_from(self, other: "Identity") -> str | None:
        """Say that the other one's timeline has been left; None if it has not."""
        if self.timeline == other.timeline:
            return None
        return (
            f"the database is on timeline {self.timeline}, this incarnation was last"
            f" seen on {other.timeline}: a fail-over or a restore to a point in time"
        )


async def ensure_site(connection: Connection, site_id: str) -> Site:
    """Read whose database this is; a first start writes it down.

    Parameters
    ----------
    connection
        One that may write; a transaction is opened on it.
    site_id
        The site that this process was told to be.

    Returns
    -------
    Site
        The newest incarnation, and in `moved` whether the server is another one
        than it was begun on: a restored backup or a fail-over.

    Raises
    ------
    ConflictError
        The database belongs to another site.
    """
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock($1)", SITE_LOCK)
        now = await identity(connection)
        row = await connection.fetchrow(
            "select incarnation, site_id, first_number, system_identifier, timeline,"
            " place from site order by first_number desc limit 1"
        )
        if row is None:
            return await begin_life(connection, site_id, 1, now)
        if row["site_id"] != site_id:
            message = (
                f"This database belongs to the site {row['site_id']!r}, and"
                f" ANNOLOG_SITE_ID says {site_id!r}; a site keeps its name for ever."
            )
            raise ConflictError(message, code="other_site")
    then = Identity(row["system_identifier"], row["timeline"], row["place"])
    moved = now.copied_from(then) or now.promoted_from(then)
    return Site(site_id, row["incarnation"], row["first_number"], moved)


async def begin_life(
    connection: Connection, site_id: str, first_number: int, now: Identity
) -> Site:
    """Write down that a life of this database begins.

    Parameters
    ----------
    connection
        One in a transaction that holds `SITE_LOCK`.
    site_id
        Whose it is.
    first_number
        Number of its first change.
    now
        What the database is at this moment.
    """
    incarnation = secrets.token_hex(4)
    await connection.execute(
        "insert into site (incarnation, site_id, first_number, system_identifier,"
        " timeline, place, started_at) values ($1, $2, $3, $4, $5, $6, now())",
        incarnation,
        site_id,
        first_number,
        now.system_identifier,
        now.timeline,
        now.place,
    )
    return Site(site_id, incarnation, first_number)


async def identity(connection: Connection) -> Identity:
    """Read what tells this database from a copy of it."""
    # The control file learns of a new timeline at the next checkpoint only; the name
    # of the file being written says it at once (a standby has none).
    row = await one_row(
        connection,
        "select (select system_identifier::text from pg_control_system()) as"
        " identifier, case when pg_is_in_recovery()"
        " then (select timeline_id from pg_control_checkpoint())"
        " else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int"
        " end as timeline, to_regclass('change')::oid::text as place",
    )
    return Identity(row["identifier"], row["timeline"], row["place"])
