"""What every turn writes, in one statement: records, changes, statements and states.

`WRITE` is the statement and `arguments` gives what it is executed with: the rows of
each table as one JSON text, which costs the client and the server less than an array
for each column; only bytes travel as arrays.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import events
from annolog.domain.book import Book
from annolog.domain.flags import Rank
from annolog.domain.history import Version, root
from annolog.domain.ledger import Entered, Place, SaidRow, State
from annolog.storage.large import MANY
from annolog.storage.turn_messages import begun, insertion
from annolog.storage.turn_messages import written as written_messages

WRITE = f"""
with entered as materialized (
  select u.* from rows from (
    json_to_recordset($1::json) as (
      number bigint, record_id uuid, kind text, clock bigint, site_id text,
      incarnation text, origin_number bigint, operation text, subject text,
      instruments text[], days integer[]),
    unnest($2::bytea[]), unnest($3::bytea[]), unnest($4::bytea[]))
    as u(number, record_id, kind, clock, site_id, incarnation, origin_number,
         operation, subject, instruments, days, hash, body, detail)
), written_record as (
  insert into record (record_id, kind, clock, site_id, incarnation, origin_number,
                      hash, body)
  select record_id, kind, clock, site_id, incarnation, origin_number, hash, body
    from entered
   where operation <> 'refresh'
), written_change as (
  insert into change (number, record_id, kind, operation, subject, instruments, days,
                      detail, committed_at)
  select number, record_id, kind, operation, subject, instruments, days, detail, $5
    from entered
), written_list as (
  insert into target_list (list_id, keys)
  select * from unnest($6::uuid[], $7::bytea[])
), written_revision as (
  insert into revision (revision_id, annotation_id, parent_id, clock, operation,
      author, author_kind, voter, rank, "check", flag, tags, level, reply_to,
      created_at, observed_begin, observed_end, list_id, target_count, instrument,
      day_obs, seq_num, day_last, counted, request_digest, number, current_from,
      annotation_created_at, current_to, words)
  select u.revision_id, u.annotation_id, u.parent_id, u.clock, u.operation, u.author,
      u.author_kind, u.voter, u.rank, u."check", u.flag, u.tags, u.level, u.reply_to,
      u.created_at, u.observed_begin, u.observed_end, u.list_id, u.target_count,
      u.instrument, u.day_obs, u.seq_num, u.day_last, u.counted,
      decode(u.request_digest, 'hex'), u.number, u.current_from,
      u.annotation_created_at, u.current_to, to_tsvector('simple', u.text)
    from json_to_recordset($8::json) as u(
      revision_id uuid, annotation_id uuid, parent_id uuid, clock bigint,
      operation text, author text, author_kind text, voter text, rank smallint,
      "check" text, flag text, tags text[], level integer, reply_to uuid,
      created_at timestamptz, observed_begin timestamptz, observed_end timestamptz,
      list_id uuid, target_count integer, instrument text, day_obs integer,
      seq_num integer, day_last integer, counted boolean, request_digest text,
      number bigint, current_from bigint, annotation_created_at timestamptz,
      current_to bigint, text text)
), written_said as (
  insert into said (source_id, target_id, from_number, to_number, annotation_id,
      revision_id, ordinal, author, voter, rank, flag, vote_id, vote_clock, contested,
      tags, instrument, day_obs, seq_num)
  select u.source_id, u.target_id, u.from_number, u.to_number, u.annotation_id,
      u.revision_id, u.ordinal, u.author, u.voter, u.rank, u.flag, u.vote_id,
      u.vote_clock, u.contested, u.tags, u.instrument, u.day_obs, u.seq_num
    from json_to_recordset($9::json) as u(
      source_id uuid, target_id bigint, from_number bigint, to_number bigint,
      annotation_id uuid, revision_id uuid, ordinal smallint, author text, voter text,
      rank smallint, flag text, vote_id uuid, vote_clock bigint, contested smallint,
      tags text[], instrument text, day_obs integer, seq_num integer)
), written_state as (
  insert into target_state (target_id, kind, flag, decided_by, outvoted, disputed,
      bots_differ, follow_ups, tags, notes, empty, number, basis, instrument, day_obs,
      seq_num)
  select u.target_id, u.kind, u.flag, u.decided_by, u.outvoted, u.disputed,
      u.bots_differ, u.follow_ups, u.tags, u.notes, u.empty, u.number, $11,
      u.instrument, u.day_obs, u.seq_num
    from json_to_recordset($10::json) as u(
      target_id bigint, kind text, flag text, decided_by uuid[], outvoted uuid[],
      disputed boolean, bots_differ boolean, follow_ups uuid[], tags text[],
      notes integer, empty boolean, number bigint, instrument text, day_obs integer,
      seq_num integer)
  on conflict (target_id) do update set
      flag = excluded.flag, decided_by = excluded.decided_by,
      outvoted = excluded.outvoted, disputed = excluded.disputed,
      bots_differ = excluded.bots_differ, follow_ups = excluded.follow_ups,
      tags = excluded.tags, notes = excluded.notes, empty = excluded.empty,
      number = excluded.number, basis = excluded.basis
), written_message as (
{insertion(13)}
)
select m.*
  from (select pg_notify('annolog_changes', $12)) n
  left join written_message m on (select count(*) from written_message) <= {MANY}
"""  # noqa: S608 - constants of modules of ours
"""It gives the messages that it stored, with what is known of their exposures; one row
of nothing where there are none, or very many: who asks for one then reads it."""

MOST_SEARCHED = 65_536
"""Characters of a text that can be searched. Native texts have fewer bytes than that;
imported ones may be longer than the server's index of words can be (1 MB)."""

_LONG = 256
_UNBROKEN = re.compile(rf"(\S{{{_LONG}}})(?=\S)")


class _EnteredRow(msgspec.Struct):
    """A change, and the record that came with it, but for their bytes."""

    number: int
    record_id: UUID
    kind: str
    clock: int
    site_id: str
    incarnation: str
    origin_number: int
    operation: str
    subject: str
    instruments: tuple[str, ...]
    days: tuple[int, ...]


# Rows are made by place, not by name: thirty names cost six times as much.


class _RevisionRow(msgspec.Struct, omit_defaults=True):
    """A revision; ids and moments that its body has are written as it has them."""

    revision_id: UUID
    annotation_id: UUID
    clock: int
    operation: str
    author: str
    author_kind: str
    voter: str
    rank: Rank
    tags: tuple[str, ...]
    level: int
    created_at: str
    target_count: int
    counted: bool
    number: int
    annotation_created_at: str
    text: str
    parent_id: UUID | None = None
    check: str | None = None
    flag: str | None = None
    reply_to: str | None = None
    observed_begin: str | None = None
    observed_end: str | None = None
    list_id: str | None = None
    instrument: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None
    day_last: int | None = None
    request_digest: str | None = None
    current_from: int | None = None
    current_to: int | None = None


class _SaidRow(msgspec.Struct, omit_defaults=True):
    """An interval in which a statement, or who confirms it, counts for a target."""

    source_id: UUID
    target_id: int
    from_number: int
    annotation_id: UUID
    revision_id: UUID
    ordinal: int
    author: str
    voter: str
    rank: Rank
    vote_id: UUID
    vote_clock: int
    tags: tuple[str, ...]
    to_number: int | None = None
    flag: str | None = None
    contested: Rank | None = None
    instrument: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None


class _StateRow(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What holds for the targets of a class."""

    target_id: int
    kind: str
    flag: str | None = None
    decided_by: tuple[UUID, ...]
    outvoted: tuple[UUID, ...]
    disputed: bool
    bots_differ: bool
    follow_ups: tuple[UUID, ...]
    tags: tuple[str, ...]
    notes: int
    empty: bool
    number: int
    instrument: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None


def arguments(book: Book, now: datetime) -> list[Any]:
    """Give the arguments of `WRITE`: all that every turn writes."""
    entered = book.entered
    lists = [e.record for e in entered if e.record.kind == "target_list"]
    return [
        _json([_entered(e) for e in entered]),
        [e.record.hash for e in entered],
        [e.record.body for e in entered],
        [detail(e) for e in entered],
        now,
        [one.record_id for one in lists],
        [_keys_of(one.body) for one in lists],
        _json([_revision(book, *new) for new in book.new_versions]),
        _json([_said(row) for row in (*book.finished, *book.opened.values())]),
        _json([_state(book, *at) for at in book.changed_states().items()]),
        book.known.basis,
        f"{book.head}",
        written_messages(begun(book)),
    ]


def _json(rows: Iterable[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()


def _entered(entered: Entered) -> _EnteredRow:
    record = entered.record
    return _EnteredRow(
        entered.number,
        record.record_id,
        record.kind,
        record.clock,
        record.site_id,
        record.incarnation,
        record.origin_number,
        entered.operation,
        entered.subject,
        entered.instruments,
        entered.days,
    )


def detail(entered: Entered) -> bytes:
    """Write the part of a change that its record does not hold."""
    fields = entered.fields
    author, actor = fields.get("author"), fields.get("actor")
    return events.change_detail(
        number=entered.number,
        body_bytes=len(entered.record.body),
        annotation_id=fields.get("annotation_id"),
        revision_id=fields.get("revision_id"),
        parent_id=fields.get("parent_id"),
        before=entered.before,
        added=entered.added,
        removed=entered.removed,
        count=entered.target_count,
        reason=fields.get("reason") or None,
        actor=None
        if author is None
        else {
            "id": actor or author,
            "kind": fields["author_kind"],
            "on_behalf_of": author if actor else None,
            "authenticated_by": fields["authenticated_by"],
        },
    )


def _revision(
    book: Book, version: Version, fields: Mapping[str, Any], number: int
) -> _RevisionRow:
    own = version.revision_id
    first = _first_place(book, version.targets)
    observed = fields.get("observed_at") or {}
    beginning = root(book.versions[version.annotation_id])
    made = fields["created_at"]
    begun = made if beginning is version else created_at(book, beginning.revision_id)
    return _RevisionRow(
        own,
        version.annotation_id,
        version.clock,
        version.operation,
        version.author,
        version.author_kind,
        version.voter,
        version.rank,
        version.tags,
        fields["level"],
        made,
        len(version.targets),
        book.counted.get(own, False),
        number,
        begun,
        searchable(fields["text"]),
        version.parent_id,
        fields["check"],
        version.flag,
        fields["reply_to"],
        observed.get("begin"),
        observed.get("end"),
        fields["list_id"],
        first.instrument if first else None,
        first.day_obs if first else None,
        first.seq_num if first else None,
        _last_day(book, version.targets),
        fields.get("request_digest"),
        book.current_from.get(own),
        book.ended.get(own),
    )


def _said(row: SaidRow) -> _SaidRow:
    standing, place = row.standing, row.place
    said = standing.said
    return _SaidRow(
        said.source_id,
        place.target_id,
        row.from_number,
        said.annotation_id,
        said.revision_id,
        standing.ordinal,
        said.author,
        said.voter,
        said.rank,
        said.vote_id,
        said.vote_clock,
        standing.tags,
        row.to_number,
        said.flag,
        said.contested,
        place.instrument,
        place.day_obs,
        place.seq_num,
    )


def _state(book: Book, class_id: int, now: tuple[Place, State]) -> _StateRow:
    place, state = now
    return _StateRow(
        target_id=class_id,
        kind=place.kind,
        flag=state.flag,
        decided_by=state.decided_by,
        outvoted=state.outvoted,
        disputed=state.disputed,
        bots_differ=state.bots_differ,
        follow_ups=state.follow_ups,
        tags=state.tags,
        notes=state.notes,
        empty=state.empty,
        number=book.touched[class_id],
        instrument=place.instrument,
        day_obs=place.day_obs,
        seq_num=place.seq_num,
    )


def searchable(text: str) -> str:
    """Give of a text what its words are taken from.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        Its first `MOST_SEARCHED` characters, with a blank after 256 without one: the
        server takes time by the square of such a piece, 10 s for 64 KiB.
    """
    text = text[:MOST_SEARCHED].replace("\x00", " ")
    return _UNBROKEN.sub(r"\1 ", text) if _may_be_unbroken(text) else text


def _may_be_unbroken(text: str) -> bool:
    """Say quickly of nearly every text that it has no piece longer than `_LONG`."""
    start = 0
    while len(text) - start > _LONG:
        blank = text.rfind(" ", start, start + _LONG + 1)
        if blank < 0:
            return True
        start = blank + 1
    return False


def _first_place(book: Book, keys: Iterable[str]) -> Place | None:
    """Choose the target by which an annotation is listed in the order of the night."""
    places = [book.places[key] for key in keys]
    if len(places) == 1:  # as of nearly all
        return places[0]
    return min(
        places,
        key=lambda p: (
            p.day_obs is None,
            p.day_obs or 0,
            p.seq_num is None,
            p.seq_num or 0,
            p.instrument or "",
        ),
        default=None,
    )


def _last_day(book: Book, keys: Iterable[str]) -> int | None:
    days = [book.places[key].day_obs for key in keys]
    if len(days) == 1:  # as of nearly all
        return days[0]
    return max((day for day in days if day is not None), default=None)


def _keys_of(body: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body)["keys"])


def created_at(book: Book, revision_id: UUID) -> str:
    """Read of a revision's body when its author made it."""
    written: str = msgspec.json.decode(book.bodies[revision_id])["created_at"]
    return written


def optional_id(text: str | None) -> UUID | None:
    """Read an id that a body need not have."""
    return UUID(text) if text else None
