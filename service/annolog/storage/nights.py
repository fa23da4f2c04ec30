"""Nights: what was said of them and of their gaps, and who looked at what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain import times
from annolog.domain.nightviews import GapStatement
from annolog.domain.times import Span
from annolog.storage.database import Connection
from annolog.storage.lists import AnnotationRow


@dataclass(frozen=True, slots=True)
class Mark:
    """A range of a night that somebody looked at.

    Attributes
    ----------
    record_id
        Its record.
    number
        Its change number.
    instrument, day_obs
        The night.
    seq_first, seq_last
        Numbers looked at (inclusive); None: from the first, to the last.
    tags
        What was looked for; empty: whatever there was to see.
    author, author_kind
        Who looked.
    clock, created_at
        Clock of its record, and when it was said, as the record writes it.
    revoked
        Whether it was taken back.
    """

    record_id: UUID
    number: int
    instrument: str
    day_obs: int
    seq_first: int | None
    seq_last: int | None
    tags: tuple[str, ...]
    author: str
    author_kind: str
    clock: int
    created_at: str
    revoked: bool


@dataclass(frozen=True, slots=True)
class OtherCount:
    """What is said of other targets of a night: one kind."""

    kind: str
    annotated: int
    disputed: int
    follow_ups: int


_ROW = """
select r.number, r.annotation_id, r.revision_id, r.annotation_created_at,
       true as current, true as counted, b.body, l.keys
"""

_SAID = """
  from said v
  join target t on t.target_id = v.target_id
  join revision r on r.annotation_id = v.annotation_id
                 and r.current_from is not null and r.current_to is null
  join record b on b.record_id = r.revision_id
  left join target_list l on l.list_id = r.list_id
 where v.to_number is null and v.source_id = v.annotation_id
"""


async def on_gaps(
    conn: Connection, instrument: str, day_obs: int
) -> tuple[list[GapStatement], Mapping[UUID, AnnotationRow]]:
    """Read the counted annotations on the gaps of a night.

    Returns
    -------
    tuple of list and mapping
        One statement a gap named, oldest annotation first; the annotations by id.
    """
    found = await conn.fetch(
        _ROW
        + ", t.key as gap, r.clock"
        + _SAID
        + """
          and v.instrument = $1 and v.day_obs = $2 and t.kind = 'gap'
        order by r.annotation_created_at, r.annotation_id, t.key
        """,
        instrument,
        day_obs,
    )
    statements = []
    rows: dict[UUID, AnnotationRow] = {}
    for record in found:
        row = _annotation(record)
        rows[row.annotation_id] = row
        said = _body(row.body)
        statements.append(
            GapStatement(
                record["gap"],
                row.annotation_id,
                row.revision_id,
                record["clock"],
                row.annotation_created_at,
                said.span,
                said.cause,
            )
        )
    return statements, rows


async def on_targets(conn: Connection, keys: Sequence[str]) -> list[AnnotationRow]:
    """Read the counted annotations on targets, oldest first, each once."""
    found = await conn.fetch(
        _ROW
        + _SAID
        + " and t.key = any($1) order by r.annotation_created_at, r.annotation_id",
        keys,
    )
    rows = {record["annotation_id"]: _annotation(record) for record in found}
    return list(rows.values())


async def others(
    conn: Connection, instrument: str, day_obs: int
) -> Sequence[OtherCount]:
    """Count what is said of targets of a night that are no exposures, by kind."""
    rows = await conn.fetch(
        """
        select s.kind, count(*) filter (where s.notes > 0) as annotated,
               count(*) filter (where s.disputed) as disputed,
               count(*) filter (where cardinality(s.follow_ups) > 0) as follow_ups
          from target_state s join target t on t.target_id = s.target_id
         where s.instrument = $1 and s.day_obs = $2 and not s.empty
           and s.kind <> 'exposure' and t.class_id = t.target_id
         group by s.kind order by s.kind
        """,
        instrument,
        day_obs,
    )
    return [OtherCount(*row) for row in rows]


_MARK = """
select k.record_id, k.number, k.instrument, k.day_obs, k.seq_first, k.seq_last, k.tags,
       k.author, k.clock, b.body,
       exists (select from checked r where r.revokes = k.record_id) as revoked
  from checked k join record b on b.record_id = k.record_id
 where k.revokes is null
"""


async def marks(conn: Connection, instrument: str, day_obs: int) -> list[Mark]:
    """List who looked at which part of a night, oldest first, also what was revoked."""
    rows = await conn.fetch(
        _MARK
        + " and k.instrument = $1 and k.day_obs = $2 order by k.clock, k.record_id",
        instrument,
        day_obs,
    )
    return [_mark(row) for row in rows]


async def mark(conn: Connection, record_id: UUID) -> Mark | None:
    """Read one mark; None if there is no such mark."""
    row = await conn.fetchrow(_MARK + " and k.record_id = $1", record_id)
    return None if row is None else _mark(row)


async def head(conn: Connection) -> int:
    """Give the number of the last change."""
    number: int = await conn.fetchval("select coalesce(max(number), 0) from change")
    return number


# ---------------------------------------------------------------- inner works


class _Body(msgspec.Struct):
    """What of a revision's body gaps go by."""

    observed_at: dict[str, str | None] | None = None
    cause: str | None = None

    @property
    def span(self) -> Span | None:
        if self.observed_at is None:
            return None
        begin, end = self.observed_at.get("begin"), self.observed_at.get("end")
        return Span(
            times.parse(begin) if begin else None, times.parse(end) if end else None
        )


_decoder = msgspec.json.Decoder(_Body)


def _body(body: bytes) -> _Body:
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        # Another site's later version may write it otherwise: then it says nothing.
        return _Body()


def _annotation(record: asyncpg.Record) -> AnnotationRow:
    return AnnotationRow(
        (),
        record["number"],
        record["annotation_id"],
        record["revision_id"],
        record["annotation_created_at"],
        record["current"],
        record["counted"],
        record["body"],
        record["keys"],
    )


def _mark(record: asyncpg.Record) -> Mark:
    body = msgspec.json.decode(record["body"])
    return Mark(
        record["record_id"],
        record["number"],
        record["instrument"],
        record["day_obs"],
        record["seq_first"],
        record["seq_last"],
        tuple(record["tags"]),
        record["author"],
        body["author_kind"],
        record["clock"],
        body["created_at"],
        record["revoked"],
    )
