"""How a turn reads: rows of targets, annotations, facts and records into its book."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain import exposures
from annolog.domain.book import Book
from annolog.domain.flags import Said
from annolog.domain.history import Standing
from annolog.domain.holdings import Holdings
from annolog.domain.ledger import Place, State
from annolog.storage.database import Connection, one_row

TARGETS = """
with asked as materialized (
  select distinct t.class_id
    from unnest($1::text[]) as u(key)
   cross join lateral (select class_id from target where key = u.key offset 0) t
), member as materialized (
  select m.*
    from asked c
   cross join lateral (
     select target_id, class_id, key, kind, instrument, day_obs, seq_num,
            (select coalesce(obs_id, '') from exposure x
              where x.target_id = t.target_id) as obs_id
       from target t where class_id = c.class_id offset 0) m
)
select
  greatest((select max(number) from change),
           (select max(first_number) - 1 from site), 0) as head,
  coalesce((select max(number) from relay_floor), 0) as published,
  coalesce((select max(number) from entry), 0) as entered,
  life.incarnation, life.closed_code, life.closed,
  (select json_agg(json_build_object('place', m, 'state', s))::text
     from member m
     left join lateral (
       select flag, decided_by, outvoted, disputed, bots_differ, follow_ups, tags,
              notes, empty
         from target_state where target_id = m.class_id offset 0) s on true
  ) as places,
  (select json_agg(json_build_object(
            'key', m.key, 'ordinal', o.ordinal, 'tags', o.tags, 'said', s))::text
     from member m
    cross join lateral (
      select * from said where target_id = m.target_id and to_number is null offset 0) o
    cross join lateral (
      select o.source_id, o.annotation_id, o.revision_id, o.author, o.voter, o.rank,
             o.flag, o.vote_id, o.vote_clock, o.contested) s
  ) as said
  from (select 1) one
  left join (select incarnation, closed_code, closed from site
              order by first_number desc limit 1) life on true
"""
"""Heads, the present life, and of targets their classes' members, states and standings.

Each `offset 0` keeps the planner to one index look-up a row: a plan made while the
tables were small would otherwise go on reading all of them."""


class _SaidRow(msgspec.Struct):
    """A standing as the database gives it."""

    key: str
    ordinal: int
    tags: tuple[str, ...]
    said: Said


class _PlaceRow(msgspec.Struct):
    """A target, and the state of its class if there is one."""

    place: Place
    state: State | None


_places = msgspec.json.Decoder(list[_PlaceRow])
_saids = msgspec.json.Decoder(list[_SaidRow])


def take_targets(book: Book, row: asyncpg.Record) -> None:
    """Bring into the book what `TARGETS` found.

    Parameters
    ----------
    book
        Where it goes.
    row
        The one row that the statement gives.
    """
    if row["places"]:
        book.load_places((p.place, p.state) for p in _places.decode(row["places"]))
    if row["said"]:
        for one in _saids.decode(row["said"]):
            book.load_standing(one.key, Standing(one.said, one.ordinal, one.tags))


async def load_annotations(
    conn: Connection, book: Holdings, ids: Iterable[UUID]
) -> None:
    """Bring into the book annotations whole: their revisions, reviews and lists."""
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


async def load_facts(conn: Connection, book: Book, keys: Iterable[str]) -> None:
    """Bring into the book all facts of these exposures."""
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


async def load_records(conn: Connection, book: Book, ids: Iterable[UUID]) -> None:
    """Bring into the book what is here of these records, and what waits for them."""
    wanted = list(ids)
    row = await one_row(conn, _RECORDS, wanted)
    known = _pairs(row["known"], row["bodies"])
    if row["redacted"]:  # seldom, so it does not weigh on every turn
        await _load_set_redactions(conn, book, row["redacted"])
    book.load_records(
        wanted,
        [record_id for record_id, _ in known],
        _pairs(row["redacted"], row["redactions"]),
        _pairs(row["lists"], row["keys"]),
        _pairs(row["waited_for"], row["waiting"]),
        [(record_id, body) for record_id, body in known if body is not None],
    )


async def _load_set_redactions(
    conn: Connection, book: Holdings, ids: Sequence[UUID]
) -> None:
    rows = await conn.fetch(
        """
        select body from record
         where kind = 'set_redaction'
           and record_id in (select record_id from redaction
                              where revision_id = any($1))
        """,
        ids,
    )
    book.load_set_redactions(row["body"] for row in rows)


async def load_bodies(conn: Connection, book: Holdings, ids: Iterable[UUID]) -> None:
    """Bring into the book what these records of data-ID sets hold."""
    wanted = list(ids)
    rows = await conn.fetch(
        "select record_id, body from record where record_id = any($1)", wanted
    )
    book.load_bodies(wanted, [(row["record_id"], row["body"]) for row in rows])


_RECORDS = """
select * from (
  select array_agg(record_id) as known,
         array_agg(case when kind in ('revision', 'review') then body end) as bodies
    from record where record_id = any($1)) k
 cross join (
  select array_agg(revision_id) as redacted, array_agg(record_id) as redactions
    from (select revision_id, min(record_id::text)::uuid as record_id
            from redaction where revision_id = any($1) group by revision_id) r) d
 cross join (
  select array_agg(list_id) as lists, array_agg(keys) as keys
    from target_list where list_id = any($1)) l
 cross join (
  select array_agg(w.list_id) as waited_for, array_agg(r.body) as waiting
    from waiting w join record r on r.record_id = w.record_id
   where w.list_id = any($1)) w
"""
"""One statement, as each is a round trip that all who wait for the lane wait for."""


def _pairs(left: Sequence[Any] | None, right: Sequence[Any] | None) -> list[Any]:
    """Pair two columns, each None where there are no rows."""
    return list(zip(left or (), right or (), strict=True))
