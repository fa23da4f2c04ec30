"""What one turn of the lane reads and writes, each in one statement.

`load` fills a `Book` with what the requests of a turn touch; `write` stores what the
book holds afterwards. Both run on the lane's connection, inside its transaction and
after its lock (storage design: one lane, number order = commit order).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain import events, exposures, times
from annolog.domain.book import Book, Entered, Known, Place, SaidRow, State, Wants
from annolog.domain.errors import UnavailableError
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing, root
from annolog.domain.instruments import Instruments
from annolog.domain.records import Origin
from annolog.storage import entries
from annolog.storage.database import LANE_LOCK, Connection, one_row

LOCK = f"begin; select pg_advisory_xact_lock({LANE_LOCK})"
"""The lock is a statement of its own: a snapshot taken before the wait would be old."""


MORE_TIME = "set local idle_in_transaction_session_timeout = '15s'"
"""For a turn with very many targets: working them out takes longer than the 2 s after
which the server takes a frozen process out of the lane."""


class _SaidRow(msgspec.Struct):
    """A standing as the database gives it."""

    key: str
    source_id: UUID
    annotation_id: UUID
    revision_id: UUID
    ordinal: int
    author: str
    voter: str
    rank: int
    flag: str | None
    vote_id: UUID
    vote_clock: int
    contested: int | None
    tags: list[str]


class _PlaceRow(msgspec.Struct):
    """A target, and the state of its class if there is one."""

    target_id: int
    class_id: int
    key: str
    kind: str
    instrument: str | None
    day_obs: int | None
    seq_num: int | None
    state: dict[str, Any] | None


_places = msgspec.json.Decoder(list[_PlaceRow])
_saids = msgspec.json.Decoder(list[_SaidRow])


async def open_book(
    conn: Connection, origin: Origin, known: Known, keys: Iterable[str]
) -> tuple[Book, Known]:
    """Start a turn's book: the head of the log, the vocabulary, and targets.

    Parameters
    ----------
    conn
        The lane's connection, behind its lock.
    origin
        This site and incarnation.
    known
        The vocabulary as this process knew it last.
    keys
        Targets that the turn is known to touch.

    Returns
    -------
    tuple of Book and Known
        The book with the places and standings of the targets (the rest is loaded
        when asked for), and the vocabulary with what other processes wrote.
    """
    row = await one_row(conn, _TARGETS, list(keys))
    if row["published"] > row["head"]:
        # A restored backup: numbers that others have seen would be given again.
        msg = (
            f"the stream holds changes up to {row['published']}, and this database "
            f"ends at {row['head']}: it was restored from a backup; an operator must "
            "begin a new incarnation before anything is written"
        )
        raise UnavailableError(msg, code="log_behind_stream")
    if row["entered"] != known.number:
        known = await entries.catch_up(conn, known)
    book = Book(origin, row["head"], known)
    _take_targets(book, row)
    return book, known


async def load(conn: Connection, book: Book, wants: Wants) -> None:
    """Bring into the book what is wanted and not there yet.

    Parameters
    ----------
    conn
        The lane's connection.
    book
        Where it goes.
    wants
        What is wanted; keys must have rows in `target`.
    """
    if wants.annotations:
        await _load_annotations(conn, book, wants.annotations)
    if wants.keys:
        _take_targets(book, await one_row(conn, _TARGETS, list(wants.keys)))
    if wants.facts:
        await _load_facts(conn, book, wants.facts)
    if wants.records:
        await _load_records(conn, book, wants.records)


async def _load_annotations(conn: Connection, book: Book, ids: Iterable[UUID]) -> None:
    wanted = list(ids)
    row = await one_row(
        conn,
        """
        select
          (select array_agg(r.body)
             from revision v join record r on r.record_id = v.revision_id
            where v.annotation_id = any($1)) as bodies,
          (select array_agg(r.body)
             from review v join record r on r.record_id = v.review_id
            where v.annotation_id = any($1)) as reviews
        """,
        wanted,
    )
    bodies, reviews = row["bodies"] or [], row["reviews"] or []
    lists: list[tuple[UUID, bytes]] = []
    if bodies or reviews:
        lists = [
            (one["list_id"], one["keys"])
            for one in await conn.fetch(
                """
                select list_id, keys from target_list where list_id in (
                  select list_id from revision where annotation_id = any($1)
                  union
                  select list_id from review where annotation_id = any($1))
                """,
                wanted,
            )
        ]
    book.load_annotations(wanted, bodies, reviews, lists)


_TARGETS = """
with member as materialized (
  select m.target_id, m.class_id, m.key, m.kind, m.instrument, m.day_obs, m.seq_num
    from (select distinct class_id from target where key = any($1)) c
    join target m on m.class_id = c.class_id
)
select
  greatest((select max(number) from change),
           (select max(first_number) - 1 from site), 0) as head,
  coalesce((select max(number) from relay_floor), 0) as published,
  coalesce((select max(number) from entry), 0) as entered,
  (select json_agg(x)::text from (
     select m.*, case when s.target_id is null then null else
            json_build_object(
              'flag', s.flag, 'decided_by', s.decided_by, 'outvoted', s.outvoted,
              'disputed', s.disputed, 'bots_differ', s.bots_differ,
              'follow_ups', s.follow_ups, 'tags', s.tags, 'notes', s.notes,
              'empty', s.empty)
            end as state
       from member m left join target_state s on s.target_id = m.class_id
   ) x) as places,
  (select json_agg(x)::text from (
     select m.key, s.source_id, s.annotation_id, s.revision_id, s.ordinal, s.author,
            s.voter, s.rank, s.flag, s.vote_id, s.vote_clock, s.contested, s.tags
       from member m join said s
         on s.target_id = m.target_id and s.to_number is null
   ) x) as said
"""
"""Heads, and of targets their classes' members, states and standings."""


def _take_targets(book: Book, row: asyncpg.Record) -> None:
    if row["places"]:
        book.load_places(
            (
                Place(
                    p.target_id,
                    p.class_id,
                    p.key,
                    p.kind,
                    p.instrument,
                    p.day_obs,
                    p.seq_num,
                ),
                _state(p.state),
            )
            for p in _places.decode(row["places"])
        )
    if row["said"]:
        for one in _saids.decode(row["said"]):
            book.load_standing(
                one.key,
                Standing(
                    Said(
                        one.source_id,
                        one.annotation_id,
                        one.revision_id,
                        one.author,
                        one.voter,
                        Rank(one.rank),
                        one.flag,
                        one.vote_id,
                        one.vote_clock,
                        None if one.contested is None else Rank(one.contested),
                    ),
                    one.ordinal,
                    tuple(one.tags),
                ),
            )


def _state(row: dict[str, Any] | None) -> State | None:
    if row is None:
        return None
    return State(
        row["flag"],
        tuple(map(UUID, row["decided_by"])),
        tuple(map(UUID, row["outvoted"])),
        row["disputed"],
        row["bots_differ"],
        tuple(map(UUID, row["follow_ups"])),
        tuple(row["tags"]),
        row["notes"],
        row["empty"],
    )


async def _load_facts(conn: Connection, book: Book, keys: Iterable[str]) -> None:
    wanted = list(keys)
    rows = await conn.fetch(
        """
        select r.body from target t
          join exposure_fact f on f.target_id = t.target_id
          join record r on r.record_id = f.record_id
         where t.key = any($1)
        """,
        wanted,
    )
    facts = (exposures.fact_from_record(msgspec.json.decode(r["body"])) for r in rows)
    book.load_facts(wanted, facts)


async def _load_records(conn: Connection, book: Book, ids: Iterable[UUID]) -> None:
    wanted = list(ids)
    known = await conn.fetch(
        """
        select record_id, case when kind in ('revision', 'review') then body end as body
          from record where record_id = any($1)
        """,
        wanted,
    )
    redactions = await conn.fetch(
        """
        select revision_id, min(record_id::text)::uuid as record_id
          from redaction where revision_id = any($1) group by revision_id
        """,
        wanted,
    )
    lists = await conn.fetch(
        "select list_id, keys from target_list where list_id = any($1)", wanted
    )
    waiting = await conn.fetch(
        """
        select w.list_id, r.body from waiting w
          join record r on r.record_id = w.record_id where w.list_id = any($1)
        """,
        wanted,
    )
    book.load_records(
        wanted,
        [r["record_id"] for r in known],
        [(r["revision_id"], r["record_id"]) for r in redactions],
        [(r["list_id"], r["keys"]) for r in lists],
        [(r["list_id"], r["body"]) for r in waiting],
        [(r["record_id"], r["body"]) for r in known if r["body"] is not None],
    )


async def write(conn: Connection, book: Book, now: datetime) -> None:
    """Store all that the book brought about.

    Parameters
    ----------
    conn
        The lane's connection.
    book
        The turn's book.
    now
        Wall time of the turn (UTC): `committed_at` of its changes.
    """
    if not book.entered:
        return
    await conn.execute(WRITE, *arguments(book, now))
    if book.closed or book.ended or book.counted:
        await _close(conn, book)
    begun_anew = book.begun_anew()
    if begun_anew:
        await conn.executemany(
            "update revision set annotation_created_at = $2 where annotation_id = $1",
            [
                (one, _created_at(book, first.revision_id))
                for one, first in begun_anew.items()
            ],
        )
    if book.new_reviews:
        await _write_reviews(conn, book)
    if book.new_entries:
        await conn.executemany(
            """
            insert into entry (record_id, kind, entry_key, clock, number, fields)
            values ($1, $2, $3, $4, $5, $6)
            """,
            [
                (e.record_id, e.kind, e.key, e.clock, e.number, _json(e.fields))
                for e in book.new_entries
            ],
        )
    if book.new_facts:
        await _write_facts(conn, book)
    if book.blanked:
        await _blank(conn, book)
    if book.moved:
        await conn.execute(
            """
            update target t set class_id = u.class_id
              from unnest($1::bigint[], $2::bigint[]) as u(target_id, class_id)
             where t.target_id = u.target_id
            """,
            list(book.moved),
            list(book.moved.values()),
        )
    if book.new_waiting:
        await conn.executemany(
            "insert into waiting (list_id, record_id) values ($1, $2)",
            book.new_waiting,
        )
    await _write_others(conn, book)


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
    ]


WRITE = """
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
      string_to_array(u.tags, chr(31)), u.level, u.reply_to, u.created_at,
      u.observed_begin, u.observed_end, u.list_id, u.target_count, u.instrument,
      u.day_obs, u.seq_num, u.day_last, u.counted, u.request_digest, u.number,
      u.current_from, u.annotation_created_at, u.current_to,
      to_tsvector('simple', u.text)
    from unnest($18::uuid[], $19::uuid[], $20::uuid[], $21::bigint[], $22::text[],
                $23::text[], $24::text[], $25::text[], $26::smallint[], $27::text[],
                $28::text[], $29::text[], $30::smallint[], $31::uuid[],
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
      u.vote_clock, u.contested, string_to_array(u.tags, chr(31)), u.instrument,
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
      string_to_array(u.follow_ups, ',')::uuid[], string_to_array(u.tags, chr(31)),
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
)
select pg_notify('annolog_changes', $82)
"""
"""Arrays of arrays travel as separated text, as unnest would flatten them."""

_SEP = "\x1f"
"""Unit separator: no tag and no instrument name holds a control character."""


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
                _SEP.join(version.tags),
                fields["level"],
                _uuid(fields["reply_to"]),
                times.parse(fields["created_at"]),
                _moment(observed.get("begin")),
                _moment(observed.get("end")),
                _uuid(fields["list_id"]),
                len(version.targets),
                first.instrument if first else None,
                first.day_obs if first else None,
                first.seq_num if first else None,
                _last_day(book, version.targets),
                book.counted.get(version.revision_id, False),
                bytes.fromhex(digest) if digest else None,
                number,
                book.current_from.get(version.revision_id),
                _created_at(book, beginning.revision_id),
                book.ended.get(version.revision_id),
                fields["text"].replace("\x00", " "),
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
                _SEP.join(row.standing.tags),
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
                _SEP.join(state.tags),
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


async def _close(conn: Connection, book: Book) -> None:
    """End the intervals that the turn ends."""
    at = list(book.closed.items())
    kept = {version.revision_id for version, _, _ in book.new_versions}
    counted = [(one, yes) for one, yes in book.counted.items() if one not in kept]
    if not (at or counted):
        return
    await conn.execute(
        """
        with closed as (
          update said s set to_number = u.to_number
            from unnest($1::uuid[], $2::bigint[], $3::bigint[])
              as u(source_id, target_id, to_number)
           where s.source_id = u.source_id and s.target_id = u.target_id
             and s.to_number is null and s.from_number < u.to_number
        )
        update revision v
           set current_from = coalesce(u.began, v.current_from),
               current_to = case when u.began is null
                                 then coalesce(u.ended, v.current_to)
                                 else u.ended end,
               counted = u.counted
          from unnest($4::uuid[], $5::bigint[], $6::boolean[], $7::bigint[])
            as u(revision_id, ended, counted, began)
         where v.revision_id = u.revision_id
           and (coalesce(u.ended, u.began) is not null or v.counted <> u.counted)
        """,
        [source for (source, _), _ in at],
        [target for (_, target), _ in at],
        [number for _, number in at],
        [one for one, _ in counted],
        [book.ended.get(one) for one, _ in counted],
        [yes for _, yes in counted],
        [book.current_from.get(one) for one, _ in counted],
    )


async def _write_reviews(conn: Connection, book: Book) -> None:
    await conn.executemany(
        """
        insert into review (review_id, annotation_id, revision_id, verdict, reviewer,
                            rank, clock, list_id, request_digest, number)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        """,
        [
            (
                review.review_id,
                review.annotation_id,
                review.revision_id,
                review.verdict.value,
                review.reviewer,
                int(review.rank),
                review.clock,
                _uuid(fields.get("list_id")),
                bytes.fromhex(fields["request_digest"])
                if fields.get("request_digest")
                else None,
                number,
            )
            for review, fields, number in book.new_reviews
        ],
    )


async def _write_facts(conn: Connection, book: Book) -> None:
    """Store facts and, of each exposure that they speak of, what they amount to."""
    await conn.executemany(
        """
        insert into exposure_fact
               (record_id, target_id, source, event, clock, number, fields)
        values ($1, $2, $3, $4, $5, $6, $7)
        """,
        [
            (
                fact.record_id,
                book.places[fact.key].target_id,
                fact.source,
                fact.event,
                fact.clock,
                number,
                _json(fact.fields),
            )
            for fact, number in book.new_facts
        ],
    )
    last = {fact.key: number for fact, number in book.new_facts}
    instruments = Instruments.from_entries(book.vocabulary.instruments)
    rows = []
    names: list[tuple[str, str, int]] = []
    for key, number in last.items():
        place = book.places[key]
        view = exposures.merge(book.facts[key], instruments)
        rows.append(_exposure_row(place, view, number))
        names += [
            (place.instrument or "", fact.obs_id, place.target_id)
            for fact in book.facts[key]
            if fact.obs_id
        ]
    await conn.executemany(_UPSERT_EXPOSURE, rows)
    await conn.executemany(
        """
        insert into target_name (instrument, name, target_id) values ($1, $2, $3)
        on conflict do nothing
        """,
        sorted(set(names)),
    )


_UPSERT_EXPOSURE = """
insert into exposure (target_id, instrument, day_obs, seq_num, exposure_id, obs_id,
    state, begin_at, end_at, exposure_time, observation_type, fields, contradictions,
    number)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (target_id) do update set
    day_obs = excluded.day_obs, seq_num = excluded.seq_num,
    exposure_id = excluded.exposure_id, obs_id = excluded.obs_id,
    state = excluded.state, begin_at = excluded.begin_at, end_at = excluded.end_at,
    exposure_time = excluded.exposure_time,
    observation_type = excluded.observation_type, fields = excluded.fields,
    contradictions = excluded.contradictions, number = excluded.number
"""


def _exposure_row(
    place: Place, view: exposures.ExposureView, number: int
) -> tuple[Any, ...]:
    seconds = view.exposure_time
    return (
        place.target_id,
        view.instrument,
        view.day_obs,
        view.seq_num,
        view.exposure_id,
        view.obs_id,
        view.state.value,
        view.begin,
        view.end,
        None if seconds is None else round(seconds * 1000),
        view.observation_type,
        _json(view.fields),
        _json(view.contradictions_as_dict()),
        number,
    )


async def _blank(conn: Connection, book: Book) -> None:
    """Take words out of records, of the search index and of what events repeat."""
    await conn.executemany(
        "update record set body = $2, redacted_by = $3 where record_id = $1",
        [
            (one, body, UUID(msgspec.json.decode(body)["redacted_by"]))
            for one, body in book.blanked
        ],
    )
    ids = [one for one, _ in book.blanked]
    await conn.execute(
        "update revision set words = '' where revision_id = any($1)", ids
    )
    rows = await conn.fetch(
        """
        select c.number, c.detail from revision v
          join revision w on w.annotation_id = v.annotation_id
          join change c on c.record_id = w.revision_id
         where v.revision_id = any($1)
        """,
        ids,
    )
    await conn.executemany(
        "update change set detail = $2 where number = $1",
        [(r["number"], events.blank_detail(r["detail"])) for r in rows],
    )


async def _write_others(conn: Connection, book: Book) -> None:
    """Store the views of records that have tables of their own."""
    for entered in book.entered:
        fields = entered.fields
        kind = entered.record.kind
        if entered.operation == "refresh":
            continue
        if kind == "redaction":
            await conn.executemany(
                """
                insert into redaction (record_id, revision_id) values ($1, $2)
                on conflict do nothing
                """,
                [(entered.record.record_id, UUID(o)) for o in fields["revisions"]],
            )
        elif kind == "checked":
            await conn.execute(
                """
                insert into checked (record_id, instrument, day_obs, seq_first,
                    seq_last, tags, author, revokes, clock, number)
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                """,
                entered.record.record_id,
                fields["instrument"],
                fields["day_obs"],
                fields["seq_first"],
                fields["seq_last"],
                fields["tags"],
                fields["author"],
                _uuid(fields["revokes"]),
                entered.record.clock,
                entered.number,
            )
        elif kind == "visit":
            await _write_visit(conn, entered)


async def _write_visit(conn: Connection, entered: Entered) -> None:
    """Store a visit's exposures; of several definitions the latest is open."""
    fields, record = entered.fields, entered.record
    newer: bool = await conn.fetchval(
        """
        select exists (select from visit_exposure
                        where visit_key = $1 and to_number is null
                          and (clock, record_id) > ($2, $3))
        """,
        fields["subject"],
        record.clock,
        record.record_id,
    )
    if not newer:
        await conn.execute(
            """
            update visit_exposure set to_number = $2
             where visit_key = $1 and to_number is null
            """,
            fields["subject"],
            entered.number,
        )
    await conn.executemany(
        """
        insert into visit_exposure
               (record_id, visit_key, exposure_key, clock, from_number, to_number)
        values ($1, $2, $3, $4, $5, $6)
        """,
        [
            (
                record.record_id,
                fields["subject"],
                key,
                record.clock,
                entered.number,
                entered.number if newer else None,
            )
            for key in fields["exposures"]
        ],
    )


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


def _json(fields: object) -> str:
    return msgspec.json.encode(fields, order="deterministic").decode()


def _created_at(book: Book, revision_id: UUID) -> datetime:
    return times.parse(msgspec.json.decode(book.bodies[revision_id])["created_at"])


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def _moment(text: str | None) -> datetime | None:
    return times.parse(text) if text else None
