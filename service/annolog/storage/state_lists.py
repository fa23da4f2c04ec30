"""Lists of target states: what now holds for targets."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from typing_extensions import override

from annolog.domain.orders import Equal, Key, ranges_within
from annolog.domain.queries import NO_FLAG, TargetFilter
from annolog.storage import paging
from annolog.storage.conditions import (
    INSTRUMENTS,
    Binds,
    asks_tags,
    at_nights,
    at_place,
    every,
    fill,
    has_flag,
    has_tags,
    in_stretch,
    is_same,
    order_by,
)
from annolog.storage.database import Connection
from annolog.storage.paging import Group, Page, Part, Search, worded

_FREQUENT = ("exposure", "detector", "dataset")
# Kinds that are in no index of their own, as nearly all targets are of them.


class StateRow(NamedTuple):
    """What now holds for one target, as the view table has it.

    Attributes
    ----------
    place
        Its place in the order asked for.
    names
        Other names, sorted; of all targets that are known to be the same.
    """

    place: Key
    target_id: int
    key: str
    kind: str
    instrument: str | None
    day_obs: int | None
    seq_num: int | None
    exposure_id: int | None
    detector: int | None
    dataset_id: UUID | None
    names: list[str]
    flag: str | None
    decided_by: list[UUID]
    outvoted: list[UUID]
    disputed: bool
    bots_differ: bool
    follow_ups: list[UUID]
    tags: list[str]
    notes: int
    empty: bool
    number: int
    basis: int
    site_id: str


_PAGE = """
select {place}, r.target_id, t.key, r.kind, r.instrument, r.day_obs, r.seq_num,
    t.exposure_id, t.detector, t.dataset_id,
    array(
        select distinct n.name collate "C"
        from target j join target_name n using (target_id)
        where j.class_id = t.class_id order by 1
    ), r.flag, r.decided_by, r.outvoted,
    r.disputed, r.bots_differ, r.follow_ups, r.tags, r.notes, r.empty, r.number,
    r.basis, coalesce((
        select i.site_id from site i where i.first_number <= r.number
        order by i.first_number desc limit 1
    ), '') as site_id
from (
    {chosen} order by {order} limit {limit}
) r join target t on t.target_id = r.target_id
order by {order}
"""

_WALK = "select r.* from ({along}) r where {rest}"

# `offset 0` skips nothing: it keeps the order's index out of the inner query.
_SIFT = """
    select r.* from (select r.* from target_state r where {candidates} offset 0) r
    where {stretch} and {rest}
"""

_COUNT = """
select count(*), (select count(*) from (
    select 1 from target_state r where {base} limit {walk}
) seen) from (
    select 1 from (select r.* from target_state r where {base} limit {walk}) r
    where {rest} limit {limit}
) few
"""

_INSTRUMENTS = "select " + fill(INSTRUMENTS, table="target_state", test="true")


class _States(Search[StateRow, TargetFilter]):
    table = "target_state"

    def __init__(self, connection: Connection, asked: TargetFilter) -> None:
        super().__init__(connection, asked)
        self.instruments: list[str] | None = None

    async def begin(self) -> None:
        """Learn the instruments where an index needs them named."""
        if self.asked.instrument:
            self.instruments = list(set(self.asked.instrument))
        elif any(self.asked.nights):
            found = await self.connection.fetchval(_INSTRUMENTS)
            self.instruments = found or []

    @override
    def groups(self, after: Key | None) -> Sequence[Group]:
        """Give the groups, one an instrument where instruments are named.

        The index begins with the instrument, and only within one of them is it in
        the order of nights. Named instruments follow each other as Python sorts
        them, whatever the collation of the database.
        """
        if self.instruments is None or self.order.name != "night":
            return super().groups(after)
        down = self.order.descending
        names = sorted(self.instruments, reverse=down)
        groups: list[Group] = []
        if after is not None:
            seen = str(after[0])
            same = (Equal("instrument", seen),)
            columns = self.order.columns[1:]
            found = ranges_within(same, columns, after[1:], descending=down)
            groups.append([Part(stretch) for stretch in found])
            names = [n for n in names if (n < seen if down else n > seen)]
        return [*groups, *([Part((Equal("instrument", name),))] for name in names)]

    @override
    def stretch(self, part: Part, bind: Binds) -> str:
        found = in_stretch(self.order, part.stretch, bind)
        if self.order.name == "night":
            found += at_nights(self.asked, bind, "r")
        return every(found)

    def candidates(self, bind: Binds) -> str | None:
        """Give what an index other than the order's finds; None: nothing."""
        asked = self.asked
        if asked.target:
            return is_same("r.target_id", asked, bind)
        flagged = asked.flag and NO_FLAG not in asked.flag
        if flagged or asked.disputed:
            rare = has_flag("r.flag", asked.flag, bind) if flagged else "r.disputed"
            return every([rare, *at_place(asked, bind, "r")])
        if asks_tags(asked):
            return every(has_tags(asked, bind, "r"))
        if asked.target_kind and not {*asked.target_kind} & {*_FREQUENT}:
            others = ", ".join(f"'{kind}'" for kind in _FREQUENT)
            kinds = bind.texts(asked.target_kind)
            return f"r.kind not in ({others}) and r.kind = any({kinds})"
        return self.at_places(bind) if self.order.name == "number" else None

    def at_places(self, bind: Binds) -> str | None:
        """Ask for the place, so that the index by nights is used; None: nowhere."""
        found = at_place(self.asked, bind, "r")
        if found and self.instruments is not None and not self.asked.instrument:
            found.append(f"r.instrument = any({bind.texts(self.instruments)})")
        return every(found) if found else None

    def rest(self, bind: Binds) -> str:
        """Give all that a row must be."""
        asked = self.asked
        found = at_place(asked, bind, "r")
        if not asked.empty:
            found.append("not r.empty")
        if asked.target:
            found.append(is_same("r.target_id", asked, bind))
        if asked.target_kind:
            found.append(f"r.kind = any({bind.texts(asked.target_kind)})")
        if asked.flag:
            found.append(has_flag("r.flag", asked.flag, bind))
        for column, wish in (
            ("r.disputed", asked.disputed),
            ("r.bots_differ", asked.bots_differ),
            ("r.follow_ups <> '{}'", asked.follow_up),
        ):
            if wish is not None:
                found.append(column if wish else f"not ({column})")
        return every([*found, *has_tags(asked, bind, "r")])

    @override
    async def probe(self, most: int) -> bool:
        bind = Binds()
        named = self.candidates(bind)
        if named is None:
            return False
        return await self.at_most(most, f"from target_state r where {named}", bind)

    @override
    async def read(self, group: Group, limit: int, *, gather: bool) -> list[StateRow]:
        bind = Binds()
        rest = self.rest(bind)
        if gather:
            named = self.candidates(bind) or "false"
            stretch = self.anywhere(group, bind)
            chosen = fill(_SIFT, candidates=named, stretch=stretch, rest=rest)
        else:
            chosen = fill(_WALK, along=self.along(group, bind), rest=rest)
        query = fill(
            _PAGE,
            place=self.place_columns(),
            chosen=chosen,
            order=order_by(self.order),
            limit=str(limit),
        )
        return [StateRow(*row) for row in await self.fetch(query, bind)]

    async def count(self) -> int | str:
        """Count all, as far as that goes."""
        bind, asked = Binds(), self.asked
        exact = asked.one_night
        base = self.candidates(bind) or self.at_places(bind) or "true"
        query = fill(
            _COUNT,
            base=base,
            rest=self.rest(bind),
            walk=bind(paging.COUNT_WALK, "int"),
            limit=bind(paging.COUNT_WALK if exact else paging.EXACT_COUNT + 1, "int"),
        )
        row = await self.connection.fetchrow(query, *bind.values)
        return worded(row, exact=exact)


async def targets(
    connection: Connection, asked: TargetFilter, after: Key | None, limit: int
) -> Page[StateRow]:
    """List target states in the order asked for; as `lists.annotations`."""
    search = _States(connection, asked)
    await search.begin()
    return await search.page(after, limit)


async def count_targets(connection: Connection, asked: TargetFilter) -> int | str:
    """Count what a list of target states holds; as `lists.count_annotations`."""
    search = _States(connection, asked)
    await search.begin()
    return await search.count()
