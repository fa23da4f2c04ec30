"""Single annotations, as the API shows them."""

from uuid import UUID

import asyncpg

from annolog.storage.conditions import fill
from annolog.storage.database import Connection
from annolog.storage.lists import BODIES, ROW, AnnotationRow

_SHOWN = fill("select {row} from revision r {bodies}", row=ROW, bodies=BODIES)


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
