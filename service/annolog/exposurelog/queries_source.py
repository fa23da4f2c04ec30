"""The SQL that is spoken with an exposurelog database: its layout, reading, writing.

It is another program's database. Reading changes nothing in it, and runs in one
snapshot; writing puts messages back into a table of the same layout.
"""

from collections.abc import AsyncIterator, Sequence
from types import MappingProxyType
from typing import Any

from annolog.domain.errors import InvalidError
from annolog.exposurelog.lines import Found
from annolog.exposurelog.rows import FLAGS, Row
from annolog.storage.database import Connection, Use

READING = Use(
    "annolog import",
    1,
    1,
    None,
    MappingProxyType({"default_transaction_read_only": "on", "jit": "off"}),
)
"""Reads an exposurelog database; it cannot write by mistake."""

WRITING = Use("annolog export", 1, 1, None, MappingProxyType({"lock_timeout": "60s"}))
"""Writes an exposurelog database."""

COLUMNS = (
    "id",
    "site_id",
    "obs_id",
    "instrument",
    "day_obs",
    "seq_num",
    "message_text",
    "level",
    "tags",
    "urls",
    "user_id",
    "user_agent",
    "is_human",
    "exposure_flag",
    "date_added",
    "date_invalidated",
    "parent_id",
)
"""Columns that are read and written; `is_valid` follows from the rest."""

_MOMENT = """
least(greatest({0}::timestamp, '0001-01-01'), '9999-12-31 23:59:59.999999')
"""
"""What a client of exposurelog is told of a date that Python cannot hold."""

_READ = f"""
with edit as materialized (
  select id, parent_id,
         row_number() over (partition by parent_id order by date_added, id) as place
    from message where parent_id is not null
)
select m.id, coalesce(m.site_id, '') as site_id, coalesce(m.obs_id, '') as obs_id,
       coalesce(m.instrument, '') as instrument, m.day_obs, m.seq_num,
       coalesce(m.message_text, '') as message_text, coalesce(m.level, 0) as level,
       m.tags::text[] as tags, m.urls::text[] as urls,
       coalesce(m.user_id, '') as user_id, coalesce(m.user_agent, '') as user_agent,
       coalesce(m.is_human, false) as is_human,
       coalesce(m.exposure_flag::text, 'none') as exposure_flag,
       {_MOMENT.format("coalesce(m.date_added, '0001-01-01')")} as date_added,
       case when m.date_invalidated is not null
            then {_MOMENT.format("m.date_invalidated")} end as date_invalidated,
       m.parent_id, c.id is not null as has_children,
       p.id is not null as parent_is_here,
       e.place = 1 and p.date_invalidated is not null as may_continue
  from message m
  left join edit e on e.id = m.id
  left join edit c on c.parent_id = m.id and c.place = 1
  left join message p on p.id = m.parent_id
 order by m.date_added, m.id
"""  # noqa: S608 - a constant of this module


async def check_layout(conn: Connection) -> None:
    """Make sure that a database has exposurelog's table.

    Parameters
    ----------
    conn
        A connection to it.

    Raises
    ------
    InvalidError
        The table or columns of it are missing, or it has flags that exposurelog does
        not have; all that is missing is named.
    """
    columns = await columns_of(conn)
    if not columns or not await conn.fetchval(
        "select has_table_privilege(to_regclass('message'), 'select')"
    ):
        database = await conn.fetchval("select current_database()")
        detail = (
            f"the database {database!r} has no table `message`: is it exposurelog's, "
            "and may this user see it?"
        )
        raise InvalidError(detail, code="no_exposurelog")
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        detail = f"the table `message` has no column {', '.join(missing)}"
        raise InvalidError(detail, code="no_exposurelog")


async def columns_of(conn: Connection) -> list[str]:
    """Name the columns of the table `message`; none if there is no such table."""
    rows = await conn.fetch(
        """
        select attname from pg_attribute
         where attrelid = to_regclass('message') and attnum > 0 and not attisdropped
        """
    )
    return [row["attname"] for row in rows]


async def count(conn: Connection) -> int:
    """Count the messages."""
    found: int = await conn.fetchval("select count(*) from message")
    return found


async def read(conn: Connection, piece: int) -> AsyncIterator[list[Found]]:
    """Read all messages by their dates.

    Parameters
    ----------
    conn
        A connection in an open transaction.
    piece
        Rows that one round trip brings.

    Yields
    ------
    list of Found
        The next rows, by date and id; never none.

    Raises
    ------
    InvalidError
        A row has a flag that exposurelog does not have.
    """
    cursor = await conn.cursor(_READ)
    while rows := await cursor.fetch(piece):
        yield [_found(row) for row in rows]


def _found(row: Any) -> Found:  # noqa: ANN401 - a record of asyncpg
    *said, has_children, parent_is_here, may_continue = row
    flag = row["exposure_flag"]
    if flag not in FLAGS:
        detail = f"message {row['id']} has the flag {flag!r}, which exposurelog has not"
        raise InvalidError(detail, code="unknown_flag")
    said[8], said[9] = _words(row["tags"]), _words(row["urls"])
    return Found(Row(*said), has_children, parent_is_here, bool(may_continue))


def _words(values: Sequence[Any] | None) -> tuple[str, ...]:
    """Flatten an array, and leave nulls out: exposurelog could show neither."""
    found: list[str] = []
    for value in values or ():
        if isinstance(value, list):
            found += _words(value)
        elif value is not None:
            found.append(value)
    return tuple(found)
