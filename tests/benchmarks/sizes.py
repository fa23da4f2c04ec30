"""How many bytes an annotation takes: of each table, and of each of its indexes."""

import asyncio
from dataclasses import dataclass

from annolog.storage import database

FURTHER = (10_000_000, 100_000_000)
"""Annotations for which the size is worked out."""

LEAST = 0.5
"""Bytes an annotation from which on a table or index is told of."""

_SIZES = """
select c.relname as name, pg_relation_size(c.oid) as rows,
       pg_table_size(c.oid) - pg_relation_size(c.oid) as beside,
       pg_indexes_size(c.oid) as indexes, greatest(c.reltuples, 0)::bigint as count
  from pg_class c
 where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
 order by pg_total_relation_size(c.oid) desc
"""

_INDEXES = """
select t.relname as table, c.relname as name, pg_relation_size(c.oid) as size
  from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_class t on t.oid = i.indrelid
 where c.relnamespace = 'public'::regnamespace
 order by 3 desc
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a table is.

    Attributes
    ----------
    name
        The table.
    count
        Rows, as the server estimates them.
    rows, beside, indexes
        Bytes of rows, of what is beside them (long values, maps), and of indexes.
    """

    name: str
    count: int
    rows: int
    beside: int
    indexes: int

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.rows + self.beside + self.indexes


async def read(url: str) -> tuple[list[Size], list[tuple[str, str, int]]]:
    """Measure the tables, the largest first, and their indexes."""
    connection = await database.connect(url, database.READS)
    try:
        tables = [Size(**row) for row in await connection.fetch(_SIZES)]
        indexes = [tuple(row) for row in await connection.fetch(_INDEXES)]
    finally:
        await connection.close()
    return tables, indexes


def table(url: str, messages: int) -> str:
    """Write sizes as bytes an annotation, and what more of them would take.

    Parameters
    ----------
    url
        The database.
    messages
        How many messages it was made with. Exposures are those of the last year,
        however many messages there are: their tables are not multiplied.
    """
    tables, indexes = asyncio.run(read(url))
    head = ["rows", "MB", *(f"{many // 1_000_000}M: GB" for many in FURTHER)]
    head += ["bytes each", "of rows", "beside", "indexes"]
    lines = [_row("size", head)]
    lines += [
        _row(one.name, _cells(one, messages))
        for one in tables
        if one.total / messages >= LEAST
    ]
    total = Size(
        "all",
        sum(one.count for one in tables),
        sum(one.rows for one in tables),
        sum(one.beside for one in tables),
        sum(one.indexes for one in tables),
    )
    lines += [_row("all", _cells(total, messages)), ""]
    lines.append(_row("index", ["", "MB", *([""] * len(FURTHER)), "bytes each"]))
    lines += [
        _row(
            f"{on}: {name}",
            ["", f"{size / 1e6:.0f}", *([""] * len(FURTHER)), f"{size / messages:.1f}"],
        )
        for on, name, size in indexes
        if size / messages >= LEAST
    ]
    return "\n".join(lines)


def _cells(one: Size, messages: int) -> list[str]:
    return [
        str(one.count),
        f"{one.total / 1e6:.0f}",
        *(f"{one.total / messages * many / 1e9:.1f}" for many in FURTHER),
        *(
            f"{size / messages:.1f}"
            for size in (one.total, one.rows, one.beside, one.indexes)
        ),
    ]


def _row(title: str, cells: list[str]) -> str:
    return (f"{title:<44}" + "".join(f"{cell:>11}" for cell in cells)).rstrip()
