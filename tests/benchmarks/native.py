"""annolog's own lists: pages of nights, deep pages, and what is found in texts."""

import asyncio
import itertools
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain.queries import AnnotationFilter
from annolog.storage import database
from tests.benchmarks import nights, sources
from tests.benchmarks.calls import VARIANTS, Asked, Call, Shown
from tests.benchmarks.http import request
from tests.benchmarks.nights import CAMERAS
from tests.benchmarks.report import Goal, Line, Rounds
from tests.benchmarks.servers import Stand

PATH = "/annolog/v1/annotations"
"""Where annotations are."""

DEEPER = 1.5
"""Times that a page at any depth may take of the first one."""

DEPTHS = (0.01, 0.5, 0.99)
"""Of a list, how much is behind a page."""

PAGE = 100
"""Rows of the pages whose depth differs."""

# -------------------------------------------------------------------------- SQL

_ROW = "r.number, r.counted, b.body"
_NOW = "r.current_from is not null and r.current_to is null and r.counted"
_NEWEST = "r.annotation_created_at desc, r.annotation_id desc"


def _page(where: str, limit: int, *, gathered: bool = True) -> str:
    """Give the newest of those that fit; all are gathered before any is sorted."""
    source = f"select r.* from revision r where {_NOW} and {where}"
    chosen = f"({source} offset 0)" if gathered else f"({source})"
    return f"""
        select {_ROW}
          from (select * from {chosen} r order by {_NEWEST} limit {limit}) r
         cross join lateral (
           select body from record where record_id = r.revision_id offset 0) b
         order by {_NEWEST}"""


_NIGHTS = "r.day_obs between $1 and $2"
_BY_ID = f"""
    select {_ROW} from revision r join record b on b.record_id = r.revision_id
     where r.annotation_id = $1 and {_NOW}"""


def _items(rows: Sequence[asyncpg.Record]) -> list[Shown]:
    return [_item(row) for row in rows]


def _item(row: asyncpg.Record) -> Shown:
    """Write an annotation as the API shows it, out of a bare row."""
    head = {"number": row["number"], "current": True, "counted": row["counted"]}
    return head | dict(msgspec.json.decode(row["body"]))


# ------------------------------------------------------------------------- calls


async def of_database(url: str, messages: int) -> list[Call]:
    """Make the calls for a database, which is asked what there is.

    Parameters
    ----------
    url
        The database.
    messages
        How many messages it was made with.
    """
    connection = await database.connect(url, database.READS)
    # Ids are random, so those that follow one are of any night.
    ids = await connection.fetch(
        """
        select annotation_id as id from revision
         where current_from is not null and current_to is null and counted
           and annotation_id > $1
         order by annotation_id limit 2000
        """,
        UUID(int=1 << 127),
    )
    await connection.close()
    spans = _Spans(messages)
    return [
        Call("50 of 7 nights, one instrument", [spans.fifty() for _ in _MANY], 0.6),
        Call("1000 of 30 nights", [spans.thousand() for _ in _MANY], 0.6),
        Call("latest 100", [_asked({"limit": 100}, _LATEST)], 0.5),
        Call("GET by id", [_one(row["id"]) for row in ids], 0.2),
    ]


_MANY = range(VARIANTS)
_LATEST = _page("true", 100, gathered=False)


class _Spans:
    """Chooses nights and instruments."""

    def __init__(self, messages: int) -> None:
        self._first = nights.first_night(messages)
        self._count = nights.nights(messages)
        self._chance = random.Random(3)

    def of(self, length: int) -> tuple[int, int]:
        """Choose some nights: the first and the last."""
        length = min(length, self._count)
        first = self._first + timedelta(
            days=self._chance.randrange(self._count - length + 1)
        )
        last = first + timedelta(days=length - 1)
        return nights.day_obs(first), nights.day_obs(last)

    def fifty(self) -> Asked:
        least, most = self.of(7)
        name = self._chance.choice(CAMERAS).name
        query = {"instrument": name, "day_obs_min": least, "day_obs_max": most}
        sql = _page(f"{_NIGHTS} and r.instrument = $3", 50)
        return _asked(query | {"limit": 50}, sql, least, most, name)

    def thousand(self) -> Asked:
        least, most = self.of(30)
        query = {"day_obs_min": least, "day_obs_max": most, "limit": 1000}
        return _asked(query, _page(_NIGHTS, 1000), least, most)


def _asked(query: Mapping[str, object], sql: str, *values: object) -> Asked:
    return Asked(f"{PATH}?{urlencode(query)}", sql, values, _items, "items")


def _one(annotation_id: UUID) -> Asked:
    path = f"{PATH}/{annotation_id}"
    return Asked(path, _BY_ID, (annotation_id,), lambda rows: _item(rows[0]))


# ------------------------------------------------------------------------- texts


def searches(messages: int) -> list[Call]:
    """Make calls that look into texts, from what nearly all say to what one says.

    Parameters
    ----------
    messages
        How many messages the database was made with.
    """
    chance = random.Random(4)
    # Only these have a word of their own, and are not edited afterwards.
    own = [n for n in range(0, messages, 3) if n % nights.BLOCK not in {5, 6}]
    some = [chance.choice(own) for _ in _MANY]
    spans = _Spans(messages)
    return [
        Call("a word that one text has", [_words(f"OBS-{n}") for n in some], 0.5),
        Call("a word of one text in 20", [_often("corrected")], 0.5),
        Call("a word of nearly half of all", [_often("shutter")], 0.5),
        Call("a phrase that one text has", [_phrase(n) for n in some], 0.5),
        Call("a phrase of one text in 140", [_often(_OFTEN, "phrase")], 0.5),
        Call("a substring, 7 nights", [_substring(spans.of(7)) for _ in _MANY], 0.5),
    ]


_FOUND = "r.words @@ {}('simple', $1)"


def _words(words: str) -> Asked:
    test = _FOUND.format("websearch_to_tsquery")
    return _asked({"words": words, "limit": 50}, _page(test, 50), words)


def _often(words: str, parameter: str = "words") -> Asked:
    """Ask for what many say: it is soon met on a walk from the newest.

    What this run says itself, which is newer, has other words.
    """
    reader = {"words": "websearch_to_tsquery", "phrase": "phraseto_tsquery"}[parameter]
    test = f"{_FOUND.format(reader)} and r.annotation_created_at < $2"
    query = {parameter: words, "created_to": _BEFORE.isoformat(), "limit": 50}
    return _asked(query, _page(test, 50, gathered=False), words, _BEFORE)


_BEFORE = datetime(2025, 7, 2, tzinfo=UTC)


_OFTEN = "Corrected: Rings around stars"


def _phrase(number: int) -> Asked:
    after = sources.PHRASES[(number + 1) % 7].split()
    words = " ".join([f"OBS-{number}", *after[:3]])
    test = _FOUND.format("phraseto_tsquery")
    return _asked({"phrase": words, "limit": 50}, _page(test, 50), words)


def _substring(span: tuple[int, int]) -> Asked:
    least, most = span
    part = "corrected: gu"
    sql = f"""
        with fitting as materialized (
          select r.*, b.body from (
            select r.* from revision r where {_NOW} and {_NIGHTS} offset 0) r
           cross join lateral (
             select body from record where record_id = r.revision_id offset 0) b)
        select {_ROW.replace("b.body", "r.body")} from fitting r
         where lower(convert_from(r.body, 'UTF8')::jsonb->>'text') like '%' || $3 || '%'
         order by {_NEWEST} limit 50"""
    query = {"contains": part, "day_obs_min": least, "day_obs_max": most, "limit": 50}
    return _asked(query, sql, least, most, part)


def everywhere(stand: Stand, rounds: int, messages: int) -> list[Line]:
    """Look for a substring in all texts, which no index has.

    Parameters
    ----------
    stand
        The database and the service.
    rounds
        How often.
    messages
        How many messages the database was made with.
    """
    found = Rounds()
    for number in range(rounds):
        part = f"BS-{messages // 3 * 3 - 60 * (number + 1)} "
        query = urlencode({"contains": part, "limit": 50})
        wires = [request("GET", f"{PATH}?{query}")] * 4
        found.add("native", stand.drive(wires, 1, 200))
        query = urlencode({"message_text": part, "limit": 50})
        wires = [request("GET", f"/exposurelog/messages?{query}")]
        if messages <= _SEARCHED:
            found.add("exposurelog", stand.drive(wires, 1, 200))
    by_index = Goal("by index", met=False)
    lines = [
        Line(
            "a substring of all texts, one page",
            found.figures("native"),
            goals=[by_index],
            note="looks at 10,000 texts, then says so",
        )
    ]
    if messages <= _SEARCHED:
        lines.append(
            Line(
                "exposurelog: a substring of all texts",
                found.figures("exposurelog"),
                goals=[by_index],
                note="looks at all",
            )
        )
    return lines


_SEARCHED = 2_000_000
"""Messages in which a search without an index comes to its end in time."""


# -------------------------------------------------------------------------- depth


def deep(stand: Stand, rounds: int, seconds: float) -> list[Line]:
    """Read pages at several depths of two lists, with one reader.

    Parameters
    ----------
    stand
        The database and the service.
    rounds, seconds
        How many rounds, and how long each depth has in one.
    """
    pages = asyncio.run(_pages(stand.url))
    found = Rounds()
    for number in range(rounds + 1):
        into, length = (found, seconds) if number else (Rounds(), seconds / 3)
        for title, paths in pages.items():
            wires = itertools.cycle([request("GET", path) for path in paths])
            into.add(title, stand.drive(wires, 1, 200, seconds=length))
    lines = []
    first = 0.0
    for title in pages:
        figures = found.figures(title)
        if title.endswith(_FIRST):
            first = figures.p50
            goals = []
        else:
            goals = [Goal.below(figures.p50, first * DEEPER, f"{DEEPER:g} x first")]
        lines.append(Line(title, figures, goals=goals, rows=PAGE))
    return lines


_FIRST = "first page"


async def _pages(url: str) -> dict[str, list[str]]:
    """Give the paths of pages by what is read."""
    newest = AnnotationFilter(order="-created")
    by_night = AnnotationFilter(order="night", instrument=("LSSTCam",))
    found: dict[str, list[str]] = {}
    connection = await database.connect(url, database.BULK)
    for title, asked, columns, where in (
        ("newest", newest, "annotation_created_at, annotation_id", "true"),
        (
            "LSSTCam by night",
            by_night,
            "day_obs, seq_num, annotation_id",
            "instrument = 'LSSTCam'",
        ),
    ):
        way = " desc" if asked.ordering.descending else ""
        order = columns.replace(",", way + ",") + way
        listed = f"from revision r where {_NOW} and {where}"
        total = await connection.fetchval(f"select count(*) {listed}")
        query = {"order": asked.ordering.word, "limit": PAGE}
        if asked.instrument:
            query["instrument"] = asked.instrument[0]
        found[f"{title}, {_FIRST}"] = [f"{PATH}?{urlencode(query)}"]
        for depth in DEPTHS:
            places = await connection.fetch(
                f"""
                select {columns} from (
                  select {columns}, row_number() over (order by {order}) as place
                    {listed} order by {order} limit {PAGE * 20}
                  offset {int(total * depth)}) p
                 where place % {PAGE} = 0 order by place
                """
            )
            cursors = [asked.cursor_after(tuple(place)) for place in places]
            found[f"{title}, after {depth:.0%}"] = [
                f"{PATH}?{urlencode(query | {'cursor': one})}" for one in cursors
            ]
    await connection.close()
    return found
