"""Orders of lists as data: by which columns, and what lies behind a place in them.

An order is a tuple of columns that ends in a unique one. `ranges_after` says which
stretches of its index lie behind a row, so a page costs the same at any depth, and
rows that arrive meanwhile push none twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

Value = datetime | UUID | int | str | None
"""What a sort column may hold."""
Key = tuple[Value, ...]
"""Sort values of one row, in the order of the columns."""


@dataclass(frozen=True, slots=True)
class SortColumn:
    """One column of an order.

    Attributes
    ----------
    name
        Column of the view table.
    kind
        What it holds: "time", "uuid", "int" or "text".
    nullable
        Whether it may be null. All nullable columns come before the others.
    """

    name: str
    kind: Literal["time", "uuid", "int", "text"]
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted.

    Rows without a value in the first column come last in both directions. Within
    equal first columns they come last when ascending and first when descending,
    which is how an index is walked.

    Attributes
    ----------
    name
        As the parameter `order` writes it, without a sign.
    columns
        What it sorts by; the last column makes it unique.
    descending
        Whether greater values come first, in every column.
    """

    name: str
    columns: tuple[SortColumn, ...]
    descending: bool = False

    @property
    def word(self) -> str:
        """The order as the parameter `order` writes it."""
        return f"-{self.name}" if self.descending else self.name


_ID = SortColumn("annotation_id", "uuid")

CURRENT_ORDERS = {
    "night": (
        SortColumn("day_obs", "int", nullable=True),
        SortColumn("seq_num", "int", nullable=True),
        _ID,
    ),
    "created": (SortColumn("annotation_created_at", "time"), _ID),
    "changed": (SortColumn("created_at", "time"), _ID),
    "id": (_ID,),
}
"""Orders of annotations, each of them shown by its current revision."""

REVISION_ORDERS = {
    # By number, not by time: the order in which this site learnt of them.
    "changed": (SortColumn("number", "int"),),
    "id": (_ID, SortColumn("clock", "int"), SortColumn("revision_id", "uuid")),
}
"""Orders of all revisions."""

TARGET_ORDERS = {
    "night": (
        SortColumn("instrument", "text", nullable=True),
        SortColumn("day_obs", "int", nullable=True),
        SortColumn("seq_num", "int", nullable=True),
        SortColumn("target_id", "int"),
    ),
    "number": (SortColumn("number", "int"), SortColumn("target_id", "int")),
}
"""Orders of target states."""

HISTORY_ORDERS = {
    "revision": (SortColumn("clock", "int"), SortColumn("revision_id", "uuid")),
    "review": (SortColumn("clock", "int"), SortColumn("review_id", "uuid")),
}
"""Order of an annotation's revisions and reviews: as they were said."""

# ------------------------------------------------- stretches of an index


@dataclass(frozen=True, slots=True)
class Equal:
    """The column has this value."""

    column: str
    value: Value


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column has no value."""

    column: str


@dataclass(frozen=True, slots=True)
class NotNull:
    """The column has a value."""

    column: str


@dataclass(frozen=True, slots=True)
class Beyond:
    """The columns come after these values, in the direction of the order."""

    columns: tuple[str, ...]
    values: Key


Condition = Equal | IsNull | NotNull | Beyond
Stretch = tuple[Condition, ...]
"""Conditions that hold together: one contiguous stretch of the order's index."""


def ranges_after(order: Order, after: Key | None) -> tuple[tuple[Stretch, ...], ...]:
    """Say which stretches of the index hold what comes after a row.

    Parameters
    ----------
    order
        The order of the list.
    after
        Sort values of the last row seen; None starts at the beginning.

    Returns
    -------
    tuple of tuple of Stretch
        Groups of stretches, all of them disjoint. One group is read after the other;
        the rows of one group, sorted as PostgreSQL sorts by these columns, are those
        of the list. Only what has no value in the first column has a group of its own.

    Notes
    -----
    One condition with `or` would say the same, but PostgreSQL then reads the index
    from its beginning. A single comparison of rows leaves out those that have no
    value where the row that was seen has one.
    """
    first, *others = order.columns
    last: tuple[Stretch, ...] = ((IsNull(first.name),),)
    if after is None:
        return (((NotNull(first.name),),), last) if first.nullable else (((),),)
    if after[0] is None:
        found = ranges_within(last[0], others, after[1:], descending=order.descending)
        return (found,)
    known = [replace(first, nullable=False), *others]
    found = ranges_within((), known, after, descending=order.descending)
    return (found, last) if first.nullable else (found,)


def ranges_within(
    same: Stretch, columns: Sequence[SortColumn], after: Key, *, descending: bool
) -> tuple[Stretch, ...]:
    """Say which stretches hold what comes after a row, where some columns are fixed.

    Parameters
    ----------
    same
        Conditions on the columns of the index before these.
    columns
        What is sorted by.
    after
        Sort values of the last row seen.
    descending
        Whether greater values come first; no value is the greatest of all.

    Returns
    -------
    tuple of Stretch
        Disjoint; their rows lie among each other.
    """
    known = next((i for i, one in enumerate(after) if one is None), len(after))

    def equal(upto: int) -> Stretch:
        here = zip(columns[:upto], after, strict=False)
        return (*same, *(Equal(column.name, value) for column, value in here))

    found: list[Stretch] = []
    if known:
        names = tuple(column.name for column in columns[:known])
        found.append((*same, Beyond(names, after[:known])))
    if not descending:
        found += [
            (*equal(place), IsNull(column.name))
            for place, column in enumerate(columns[:known])
            if column.nullable
        ]
    if known < len(after):
        name = columns[known].name
        none = (*equal(known), IsNull(name))
        rest = columns[known + 1 :]
        behind = after[known + 1 :]
        found += ranges_within(none, rest, behind, descending=descending)
        if descending:
            found.append((*equal(known), NotNull(name)))
    return tuple(found)
