"""Building a data-ID set: from what the parts of a recipe give to a table.

Each row can say why it is in, each one left out what kept it out, and what no longer
makes a difference is told, so that a recipe does not gather dust.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from annolog.domain.dataid_recipes import Column, DropRow, Recipe
from annolog.domain.dataids import (
    DataIdTable,
    Key,
    Value,
    dimension_order,
    split_columns,
    table,
    target_of,
)
from annolog.domain.setredactions import REASON_LEFT
from annolog.domain.vocabulary import Vocabulary

KEEP = "keep"
"""In place of a part's name: the rows to keep."""
_DEFAULT_DIMENSIONS = ("instrument", "exposure")

_Items = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class Why:
    """Why a part gives a row.

    Attributes
    ----------
    part
        Its name, or `KEEP`.
    flag
        The effective flag that a query found; None if it found tags alone.
    tags
        The tags asked for that it found.
    comments
        Texts of the statements behind them, verbatim, the first said first.
    annotations
        Ids of these statements.
    inherited_from
        Keys of the targets that they are about, where that is not the row's own.
    reason
        Of a row to keep, why.
    """

    part: str
    flag: str | None = None
    tags: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    inherited_from: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One row that a part gives.

    Attributes
    ----------
    data_id
        By dimension.
    why
        Why.
    values
        Further values that come with it; those of a query follow from `why`.
    """

    data_id: Mapping[str, int | str]
    why: Why
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that some part gives and another takes away.

    Attributes
    ----------
    data_id
        By dimension.
    whys
        Why it would be in.
    part
        Name of the part with `minus`; None if a row to drop did it.
    reason
        Of a row to drop, why.
    """

    data_id: Mapping[str, int | str]
    whys: tuple[Why, ...]
    part: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Exempt:
    """A row to keep or to drop, as reports name it.

    Attributes
    ----------
    action
        What the recipe does with it.
    data_id
        By dimension.
    reason
        Why.
    flag
        The flag that speaks against it, its own or one that holds for it through
        another target; None where it merely makes no difference.
    """

    action: Literal["keep", "drop"]
    data_id: Mapping[str, int | str]
    reason: str
    flag: str | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """What a recipe gives.

    Attributes
    ----------
    table
        The content.
    whys
        Why each row is in, by its data ID in the table, in the order of parts.
    left_out
        Sorted by data ID.
    idle
        Rows to keep that nothing takes away, and rows to drop that no part gives.
    """

    table: DataIdTable
    whys: Mapping[Key, tuple[Why, ...]]
    left_out: tuple[LeftOut, ...]
    idle: tuple[Exempt, ...]


def given_rows(recipe: Recipe) -> dict[str, list[Found]]:
    """Give what parts of uploaded rows give, by the name of the part.

    Parameters
    ----------
    recipe
        A settled recipe.
    """
    found = {}
    for part in recipe.parts:
        if part.rows is None:
            continue
        names = {name for row in part.rows for name in row}
        dimensions, _ = split_columns(names)
        found[part.name] = [_given(part.name, row, dimensions) for row in part.rows]
    return found


def table_rows(part: str, content: DataIdTable) -> list[Found]:
    """Give what a part gives that is a version of a set.

    Parameters
    ----------
    part
        Its name.
    content
        The version's content.
    """
    return [
        Found(data_id, Why(part), dict(zip(content.columns, row.values, strict=True)))
        for data_id, row in zip(content.data_ids(), content.rows, strict=True)
    ]


def combine(recipe: Recipe, found: Mapping[str, Iterable[Found]]) -> Built:
    """Make a table of what the parts give.

    Parameters
    ----------
    recipe
        A settled recipe.
    found
        What each of its parts gives, by name; a part that is missing gives nothing.

    Returns
    -------
    Built
        Of a column that several parts fill for a row, the value of a row to keep comes
        first and then that of the first part. A row to keep without a comment has its
        reason there.
    """
    rows, minus = _gathered(recipe, found)
    drops = _Cover(row.data_id for row in recipe.drop)
    reasons = {_items(row.data_id): row.reason for row in recipe.drop}
    kept = {_items(row.data_id): row for row in recipe.keep}
    left_out: list[LeftOut] = []
    # Exceptions that make a difference.
    effective: set[_Items] = set()
    remaining: dict[_Items, list[Found]] = {}
    for items, given in rows.items():
        drop = drops.of(items)
        taken = next((name for name, cover in minus if cover.of(items)), None)
        if drop is not None:
            effective.add(drop)
        if drop is None and taken is None:
            remaining[items] = given
        elif items in kept:
            effective.add(items)
            remaining[items] = given
        else:
            reason = None if drop is None else reasons[drop]
            part = taken if drop is None else None
            whys = tuple(one.why for one in given)
            left_out.append(LeftOut(dict(items), whys, part, reason))
    for items, keep in kept.items():
        if items not in rows:
            effective.add(items)
        own = Found(keep.data_id, Why(KEEP, reason=keep.reason), keep.values)
        remaining[items] = [own, *remaining.get(items, ())]
    made = _table(recipe, remaining)
    whys_of = {
        row.data_id: tuple(one.why for one in remaining[_items(data_id)])
        for row, data_id in zip(made.rows, made.data_ids(), strict=True)
    }
    idle = [
        Exempt(action, dict(row.data_id), row.reason)
        for action, exempt in _exempt(recipe)
        for row in exempt
        if _items(row.data_id) not in effective
    ]
    left_out.sort(key=lambda one: _place(one.data_id))
    return Built(made, whys_of, tuple(left_out), tuple(idle))


def exempt_keys(recipe: Recipe) -> tuple[str, ...]:
    """Give the keys of targets whose flags `contradictions` wants, each once.

    Parameters
    ----------
    recipe
        A settled recipe.
    """
    return _keys(row.data_id for row in (*recipe.keep, *recipe.drop))


def contradictions(
    recipe: Recipe, flags: Mapping[str, Sequence[str]], vocabulary: Vocabulary
) -> tuple[Exempt, ...]:
    """List the rows to keep and to drop that a flag speaks against.

    A row to drop is contradicted by a flag that the recipe asks for, a row to keep by
    any that it does not ask for. A recipe that asks for no flags is taken to be after
    what may not be used: by the flags that exclude. Where nobody has voted nothing
    contradicts, and a request to look is no vote.

    Parameters
    ----------
    recipe
        A settled recipe.
    flags
        The flags that hold for each of `exempt_keys`, its own first; missing: none.
    vocabulary
        Which flags exclude, and which ask.

    Returns
    -------
    tuple of Exempt
        Rows to keep first, each in the recipe's order.
    """
    known = vocabulary.flags.values()
    wanted = recipe.flags or {one.name for one in known if one.excludes}
    found = []
    for action, exempt in _exempt(recipe):
        for row in exempt:
            target = target_of(row.data_id)
            held = () if target is None else flags.get(target.key, ())
            fitting = [one for one in held if one in wanted]
            votes = [one for one in held if one not in vocabulary.asking]
            against = fitting if action == "drop" else [] if fitting else votes
            if against:
                data_id = dict(row.data_id)
                found.append(Exempt(action, data_id, row.reason, against[0]))
    return tuple(found)


def unflagged_keys(content: DataIdTable) -> tuple[str, ...]:
    """Give the keys of the rows that have no flag in a column that wants one.

    Parameters
    ----------
    content
        What a recipe gives.
    """
    if "flag" not in content.columns:
        return ()
    at = content.columns.index("flag")
    rows = zip(content.rows, content.data_ids(), strict=True)
    return _keys(data_id for row, data_id in rows if row.values[at] is None)


def with_flags(content: DataIdTable, flags: Mapping[str, Sequence[str]]) -> DataIdTable:
    """Give a table with the flags of rows that came by something else than a flag.

    Parameters
    ----------
    content
        What a recipe gives.
    flags
        The flags that hold for each of `unflagged_keys`, its own first; missing: none.
    """
    rows = []
    for row, data_id in zip(content.rows, content.data_ids(), strict=True):
        values = dict(zip(content.columns, row.values, strict=True))
        if values["flag"] is None:
            target = target_of(data_id)
            held = () if target is None else flags.get(target.key, ())
            values["flag"] = next(iter(held), None)
        rows.append((data_id, values))
    return table(content.dimensions, content.columns, rows, content.instrument)


def _keys(data_ids: Iterable[Mapping[str, int | str]]) -> tuple[str, ...]:
    targets = (target_of(one) for one in data_ids)
    return tuple(dict.fromkeys(one.key for one in targets if one is not None))


def _exempt(
    recipe: Recipe,
) -> tuple[tuple[Literal["keep", "drop"], Sequence[DropRow]], ...]:
    return ("keep", recipe.keep), ("drop", recipe.drop)


def _gathered(
    recipe: Recipe, found: Mapping[str, Iterable[Found]]
) -> tuple[dict[_Items, list[Found]], list[tuple[str, "_Cover"]]]:
    # What parts give by data ID, and what parts with `minus` take away.
    rows: dict[_Items, list[Found]] = {}
    minus: list[tuple[str, _Cover]] = []
    for part in recipe.parts:
        given = found.get(part.name, ())
        if part.minus:
            minus.append((part.name, _Cover(one.data_id for one in given)))
            continue
        for one in given:
            rows.setdefault(_items(one.data_id), []).append(one)
    return rows, minus


class _Cover:
    """Data IDs, asked which of them names a row or the whole that it is a part of."""

    def __init__(self, data_ids: Iterable[Mapping[str, int | str]]) -> None:
        self._by_names: dict[tuple[str, ...], set[_Items]] = {}
        for data_id in data_ids:
            items = _items(data_id)
            names = tuple(name for name, _ in items)
            self._by_names.setdefault(names, set()).add(items)

    def of(self, items: _Items) -> _Items | None:
        """Give the one that covers a row, the narrowest of several; else None."""
        values = dict(items)
        covering = []
        for names, held in self._by_names.items():
            if all(name in values for name in names):
                part = tuple((name, values[name]) for name in names)
                if part in held:
                    covering.append(part)
        return max(covering, key=len, default=None)


def _table(recipe: Recipe, rows: Mapping[_Items, Sequence[Found]]) -> DataIdTable:
    named = {name for items in rows for name, _ in items}
    dimensions = dimension_order(named or _DEFAULT_DIMENSIONS)
    columns: dict[str, None] = dict.fromkeys(recipe.columns)
    merged = []
    for items, given in rows.items():
        values: dict[str, Value] = {}
        for one in given:
            for name, value in {**_said(one.why, recipe.columns), **one.values}.items():
                columns.setdefault(name)
                if value is not None and value != "":
                    values.setdefault(name, value)
        if "comment" in recipe.columns:
            # Nothing else says why a row to keep is in the list.
            kept = given[0].why.reason
            values.setdefault("comment", kept if kept != REASON_LEFT else None)
        merged.append((dict(items), values))
    instrument = recipe.instrument
    of_one = all(dict(items).get("instrument") == instrument for items in rows)
    further = [name for name in columns if name not in dimensions]
    return table(dimensions, further, merged, instrument if of_one else None)


def _said(why: Why, columns: Sequence[Column]) -> dict[str, Value]:
    # Of one statement its text verbatim; of more the texts after each other.
    said: dict[Column, Value] = {
        "comment": "; ".join(dict.fromkeys(one for one in why.comments if one)),
        "flag": why.flag,
        "tags": " ".join(sorted(set(why.tags))),
        "annotations": " ".join(dict.fromkeys(why.annotations)),
    }
    return {name: said[name] for name in columns}


def _given(part: str, row: Mapping[str, Value], dimensions: Sequence[str]) -> Found:
    data_id: dict[str, int | str] = {}
    values: dict[str, Value] = {}
    for name, value in row.items():
        if name not in dimensions:
            values[name] = value
        elif isinstance(value, str | int):
            data_id[name] = value
    return Found(data_id, Why(part), values)


def _items(data_id: Mapping[str, int | str]) -> _Items:
    return tuple((name, data_id[name]) for name in dimension_order(data_id))


def _place(data_id: Mapping[str, int | str]) -> list[tuple[str, bool, int | str]]:
    # Rows of other dimensions stand beside each other, and numbers are numbers.
    return [(name, isinstance(v, str), v) for name, v in _items(data_id)]
