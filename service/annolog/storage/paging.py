"""How a page of a list is read, whatever it lists.

There are two ways. **Walk**: go along the index of the order from the place of the
cursor and keep what fits; good when much fits. **Gather**: let an index on what is
asked for name all candidates, and sort those; good when little fits. The estimates of
PostgreSQL cannot tell the two apart (nights and times of creation rise together), so a
count that stops early decides, and each statement is written so that only one plan
fits it. A walk is bounded: a page that would cost more says where the search stopped,
and its cursor goes on from there.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, Protocol, TypeVar

import asyncpg

from annolog.domain.orders import Key, Stretch, ranges_after
from annolog.domain.queries import ListFilter
from annolog.storage.conditions import Binds, fill, order_by
from annolog.storage.database import Connection

FEW = 10_000
"""Candidates up to which they are gathered at once (some 50 ms)."""
MANY = 50_000
"""Candidates up to which they are gathered when a walk found too little."""
MOST = 500_000
"""Candidates up to which they are gathered when walks found nothing (some seconds)."""
GLANCE = 0.2
"""Seconds after which candidates are taken for more than `FEW`."""
PATIENCE = 1.0
"""Seconds after which candidates are taken for more than can be gathered at all.

Whether words stand next to each other is in the text alone, so each text that has all
words of a phrase is read before one of them counts.
"""
SHORT_WALK = 5_000
"""Rows of the first walk along the order's index."""
LONG_WALK = 20_000
"""Rows of later walks; then the page ends with `scan_stopped`."""
EXACT_COUNT = 10_000
"""Greatest number that a count gives exactly."""
COUNT_WALK = 200_000
"""Rows that a count looks at where no index names the candidates."""


class Placed(Protocol):
    """A row that knows its place in its list."""

    @property
    def place(self) -> Key:
        """The sort values."""


RowT = TypeVar("RowT", bound=Placed)
FilterT = TypeVar("FilterT", bound=ListFilter)


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """Some rows of a list, and where it goes on.

    Attributes
    ----------
    rows
        In the order asked for; may be fewer than the limit only at the end of the
        list or when the search stopped.
    next
        Place to go on from; None at the end of the list.
    scan_stopped
        Whether the search stopped early: rows may be missing that `next` will bring.
    """

    rows: tuple[RowT, ...]
    next: Key | None
    scan_stopped: bool = False

    @classmethod
    def cut(cls, rows: Sequence[RowT], limit: int) -> "Page[RowT]":
        """Make a page of rows of which one more than the limit was asked for."""
        more = len(rows) > limit
        return cls(tuple(rows[:limit]), rows[limit - 1].place if more else None)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the order.

    Attributes
    ----------
    stretch
        Its conditions.
    side
        "inside": only between the nights asked for; "before": only what begins before
        them and reaches into them; None: neither matters.
    """

    stretch: Stretch
    side: Literal["before", "inside"] | None = None


Group = Sequence[Part]
"""Parts whose rows lie among each other: they are read together, by one statement."""

_ALONG = "select r.* from {table} r where {stretch} order by {order} limit {walk}"

# Of each part no more is read than is wanted: PostgreSQL merges sorted inputs.
_MERGED = "select r.* from ({parts}) r order by {order} limit {walk}"

_REACHED = """
select count(*) over () as scanned, {names} from ({along}) r
order by {reverse} limit 1
"""

_PROBE = "select count(*) from (select 1 {source} limit {limit}) few"


class Search(ABC, Generic[RowT, FilterT]):
    """One page in the making."""

    table: str
    """What is walked, under the alias r."""

    def __init__(self, connection: Connection, asked: FilterT) -> None:
        self.connection = connection
        self.asked = asked
        self.order = asked.ordering
        self.gathers: bool | None = None
        self.too_many = False
        self.walk = SHORT_WALK

    # ------------------------------------------------- what a list must tell

    def groups(self, after: Key | None) -> Sequence[Group]:
        """Give what lies behind a place: one group of parts after the other."""
        found = ranges_after(self.order, after)
        return [[Part(stretch) for stretch in group] for group in found]

    @abstractmethod
    def stretch(self, part: Part, bind: Binds) -> str:
        """Give what the index of the order takes in: a stretch and its own bounds."""

    @abstractmethod
    async def probe(self, most: int) -> bool:
        """Say whether an index names the candidates and they are at most so many."""

    @abstractmethod
    async def read(self, group: Group, limit: int, *, gather: bool) -> list[RowT]:
        """Read rows of one group, in order."""

    async def walks_at_once(self, group: Group, want: int) -> bool:
        """Say whether to walk first, however many candidates there are."""
        del group, want
        return False

    # ----------------------------------------------------------------- page

    async def page(self, after: Key | None, limit: int) -> Page[RowT]:
        """Read a page.

        Parameters
        ----------
        after
            Place of the last row seen; None begins.
        limit
            Rows of the page, at least 1.

        Returns
        -------
        Page
            The rows, and where the list goes on.
        """
        rows: list[RowT] = []
        place = after
        for attempt in range(3):
            found, place = await self.ahead(place, limit + 1 - len(rows))
            rows += found
            if len(rows) > limit:
                return Page.cut(rows, limit)
            if place is None:
                return Page(tuple(rows), None)
            if attempt == 0:
                await self.persist(len(found), limit + 1 - len(rows))
            elif rows or self.too_many or not await self.insist():
                break
            else:
                self.gathers = True
        return Page(tuple(rows), place, scan_stopped=True)

    async def ahead(
        self, after: Key | None, want: int
    ) -> tuple[list[RowT], Key | None]:
        """Read up to `want` rows; also where to go on, None at the end."""
        rows: list[RowT] = []
        for group in self.groups(after):
            gather = await self.choose(group, want)
            rows += await self.read(group, want - len(rows), gather=gather)
            if len(rows) >= want:
                return rows, rows[-1].place
            if not gather:
                place = await self.reached(group)
                if place is not None:
                    return rows, place
        return rows, None

    async def choose(self, group: Group, want: int) -> bool:
        """Say whether to gather rather than to walk."""
        if self.gathers is None:
            walks = await self.walks_at_once(group, want)
            self.gathers = not walks and await self.probe(FEW)
        return self.gathers

    async def persist(self, found: int, missing: int) -> None:
        """Go on after a walk that found too little.

        Parameters
        ----------
        found, missing
            Rows that the walk found, and those that the page lacks still. Where they
            lie close enough for the next walk nothing is counted.
        """
        self.walk = LONG_WALK
        promising = found * LONG_WALK > 2 * missing * SHORT_WALK
        self.gathers = not promising and await self.probe(MANY)

    async def insist(self) -> bool:
        """Say whether to gather, at whatever cost, when walks found nothing at all."""
        return False

    async def at_most(self, most: int, source: str, bind: Binds) -> bool:
        """Say whether a source (from `from` on) has at most so many rows.

        One that cannot be counted in time (`GLANCE`, `PATIENCE`) has more.
        """
        patience = GLANCE if most <= FEW else PATIENCE
        query = fill(_PROBE, source=source, limit=bind(most + 1, "int"))
        try:
            count = await self.connection.fetchval(
                query, *bind.values, timeout=patience
            )
        except TimeoutError:
            self.too_many = most > FEW
            return False
        return bool(count <= most)

    def along(self, group: Group, bind: Binds) -> str:
        """Give a query of the next rows of the table, as far as a walk goes.

        How far is not bound: PostgreSQL then keeps a plan instead of planning anew.
        """
        order, walk = order_by(self.order), str(self.walk)
        parts = [
            fill(
                _ALONG,
                table=self.table,
                stretch=self.stretch(part, bind),
                order=order,
                walk=walk,
            )
            for part in group
        ]
        if len(parts) == 1:
            return parts[0]
        union = " union all ".join(f"({part})" for part in parts)
        return fill(_MERGED, parts=union, order=order, walk=walk)

    def anywhere(self, group: Group, bind: Binds) -> str:
        """Give the condition of being in one of some parts."""
        parts = [self.stretch(part, bind) for part in group]
        return parts[0] if len(parts) == 1 else f"({' or '.join(parts)})"

    async def reached(self, group: Group) -> Key | None:
        """Say where a walk ended by its bound; None when it came to the end."""
        bind = Binds()
        back = replace(self.order, descending=not self.order.descending)
        query = fill(
            _REACHED,
            along=self.along(group, bind),
            names=", ".join(f"r.{column.name}" for column in self.order.columns),
            reverse=order_by(back),
        )
        row = await self.connection.fetchrow(query, *bind.values)
        return tuple(row[1:]) if row and row["scanned"] >= self.walk else None

    async def fetch(self, query: str, bind: Binds) -> list[tuple[Any, ...]]:
        """Run a statement whose first columns are `place_columns`.

        Returns
        -------
        list of tuple
            The place of each row, then its other columns.
        """
        rows = await self.connection.fetch(query, *bind.values)
        width = len(self.order.columns)
        return [(row[:width], *row[width:]) for row in rows]

    def place_columns(self) -> str:
        """Give the columns of a row's place, under names of their own."""
        named = zip(self.order.columns, self.place_names(), strict=True)
        return ", ".join(f"r.{column.name} as {name}" for column, name in named)

    def place_names(self) -> list[str]:
        """Name the columns of a row's place."""
        return [f"key_{i}" for i, _ in enumerate(self.order.columns)]


def worded(row: asyncpg.Record | None, *, exact: bool) -> int | str:
    """Word a count.

    Parameters
    ----------
    row
        How many fit, and how many were looked at.
    exact
        Whether the number is said as it is, however great.

    Returns
    -------
    int or str
        "10000+", or the number found so far and a "+", where it is not exact.
    """
    number, seen = (row[0], row[1]) if row else (0, 0)
    if exact and seen < COUNT_WALK:
        return int(number)
    if number > EXACT_COUNT:
        return f"{EXACT_COUNT}+"
    return f"{number}+" if seen >= COUNT_WALK else int(number)
