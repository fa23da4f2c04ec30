"""Data-ID sets in a turn: what decisions have to know of them, and the rows it makes.

The tables are views of records; `annolog.storage.dataids` reads them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import times
from annolog.domain.book import Book
from annolog.domain.ledger import Entered
from annolog.domain.setrecords import (
    ROWS,
    Access,
    Drifted,
    Held,
    HeldSet,
    Released,
    member_keys,
)
from annolog.storage.database import Connection
from annolog.storage.large import worked_out


async def load(conn: Connection, book: Book, names: Iterable[str]) -> None:
    """Bring into the book what decisions about sets have to know of them."""
    book.load_sets((await held(conn, names)).values())


async def held(conn: Connection, names: Iterable[str]) -> Mapping[str, HeldSet]:
    """Read sets as decisions see them.

    Parameters
    ----------
    conn
        A connection.
    names
        Sets, also such as nobody has heard of.
    """
    wanted = list(names)
    found = {name: HeldSet(name) for name in wanted}
    for r in await conn.fetch(
        """
        select v.record_id, v.clock, v.version, v.subject, v.digest, v.author,
               v.author_kind, v.list_id, v.name,
               case when row_number() over (partition by v.name order by v.version desc,
                                v.clock desc, v.record_id desc) = 1
                    then r.body end as body
          from set_version v join record r on r.record_id = v.record_id
         where v.name = any($1)
        """,
        wanted,
    ):
        recipe = msgspec.json.decode(r["body"])["recipe"] if r["body"] else None
        one = Held(
            r["record_id"],
            r["clock"],
            r["version"],
            r["subject"],
            r["digest"],
            r["author"],
            r["author_kind"],
            r["list_id"],
            recipe,
        )
        found[r["name"]] = found[r["name"]].plus(one)
    for r in await conn.fetch(
        """
        select name, record_id, clock, owner, editors from set_access
         where name = any($1)
        """,
        wanted,
    ):
        said = Access(r["record_id"], r["clock"], r["owner"], tuple(r["editors"]))
        found[r["name"]] = found[r["name"]].plus(said)
    for r in await conn.fetch(
        """
        select name, record_id, clock, subject, label, operation = 'release' as holds
          from set_release where name = any($1)
        """,
        wanted,
    ):
        name, *rest = r
        found[name] = found[name].plus(Released(*rest))
    for r in await conn.fetch(
        """
        select name, record_id, clock, subject, operation = 'drift' as drifts
          from set_drift where name = any($1)
        """,
        wanted,
    ):
        name, *rest = r
        found[name] = found[name].plus(Drifted(*rest))
    return found


async def write(conn: Connection, entered: Entered) -> None:
    """Store the view of one record of a set.

    Parameters
    ----------
    conn
        The lane's connection.
    entered
        A record of one of `SET_KINDS`.
    """
    fields, record = entered.fields, entered.record
    if record.kind == ROWS:
        await _write_rows(conn, record.record_id, fields)
        return
    common = (record.record_id, fields["subject"], fields["name"])
    tail = (fields["author"], record.clock)
    at = times.parse(fields["created_at"])
    match record.kind:
        case "set_version":
            await conn.execute(
                """
                insert into set_version (record_id, subject, name, author, clock,
                    version, digest, list_id, row_count, as_of, author_kind,
                    created_at, number)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                """,
                *common,
                *tail,
                fields["version"],
                bytes.fromhex(fields["digest"]),
                UUID(fields["list_id"]),
                fields["row_count"],
                fields["as_of"],
                fields["author_kind"],
                at,
                entered.number,
            )
        case "set_release":
            await conn.execute(
                """
                insert into set_release (record_id, subject, name, author, clock, label,
                    operation, created_at, number)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                """,
                *common,
                *tail,
                fields["label"],
                fields["operation"],
                at,
                entered.number,
            )
        case "set_access":
            await conn.execute(
                """
                insert into set_access (record_id, subject, name, author, clock, owner,
                    editors, number)
                values ($1, $2, $3, $4, $5, $6, $7, $8)
                """,
                *common,
                *tail,
                fields["owner"],
                fields["editors"],
                entered.number,
            )
        case _:
            await conn.execute(
                """
                insert into set_drift (record_id, subject, name, author, clock,
                    operation, as_of, created_at, number)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                """,
                *common,
                *tail,
                fields["operation"],
                fields["as_of"],
                at,
                entered.number,
            )


async def _write_rows(
    conn: Connection, list_id: UUID, fields: Mapping[str, Any]
) -> None:
    await conn.execute(
        "insert into set_rows (list_id, dimensions, columns) values ($1, $2, $3)",
        list_id,
        fields["dimensions"],
        fields["columns"],
    )
    keys: Sequence[str] = fields.get("keys") or ()
    if not keys:  # it came from elsewhere, or from the log
        keys = await worked_out(len(fields["rows"]), member_keys, fields)
    await conn.copy_records_to_table(
        "set_member",
        records=((list_id, place, key) for place, key in enumerate(keys)),
        columns=["list_id", "place", "key"],
    )
