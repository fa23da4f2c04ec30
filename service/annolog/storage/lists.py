"""Lists of annotations, or of all their revisions."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
from typing_extensions import override

from annolog.domain.orders import Beyond, Equal, Key
from annolog.domain.queries import AnnotationFilter
from annolog.storage import paging
from annolog.storage.annotation_conditions import (
    CURRENT,
    AnnotationConditions,
    Way,
    reaching,
)
from annolog.storage.conditions import (
    Binds,
    at_nights,
    columns,
    every,
    fill,
    in_stretch,
    order_by,
)
from annolog.storage.database import Connection
from annolog.storage.paging import Group, Page, Part, Search, worded

MAX_TEXTS = 10_000
"""Texts that one page looks through for `contains`."""
TEXTS_AT_ONCE = 500
"""Texts fetched at once for `contains`."""

_NO_LIMIT = 2**31 - 1


class AnnotationRow(NamedTuple):
    """One revision in a list.

    Attributes
    ----------
    place
        Its place in the order asked for.
    number
        Change number that brought it.
    annotation_id, revision_id
        Its ids.
    annotation_created_at
        When the annotation was created (UTC).
    current
        Whether it is its annotation's current revision.
    counted
        Whether it counts for a target now (current replies without targets: whether
        they are not retracted).
    body
        Canonical JSON of the record.
    keys
        JSON list of its targets where the body does not hold them, else None.
    """

    place: Key
    number: int
    annotation_id: UUID
    revision_id: UUID
    annotation_created_at: datetime
    current: bool
    counted: bool
    body: bytes
    keys: bytes | None


class ListedRow(NamedTuple):
    """One revision in a list: no more of it than lists show.

    Attributes
    ----------
    place
        Its place in the order asked for; empty but for the last rows of what was
        read at once, behind which a list may go on.
    number, annotation_id, current, counted, body, keys
        As `AnnotationRow` has them.
    """

    place: Key
    number: int
    annotation_id: UUID
    current: bool
    counted: bool
    body: bytes
    keys: bytes | None


ROW = f"""
    r.number, r.annotation_id, r.revision_id, r.annotation_created_at,
    {CURRENT} as current, r.counted, b.body, l.keys
"""
"""Columns of an `AnnotationRow` behind its place (r is the revision)."""

BODIES = """
join record b on b.record_id = r.revision_id
left join target_list l on l.list_id = r.list_id
"""
"""What they are read from beside the revision."""

_COLUMNS = (
    "number",
    "annotation_id",
    "current",
    "counted",
    "body",
    "list_id",
)
_PAGE = f"""
select {{place}}, r.number, r.annotation_id, {CURRENT} as current, r.counted, b.body,
    r.list_id
from ({{chosen}} order by {{order}} limit {{limit}}) r
join record b on b.record_id = r.revision_id order by {{order}}
"""  # noqa: S608 - a constant of this module

_LISTS = "select list_id, keys from target_list where list_id = any($1)"

_WALK = "select r.* from ({along}) r where {rest}"

# `offset 0` skips nothing: it keeps the order's index out of the inner query.
_SIFT = "select r.* from ({revisions} offset 0) r where {stretch} and {rest}"

_GATHER = """
    select r.* from (
        with found as materialized (select distinct s.annotation_id as id {said})
        select r.* from found cross join lateral (
            select r.* from revision r where r.annotation_id = found.id and {wanted}
        ) r
    ) r where {stretch} and {rest}
"""

_COUNT = "select count(*), {seen} from (select 1 from ({chosen} limit {limit}) r) few"

_FITTING = """
    select r.* from (select r.* from revision r where {stretch} limit {walk}) r
    where {rest}
"""

_SEEN = """(
    select count(*) from (select 1 from revision r where {stretch} limit {walk}) seen
)"""


class _Text(msgspec.Struct):
    text: str = ""


_read_text = msgspec.json.Decoder(_Text).decode

_EXPLAIN = "explain (format json) {revisions}"
_ROWS = "select reltuples from pg_class where oid = 'revision'::regclass"


class _Rows(msgspec.Struct):
    rows: float = msgspec.field(name="Plan Rows")


class _Plan(msgspec.Struct):
    plan: _Rows = msgspec.field(name="Plan")


_read_plan = msgspec.json.Decoder(tuple[_Plan]).decode


class _Annotations(Search[ListedRow, AnnotationFilter]):
    table = "revision"

    def __init__(self, connection: Connection, asked: AnnotationFilter) -> None:
        super().__init__(connection, asked)
        self.conditions = AnnotationConditions(asked)
        self.way: Way | None = None

    @override
    def groups(self, after: Key | None) -> Sequence[Group]:
        """Split the rest of the list at the first of the nights asked for.

        In the order of nights nearly all that is asked for begins between their
        edges, in one stretch of the index; the rest begins before and reaches in.
        """
        groups = super().groups(after)
        low, high = self.asked.nights
        if self.order.name != "night" or not (low or high) or self.asked.target:
            return groups
        # The last group is of what has no night.
        return [
            [side for part in group for side in self._sides(part, low)]
            for group in groups[:-1]
        ]

    def _sides(self, part: Part, low: int | None) -> Iterator[Part]:
        """Split a stretch at the first night, as far as it has both sides."""
        least: int | None = None
        most: int | None = None
        match part.stretch[0]:
            case Equal(_, int() as day):
                least = most = day
            case Beyond(_, (int() as day, *_)):
                least, most = (None, day) if self.order.descending else (day, None)
            case _:
                pass
        if low and (least is None or least < low):
            yield Part(part.stretch, "before")
        if not low or most is None or most >= low:
            yield Part(part.stretch, "inside")

    @override
    async def walks_at_once(self, group: Group, want: int) -> bool:
        # Between the nights asked for, a walk meets hardly anything else; and most
        # that is said is said of the instrument asked for.
        if any(part.side for part in group) or self.conditions.only_instrument:
            return True
        return self.conditions.listed and await self._is_frequent(want)

    async def _is_frequent(self, want: int) -> bool:
        """Say whether words or tags are likely to be met soon, wherever one looks.

        Their index gives its whole list before the first can be counted, which takes
        longer than a walk; the planner knows the frequent ones.
        """
        bind = Binds()
        query = fill(
            _EXPLAIN, revisions=self.conditions.revisions("1", "revision", bind)
        )
        plan = await self.connection.fetchval(query, *bind.values)
        expected = _read_plan(plan)[0].plan.rows
        if expected <= want:
            return False
        # Of a word that it has never seen the planner expects one text in a thousand:
        # of very many texts that is not few, and still no walk would meet it.
        walk = paging.SHORT_WALK if expected <= paging.FEW else paging.LONG_WALK
        whole = await self.connection.fetchval(_ROWS)
        return bool(expected * walk > 2 * want * whole)

    @override
    async def insist(self) -> bool:
        return self.conditions.listed and await self.probe(paging.MOST)

    @override
    def stretch(self, part: Part, bind: Binds) -> str:
        found = [self.conditions.base, *in_stretch(self.order, part.stretch, bind)]
        low, _ = self.asked.nights
        if part.side == "inside":
            found += at_nights(self.asked, bind, "r")
        elif part.side == "before" and low:
            found.append(reaching(low, bind))
        lane = self.conditions.lane
        if lane is not None:
            column, cast, value = lane
            found.append(f"{column} = {bind(value, cast)}")
        return every([*found, *self.conditions.times(bind)])

    @override
    async def probe(self, most: int) -> bool:
        for way in self.conditions.ways:
            bind = Binds()
            if way == "said":
                source = self.conditions.statements(bind, probing=True)
            else:
                source = f"from ({self.conditions.revisions('1', way, bind)}) r"
            if await self.at_most(most, source, bind):
                self.way = way
                return True
        return False

    def gathered(self, bind: Binds, stretch: str) -> str:
        """Give a query of all candidates that fit."""
        rest = self.conditions.rest(bind, self.way)
        if self.way == "said":
            wanted = "true" if self.conditions.all_revisions else f"{CURRENT} limit 1"
            said = self.conditions.statements(bind)
            return fill(_GATHER, said=said, wanted=wanted, stretch=stretch, rest=rest)
        revisions = self.conditions.revisions("r.*", self.way or "revision", bind)
        return fill(_SIFT, revisions=revisions, stretch=stretch, rest=rest)

    @override
    async def read(self, group: Group, limit: int, *, gather: bool) -> list[ListedRow]:
        bind = Binds()
        if gather:
            chosen = self.gathered(bind, self.anywhere(group, bind))
        else:
            along = self.along(group, bind)
            chosen = fill(_WALK, along=along, rest=self.conditions.rest(bind, None))
        query = fill(
            _PAGE,
            place=self.place_columns(),
            chosen=chosen,
            order=order_by(self.order),
            limit=str(limit),
        )
        return await self._rows(query, bind, 1 if self.asked.contains else limit - 1)

    async def _rows(self, query: str, bind: Binds, placed: int) -> list[ListedRow]:
        """Read rows; only those from some number on (from 1) need their place.

        Reading a time takes longer than all else of a row.
        """
        keys = self.place_names()
        query = columns(query, _COLUMNS, keys, max(placed, 1))
        found = await self.connection.fetchrow(query, *bind.values)
        if found is None or found[0] is None:
            return []
        *whole, lists = found[: len(_COLUMNS)]
        ends = list(zip(*found[len(_COLUMNS) :], strict=True))
        places = [*[()] * (len(lists) - len(ends)), *ends]
        # Few annotations have a list of targets of its own; it may be long.
        named = [one for one in lists if one is not None]
        known: dict[UUID, bytes] = {}
        if named:
            for one in await self.connection.fetch(_LISTS, named):
                known[one["list_id"]] = one["keys"]
        return list(map(ListedRow, places, *whole, map(known.get, lists)))

    async def containing(
        self, needle: str, after: Key | None, limit: int
    ) -> Page[ListedRow]:
        """Read a page of what has some characters in its text, which no index has."""
        rows: list[ListedRow] = []
        place = after
        looked = walks = 0
        while True:
            found, place = await self.ahead(place, TEXTS_AT_ONCE)
            looked += len(found)
            rows += [r for r in found if needle in _read_text(r.body).text.casefold()]
            if len(rows) > limit:
                return Page.cut(rows, limit)
            if place is None:
                return Page(tuple(rows), None)
            full = len(found) >= TEXTS_AT_ONCE
            walks += not full
            if walks > 1 or (full and looked >= MAX_TEXTS):
                return Page(tuple(rows), place, scan_stopped=True)
            if not full:
                await self.persist(len(found), TEXTS_AT_ONCE)

    async def count(self) -> int | str:
        """Count all, as far as that goes."""
        bind, asked = Binds(), self.asked
        exact = asked.one_night
        # A night is gathered whole, so its count costs no more for being exact.
        limit = bind(_NO_LIMIT if exact else paging.EXACT_COUNT + 1, "int")
        if await self.probe(_NO_LIMIT - 1 if exact else paging.MANY):
            chosen, seen = self.gathered(bind, every(self.conditions.times(bind))), "0"
        else:
            walk = bind(paging.COUNT_WALK, "int")
            plain = [*self.conditions.times(bind), *self.conditions.of_revision(bind)]
            stretch = every([self.conditions.base, *plain])
            rest = self.conditions.rest(bind, None)
            chosen = fill(_FITTING, stretch=stretch, walk=walk, rest=rest)
            seen = fill(_SEEN, stretch=stretch, walk=walk)
        query = fill(_COUNT, chosen=chosen, seen=seen, limit=limit)
        row = await self.connection.fetchrow(query, *bind.values)
        return worded(row, exact=exact)


async def annotations(
    connection: Connection, asked: AnnotationFilter, after: Key | None, limit: int
) -> Page[ListedRow]:
    """List annotations (or revisions) in the order asked for.

    Parameters
    ----------
    connection
        For reading; no transaction is needed.
    asked
        Filters and order. Targets by key.
    after
        Place of the last row seen (`asked.after()`); None begins.
    limit
        Rows of the page, at least 1.

    Returns
    -------
    Page of ListedRow
        The rows, and where the list goes on.
    """
    search = _Annotations(connection, asked)
    if asked.contains:
        return await search.containing(asked.contains.casefold(), after, limit)
    return await search.page(after, limit)


async def count_annotations(
    connection: Connection, asked: AnnotationFilter
) -> int | str:
    """Count what a list holds in all.

    Returns
    -------
    int or str
        Exact up to 10,000, and for a single night; else "10000+", or the number
        found so far and a "+" where no index helps and the search stopped.
        `contains` is not taken into account: filters refuse the two together.
    """
    return await _Annotations(connection, asked).count()
