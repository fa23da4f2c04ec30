"""What only some turns write: the views of records that have tables of their own.

Intervals that end, reviews, entries, facts and exposures, redactions, checked ranges,
visits, and which targets are one.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import events, exposures
from annolog.domain.book import Book
from annolog.domain.history import Version
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Entered, Place
from annolog.domain.records import REDACTION_KINDS
from annolog.domain.setrecords import REDACTION, SET_KINDS, VERSION
from annolog.domain.setredactions import SetRedaction
from annolog.storage import turn_dataids
from annolog.storage.database import Connection
from annolog.storage.large import worked_out
from annolog.storage.turn_rows import created_at, optional_id


async def close(conn: Connection, book: Book) -> None:
    """End the intervals that the turn ends."""
    kept = {version.revision_id for version, _, _ in book.new_versions}
    counted = [(one, yes) for one, yes in book.counted.items() if one not in kept]
    if not (book.closed or counted):
        return
    closed = await worked_out(book.size, _closed, book)
    await conn.execute(
        """
        with closed as (
          update said s set to_number = u.to_number
            from json_to_recordset($1::json)
              as u(source_id uuid, target_id bigint, to_number bigint)
           where s.source_id = u.source_id and s.target_id = u.target_id
             and s.to_number is null and s.from_number < u.to_number
        )
        update revision v
           set current_from = coalesce(u.began, v.current_from),
               current_to = case when u.began is null
                                 then coalesce(u.ended, v.current_to)
                                 else u.ended end,
               counted = u.counted
          from unnest($2::uuid[], $3::bigint[], $4::boolean[], $5::bigint[])
            as u(revision_id, ended, counted, began)
         where v.revision_id = u.revision_id
           and (coalesce(u.ended, u.began) is not null or v.counted <> u.counted)
        """,
        closed,
        [one for one, _ in counted],
        [book.ended.get(one) for one, _ in counted],
        [yes for _, yes in counted],
        [book.current_from.get(one) for one, _ in counted],
    )


class _Closed(msgspec.Struct):
    """An interval that ends."""

    source_id: UUID
    target_id: int
    to_number: int


def _closed(book: Book) -> str:
    at = book.closed.items()
    rows = [_Closed(source, target, number) for (source, target), number in at]
    return msgspec.json.encode(rows).decode()


async def write_beginnings(
    conn: Connection, book: Book, begun_anew: Mapping[UUID, Version]
) -> None:
    """Store when annotations began whose first revision came after others."""
    await conn.executemany(
        """
        update revision set annotation_created_at = $2::text::timestamptz
         where annotation_id = $1
        """,
        [
            (one, created_at(book, first.revision_id))
            for one, first in begun_anew.items()
        ],
    )


async def write_reviews(conn: Connection, book: Book) -> None:
    """Store reviews."""
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
                optional_id(fields.get("list_id")),
                bytes.fromhex(fields["request_digest"])
                if fields.get("request_digest")
                else None,
                number,
            )
            for review, fields, number in book.new_reviews
        ],
    )


async def write_entries(conn: Connection, book: Book) -> None:
    """Store entries of vocabularies and the like."""
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


async def write_facts(conn: Connection, book: Book) -> None:
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


async def blank(conn: Connection, book: Book) -> None:
    """Take words out of records, of the search index and of what events repeat."""
    await conn.executemany(
        "update record set body = $2, redacted_by = $3 where record_id = $1",
        [(one, body, _left_of(body).redacted_by) for one, body in book.blanked],
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
        union all
        select c.number, c.detail from change c where c.record_id = any($2)
        """,
        ids,
        [one for one, body in book.blanked if _left_of(body).has_no_reason],
    )
    await conn.executemany(
        "update change set detail = $2 where number = $1",
        [(r["number"], events.blank_detail(r["detail"])) for r in rows],
    )


class _Left(msgspec.Struct):
    """What of a blanked body says how far it was blanked."""

    redacted_by: UUID
    kind: str
    reason: str | None = None

    @property
    def has_no_reason(self) -> bool:
        """Whether it is a version of a set whose reason went, too."""
        return self.kind == VERSION and not self.reason


_left_of = msgspec.json.Decoder(_Left).decode


async def write_classes(conn: Connection, book: Book) -> None:
    """Store which targets were joined or parted."""
    await conn.execute(
        """
        update target t set class_id = u.class_id
          from unnest($1::bigint[], $2::bigint[]) as u(target_id, class_id)
         where t.target_id = u.target_id
        """,
        list(book.moved),
        list(book.moved.values()),
    )


async def write_waiting(conn: Connection, book: Book) -> None:
    """Store which statements wait for which list of targets."""
    await conn.executemany(
        "insert into waiting (list_id, record_id) values ($1, $2)",
        book.new_waiting,
    )


async def write_others(conn: Connection, book: Book) -> None:
    """Store the views of records that have tables of their own."""
    for entered in book.entered:
        fields = entered.fields
        kind = entered.record.kind
        if entered.operation == "refresh":
            continue
        if kind in REDACTION_KINDS:
            named: Iterable[UUID] = (
                SetRedaction.read(fields).records
                if kind == REDACTION
                else map(UUID, fields["revisions"])
            )
            await conn.executemany(
                """
                insert into redaction (record_id, revision_id) values ($1, $2)
                on conflict do nothing
                """,
                [(entered.record.record_id, one) for one in named],
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
                optional_id(fields["revokes"]),
                entered.record.clock,
                entered.number,
            )
        elif kind == "visit":
            await _write_visit(conn, entered)
        elif kind in SET_KINDS:
            await turn_dataids.write(conn, entered)


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


def _json(fields: object) -> str:
    return msgspec.json.encode(fields, order="deterministic").decode()
