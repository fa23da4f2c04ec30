"""What is looked at each minute, and what comes of it in the end."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tests.benchmarks import cpu
from tests.benchmarks.http import quantile
from tests.benchmarks.relayed import TOPICS, Relay
from tests.benchmarks.servers import Stand
from tests.soak.load import Tally

FLAT = 0.05
"""Share of its memory by which a process may grow in the second half and be flat: what
an allocator keeps comes and goes."""

LEAN = 2.0
"""Times of its size when freshly built that an index may have."""

LEAST = 1_000_000
"""Bytes of a table, or of a freshly built index, that is looked at in the end: most of
a smaller one are pages that are not full."""

_MB = 1e6

_TABLES = """
select c.relname as name, pg_total_relation_size(c.oid) as total,
       pg_table_size(c.oid) - pg_relation_size(c.oid) as beside,
       pg_indexes_size(c.oid) as indexes, s.n_live_tup as live, s.n_dead_tup as dead,
       s.n_tup_upd as updates, s.n_tup_hot_upd as hot,
       s.autovacuum_count + s.vacuum_count as vacuums,
       s.autoanalyze_count as analyzes
  from pg_class c join pg_stat_user_tables s on s.relid = c.oid
 order by 2 desc
"""

_SNAPSHOT = """
select coalesce(max(extract(epoch from now() - xact_start)), 0)::float8
  from pg_stat_activity where backend_xmin is not null and pid <> pg_backend_pid()
"""

_BEHIND = """
select (select max(number) from change)
     - (select number from relay_floor where topic = $1)
"""

_INDEXES = """
select c.oid::regclass::text as name, pg_relation_size(c.oid) as size
  from pg_index i join pg_class c on c.oid = i.indexrelid
 where c.relnamespace = 'public'::regnamespace
"""


@dataclass(frozen=True, slots=True)
class TableLook:
    """A table at one moment: bytes, rows as the server counts them, and vacuums.

    An update is `hot` where no index had to be told.
    """

    name: str
    total: int
    beside: int
    indexes: int
    live: int
    dead: int
    updates: int
    hot: int
    vacuums: int
    analyzes: int


@dataclass(frozen=True, slots=True)
class Look:
    """How all stood at the end of a minute.

    Attributes
    ----------
    service, relay, postgres
        MB of memory of their own.
    tables
        Each table by name.
    snapshot
        Age of the oldest snapshot in seconds.
    behind
        Changes that the relay had not published.
    tally
        What was done in this minute.
    seconds
        How long the minute was.
    """

    service: float
    relay: float
    postgres: float
    tables: Mapping[str, TableLook]
    snapshot: float
    behind: int
    tally: Tally
    seconds: float


async def look(
    connection: "asyncpg.Connection[asyncpg.Record]",
    stand: Stand,
    relay: Relay,
    tally: Tally,
    seconds: float,
) -> Look:
    """Look at processes and tables.

    Parameters
    ----------
    connection
        Any connection to the database.
    stand, relay
        The processes.
    tally, seconds
        What was done since the last look, and how long that was.
    """
    tables = [TableLook(**row) for row in await connection.fetch(_TABLES)]
    sessions = [stand.server.pid, *cpu.children_of(stand.server.pid)]
    return Look(
        _memory(stand.services[0].pid),
        _memory(relay.pid),
        sum(map(_memory, sessions)),
        {one.name: one for one in tables},
        await connection.fetchval(_SNAPSHOT),
        await connection.fetchval(_BEHIND, TOPICS.changes) or 0,
        tally,
        seconds,
    )


def _memory(process: int) -> float:
    return (cpu.resident(process) or 0) / _MB


# ----------------------------------------------------------------------- in words

HEAD = (
    "minute",
    "service MB",
    "relay MB",
    "PG MB",
    "tables MB",
    "dead rows",
    "vacuums",
    "snapshot s",
    "behind",
    "writes/s",
    "p50 ms",
    "p99 ms",
    "reads/s",
    "heard/s",
    "streams/s",
    "refused",
)


def line(minute: int, seen: Look) -> str:
    """Write a minute."""
    took, tables = seen.tally.took, seen.tables.values()
    return row(
        minute,
        f"{seen.service:.1f}",
        f"{seen.relay:.1f}",
        f"{seen.postgres:.0f}",
        f"{sum(one.total for one in tables) / _MB:.0f}",
        sum(one.dead for one in tables),
        sum(one.vacuums for one in tables),
        f"{seen.snapshot:.0f}",
        seen.behind,
        f"{len(took) / seen.seconds:.1f}",
        f"{quantile(took, 0.5) * 1000:.1f}",
        f"{quantile(took, 0.99) * 1000:.1f}",
        f"{seen.tally.reads / seen.seconds:.1f}",
        f"{seen.tally.heard / seen.seconds:.0f}",
        f"{seen.tally.streamed / seen.seconds:.0f}",
        seen.tally.refused,
    )


def row(*cells: object) -> str:
    """Write cells below each other."""
    return "".join(f"{cell!s:>11}" for cell in cells)


def growth(looks: Sequence[Look]) -> tuple[list[str], bool]:
    """Say how memory grew over the second half, and whether it is flat.

    Returns
    -------
    tuple
        A line for each process, and whether all are flat.
    """
    later = looks[len(looks) // 2 :]
    lines, flat = [], True
    for name in ("service", "relay"):
        sizes = [float(getattr(one, name)) for one in later]
        slope = _slope(sizes)
        is_flat = slope * len(sizes) <= FLAT * sizes[0]
        flat &= is_flat
        words = "flat" if is_flat else "GROWS"
        lines.append(
            f"memory of the {name}: {sizes[0]:.1f} MB in the middle, {sizes[-1]:.1f}"
            f" at the end, {slope * 60:+.1f} MB an hour: {words}"
        )
    return lines, flat


def _slope(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    return statistics.linear_regression(range(len(values)), values).slope


def tables(first: Look, last: Look) -> list[str]:
    """Say how each table grew."""
    head = "MB then", "MB", "of indexes", "live", "dead", "updates", "hot", "vacuums"
    lines = [f"{'table':<20}" + row(*head)]
    for one in last.tables.values():
        then = first.tables[one.name]
        if one.total > LEAST and one != then:
            cells = [f"{n / _MB:.1f}" for n in (then.total, one.total, one.indexes)]
            more = one.updates - then.updates, one.hot - then.hot
            vacuums = one.vacuums - then.vacuums
            lines.append(
                f"{one.name:<20}" + row(*cells, one.live, one.dead, *more, vacuums)
            )
    return lines


async def indexes(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> tuple[list[str], bool]:
    """Build all indexes anew and say how much larger they had become.

    Returns
    -------
    tuple
        A line for each index of some size, and whether all are lean.
    """
    # A list of entries that are still to be sorted in is no bloat.
    await connection.execute("vacuum")
    before = {r["name"]: r["size"] for r in await connection.fetch(_INDEXES)}
    await connection.execute("reindex schema public")
    after = {r["name"]: r["size"] for r in await connection.fetch(_INDEXES)}
    lines, lean = [f"{'index':<34}" + row("MB", "anew", "times")], True
    for name, size in sorted(before.items(), key=lambda one: -one[1]):
        if after[name] > LEAST:
            times = size / after[name]
            lean &= times <= LEAN
            cells = row(f"{size / _MB:.1f}", f"{after[name] / _MB:.1f}", f"{times:.2f}")
            lines.append(f"{name:<34}{cells}" + ("  BLOATED" if times > LEAN else ""))
    return lines, lean
