"""Words taken out of versions of data-ID sets: by whose order, and of whom else."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from annolog.domain.setredactions import SetRedaction
from annolog.storage.database import Connection


async def sharing(
    conn: Connection, list_ids: Sequence[UUID], *, limit: int
) -> list[tuple[str, UUID]]:
    """List the versions of any set that hold these rows: keys and records, by key."""
    found = await conn.fetch(
        """
        select subject, record_id from set_version where list_id = any($1)
         order by subject, record_id limit $2
        """,
        list_ids,
        limit,
    )
    return [(row["subject"], row["record_id"]) for row in found]


async def redactions(conn: Connection, ids: Sequence[UUID]) -> list[SetRedaction]:
    """Read what was taken out of records of sets: of versions, of lists of rows."""
    found = await conn.fetch(
        """
        select r.body from record r
         where r.kind = 'set_redaction' and r.record_id in (
           select x.record_id from redaction x where x.revision_id = any($1))
         order by r.record_id
        """,
        ids,
    )
    return [SetRedaction.read(msgspec.json.decode(row["body"])) for row in found]


async def redactions_behind(
    conn: Connection, ids: Sequence[UUID], annotations: Sequence[UUID], limit: int
) -> list[UUID]:
    """List the redactions of records of sets and of annotations, by id.

    Parameters
    ----------
    conn
        A connection.
    ids
        Records of versions and of rows.
    annotations
        Annotations, any revision of which may have been redacted.
    limit
        At most so many.
    """
    found = await conn.fetch(
        """
        select record_id from redaction where revision_id = any($1)
        union
        select x.record_id from revision v
          join redaction x on x.revision_id = v.revision_id
         where v.annotation_id = any($2)
         order by record_id limit $3
        """,
        ids,
        annotations,
        limit,
    )
    return [row["record_id"] for row in found]
