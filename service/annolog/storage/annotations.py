"""Single annotations, as the API shows them."""

from uuid import UUID

import asyncpg

from annolog.storage.database import Connection
from annolog.storage.lists import AnnotationRow

_SHOWN = """
select r.number, r.annotation_id, r.revision_id, r.annotation_created_at,
       r.current_from is not null and r.current_to is null as current,
       r.current_from is not null and r.current_to is null and r.operation <> 'retract'
         and (r.target_count = 0 or exists (
           select from said s where s.source_id = r.annotation_id
                                and s.to_number is null)) as counted,
       b.body, l.keys
  from revision r
  join record b on b.record_id = r.revision_id
  left join target_list l on l.list_id = r.list_id
"""


async def current(conn: Connection, annotation_id: UUID) -> AnnotationRow | None:
    """Read an annotation's current revision; None if there is no such annotation."""
    row = await conn.fetchrow(
        _SHOWN
        + """
        where r.annotation_id = $1 and r.current_from is not null
          and r.current_to is null
        """,
        annotation_id,
    )
    return _row(row)


async def revision(conn: Connection, revision_id: UUID) -> AnnotationRow | None:
    """Read one revision; None if there is none with that id."""
    return _row(await conn.fetchrow(_SHOWN + " where r.revision_id = $1", revision_id))


def _row(row: asyncpg.Record | None) -> AnnotationRow | None:
    return None if row is None else AnnotationRow((), *row)
