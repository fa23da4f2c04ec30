"""What every turn writes, in one statement: records, changes, statements and states.

`WRITE` is the statement and `arguments` gives what it is executed with: the rows of
each table by columns, as PostgreSQL's `unnest` takes them.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import events, times
from annolog.domain.book import Book
from annolog.domain.history import root
from annolog.domain.ledger import Entered, Place, SaidRow
from annolog.storage.turn_messages import begun, insertion
from annolog.storage.turn_messages import columns as message_columns

WRITE = f"""
with written_record as (
  insert into record (record_id, kind, clock, site_id, incarnation, origin_number,
                      hash, body)
  select u.record_id, u.kind, u.clock, u.site_id, u.incarnation, u.origin_number,
         u.hash, u.body
    from unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[],
                $6::text[], $7::bigint[], $8::bytea[], $9::bytea[], $10::text[])
      as u(number, record_id, kind, clock, site_id, incarnation, origin_number,
           hash, body, operation)
   where u.operation <> 'refresh'
), written_change as (
  insert into change (number, record_id, kind, operation, subject, instruments, days,
                      detail, committed_at)
  select u.number, u.record_id, u.kind, u.operation, u.subject,
         string_to_array(u.instruments, chr(31)),
         string_to_array(u.days, ',')::integer[], u.detail, $15
    from unnest($1::bigint[], $2::uuid[], $3::text[], $10::text[], $11::text[],
                $12::text[], $13::text[], $14::bytea[])
      as u(number, record_id, kind, operation, subject, instruments, days, detail)
), written_list as (
  insert into target_list (list_id, keys)
  select * from unnest($16::uuid[], $17::bytea[])
), written_revision as (
  insert into revision (revision_id, annotation_id, parent_id, clock, operation,
      author, author_kind, voter, rank, "check", flag, tags, level, reply_to,
      created_at, observed_begin, observed_end, list_id, target_count, instrument,
      day_obs, seq_num, day_last, counted, request_digest, number, current_from,
      annotation_created_at, current_to, words)
  select u.revision_id, u.annotation_id, u.parent_id, u.clock, u.operation, u.author,
      u.author_kind, u.voter, u.rank, u."check", u.flag,
      u.tags::text[], u.level, u.reply_to, u.created_at,
      u.observed_begin, u.observed_end, u.list_id, u.target_count, u.instrument,
      u.day_obs, u.seq_num, u.day_last, u.counted, u.request_digest, u.number,
      u.current_from, u.annotation_created_at, u.current_to,
      to_tsvector('simple', u.text)
    from unnest($18::uuid[], $19::uuid[], $20::uuid[], $21::bigint[], $22::text[],
                $23::text[], $24::text[], $25::text[], $26::smallint[], $27::text[],
                $28::text[], $29::text[], $30::integer[], $31::uuid[],
                $32::timestamptz[], $33::timestamptz[], $34::timestamptz[],
                $35::uuid[], $36::integer[], $37::text[], $38::integer[],
                $39::integer[], $40::integer[], $41::boolean[], $42::bytea[],
                $43::bigint[], $44::bigint[], $45::timestamptz[], $46::bigint[],
                $47::text[])
      as u(revision_id, annotation_id, parent_id, clock, operation, author,
           author_kind, voter, rank, "check", flag, tags, level, reply_to, created_at,
           observed_begin, observed_end, list_id, target_count, instrument, day_obs,
           seq_num, day_last, counted, request_digest, number, current_from,
           annotation_created_at, current_to, text)
), written_said as (
  insert into said (source_id, target_id, from_number, to_number, annotation_id,
      revision_id, ordinal, author, voter, rank, flag, vote_id, vote_clock, contested,
      tags, instrument, day_obs, seq_num)
  select u.source_id, u.target_id, u.from_number, u.to_number, u.annotation_id,
      u.revision_id, u.ordinal, u.author, u.voter, u.rank, u.flag, u.vote_id,
      u.vote_clock, u.contested, u.tags::text[], u.instrument,
      u.day_obs, u.seq_num
    from unnest($48::uuid[], $49::bigint[], $50::bigint[], $51::bigint[], $52::uuid[],
                $53::uuid[], $54::smallint[], $55::text[], $56::text[],
                $57::smallint[], $58::text[], $59::uuid[], $60::bigint[],
                $61::smallint[], $62::text[], $63::text[], $64::integer[],
                $65::integer[])
      as u(source_id, target_id, from_number, to_number, annotation_id, revision_id,
           ordinal, author, voter, rank, flag, vote_id, vote_clock, contested, tags,
           instrument, day_obs, seq_num)
), written_state as (
  insert into target_state (target_id, kind, flag, decided_by, outvoted, disputed,
      bots_differ, follow_ups, tags, notes, empty, number, basis, instrument, day_obs,
      seq_num)
  select u.target_id, u.kind, u.flag, string_to_array(u.decided_by, ',')::uuid[],
      string_to_array(u.outvoted, ',')::uuid[], u.disputed, u.bots_differ,
      string_to_array(u.follow_ups, ',')::uuid[], u.tags::text[],
      u.notes, u.empty, u.number, $81, u.instrument, u.day_obs, u.seq_num
    from unnest($66::bigint[], $67::text[], $68::text[], $69::text[], $70::text[],
                $71::boolean[], $72::boolean[], $73::text[], $74::text[],
                $75::integer[], $76::boolean[], $77::bigint[], $78::text[],
                $79::integer[], $80::integer[])
      as u(target_id, kind, flag, decided_by, outvoted, disputed, bots_differ,
           follow_ups, tags, notes, empty, number, instrument, day_obs, seq_num)
  on conflict (target_id) do update set
      flag = excluded.flag, decided_by = excluded.decided_by,
      outvoted = excluded.outvoted, disputed = excluded.disputed,
      bots_differ = excluded.bots_differ, follow_ups = excluded.follow_ups,
      tags = excluded.tags, notes = excluded.notes, empty = excluded.empty,
      number = excluded.number, basis = excluded.basis
), written_message as (
{insertion(83)}
)
select m.*
  from (select pg_notify('annolog_changes', $82)) n
  left join written_message m on true
"""  # noqa: S608 - a constant of a module of ours
"""It gives the messages that it stored, with what is known of their exposures; one row
of nothing where there are none.

Arrays of arrays travel as text, as unnest would flatten them: tags, which may be any
words where they were imported, as PostgreSQL writes an array, the rest separated."""

_SEP = "\x1f"
"""Unit separator: no instrument of a key holds a control character."""

MOST_SEARCHED = 65_536
"""Characters of a text that can be searched. Native texts have fewer bytes than that;
imported ones may be longer than the server's index of words can be (1 MB)."""

_UNBROKEN = re.compile(r"(\S{256})(?=\S)")


def arguments(book: Book, now: datetime) -> list[Any]:
    """Give the arguments of `WRITE`: all that every turn writes, by columns."""
    lists = [e.record for e in book.entered if e.record.kind == "target_list"]
    return [
        *_log_columns(book.entered),
        now,
        [one.record_id for one in lists],
        [_keys_of(one.body) for one in lists],
        *_revision_columns(book),
        *_said_columns([*book.finished, *book.opened.values()]),
        *_state_columns(book),
        book.known.basis,
        f"{book.head}",
        *message_columns(begun(book)),
    ]


def _log_columns(entered: list[Entered]) -> list[list[Any]]:
    return [
        [e.number for e in entered],
        [e.record.record_id for e in entered],
        [e.record.kind for e in entered],
        [e.record.clock for e in entered],
        [e.record.site_id for e in entered],
        [e.record.incarnation for e in entered],
        [e.record.origin_number for e in entered],
        [e.record.hash for e in entered],
        [e.record.body for e in entered],
        [e.operation for e in entered],
        [e.subject for e in entered],
        [_SEP.join(e.instruments) for e in entered],
        [",".join(map(str, e.days)) for e in entered],
        [detail(e) for e in entered],
    ]


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


def _revision_columns(book: Book) -> list[list[Any]]:
    rows = []
    for version, fields, number in book.new_versions:
        first = _first_place(book, version.targets)
        observed = fields.get("observed_at") or {}
        digest = fields.get("request_digest")
        beginning = root(book.versions[version.annotation_id])
        rows.append(
            (
                version.revision_id,
                version.annotation_id,
                version.parent_id,
                version.clock,
                version.operation.value,
                version.author,
                version.author_kind,
                version.voter,
                int(version.rank),
                fields["check"],
                version.flag,
                _array(version.tags),
                fields["level"],
                optional_id(fields["reply_to"]),
                times.parse(fields["created_at"]),
                _moment(observed.get("begin")),
                _moment(observed.get("end")),
                optional_id(fields["list_id"]),
                len(version.targets),
                first.instrument if first else None,
                first.day_obs if first else None,
                first.seq_num if first else None,
                _last_day(book, version.targets),
                book.counted.get(version.revision_id, False),
                bytes.fromhex(digest) if digest else None,
                number,
                book.current_from.get(version.revision_id),
                created_at(book, beginning.revision_id),
                book.ended.get(version.revision_id),
                searchable(fields["text"]),
            )
        )
    return _columns(rows, 30)


def _said_columns(rows: list[SaidRow]) -> list[list[Any]]:
    return _columns(
        [
            (
                row.standing.said.source_id,
                row.place.target_id,
                row.from_number,
                row.to_number,
                row.standing.said.annotation_id,
                row.standing.said.revision_id,
                row.standing.ordinal,
                row.standing.said.author,
                row.standing.said.voter,
                int(row.standing.said.rank),
                row.standing.said.flag,
                row.standing.said.vote_id,
                row.standing.said.vote_clock,
                row.standing.said.contested,
                _array(row.standing.tags),
                row.place.instrument,
                row.place.day_obs,
                row.place.seq_num,
            )
            for row in rows
        ],
        18,
    )


def _state_columns(book: Book) -> list[list[Any]]:
    return _columns(
        [
            (
                class_id,
                place.kind,
                state.flag,
                ",".join(map(str, state.decided_by)),
                ",".join(map(str, state.outvoted)),
                state.disputed,
                state.bots_differ,
                ",".join(map(str, state.follow_ups)),
                _array(state.tags),
                state.notes,
                state.empty,
                book.touched[class_id],
                place.instrument,
                place.day_obs,
                place.seq_num,
            )
            for class_id, (place, state) in book.changed_states().items()
        ],
        15,
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
    return _UNBROKEN.sub(r"\1 ", text[:MOST_SEARCHED]).replace("\x00", " ")


def _array(words: Iterable[str]) -> str:
    """Write words as PostgreSQL writes an array of text."""
    quoted = (
        '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in words
    )
    return "{" + ",".join(quoted) + "}"


def _first_place(book: Book, keys: Iterable[str]) -> Place | None:
    """Choose the target by which an annotation is listed in the order of the night."""
    places = [book.places[key] for key in keys]
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
    days = (book.places[key].day_obs for key in keys)
    return max((day for day in days if day is not None), default=None)


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into columns, as unnest wants them."""
    if not rows:
        return [[] for _ in range(width)]
    return [list(column) for column in zip(*rows, strict=True)]


def _keys_of(body: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(body)["keys"])


def created_at(book: Book, revision_id: UUID) -> datetime:
    """Read of a revision's body when its author made it."""
    return times.parse(msgspec.json.decode(book.bodies[revision_id])["created_at"])


def optional_id(text: str | None) -> UUID | None:
    """Read an id that a body need not have."""
    return UUID(text) if text else None


def _moment(text: str | None) -> datetime | None:
    return times.parse(text) if text else None
