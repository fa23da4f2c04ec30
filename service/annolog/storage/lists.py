"""Lists of annotations, or of all their revisions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

import msgspec
from typing_extensions import override

from annolog.domain.orders import Equal, IsNull, Key
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
    every,
    fill,
    in_stretch,
    order_by,
)
from annolog.storage.database import Connection
from annolog.storage.paging import Page, Part, Search, worded

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

_PAGE = """
select {place}, {row} from (
    {chosen} order by {order} limit {limit}
) r {bodies} order by {order}
"""

_WALK = """
    select r.* from (
        select r.* from revision r where {stretch} order by {order} limit {walk}
    ) r where {rest}
"""

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


class _Annotations(Search[AnnotationRow, AnnotationFilter]):
    table = "revision"

    def __init__(self, connection: Connection, asked: AnnotationFilter) -> None:
        super().__init__(connection, asked)
        self.conditions = AnnotationConditions(asked)
        self.way: Way | None = None

    @override
    def parts(self, after: Key | None) -> Sequence[Part]:
        """Split the rest of the list at the first of the nights asked for.

        In the order of nights nearly all that is asked for begins between their
        edges, in one stretch of the index; the rest begins before and reaches in.
        """
        stretches = super().parts(after)
        low, high = self.asked.nights
        if self.order.name != "night" or not (low or high) or self.asked.target:
            return stretches
        sides: list[Literal["before", "inside"]] = ["inside"]
        if low:
            sides.insert(1 if self.order.descending else 0, "before")
        parts: list[Part] = []
        for one in stretches:
            match one.stretch[0]:
                case IsNull():
                    continue
                case Equal(_, int() as day) if low and day < low:
                    parts.append(Part(one.stretch, "before"))
                case Equal():
                    parts.append(Part(one.stretch, "inside"))
                case _:
                    parts += [Part(one.stretch, side) for side in sides]
        return parts

    @override
    def walks_at_once(self, part: Part) -> bool:
        # Between the nights asked for, a walk meets hardly anything else; and most
        # that is said is said of the instrument asked for.
        return part.side is not None or self.conditions.only_instrument

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
    async def read(
        self, part: Part, limit: int, *, gather: bool
    ) -> list[AnnotationRow]:
        bind = Binds()
        order, stretch = order_by(self.order), self.stretch(part, bind)
        if gather:
            chosen = self.gathered(bind, stretch)
        else:
            rest, walk = self.conditions.rest(bind, None), bind(self.walk, "int")
            chosen = fill(_WALK, stretch=stretch, order=order, walk=walk, rest=rest)
        query = fill(
            _PAGE,
            place=self.place_columns(),
            row=ROW,
            bodies=BODIES,
            chosen=chosen,
            order=order,
            limit=bind(limit, "int"),
        )
        return [AnnotationRow(*row) for row in await self.fetch(query, bind)]

    async def containing(
        self, needle: str, after: Key | None, limit: int
    ) -> Page[AnnotationRow]:
        """Read a page of what has some characters in its text, which no index has."""
        rows: list[AnnotationRow] = []
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
                await self.persist()

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
) -> Page[AnnotationRow]:
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
    Page of AnnotationRow
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
