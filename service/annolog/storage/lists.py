"""Lists of annotations, of target states, and of what belongs to one annotation.

There are two ways to read a page. **Walk**: go along the index of the order from the
place of the cursor and keep what fits; good when much fits. **Gather**: let an index
on what is asked for name all candidates, and sort those; good when little fits. The
estimates of PostgreSQL cannot tell the two apart (nights and times of creation rise
together), so a count that stops early decides, and each statement is written so that
only one plan fits it. A walk is bounded: a page that would cost more says where the
search stopped, and its cursor goes on from there.

Statements are put together from fixed fragments; what a user sent is bound. Nothing
here skips rows by OFFSET.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from annolog.domain.queries import (
    NO_FLAG,
    AnnotationFilter,
    Beyond,
    Condition,
    Equal,
    IsNull,
    Key,
    ListFilter,
    NotNull,
    Order,
    Stretch,
    TargetFilter,
    ranges_after,
)
from annolog.storage.database import Connection

FEW = 10_000
"""Candidates up to which they are gathered at once (some 50 ms)."""
MANY = 50_000
"""Candidates up to which they are gathered when a walk found too little."""
SHORT_WALK = 5_000
"""Rows of the first walk along the order's index."""
LONG_WALK = 20_000
"""Rows of later walks; then the page ends with `scan_stopped`."""
MAX_TEXTS = 10_000
"""Texts that one page looks through for `contains`."""
TEXTS_AT_ONCE = 500
"""Texts fetched at once for `contains`."""
EXACT_COUNT = 10_000
"""Greatest number that a count gives exactly."""
COUNT_WALK = 200_000
"""Rows that a count looks at where no index names the candidates."""

_NO_LIMIT = 2**31 - 1

# ---------------------------------------------------------------- values out


class AnnotationRow(NamedTuple):
    """One revision in a list.

    Attributes
    ----------
    key
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

    key: Key
    number: int
    annotation_id: UUID
    revision_id: UUID
    annotation_created_at: datetime
    current: bool
    counted: bool
    body: bytes
    keys: bytes | None


class StateRow(NamedTuple):
    """What now holds for one target, as the view table has it.

    Attributes
    ----------
    order
        Its place in the order asked for.
    names
        Other names, sorted; of all targets that are known to be the same.
    """

    order: Key
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


class ReviewRow(NamedTuple):
    """One review in a list.

    Attributes
    ----------
    key
        (clock, review_id).
    number
        Change number that brought it.
    body
        Canonical JSON of the record.
    keys
        JSON list of the targets named where the body does not hold them, else None.
    """

    key: Key
    number: int
    body: bytes
    keys: bytes | None


RowT = TypeVar("RowT")


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


# --------------------------------------------------------------- fragments


class _Binds:
    """Values of one statement, numbered as they are mentioned."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def __call__(self, value: object, cast: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{cast}"


def _sql(template: str, **parts: str) -> str:
    # The parts are fragments of this module and placeholders, never a user's words.
    return template.format(**parts)


def _all(conditions: Iterable[str]) -> str:
    return " and ".join(conditions) or "true"


_CASTS = {"time": "timestamptz", "uuid": "uuid", "int": "bigint", "text": "text"}


def _condition(
    order: Order, condition: Condition, bind: _Binds, alias: str = "r"
) -> str:
    casts = {column.name: _CASTS[column.kind] for column in order.columns}
    match condition:
        case Equal(column, value):
            return f"{alias}.{column} = {bind(value, casts[column])}"
        case IsNull(column):
            return f"{alias}.{column} is null"
        case NotNull(column):
            return f"{alias}.{column} is not null"
        case Beyond(columns, values):
            left = ", ".join(f"{alias}.{column}" for column in columns)
            right = ", ".join(
                bind(value, casts[column])
                for column, value in zip(columns, values, strict=True)
            )
            sign = "<" if order.descending else ">"
            return f"({left}) {sign} ({right})"


def _order_by(order: Order, alias: str = "r") -> str:
    way = "desc" if order.descending else "asc"
    return ", ".join(f"{alias}.{column.name} {way}" for column in order.columns)


def _flag(column: str, flags: Sequence[str], bind: _Binds) -> str:
    some = f"{column} = any({bind(list(flags), 'text[]')})"
    return f"({some} or {column} is null)" if NO_FLAG in flags else some


def _place(
    asked: ListFilter, bind: _Binds, alias: str, instruments: str | None = None
) -> list[str]:
    """Conditions on instrument, night and sequence number."""
    found = []
    if asked.instrument:
        found.append(f"{alias}.instrument = any({bind([*asked.instrument], 'text[]')})")
    elif instruments and any(asked.nights):
        # The index begins with the instrument; naming all of them makes it usable.
        found.append(f"{alias}.instrument = any({instruments})")
    low, high = asked.nights
    if low is not None and low == high:
        found.append(f"{alias}.day_obs = {bind(low, 'int')}")
    else:
        if low is not None:
            found.append(f"{alias}.day_obs >= {bind(low, 'int')}")
        if high is not None:
            found.append(f"{alias}.day_obs <= {bind(high, 'int')}")
    ranges = asked.ranges
    if ranges:
        first, last = bind(ranges[0][0], "int"), bind(ranges[-1][1], "int")
        found.append(f"{alias}.seq_num between {first} and {last}")
    if len(ranges) > 1:
        lows = bind([low for low, _ in ranges], "int[]")
        highs = bind([high for _, high in ranges], "int[]")
        found.append(
            f"exists (select from unnest({lows}, {highs}) as part(low, high)"
            f" where {alias}.seq_num between part.low and part.high)"
        )
    return found


def _tags(
    asked: AnnotationFilter | TargetFilter, bind: _Binds, alias: str
) -> list[str]:
    found = []
    if asked.tags_any:
        found.append(f"{alias}.tags && {bind([*asked.tags_any], 'text[]')}")
    if asked.tags_all:
        found.append(f"{alias}.tags @> {bind([*asked.tags_all], 'text[]')}")
    if asked.tags_none:
        found.append(f"not ({alias}.tags && {bind([*asked.tags_none], 'text[]')})")
    return found


_SAME_TARGETS = """(
    select same.target_id from target named
    join target same on same.class_id = named.class_id
    where named.key = any({keys})
)"""

# min() of the rest, again and again: one probe of the index per instrument.
_INSTRUMENTS = """(
    with recursive known(name) as (
        select min(instrument) from {table} where {test}
        union all
        select (
            select min(instrument) from {table}
            where {test} and instrument > known.name
        ) from known where known.name is not null
    ) select array_agg(name) from known where name is not null
)::text[]"""
_SAID_INSTRUMENTS = _INSTRUMENTS.format(table="said", test="to_number is null")
_TARGET_INSTRUMENTS = _INSTRUMENTS.format(table="target", test="true")

_STATE_INSTRUMENTS = """
with recursive known(name) as (
    select min(instrument) from target_state
    union all
    select (
        select min(instrument) from target_state where instrument > known.name
    ) from known where known.name is not null
) select name from known where name is not null
"""

# ------------------------------------------------------------- annotations

_CURRENT = "r.current_from is not null and r.current_to is null"

# Scalar subqueries, not EXISTS: they are never turned into a join that would read
# the whole table `said` for one page.
_COUNTS = """(
    r.operation <> 'retract' and (r.target_count = 0 or coalesce((
        select true from said s
        where s.source_id = r.annotation_id and s.to_number is null limit 1
    ), false))
)"""

_SAID_OF = """coalesce((
    select true {said} limit 1
), false)"""

_STATEMENT = "s.source_id = s.annotation_id"

_WALK = """
select {columns} from (
    select r.* from (
        select r.* from revision r where {stretch} order by {order} limit {walk}
    ) r where {rest} order by {order} limit {limit}
) r
join record b on b.record_id = r.revision_id
left join target_list l on l.list_id = r.list_id
order by {order}
"""

_GATHER = """
with found as materialized (select distinct s.annotation_id as id {source})
select {columns} from (
    select r.* from found cross join lateral (
        select r.* from revision r where r.annotation_id = found.id and {wanted}
    ) r where {stretch} and {rest} order by {order} limit {limit}
) r
join record b on b.record_id = r.revision_id
left join target_list l on l.list_id = r.list_id
order by {order}
"""

_REACHED = """
select count(*) over () as scanned, {names} from (
    select r.* from {table} r where {stretch} order by {order} limit {walk}
) r order by {reverse} limit 1
"""

_PROBE = "select count(*) from (select 1 {source} limit {limit}) few"

_COUNT_WALK = """
select count(*), (select count(*) from (
    select 1 from revision r where {base} limit {walk}
) seen) from (
    select 1 from (select r.* from revision r where {base} limit {walk}) r
    where {rest} limit {limit}
) counted
"""

_COUNT_GATHER = """
with found as materialized (select distinct s.annotation_id as id {source})
select count(*), 0 from (
    select 1 from found cross join lateral (
        select r.* from revision r where r.annotation_id = found.id and {wanted}
    ) r where {rest} limit {limit}
) counted
"""


def _columns(order: Order, counted: str = f"{_CURRENT} and {_COUNTS}") -> str:
    key = ", ".join(f"r.{c.name} as key_{i}" for i, c in enumerate(order.columns))
    return (
        f"{key}, r.number, r.annotation_id, r.revision_id, r.annotation_created_at,"
        f" {_CURRENT} as current, {counted} as counted, b.body, l.keys"
    )


class _Text(msgspec.Struct):
    text: str = ""


_read_text = msgspec.json.Decoder(_Text).decode


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the order, and on which side of the nights asked for it lies."""

    stretch: Stretch
    side: str | None = None


def _sides(asked: AnnotationFilter, after: Key | None) -> list[_Part]:
    """Split the rest of the list at the edges of the nights asked for.

    In the order of nights nearly all that is asked for lies between the edges, in one
    stretch of the index. What lies outside names a target inside as a later one.
    """
    order = asked.ordering
    stretches = ranges_after(order, after)
    low, high = asked.nights
    if order.name != "night" or not any((low, high)) or asked.target:
        return [_Part(stretch) for stretch in stretches]
    sides = ["before", "inside", "after"]
    if order.descending:
        sides.reverse()
    parts = []
    for stretch in stretches:
        day = next((c for c in stretch if getattr(c, "column", "") == "day_obs"), None)
        match day:
            case IsNull():
                parts.append(_Part(stretch, "nowhere"))
            case Equal(_, int() as value):
                side = "before" if low and value < low else "inside"
                side = "after" if high and value > high else side
                parts.append(_Part(stretch, side))
            case _:
                parts.extend(
                    _Part(stretch, side)
                    for side in sides
                    if (low or side != "before") and (high or side != "after")
                )
    return parts


class _Annotations:
    """One page of annotations in the making."""

    def __init__(self, connection: Connection, asked: AnnotationFilter) -> None:
        self.connection = connection
        self.asked = asked
        self.order = asked.ordering
        self.all_revisions = asked.revisions == "all"
        self.ever = self.all_revisions or asked.counted == "all"
        self.gathers: bool | None = None
        self.walk = SHORT_WALK

    # ------------------------------------------------------------ fragments

    def base(self) -> str:
        return "true" if self.all_revisions else _CURRENT

    def wanted(self) -> str:
        """Conditions in the lateral join, which finds one row per annotation."""
        return "true" if self.all_revisions else f"{_CURRENT} limit 1"

    def said(self, bind: _Binds, link: str | None) -> str:
        """Say from where and by which conditions a target is what is asked for.

        `link` tells statements from confirming reviews, whose rows name an annotation
        too. A probe goes without it, so that the index alone answers.
        """
        asked = self.asked
        tables = "from said s"
        conditions = [link] if link else []
        stated = asked.effective_flag or asked.disputed is not None
        if self.ever or asked.target_kind or stated:
            tables += " join target t on t.target_id = s.target_id"
        if stated:
            tables += " left join target_state h on h.target_id = t.class_id"
        if self.ever:
            # Closed intervals are in no index by night, but their targets are.
            conditions += _place(asked, bind, "t", _TARGET_INSTRUMENTS)
        else:
            conditions.append("s.to_number is null")
            conditions += _place(asked, bind, "s", _SAID_INSTRUMENTS)
        if asked.target:
            keys = bind([*asked.target], "text[]")
            conditions.append(f"s.target_id in {_sql(_SAME_TARGETS, keys=keys)}")
        if asked.target_kind:
            conditions.append(f"t.kind = any({bind([*asked.target_kind], 'text[]')})")
        if asked.effective_flag:
            conditions.append(_flag("h.flag", asked.effective_flag, bind))
        if asked.disputed is not None:
            is_so = "is true" if asked.disputed else "is not true"
            conditions.append(f"h.disputed {is_so}")
        return f"{tables} where {_all(conditions)}"

    def source(self, bind: _Binds, *, probing: bool = False) -> str | None:
        """Give the index that names the candidates (alias s); None: there is none."""
        asked = self.asked
        current = self.base().replace("r.", "s.")
        flagged = (
            asked.flag and not self.ever and not {NO_FLAG, "withdraw"} & {*asked.flag}
        )
        if asked.reply_to:
            which = f"s.reply_to = {bind(asked.reply_to, 'uuid')}"
        elif self.narrow:
            said = self.said(bind, None if probing else _STATEMENT)
            if flagged:
                said += f" and s.flag = any({bind([*asked.flag], 'text[]')})"
            return said
        elif asked.words or asked.phrase:
            which = _all(self.texts(bind, "s"))
        elif asked.tags_any or asked.tags_all:
            which = _all(_tags(asked, bind, "s"))
        elif flagged:
            flags = bind([*asked.flag], "text[]")
            return (
                "from said s where s.source_id = s.annotation_id"
                f" and s.to_number is null and s.flag = any({flags})"
                " and (s.instrument is null"
                f" or s.instrument = any({_SAID_INSTRUMENTS}))"
            )
        elif asked.author and not self.all_revisions and not self.walks_author:
            which = f"s.author = any({bind([*asked.author], 'text[]')})"
        else:
            return None
        return f"from revision s where {current} and {which}"

    @property
    def walks_author(self) -> bool:
        """Whether the author's own index is in the order asked for."""
        one = len(self.asked.author) == 1
        return one and self.order.name == "created" and not self.all_revisions

    @property
    def only_instrument(self) -> bool:
        """Whether the instrument is all that an index could look for."""
        rest = self.asked.model_copy(update={"instrument": ()})
        return not rest.asks_targets and self.asked.asks_targets

    def texts(self, bind: _Binds, alias: str) -> list[str]:
        asked, found = self.asked, []
        if asked.words:
            query = f"websearch_to_tsquery('simple', {bind(asked.words, 'text')})"
            found.append(f"{alias}.words @@ {query}")
        if asked.phrase:
            query = f"phraseto_tsquery('simple', {bind(asked.phrase, 'text')})"
            found.append(f"{alias}.words @@ {query}")
        return found

    def stretch(self, part: _Part, bind: _Binds) -> str:
        """Give what the index of the order takes in: its stretch and its own bounds."""
        asked = self.asked
        found = [self.base()]
        found += [_condition(self.order, c, bind) for c in part.stretch]
        low, high = asked.nights
        if part.side == "before":
            found.append(f"r.day_obs < {bind(low, 'int')}")
        elif part.side == "after":
            found.append(f"r.day_obs > {bind(high, 'int')}")
        elif part.side == "inside":
            if low is not None:
                found.append(f"r.day_obs >= {bind(low, 'int')}")
            if high is not None:
                found.append(f"r.day_obs <= {bind(high, 'int')}")
        if self.walks_author:
            found.append(f"r.author = {bind(asked.author[0], 'text')}")
        found += self.times(bind)
        return _all(found)

    def times(self, bind: _Binds) -> list[str]:
        asked = self.asked
        bounds = (
            ("r.annotation_created_at >=", asked.created_from),
            ("r.annotation_created_at <", asked.created_to),
            ("r.created_at >=", asked.changed_from),
            ("r.created_at <", asked.changed_to),
        )
        return [
            f"{test} {bind(moment, 'timestamptz')}" for test, moment in bounds if moment
        ]

    def rest(self, bind: _Binds, *, gathered: bool) -> str:
        """All other conditions on a revision."""
        asked = self.asked
        found: list[str] = []
        if not self.ever:
            # An open row of one of the targets asked for says all of it.
            asks = asked.asks_targets
            found.append("r.operation <> 'retract'" if asks else _COUNTS)
        if asked.asks_targets and not (gathered and self.gathers_said):
            said = self.said(bind, "s.source_id = r.annotation_id")
            found.append(_sql(_SAID_OF, said=said))
        if asked.flag:
            found.append(_flag("r.flag", asked.flag, bind))
        found += _tags(asked, bind, "r")
        return _all([*found, *self.of_revision(bind)])

    def of_revision(self, bind: _Binds) -> list[str]:
        """Conditions on what one column of the revision holds."""
        asked = self.asked
        tests = (
            ("r.author = any({})", [*asked.author] or None, "text[]"),
            ("r.author_kind = {}", asked.author_kind, "text"),
            ('r."check" = any({})', [*asked.check] or None, "text[]"),
            ("r.level >= {}", asked.level_min, "int"),
            ("r.level <= {}", asked.level_max, "int"),
            ("r.operation = any({})", [*asked.operation] or None, "text[]"),
            ("r.reply_to = {}", asked.reply_to, "uuid"),
        )
        found = [
            test.format(bind(value, cast))
            for test, value, cast in tests
            if value is not None
        ]
        found += self.texts(bind, "r")
        if asked.observed_from or asked.observed_to:
            found += self.observed(bind)
        if asked.replies != "all":
            absent = "is null" if asked.replies == "none" else "is not null"
            found.append(f"r.reply_to {absent}")
        return found

    def observed(self, bind: _Binds) -> list[str]:
        """Conditions on the span: both half-open; a moment is a span of no length."""
        asked = self.asked
        found = ["(r.observed_begin is not null or r.observed_end is not null)"]
        if asked.observed_from:
            begin = bind(asked.observed_from, "timestamptz")
            found.append(
                f"(r.observed_end is null or r.observed_end > {begin}"
                f" or r.observed_begin >= {begin})"
            )
        if asked.observed_to:
            end = bind(asked.observed_to, "timestamptz")
            found.append(f"(r.observed_begin is null or r.observed_begin < {end})")
        return found

    @property
    def gathers_said(self) -> bool:
        """Whether the candidates are chosen by all that is asked of targets."""
        return not self.asked.reply_to and self.narrow

    @property
    def narrow(self) -> bool:
        """Whether what is asked of targets names candidates by an index."""
        asked = self.asked
        return bool(
            asked.target
            or asked.instrument
            or any(asked.nights)
            or asked.effective_flag
            or asked.disputed
        )

    # ----------------------------------------------------------- statements

    async def read(
        self, part: _Part, limit: int, *, gather: bool
    ) -> list[AnnotationRow]:
        bind = _Binds()
        parts = {
            "columns": (
                _columns(self.order) if self.ever else _columns(self.order, "true")
            ),
            "stretch": self.stretch(part, bind),
            "rest": self.rest(bind, gathered=gather),
            "order": _order_by(self.order),
            "limit": bind(limit, "int"),
        }
        if gather:
            source = self.source(bind)
            query = _sql(
                _GATHER,
                source=source or "from revision s where false",
                wanted=self.wanted(),
                **parts,
            )
        else:
            query = _sql(_WALK, walk=bind(self.walk, "int"), **parts)
        rows = await self.connection.fetch(query, *bind.values)
        width = len(self.order.columns)
        return [AnnotationRow(tuple(row[:width]), *row[width:]) for row in rows]

    async def reached(self, part: _Part) -> Key | None:
        """Where a walk ended by its bound; None when it came to the end."""
        return await _reached(
            self.connection,
            "revision",
            self.order,
            self.walk,
            lambda bind: self.stretch(part, bind),
        )

    async def probe(self, most: int) -> bool:
        """Say whether there are at most so many candidates."""
        bind = _Binds()
        source = self.source(bind, probing=True)
        if source is None:
            return False
        query = _sql(_PROBE, source=source, limit=bind(most + 1, "int"))
        return bool(await self.connection.fetchval(query, *bind.values) <= most)

    # ----------------------------------------------------------------- page

    async def ahead(
        self, after: Key | None, want: int
    ) -> tuple[list[AnnotationRow], Key | None]:
        """Read up to `want` rows; also where to go on, None at the end."""
        rows: list[AnnotationRow] = []
        for part in _sides(self.asked, after):
            gather = part.side not in {None, "inside"} or await self.choose(part)
            rows += await self.read(part, want - len(rows), gather=gather)
            if len(rows) >= want:
                return rows, rows[-1].key
            if not gather:
                place = await self.reached(part)
                if place is not None:
                    return rows, place
        return rows, None

    async def choose(self, part: _Part) -> bool:
        """Say whether to gather rather than to walk."""
        if self.gathers is None:
            # Between the nights asked for, a walk meets hardly anything else; and most
            # that is said is said of the instrument asked for.
            self.gathers = (
                part.side is None and not self.only_instrument and await self.probe(FEW)
            )
        return self.gathers

    async def persist(self) -> None:
        """Go on after a walk that found too little."""
        self.walk = LONG_WALK
        self.gathers = await self.probe(MANY)


async def _reached(
    connection: Connection,
    table: str,
    order: Order,
    walk: int,
    stretch: Callable[[_Binds], str],
) -> Key | None:
    bind = _Binds()
    back = replace(order, descending=not order.descending)
    query = _sql(
        _REACHED,
        table=table,
        names=", ".join(f"r.{column.name}" for column in order.columns),
        stretch=stretch(bind),
        order=_order_by(order),
        reverse=_order_by(back),
        walk=bind(walk, "int"),
    )
    row = await connection.fetchrow(query, *bind.values)
    return tuple(row[1:]) if row and row["scanned"] >= walk else None


async def annotations(
    connection: Connection, asked: AnnotationFilter, after: Key | None, limit: int
) -> Page[AnnotationRow]:
    """List annotations (or revisions) in the order asked for.

    Parameters
    ----------
    connection
        For reading; no transaction is needed.
    asked
        Filters and order. Targets by key, author by the name stored.
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
    needle = asked.contains.casefold() if asked.contains else None
    rows: list[AnnotationRow] = []
    place = after
    looked = walks = 0
    while True:
        want = limit + 1 - len(rows) if needle is None else TEXTS_AT_ONCE
        found, place = await search.ahead(place, want)
        looked += len(found)
        full = len(found) >= want
        if needle is not None:
            found = [r for r in found if needle in _read_text(r.body).text.casefold()]
        rows += found
        if len(rows) > limit:
            return Page(tuple(rows[:limit]), rows[limit - 1].key)
        if place is None:
            return Page(tuple(rows), None)
        if not full:
            walks += 1
            if walks > 1:
                return Page(tuple(rows), place, scan_stopped=True)
            await search.persist()
        elif looked >= MAX_TEXTS:
            return Page(tuple(rows), place, scan_stopped=True)


async def count_annotations(
    connection: Connection, asked: AnnotationFilter
) -> int | str:
    """Count what a list holds in all.

    Returns
    -------
    int or str
        Exact up to 10,000, and for a single night; else "10000+", or the number
        found so far and a "+" where no index helps and the search stopped.
        `contains` is not taken into account: callers refuse the two together.
    """
    search = _Annotations(connection, asked)
    low, high = asked.nights
    exact = low is not None and low == high
    gather = exact or await search.probe(MANY)
    bind = _Binds()
    source = search.source(bind) if gather else None
    parts = {
        # A night is gathered whole, so its count costs no more for being exact.
        "limit": bind(_NO_LIMIT if exact else EXACT_COUNT + 1, "int"),
        "rest": search.rest(bind, gathered=source is not None),
    }
    if source is not None:
        parts["rest"] = _all([parts["rest"], *search.times(bind)])
        query = _sql(_COUNT_GATHER, source=source, wanted=search.wanted(), **parts)
    else:
        plain = [*search.times(bind), *search.of_revision(bind)]
        base, walk = _all([search.base(), *plain]), bind(COUNT_WALK, "int")
        query = _sql(_COUNT_WALK, base=base, walk=walk, **parts)
    row = await connection.fetchrow(query, *bind.values)
    return _counted(row, exact=exact, walk=COUNT_WALK)


def _counted(row: asyncpg.Record | None, *, exact: bool, walk: int) -> int | str:
    number, seen = (row[0], row[1]) if row else (0, 0)
    if exact and seen < walk:
        return int(number)
    if number > EXACT_COUNT:
        return f"{EXACT_COUNT}+"
    return f"{number}+" if seen >= walk else int(number)


# ----------------------------------------------------------------- targets

_STATES = """
select {key}, r.target_id, t.key, r.kind, r.instrument, r.day_obs, r.seq_num,
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
    {chosen}
) r join target t on t.target_id = r.target_id
order by {order}
"""

_STATE_WALK = """
    select r.* from (
        select r.* from target_state r where {stretch} order by {order} limit {walk}
    ) r where {rest} order by {order} limit {limit}
"""

_STATE_GATHER = """
    select r.* from (
        with found as materialized (select s.* from target_state s where {source})
        select * from found
    ) r where {stretch} and {rest} order by {order} limit {limit}
"""


class _States:
    """One page of target states in the making."""

    def __init__(self, connection: Connection, asked: TargetFilter) -> None:
        self.connection = connection
        self.asked = asked
        self.order = asked.ordering
        self.gathers: bool | None = None
        self.walk = SHORT_WALK
        self.instruments: list[str] | None = None

    def source(self, bind: _Binds) -> str | None:
        """Give what an index other than the order's finds (alias s); None: nothing."""
        asked = self.asked
        if asked.target:
            keys = bind([*asked.target], "text[]")
            return f"s.target_id in {_sql(_SAME_TARGETS, keys=keys)}"
        place = _place(asked, bind, "s")
        if asked.flag and NO_FLAG not in asked.flag:
            flags = bind([*asked.flag], "text[]")
            return _all([f"s.flag = any({flags})", *place])
        if asked.disputed:
            return _all(["s.disputed", *place])
        if asked.tags_any or asked.tags_all:
            return _all(_tags(asked, bind, "s"))
        if self.order.name == "number" and place:
            if not asked.instrument:
                names = bind(self.instruments or [], "text[]")
                place.append(f"s.instrument = any({names})")
            return _all(place)
        return None

    def rest(self, bind: _Binds) -> str:
        asked = self.asked
        found = _place(asked, bind, "r")
        if not asked.empty:
            found.append("not r.empty")
        if asked.target:
            keys = bind([*asked.target], "text[]")
            found.append(f"r.target_id in {_sql(_SAME_TARGETS, keys=keys)}")
        if asked.target_kind:
            found.append(f"r.kind = any({bind([*asked.target_kind], 'text[]')})")
        if asked.flag:
            found.append(_flag("r.flag", asked.flag, bind))
        for column, wish in (
            ("r.disputed", asked.disputed),
            ("r.bots_differ", asked.bots_differ),
            ("r.follow_ups <> '{}'", asked.follow_up),
        ):
            if wish is not None:
                found.append(column if wish else f"not ({column})")
        return _all([*found, *_tags(asked, bind, "r")])

    def stretch(self, part: Stretch, bind: _Binds) -> str:
        found = [_condition(self.order, c, bind) for c in part]
        if self.order.name == "night":
            low, high = self.asked.nights
            if low is not None:
                found.append(f"r.day_obs >= {bind(low, 'int')}")
            if high is not None:
                found.append(f"r.day_obs <= {bind(high, 'int')}")
        return _all(found)

    def parts(self, after: Key | None) -> Sequence[Stretch]:
        """Give the stretches, one an instrument where instruments are named.

        The index begins with the instrument, and only within one of them is it in
        the order of nights. Named instruments follow each other as Python sorts
        them, whatever the collation of the database.
        """
        if self.instruments is None or self.order.name != "night":
            return ranges_after(self.order, after)
        names = sorted(self.instruments, reverse=self.order.descending)
        if after is None:
            return [(Equal("instrument", name),) for name in names]
        here = [
            part
            for part in ranges_after(self.order, after)
            if part and isinstance(part[0], Equal)
        ]
        seen = str(after[0])
        later = [n for n in names if (n < seen if self.order.descending else n > seen)]
        return [*here, *((Equal("instrument", name),) for name in later)]

    async def read(self, part: Stretch, limit: int, *, gather: bool) -> list[StateRow]:
        bind = _Binds()
        parts = {
            "stretch": self.stretch(part, bind),
            "rest": self.rest(bind),
            "order": _order_by(self.order),
            "limit": bind(limit, "int"),
        }
        if gather:
            source = self.source(bind) or "false"
            chosen = _sql(_STATE_GATHER, source=source, **parts)
        else:
            chosen = _sql(_STATE_WALK, walk=bind(self.walk, "int"), **parts)
        columns = self.order.columns
        query = _sql(
            _STATES,
            key=", ".join(f"r.{c.name} as key_{i}" for i, c in enumerate(columns)),
            chosen=chosen,
            order=parts["order"],
        )
        rows = await self.connection.fetch(query, *bind.values)
        width = len(columns)
        return [StateRow(tuple(row[:width]), *row[width:]) for row in rows]

    async def probe(self, most: int) -> bool:
        bind = _Binds()
        source = self.source(bind)
        if source is None:
            return False
        source = f"from target_state s where {source}"
        query = _sql(_PROBE, source=source, limit=bind(most + 1, "int"))
        return bool(await self.connection.fetchval(query, *bind.values) <= most)

    async def begin(self) -> None:
        """Learn the instruments where an index needs them named."""
        if self.asked.instrument:
            self.instruments = list(set(self.asked.instrument))
        elif any(self.asked.nights):
            found = await self.connection.fetch(_STATE_INSTRUMENTS)
            self.instruments = [row[0] for row in found]

    async def ahead(
        self, after: Key | None, want: int
    ) -> tuple[list[StateRow], Key | None]:
        rows: list[StateRow] = []
        if self.gathers is None:
            self.gathers = await self.probe(FEW)
        for part in self.parts(after):
            rows += await self.read(part, want - len(rows), gather=self.gathers)
            if len(rows) >= want:
                return rows, rows[-1].order
            if not self.gathers:
                place = await _reached(
                    self.connection,
                    "target_state",
                    self.order,
                    self.walk,
                    lambda bind, part=part: self.stretch(part, bind),  # type: ignore[misc]  # mypy cannot type a default that binds the loop's value
                )
                if place is not None:
                    return rows, place
        return rows, None


async def targets(
    connection: Connection, asked: TargetFilter, after: Key | None, limit: int
) -> Page[StateRow]:
    """List target states in the order asked for.

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
    Page of StateRow
        The rows, and where the list goes on.
    """
    search = _States(connection, asked)
    await search.begin()
    rows: list[StateRow] = []
    place = after
    for last in (False, True):
        found, place = await search.ahead(place, limit + 1 - len(rows))
        rows += found
        if len(rows) > limit:
            return Page(tuple(rows[:limit]), rows[limit - 1].order)
        if place is None:
            return Page(tuple(rows), None)
        if not last:
            search.walk = LONG_WALK
            search.gathers = await search.probe(MANY)
    return Page(tuple(rows), place, scan_stopped=True)


_COUNT_STATES = """
select count(*), (select count(*) from (
    select 1 from target_state s where {base} limit {walk}
) seen) from (
    select 1 from (select s.* from target_state s where {base} limit {walk}) r
    where {rest} limit {limit}
) counted
"""


async def count_targets(connection: Connection, asked: TargetFilter) -> int | str:
    """Count what a list of target states holds in all.

    Returns
    -------
    int or str
        As `count_annotations`.
    """
    search = _States(connection, asked)
    await search.begin()
    low, high = asked.nights
    exact = low is not None and low == high
    bind = _Binds()
    if search.source(_Binds()) is None:
        place = _place(asked, bind, "s")
        if place and search.instruments is not None and not asked.instrument:
            place.append(f"s.instrument = any({bind(search.instruments, 'text[]')})")
        base = _all(place)
    else:
        base = search.source(bind) or "true"
    query = _sql(
        _COUNT_STATES,
        base=base,
        rest=search.rest(bind),
        walk=bind(COUNT_WALK, "int"),
        limit=bind(COUNT_WALK if exact else EXACT_COUNT + 1, "int"),
    )
    row = await connection.fetchrow(query, *bind.values)
    return _counted(row, exact=exact, walk=COUNT_WALK)


# ------------------------------------------------- of one annotation

_REVISIONS = """
select r.clock, r.revision_id, r.number, r.annotation_id, r.revision_id,
    r.annotation_created_at, {current}, {current} and {counts}, b.body, l.keys
from revision r
join record b on b.record_id = r.revision_id
left join target_list l on l.list_id = r.list_id
where r.annotation_id = $1 and {after}
order by r.clock, r.revision_id limit $2
"""

_REVIEWS = """
select r.clock, r.review_id, r.number, b.body, l.keys
from review r
join record b on b.record_id = r.review_id
left join target_list l on l.list_id = r.list_id
where r.annotation_id = $1 and {after}
order by r.clock, r.review_id limit $2
"""


async def exists(connection: Connection, annotation_id: UUID) -> bool:
    """Say whether any revision of an annotation is here."""
    found = await connection.fetchval(
        "select true from revision where annotation_id = $1 limit 1", annotation_id
    )
    return bool(found)


async def revisions(
    connection: Connection, annotation_id: UUID, after: Key | None, limit: int
) -> Page[AnnotationRow]:
    """List an annotation's revisions, oldest first.

    Returns
    -------
    Page of AnnotationRow
        Empty where the annotation is not known.
    """
    query = _sql(
        _REVISIONS,
        current=_CURRENT,
        counts=_COUNTS,
        after="(r.clock, r.revision_id) > ($3, $4)" if after else "true",
    )
    rows = await connection.fetch(query, annotation_id, limit + 1, *(after or ()))
    return _page([AnnotationRow(tuple(row[:2]), *row[2:]) for row in rows], limit)


async def reviews(
    connection: Connection, annotation_id: UUID, after: Key | None, limit: int
) -> Page[ReviewRow]:
    """List an annotation's reviews, oldest first.

    Returns
    -------
    Page of ReviewRow
        Empty where there is none, or the annotation is not known.
    """
    query = _sql(
        _REVIEWS, after="(r.clock, r.review_id) > ($3, $4)" if after else "true"
    )
    rows = await connection.fetch(query, annotation_id, limit + 1, *(after or ()))
    return _page([ReviewRow(tuple(row[:2]), *row[2:]) for row in rows], limit)


_Keyed = TypeVar("_Keyed", AnnotationRow, ReviewRow)


def _page(rows: list[_Keyed], limit: int) -> Page[_Keyed]:
    more = len(rows) > limit
    return Page(tuple(rows[:limit]), rows[limit - 1].key if more else None)
