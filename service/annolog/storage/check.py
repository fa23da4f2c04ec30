"""Reading everything back, for those who check it against what the records give.

Each function reads one snapshot: call them within one repeatable-read transaction.
Views come in the shape of `annolog.domain.views`, without what is local.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain import tai, times
from annolog.domain.flags import Rank
from annolog.domain.instruments import Instruments
from annolog.domain.records import Record
from annolog.domain.targets import columns, parse_key
from annolog.domain.views import Rows, Views
from annolog.storage.database import Connection
from annolog.storage.turn_messages import NAMES

PREFETCH = 1_000
"""Rows that one round trip of a cursor brings."""


async def records(conn: Connection) -> AsyncIterator[tuple[Record, UUID | None]]:
    """Read all records, any order, each with the redaction that its row names."""
    async for r in conn.cursor(
        """
        select record_id, kind, clock, site_id, incarnation, origin_number, body, hash,
               redacted_by
          from record
        """,
        prefetch=PREFETCH,
    ):
        *members, redacted_by = r
        yield Record(*members), redacted_by


async def bodies(conn: Connection, ids: Sequence[UUID]) -> list[tuple[UUID, bytes]]:
    """Read the bodies of records, those of them that are here."""
    rows = await conn.fetch(
        "select record_id, body from record where record_id = any($1)", ids
    )
    return [(row["record_id"], row["body"]) for row in rows]


async def views(conn: Connection) -> Views:
    """Read all views as they are stored."""
    found = Views()
    for view, statement, read in _VIEWS:
        rows: Rows = getattr(found, view)
        async for row in conn.cursor(statement, prefetch=PREFETCH):
            name, value = read(row)
            rows[name] = value
    return found


async def stale(conn: Connection, basis: int) -> set[str]:
    """Name the targets whose state is based on an older vocabulary."""
    rows = await conn.fetch(
        """
        select t.key from target_state s join target t on t.target_id = s.target_id
         where s.basis < $1
        """,
        basis,
    )
    return {row["key"] for row in rows}


async def faults(conn: Connection) -> list[tuple[str, str]]:
    """Find what is wrong within the tables themselves.

    Returns
    -------
    list of tuple of str
        Table and a sentence for each fault; empty where there is none.
    """
    return [
        (table, row[0])
        for table, statement in _FAULTS
        async for row in conn.cursor(statement, prefetch=PREFETCH)
    ]


async def wrong_targets(
    conn: Connection, instruments: Instruments
) -> list[tuple[str, str]]:
    """Find targets whose columns are not what their keys give."""
    found: list[tuple[str, str]] = []
    async for row in conn.cursor(
        """
        select key, kind, instrument, day_obs, seq_num, exposure_id, detector,
               dataset_id
          from target
        """,
        prefetch=PREFETCH,
    ):
        key, *stored = row
        wanted = tuple(columns(parse_key(key), instruments))
        if tuple(stored) != wanted:
            found.append(("target", f"{key} should have {wanted}, not {stored}"))
    return found


def _revision(r: asyncpg.Record) -> tuple[str, dict[str, Any]]:
    value = _plain(r, "revision_id")
    value["rank"] = Rank(value["rank"]).word
    return str(r["revision_id"]), value


def _review(r: asyncpg.Record) -> tuple[str, dict[str, Any]]:
    value = _plain(r, "review_id")
    value["rank"] = Rank(value["rank"]).word
    return str(r["review_id"]), value


def _said(r: asyncpg.Record) -> tuple[str, dict[str, Any]]:
    value = _plain(r, "source_id", "target")
    value["rank"] = Rank(value["rank"]).word
    contested = value["contested"]
    value["contested"] = None if contested is None else Rank(contested).word
    return f"{r['source_id']} {r['target']}", value


def _by(column: str) -> Callable[[asyncpg.Record], tuple[str, dict[str, Any]]]:
    def read(row: asyncpg.Record) -> tuple[str, dict[str, Any]]:
        return str(row[column]), _plain(row, column)

    return read


def _plain(row: asyncpg.Record, *without: str) -> dict[str, Any]:
    return {
        name: _value(name, value) for name, value in row.items() if name not in without
    }


def _value(name: str, value: object) -> Any:  # noqa: ANN401, PLR0911 - JSON by type
    match value:
        case datetime():
            return tai.format(value) if value.tzinfo is None else times.format(value)
        case UUID():
            return str(value)
        case bytes() if name == "request_digest":
            return value.hex()
        case bytes():
            return msgspec.json.decode(value)
        case str() if name in {"fields", "contradictions"}:
            return msgspec.json.decode(value)
        case list():
            return [_value(name, one) for one in value]
        case _:
            return value


_VIEWS: tuple[
    tuple[str, str, Callable[[asyncpg.Record], tuple[str, dict[str, Any]]]], ...
] = (
    (
        "revisions",
        """
        select revision_id, annotation_id, parent_id, clock, operation, author,
               author_kind, voter, rank, "check", flag, level, reply_to, list_id,
               request_digest, tags, created_at, observed_begin, observed_end,
               instrument, day_obs, seq_num, day_last, target_count,
               current_from is not null and current_to is null as current, counted,
               annotation_created_at
          from revision
        """,
        _revision,
    ),
    (
        "reviews",
        """
        select review_id, annotation_id, revision_id, verdict, rank, clock, list_id,
               request_digest, reviewer
          from review
        """,
        _review,
    ),
    (
        "said",
        """
        select s.source_id, t.key as target, s.annotation_id, s.revision_id, s.ordinal,
               s.author, s.voter, s.rank, s.flag, s.vote_id, s.vote_clock, s.contested,
               s.tags, s.instrument, s.day_obs, s.seq_num
          from said s join target t on t.target_id = s.target_id
         where s.to_number is null
        """,
        _said,
    ),
    (
        "joined",
        """
        select t.key, c.key as "with" from target t
          join target c on c.target_id = t.class_id
         where t.class_id in (select class_id from target where class_id <> target_id)
        """,
        _by("key"),
    ),
    (
        "states",
        """
        select t.key, s.flag, s.decided_by, s.outvoted, s.disputed, s.bots_differ,
               s.follow_ups, s.tags, s.notes, s.kind, s.instrument, s.day_obs, s.seq_num
          from target_state s join target t on t.target_id = s.target_id
         where not s.empty
        """,
        _by("key"),
    ),
    (
        "facts",
        """
        select f.record_id, t.key, f.source, f.event, f.clock, f.fields::text as fields
          from exposure_fact f join target t on t.target_id = f.target_id
        """,
        _by("record_id"),
    ),
    (
        "exposures",
        """
        select t.key, e.instrument, e.day_obs, e.seq_num, e.exposure_id, e.obs_id,
               e.state, e.begin_at, e.end_at, e.exposure_time, e.observation_type,
               e.fields::text as fields, e.contradictions::text as contradictions
          from exposure e join target t on t.target_id = e.target_id
        """,
        _by("key"),
    ),
    (
        # Names under which somebody annotated are this site's own; those that facts
        # give are everybody's.
        "names",
        """
        select distinct n.instrument || ' ' || n.name || ' ' || t.key as name
          from target_name n join target t on t.target_id = n.target_id
          join exposure_fact f on f.target_id = n.target_id
                              and f.fields ->> 'obs_id' = n.name
        """,
        _by("name"),
    ),
    (
        "entries",
        """
        select record_id, kind, entry_key as key, clock, fields::text as fields
          from entry
        """,
        _by("record_id"),
    ),
    (
        "visits",
        """
        select visit_key, min(record_id::text) as record_id,
               array_agg(exposure_key order by exposure_key collate "C") as exposures
          from visit_exposure where to_number is null
         group by visit_key
        """,
        _by("visit_key"),
    ),
    (
        "checked",
        """
        select record_id, instrument, day_obs, seq_first, seq_last, author, revokes,
               clock, tags
          from checked
        """,
        _by("record_id"),
    ),
    (
        "set_rows",
        """
        select l.list_id, l.dimensions, l.columns,
               array(select m.key from set_member m where m.list_id = l.list_id
                      order by m.place) as keys
          from set_rows l
        """,
        _by("list_id"),
    ),
    (
        "set_versions",
        """
        select record_id, subject, name, author, clock, version,
               encode(digest, 'hex') as digest, list_id, row_count, as_of
          from set_version
        """,
        _by("record_id"),
    ),
    (
        "set_releases",
        """
        select record_id, subject, name, author, clock, label, operation
          from set_release
        """,
        _by("record_id"),
    ),
    (
        "set_accesses",
        """
        select record_id, subject, name, author, clock, owner, editors
          from set_access
        """,
        _by("record_id"),
    ),
    (
        "set_drifts",
        """
        select record_id, subject, name, author, clock, operation, as_of
          from set_drift
        """,
        _by("record_id"),
    ),
    (
        "redactions",
        """
        select revision_id, array_agg(record_id::text order by record_id) as by
          from redaction group by revision_id
        """,
        _by("revision_id"),
    ),
    (
        "redacted",
        """
        select record_id, redacted_by as by from record where redacted_by is not null
        """,
        _by("record_id"),
    ),
    ("lists", "select list_id, keys from target_list", _by("list_id")),
    (
        "messages",
        f"""
        select m.message_id, m.annotation_id, m.revision_id, t.key, m.site_id,
               m.instrument, m.day_obs, m.seq_num, m.date_added, m.date_invalidated,
               m.parent_id, m.kept,
               case when m.kept or t.exposure_id is null
                      or coalesce(own.obs_id, one.obs_id) is not null
                    then m.obs_id end as obs_id
          from message m join target t on t.target_id = m.target_id
        {NAMES}
        """,  # noqa: S608 - a constant of a module of ours
        _by("message_id"),
    ),
    (
        "waiting",
        """
        select w.record_id, w.list_id from waiting w
         where not exists (select from target_list l where l.list_id = w.list_id)
        """,
        _by("record_id"),
    ),
)
"""Each view: its name, how to read it, and how to shape a row."""


_FAULTS = (
    (
        "change",
        """
        select 'the log has a gap before ' || number
          from (select number, lag(number) over (order by number) as before
                  from change) c
         where number is distinct from coalesce(before + 1,
                                                (select min(first_number) from site))
           and number not in (select first_number from site)
        """,
    ),
    (
        "change",
        """
        select 'the change ' || c.number || ' has no such record as ' || c.record_id
          from change c left join record r
            on r.record_id = c.record_id and r.kind = c.kind
         where r.record_id is null
        """,
    ),
    (
        "change",
        """
        select 'the record ' || r.record_id || ' is not in the log'
          from record r
         where not exists (select from change c where c.record_id = r.record_id
                                                  and c.operation <> 'refresh')
        """,
    ),
    (
        "change",
        """
        select 'the record ' || record_id || ' is in the log ' || count(*) || ' times'
          from change where operation <> 'refresh'
         group by record_id having count(*) > 1
        """,
    ),
    (
        "said",
        """
        select 'the intervals of ' || source_id || ' on target ' || target_id
               || ' overlap at ' || from_number
          from (select source_id, target_id, from_number, to_number,
                       lead(from_number) over (partition by source_id, target_id
                                               order by from_number) as following
                  from said) s
         where to_number <= from_number
            or (following is not null
                and (to_number is null or to_number > following))
        """,
    ),
    (
        "said",
        """
        select 'an interval of ' || source_id || ' is numbered beyond the log'
          from said
         where greatest(from_number, to_number) > (select max(number) from change)
        """,
    ),
    (
        "revision",
        """
        select 'the revision ' || revision_id || ' holds until before it held'
          from revision where current_to < current_from
                           or (current_to is not null and current_from is null)
        """,
    ),
    (
        "revision",
        """
        select 'the redacted revision ' || v.revision_id || ' can be searched'
          from revision v join redaction d on d.revision_id = v.revision_id
         where v.words <> ''
        """,
    ),
    (
        "target",
        """
        select 'the target ' || t.key || ' is joined to what stands for nothing'
          from target t left join target c on c.target_id = t.class_id
         where c.class_id is distinct from t.class_id
        """,
    ),
)
"""Statements that find a sentence for each fault."""
