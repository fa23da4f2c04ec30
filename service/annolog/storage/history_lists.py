"""Lists of what belongs to one annotation: its revisions and reviews, oldest first."""

from typing import Any, NamedTuple
from uuid import UUID

from annolog.domain.orders import Key
from annolog.storage.conditions import fill
from annolog.storage.database import Connection
from annolog.storage.lists import ROW, AnnotationRow
from annolog.storage.paging import Page


class ReviewRow(NamedTuple):
    """One review in a list.

    Attributes
    ----------
    place
        (clock, review_id).
    number
        Change number that brought it.
    body
        Canonical JSON of the record.
    keys
        JSON list of the targets named where the body does not hold them, else None.
    """

    place: Key
    number: int
    body: bytes
    keys: bytes | None


_HISTORY = """
select r.clock, r.{id}, {row}
from {table} r
join record b on b.record_id = r.{id}
left join target_list l on l.list_id = r.list_id
where r.annotation_id = $1 and {after}
order by r.clock, r.{id} limit $2
"""


async def exists(connection: Connection, annotation_id: UUID) -> bool:
    """Say whether any revision of an annotation is here."""
    found = await connection.fetchval(
        "select true from revision where annotation_id = $1 limit 1", annotation_id
    )
    return bool(found)


async def revisions(
    connection: Connection, annotation_id: UUID, after: Key | None, limit: int
) -> Page[AnnotationRow]:
    """List an annotation's revisions, oldest first.

    Returns
    -------
    Page of AnnotationRow
        Empty where the annotation is not known.
    """
    rows = await _history(connection, "revision", annotation_id, after, limit)
    return Page.cut([AnnotationRow(*row) for row in rows], limit)


async def reviews(
    connection: Connection, annotation_id: UUID, after: Key | None, limit: int
) -> Page[ReviewRow]:
    """List an annotation's reviews, oldest first.

    Returns
    -------
    Page of ReviewRow
        Empty where there is none, or the annotation is not known.
    """
    rows = await _history(connection, "review", annotation_id, after, limit)
    return Page.cut([ReviewRow(*row) for row in rows], limit)


_ROWS = {"revision": ROW, "review": "r.number, b.body, l.keys"}


async def _history(
    connection: Connection,
    table: str,
    annotation_id: UUID,
    after: Key | None,
    limit: int,
) -> list[tuple[Any, ...]]:
    query = fill(
        _HISTORY,
        table=table,
        id=f"{table}_id",
        row=_ROWS[table],
        after=f"(r.clock, r.{table}_id) > ($3, $4)" if after else "true",
    )
    rows = await connection.fetch(query, annotation_id, limit + 1, *(after or ()))
    return [(tuple(row[:2]), *row[2:]) for row in rows]
