"""Filters as conditions of SQL, for whichever table they are asked of.

Statements are put together from fixed fragments; what a user sent is bound, and a
user's word never becomes part of a statement.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from annolog.domain.orders import (
    Beyond,
    Condition,
    Equal,
    IsNull,
    NotNull,
    Order,
    Stretch,
)
from annolog.domain.queries import NO_FLAG, ListFilter

SAME_TARGETS = """(
    select same.target_id from target named
    join target same on same.class_id = named.class_id
    where named.key = any({keys})
)"""
"""Ids of the targets with these keys, and of all that are known to be the same."""

INSTRUMENTS = """(
    with recursive known(name) as (
        select min(instrument) from {table} where {test}
        union all
        select (
            select min(instrument) from {table}
            where {test} and instrument > known.name
        ) from known where known.name is not null
    ) select array_agg(name) from known where name is not null
)::text[]"""
"""All instruments in a table: min() of the rest, one probe of its index for each."""

_CASTS = {"time": "timestamptz", "uuid": "uuid", "int": "bigint", "text": "text"}


class Binds:
    """Values of one statement, numbered as they are mentioned."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def __call__(self, value: object, cast: str) -> str:
        """Take a value; give its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}::{cast}"

    def texts(self, values: Iterable[str]) -> str:
        """Take a list of words; give its placeholder."""
        return self(list(values), "text[]")


def fill(template: str, **parts: str) -> str:
    """Put fragments of ours and placeholders into a template of ours."""
    return template.format(**parts)


def columns(
    query: str, names: Sequence[str], late: Sequence[str] = (), first: int = 1
) -> str:
    """Have a query answered by one row: of each column an array.

    The driver and PostgreSQL take each row for a message of its own, which costs both
    more than what is in it. No column may be an array already, and what is long (up
    to 1 GB in all) should be asked for otherwise.

    Parameters
    ----------
    query
        A sorted query; its order is that of the arrays, which are null without rows.
    names
        Its columns.
    late
        More of its columns, of which the first rows are left out.
    first
        The first row, from 1, that is in those.
    """
    whole = [f"array_agg(q.{name})" for name in names]
    parts = [f"(array_agg(q.{name}))[{first}:]" for name in late]
    arrays = ", ".join([*whole, *parts])
    return f"select {arrays} from ({query}) q"  # noqa: S608 - fragments of ours


def every(conditions: Iterable[str]) -> str:
    """Join conditions that hold together; true for none."""
    return " and ".join(conditions) or "true"


def order_by(order: Order) -> str:
    """Give the columns of an order, of the alias r."""
    way = "desc" if order.descending else "asc"
    return ", ".join(f"r.{column.name} {way}" for column in order.columns)


def in_stretch(order: Order, stretch: Stretch, bind: Binds) -> list[str]:
    """Give the conditions of a stretch of an order's index, of the alias r."""
    return [_condition(order, one, bind) for one in stretch]


def _condition(order: Order, condition: Condition, bind: Binds) -> str:
    casts = {column.name: _CASTS[column.kind] for column in order.columns}
    match condition:
        case Equal(column, value):
            return f"r.{column} = {_unseen(bind(value, casts[column]))}"
        case IsNull(column):
            return f"r.{column} is null"
        case NotNull(column):
            return f"r.{column} is not null"
        case Beyond(columns, values):
            left = ", ".join(f"r.{column}" for column in columns)
            right = ", ".join(
                _unseen(bind(value, casts[column]))
                for column, value in zip(columns, values, strict=True)
            )
            sign = "<" if order.descending else ">"
            return f"({left}) {sign} ({right})"


def _unseen(placeholder: str) -> str:
    """Keep a value from the planner, which else plans anew for each.

    A page is read along the index of its order from wherever it begins.
    """
    return f"(select {placeholder})"


def has_flag(column: str, flags: Sequence[str], bind: Binds) -> str:
    """Ask for any of some flags, of which `none` is the lack of one."""
    some = f"{column} = any({bind.texts(flags)})"
    return f"({some} or {column} is null)" if NO_FLAG in flags else some


def is_same(column: str, asked: ListFilter, bind: Binds) -> str:
    """Ask for the targets named, under each of their names."""
    return f"{column} in {fill(SAME_TARGETS, keys=bind.texts(asked.target))}"


def at_nights(asked: ListFilter, bind: Binds, alias: str) -> list[str]:
    """Ask for the nights."""
    low, high = asked.nights
    if low is not None and low == high:
        return [f"{alias}.day_obs = {bind(low, 'int')}"]
    found = []
    if low is not None:
        found.append(f"{alias}.day_obs >= {bind(low, 'int')}")
    if high is not None:
        found.append(f"{alias}.day_obs <= {bind(high, 'int')}")
    return found


def at_place(
    asked: ListFilter, bind: Binds, alias: str, instruments: str | None = None
) -> list[str]:
    """Ask for instrument, nights and sequence numbers.

    `instruments` stands for all of them where none is asked for: the index by nights
    begins with the instrument, and naming each makes it usable.
    """
    found = []
    if asked.instrument:
        found.append(f"{alias}.instrument = any({bind.texts(asked.instrument)})")
    elif instruments and any(asked.nights):
        found.append(f"{alias}.instrument = any({instruments})")
    found += at_nights(asked, bind, alias)
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


def has_tags(asked: ListFilter, bind: Binds, alias: str) -> list[str]:
    """Ask for tags."""
    found = []
    if asked.tags_any:
        found.append(f"{alias}.tags && {bind.texts(asked.tags_any)}")
    groups = [*asked.tags_each, *((tag,) for tag in asked.tags_all)]
    single = [group[0] for group in groups if len(group) == 1]
    if single:
        found.append(f"{alias}.tags @> {bind.texts(single)}")
    found += [
        f"{alias}.tags && {bind.texts(group)}" for group in groups if len(group) > 1
    ]
    if asked.tags_none:
        found.append(f"not ({alias}.tags && {bind.texts(asked.tags_none)})")
    return found


def asks_tags(asked: ListFilter) -> bool:
    """Say whether an index on tags can name candidates."""
    return bool(asked.tags_any or asked.tags_all or asked.tags_each)
