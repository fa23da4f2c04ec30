"""Data-ID sets: tables of data IDs, which are compared by what they say.

A table has one row a data ID. What a row names is always a primary key of the butler
(`exposure`, never `obs_id`); everything else that came with it stands in further
columns. The order of rows is that of their data IDs, never that of the upload, so the
same content is the same table, has the same digest and is written as the same file.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from annolog.domain import records
from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.errors import InvalidError
from annolog.domain.targets import Target, encode_part, target_from_data_id
from annolog.domain.vocabulary import nearest

Value = str | int | float | bool | None
"""A value of a further column; None means that the row has none."""
Key = tuple[str | int | None, ...]
"""Values of a data ID in the order of the table's dimensions."""

MAX_ROWS = 100_000
"""Rows of one version, and so of an uploaded list. They pass the lane in one turn,
which keeps others waiting."""
MIN_INTEGER = -(2**63)
"""The least integer of a further column: a signed 64-bit one."""

_ORDER = (
    "instrument",
    "skymap",
    "day_obs",
    "group",
    "visit_system",
    "visit",
    "exposure",
    "detector",
    "tract",
    "patch",
    "physical_filter",
    "band",
)
# A table of exposures and detectors is read, and so sorted, by exposure. The butler's
# own order would have the detector first.
_PLACES = {name: place for place, name in enumerate(_ORDER)}
_IMPLIED = {
    "exposure": frozenset({"band", "day_obs", "group", "physical_filter"}),
    "visit": frozenset({"band", "day_obs", "physical_filter"}),
    "physical_filter": frozenset({"band"}),
}


@dataclass(frozen=True, slots=True)
class DataIdRow:
    """One data ID and what else is said with it.

    Attributes
    ----------
    data_id
        Values of the table's dimensions; None for one that this row does not name (a
        whole exposure beside rows of single detectors).
    values
        Values of the table's further columns.
    """

    data_id: Key
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class DataIdTable:
    """The content of one version of a data-ID set; made by `table`.

    Attributes
    ----------
    dimensions
        Names of the dimensions as `dimension_order` sorts them: instrument first.
    columns
        Names of further columns, in the order in which they came.
    rows
        Sorted by data ID (integers as integers, None first), each data ID once.
    instrument
        The instrument of all rows where files leave that column out (CSV and ECSV;
        JSON always names it); None where they have it or no row has an instrument. It
        is how the table is written and no part of what it says.
    """

    dimensions: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[DataIdRow, ...] = ()
    instrument: str | None = field(default=None, compare=False)

    def data_ids(self) -> Iterator[dict[str, int | str]]:
        """Give each row's data ID as the butler takes it, in the order of rows."""
        for row in self.rows:
            yield data_id_of(self.dimensions, row.data_id)

    def by_key(self) -> dict[Key, tuple[Value, ...]]:
        """Give the values of further columns by data ID."""
        return {row.data_id: row.values for row in self.rows}


@dataclass(frozen=True, slots=True)
class Change:
    """A data ID that stayed while its further values did not.

    Attributes
    ----------
    data_id
        By dimension.
    old, new
        The values that differ by column; a column that one side lacks is None there.
    """

    data_id: Mapping[str, int | str]
    old: Mapping[str, Value]
    new: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that one of two tables has alone.

    Attributes
    ----------
    data_id
        By dimension.
    values
        Further values by column.
    """

    data_id: Mapping[str, int | str]
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Difference:
    """What leads from one table to another, each list in the order of its table.

    Attributes
    ----------
    added
        Rows of the new table alone.
    dropped
        Rows of the old table alone.
    changed
        Rows of both with other further values.
    columns_added, columns_dropped
        Further columns of one table alone; with values or without.
    """

    added: tuple[Entry, ...] = ()
    dropped: tuple[Entry, ...] = ()
    changed: tuple[Change, ...] = ()
    columns_added: tuple[str, ...] = ()
    columns_dropped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether there is any difference."""
        return bool(
            self.added
            or self.dropped
            or self.changed
            or self.columns_added
            or self.columns_dropped
        )


def dimension_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort names of dimensions as tables have them.

    Parameters
    ----------
    names
        Names of dimensions, in any order, doubles allowed.
    """
    known = {name: place for place, name in enumerate(_ORDER)}
    return tuple(
        sorted(set(names), key=lambda name: (known.get(name, len(known)), name))
    )


def split_columns(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Tell the dimensions among the columns of a table from the further ones.

    What an exposure or visit implies (`band`, `physical_filter`, `day_obs`, `group`) is
    a further column beside it and a dimension without it.

    Parameters
    ----------
    names
        Names of all columns, in the order in which they came.

    Returns
    -------
    tuple
        Dimensions as `dimension_order` sorts them, and the others as they came.
    """
    given = tuple(dict.fromkeys(names))
    implied: set[str] = set()
    for name in given:
        implied |= _IMPLIED.get(name, frozenset())
    chosen = [n for n in given if UNIVERSE.is_dimension(n) and n not in implied]
    dimensions = dimension_order(chosen)
    return dimensions, tuple(name for name in given if name not in dimensions)


def data_id_of(dimensions: Sequence[str], key: Key) -> dict[str, int | str]:
    """Give a data ID by dimension, without those that its row does not name."""
    return {
        name: value
        for name, value in zip(dimensions, key, strict=True)
        if value is not None
    }


def target_of(data_id: Mapping[str, int | str]) -> Target | None:
    """Give the target that a row names.

    Parameters
    ----------
    data_id
        By dimension.

    Returns
    -------
    Target or None
        None where no element has just these dimensions (exposure + detector + band).
    """
    try:
        return target_from_data_id(data_id)
    except InvalidError:
        return None


def sort_key(key: Key) -> tuple[tuple[bool, str | int], ...]:
    """Give what data IDs of one table are sorted by: None before any value."""
    return tuple((value is not None, "" if value is None else value) for value in key)


def table(
    dimensions: Iterable[str],
    columns: Sequence[str],
    rows: Iterable[tuple[Mapping[str, int | str | None], Mapping[str, Value]]],
    instrument: str | None = None,
) -> DataIdTable:
    """Make a table out of rows in any order.

    Parameters
    ----------
    dimensions
        Names of dimensions, in any order.
    columns
        Names of further columns, none of them a dimension of this table.
    rows
        Data ID and further values of each, by name; what is missing is None. Text that
        is empty and numbers that are NaN are None too, since few formats tell them
        apart. A column with numbers beside text becomes text.
    instrument
        As `DataIdTable.instrument`; the data IDs name it nevertheless.

    Returns
    -------
    DataIdTable
        Sorted; a column has one type throughout (bool, int, float or str).

    Raises
    ------
    InvalidError
        If a data ID comes twice, a value does not fit its dimension, or a row is empty.
    """
    given = list(rows)
    ordered = dimension_order(dimensions)
    if given:
        # One that no row names says nothing.
        named = {n for data_id, _ in given for n, v in data_id.items() if v is not None}
        ordered = tuple(name for name in ordered if name in named)
    names = tuple(columns)
    found: dict[Key, list[Value]] = {}
    for data_id, values in given:
        key = tuple(_checked(name, data_id.get(name)) for name in ordered)
        if all(value is None for value in key):
            raise InvalidError("a row names no data ID at all", code="invalid_data_id")
        if key in found:
            raise InvalidError(
                f"{describe(data_id_of(ordered, key))} is there twice",
                code="duplicate_data_id",
            )
        found[key] = [plain(values.get(name)) for name in names]
    _unify(list(found.values()), len(names))
    made = (DataIdRow(key, tuple(found[key])) for key in sorted(found, key=sort_key))
    return DataIdTable(ordered, names, tuple(made), instrument)


def describe(data_id: Mapping[str, int | str]) -> str:
    """Write a data ID for people: "LSSTCam exposure 2026111900123 detector 94"."""
    words = [
        str(value) if name == "instrument" else f"{name} {value}"
        for name, value in data_id.items()
    ]
    return " ".join(words)


def no_set(name: str, known: Iterable[str]) -> str:
    """Say that there is no set of a name, and which may have been meant.

    Parameters
    ----------
    name
        The name.
    known
        Names of all sets.
    """
    near = nearest(name, known)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no data-ID set {name[:80]}{hint}"


def _checked(name: str, value: int | str | None) -> int | str | None:
    if value is None:
        return None
    if UNIVERSE.is_integer(name):
        if isinstance(value, int) and _is_integer(value):
            if 0 <= value <= MAX_INTEGER:
                return value
            raise InvalidError(
                f"{name} {value} is not between 0 and {MAX_INTEGER}",
                code="invalid_data_id",
            )
    elif isinstance(value, str) and value:
        encode_part(value)
        return value
    kind = "an integer" if UNIVERSE.is_integer(name) else "text"
    raise InvalidError(f"{name} is {kind}, not {value!r:.100}", code="invalid_data_id")


def plain(value: Value) -> Value:
    """Give a further value as tables hold it.

    Raises
    ------
    InvalidError
        If it is infinite, an integer that does not fit 64 bits, or text that PostgreSQL
        does not take.
    """
    if value is None or value == "":
        return None
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise InvalidError("a number is infinite", code="invalid_value")
        # Minus zero is equal to zero, so it must not have another digest.
        return value + 0.0
    if _is_integer(value) and not MIN_INTEGER <= int(value) <= MAX_INTEGER:
        raise InvalidError("an integer does not fit 64 bits", code="invalid_value")
    if isinstance(value, str) and not _is_storable(value):
        raise InvalidError(
            "text holds a NUL or a lone surrogate, which is no text",
            code="invalid_value",
        )
    return value


def _is_integer(value: object) -> bool:
    # bool is an int to Python; here it is a type of its own.
    return isinstance(value, int) and not isinstance(value, bool)


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def type_of(
    values: Iterable[Value],
) -> type[str] | type[int] | type[float] | type[bool]:
    """Tell the one type that holds all values of a column; text if there is none."""
    given = [value for value in values if value is not None]
    types = {type(value) for value in given}
    if types == {int}:
        return int
    if types == {bool}:
        return bool
    if types and types <= {int, float}:
        # An integer that a float cannot hold keeps all its digits as text.
        exact = all(type(v) is float or int(float(v)) == v for v in given)
        return float if exact else str
    return str


def _unify(rows: Sequence[list[Value]], width: int) -> None:
    for place in range(width):
        wanted = type_of(row[place] for row in rows)
        for row in rows:
            value = row[place]
            if value is None or type(value) is wanted:
                continue
            row[place] = float(value) if wanted is float else as_text(value)


def as_text(value: Value) -> str:
    """Write a value as files have it: JSON's `true`, the shortest form of a float."""
    if isinstance(value, str):
        return value
    return "" if value is None else records.canonical(value).decode()


def digest(content: DataIdTable) -> bytes:
    """Give the SHA-256 of what a table says (32 bytes).

    It does not depend on the format or order in which rows and columns came, nor on
    whether files leave the instrument out. All tables without rows say the same.
    """
    if not content.rows:
        return records.digest({"dimensions": [], "columns": [], "rows": []})
    places = sorted(range(len(content.columns)), key=content.columns.__getitem__)
    return records.digest(
        {
            "dimensions": content.dimensions,
            "columns": [content.columns[place] for place in places],
            "rows": [
                [*row.data_id, *(row.values[place] for place in places)]
                for row in content.rows
            ],
        }
    )


def difference(old: DataIdTable, new: DataIdTable) -> Difference:
    """Tell what leads from one table to another.

    Data IDs are compared by the dimensions that they name, so a table of exposures may
    be compared with one that has detectors too.

    Parameters
    ----------
    old, new
        The two; that they are of one set is not asked.
    """
    before, after = _named(old), _named(new)
    names = tuple(dict.fromkeys((*old.columns, *new.columns)))
    changed = []
    for key, now in after.items():
        was = before.get(key)
        if was is None:
            continue
        others = [n for n in names if not _same(was.get(n), now.get(n))]
        if others:
            changed.append(
                Change(
                    dict(key),
                    {name: was.get(name) for name in others},
                    {name: now.get(name) for name in others},
                )
            )
    return Difference(
        tuple(Entry(dict(k), v) for k, v in after.items() if k not in before),
        tuple(Entry(dict(k), v) for k, v in before.items() if k not in after),
        tuple(changed),
        tuple(name for name in new.columns if name not in old.columns),
        tuple(name for name in old.columns if name not in new.columns),
    )


def _named(
    content: DataIdTable,
) -> dict[tuple[tuple[str, int | str], ...], dict[str, Value]]:
    named = {}
    for row, data_id in zip(content.rows, content.data_ids(), strict=True):
        values = dict(zip(content.columns, row.values, strict=True))
        named[tuple(data_id.items())] = values
    return named


def _same(one: Value, other: Value) -> bool:
    # 1 == True == 1.0 to Python; files write them differently.
    return type(one) is type(other) and one == other
