"""What an export reads here, and how it writes a table of exposurelog's layout."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annolog.exposurelog.queries_source import COLUMNS
from annolog.storage.database import Connection, one_row

PIECE = 1_000
"""Messages that one round trip brings."""

_LAYOUT = """
do $$ begin
  if to_regtype('exposure_flag_enum') is null then
    create type exposure_flag_enum as enum ('none', 'junk', 'questionable');
  end if;
end $$;
create table message (
    id uuid primary key,
    site_id varchar(16) not null,
    obs_id varchar not null,
    instrument varchar not null,
    day_obs integer,
    seq_num integer,
    message_text text not null,
    level integer not null,
    tags text[] not null,
    urls text[] not null,
    user_id varchar not null,
    user_agent varchar not null,
    is_human boolean not null,
    is_valid boolean generated always as (date_invalidated is null) stored,
    exposure_flag exposure_flag_enum not null,
    date_added timestamp not null,
    date_invalidated timestamp,
    parent_id uuid references message
);
create index on message (day_obs);
create index on message (date_added);
create index on message using hash (obs_id);
"""

_FRESH = """
create temp table annolog_export (
    id uuid, site_id text, obs_id text, instrument text, day_obs integer,
    seq_num integer, message_text text, level integer, tags text[], urls text[],
    user_id text, user_agent text, is_human boolean, exposure_flag text,
    date_added timestamp, date_invalidated timestamp, parent_id uuid, skipped boolean
) on commit drop
"""


@dataclass(frozen=True, slots=True)
class Written:
    """What a table came to.

    Attributes
    ----------
    new, changed
        Rows that were added, and rows that were there with other content.
    orphans
        Messages whose parent was not exported; they are written without.
    invalid_there
        Rows that are invalid in the table and valid here; they stay invalid.
    """

    new: int
    changed: int
    orphans: int
    invalid_there: int


async def messages(conn: Connection) -> AsyncIterator[Any]:
    """Read all messages and the bodies of their revisions, any order.

    Parameters
    ----------
    conn
        A connection to annolog's database in an open transaction.

    Yields
    ------
    asyncpg.Record
        Columns of `message`, and `body`.
    """
    async for row in conn.cursor(
        """
        select m.message_id, m.site_id, m.obs_id, m.instrument, m.day_obs, m.seq_num,
               m.date_added, m.date_invalidated, m.parent_id, m.kept, r.body
          from message m join record r on r.record_id = m.revision_id
        """,
        prefetch=PIECE,
    ):
        yield row


async def make_table(conn: Connection) -> None:
    """Make exposurelog's table and the type of its flags."""
    await conn.execute(_LAYOUT)


async def types(conn: Connection) -> Mapping[str, tuple[str, bool]]:
    """Give each column's type as the server writes it, and whether it takes nulls."""
    rows = await conn.fetch(
        """
        select attname, format_type(atttypid, atttypmod) as type, not attnotnull as free
          from pg_attribute
         where attrelid = to_regclass('message') and attnum > 0 and not attisdropped
        """
    )
    return {row["attname"]: (row["type"], row["free"]) for row in rows}


async def load(conn: Connection, rows: AsyncIterable[Sequence[Any]]) -> int:
    """Bring messages beside the table, which nobody else changes until the end.

    Parameters
    ----------
    conn
        A connection to the exposurelog database in an open transaction.
    rows
        Values of `COLUMNS`, then whether the message is left out.

    Returns
    -------
    int
        How many there are.
    """
    await conn.execute("lock table message in share row exclusive mode")
    await conn.execute(_FRESH)
    await conn.copy_records_to_table(
        "annolog_export", records=rows, columns=(*COLUMNS, "skipped")
    )
    await conn.execute("create index on annolog_export (id); analyze annolog_export")
    count: int = await conn.fetchval("select count(*) from annolog_export")
    return count


async def unknown(conn: Connection) -> tuple[int, str | None]:
    """Count the rows of the table that are none of ours, and name one of them."""
    row = await one_row(
        conn,
        """
        select count(*) as rows, min(id::text) as one from message m
         where not exists (select from annolog_export where id = m.id)
        """,
    )
    return row["rows"], row["one"]


async def write(conn: Connection, typed: Mapping[str, tuple[str, bool]]) -> Written:
    """Write what was loaded: rows that are not there, and what changed of the others.

    Parameters
    ----------
    conn
        As for `load`.
    typed
        As `types` gives it: texts are cut to what a column holds.
    """
    row = await one_row(conn, _statement(typed))
    return Written(*row)


def _statement(typed: Mapping[str, tuple[str, bool]]) -> str:
    values = {name: f"e.{name}::{typed[name][0]}" for name in COLUMNS}
    values["parent_id"] = (
        "case when p.id is not null or o.id is not null then e.parent_id end"
    )
    chosen = ", ".join(f"{value} as {name}" for name, value in values.items())
    names = ", ".join(COLUMNS)
    kept = {"date_invalidated": "coalesce(f.date_invalidated, m.date_invalidated)"}
    new = [kept.get(name, f"f.{name}") for name in COLUMNS]
    return f"""
with f as materialized (
  select {chosen},
         e.parent_id is not null and p.id is null and o.id is null as orphan
    from annolog_export e
    left join annolog_export p on p.id = e.parent_id and not p.skipped
    left join message o on o.id = e.parent_id
   where not e.skipped
), added as (
  insert into message ({names})
  select {names} from f where not exists (select from message where id = f.id)
  returning 1
), changed as (
  update message m set ({names}) = row({", ".join(new)})
    from f
   where m.id = f.id
     and row({", ".join(f"m.{name}" for name in COLUMNS)})
         is distinct from row({", ".join(new)})
  returning 1
)
select (select count(*) from added), (select count(*) from changed),
       (select count(*) from f where orphan),
       (select count(*) from f join message m on m.id = f.id
         where f.date_invalidated is null and m.date_invalidated is not null)
"""  # noqa: S608 - names of columns, and types as the server gives them
