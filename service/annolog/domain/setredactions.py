"""Taking words out of versions of data-ID sets.

A version holds words: texts in the further columns of its rows, its reason, and those
of the recipe that it was built from. A redaction names records by their ids, so it does
its work in whichever order they come: the records of a version, and the lists of rows
that these name, which other versions may share. All words go, or those of the data IDs
named. What was blanked stays blank; who is in a version, how many rows it has, its
number, digest and hash stay what they were.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.dataids import (
    DataIdRow,
    DataIdTable,
    Value,
    data_id_of,
    split_columns,
)
from annolog.domain.records import canonical
from annolog.domain.setrecords import ROWS

REASON_LEFT = "redacted"
"""What is left of a reason to keep or to drop a row: a recipe wants one."""

DataId = frozenset[tuple[str, int | str]]
"""A data ID as what it is compared by."""


@dataclass(frozen=True, slots=True)
class SetRedaction:
    """What a redaction of a version takes away.

    Attributes
    ----------
    record_id
        The redaction.
    versions
        Records of versions.
    lists
        Lists of rows.
    data_ids
        The rows that lose their words; None: all, and versions their reason, too.
    """

    record_id: UUID
    versions: tuple[UUID, ...]
    lists: tuple[UUID, ...]
    data_ids: frozenset[DataId] | None = None

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "SetRedaction":
        """Read it of the decoded body of its record."""
        named = fields["data_ids"]
        return cls(
            UUID(fields["record_id"]),
            tuple(map(UUID, fields["versions"])),
            tuple(map(UUID, fields["lists"])),
            None if named is None else frozenset(map(data_id_key, named)),
        )

    @property
    def records(self) -> tuple[UUID, ...]:
        """All records that lose words."""
        return (*self.versions, *self.lists)

    def takes(self, data_id: Mapping[str, Any]) -> bool:
        """Tell whether the words of a row are to go."""
        return self.data_ids is None or data_id_key(data_id) in self.data_ids


def data_id_key(data_id: Mapping[str, Any]) -> DataId:
    """Give what a data ID is compared by."""
    return frozenset(data_id.items())


def blank(body: bytes, orders: Sequence[SetRedaction]) -> bytes:
    """Give the body of a version or of rows without words; all else stays.

    Parameters
    ----------
    body
        As stored or received, blank already or not.
    orders
        What is to go; at least one.
    """
    fields: dict[str, Any] = msgspec.json.decode(body)
    for order in orders:
        if fields["kind"] == ROWS:
            _blank_rows(fields, order)
        else:
            _blank_version(fields, order)
    # The least of several redactions is named, so that all sites agree.
    ids = [str(order.record_id) for order in orders]
    fields["redacted_by"] = min([fields.get("redacted_by") or ids[0], *ids])
    return canonical(fields)


def blank_table(content: DataIdTable, orders: Iterable[SetRedaction]) -> DataIdTable:
    """Give a table without the words that redactions took out of a list of rows.

    Parameters
    ----------
    content
        For instance what a recipe gives now: what was blanked cannot be compared.
    orders
        The redactions of the list.
    """
    for order in orders:
        rows = (
            DataIdRow(row.data_id, tuple(map(_left, row.values)))
            if order.takes(data_id)
            else row
            for data_id, row in zip(content.data_ids(), content.rows, strict=True)
        )
        content = replace(content, rows=tuple(rows))
    return content


def _left(value: Value) -> Value:
    # As tables have what is empty; numbers and truths are no words.
    return None if isinstance(value, str) else value


def _blank_rows(fields: Mapping[str, Any], order: SetRedaction) -> None:
    dimensions = fields["dimensions"]
    count = len(dimensions)
    for row in fields["rows"]:
        if order.takes(data_id_of(dimensions, tuple(row[:count]))):
            row[count:] = map(_left, row[count:])


def _blank_version(fields: dict[str, Any], order: SetRedaction) -> None:
    if order.data_ids is None:
        fields["reason"] = ""
    recipe = fields.get("recipe") or {}
    for data_id, row, names in _given_rows(recipe):
        if order.takes(data_id):
            row.update({name: _left(row.get(name)) for name in names})
    for one in _exceptions(recipe):
        if order.takes(one["data_id"]):
            one["reason"] = REASON_LEFT
            values = one.get("values") or {}
            values.update({name: _left(value) for name, value in values.items()})


def _given_rows(
    recipe: Mapping[str, Any],
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any], Sequence[str]]]:
    """Give data ID, row and names of further columns of each row in a recipe."""
    for part in recipe.get("parts", ()):
        rows = part.get("rows") or ()
        dimensions, columns = split_columns(
            {name: None for row in rows for name in row}
        )
        for row in rows:
            data_id = {n: row[n] for n in dimensions if row.get(n) is not None}
            yield data_id, row, columns


def _exceptions(recipe: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from recipe.get("keep", ())
    yield from recipe.get("drop", ())


# ------------------------------------------------------------------ copies


@dataclass(frozen=True, slots=True)
class Words:
    """The words that a version holds, or those of some of its rows.

    Attributes
    ----------
    rows
        Texts by data ID and column.
    said
        Its reason, and the texts of its recipe.
    """

    rows: Mapping[DataId, Mapping[str, str]]
    said: frozenset[str]

    def again_in(self, other: "Words") -> "Repeated":
        """Count where another version holds them, or longer texts with them in it."""
        rows = 0
        for data_id, texts in self.rows.items():
            there = other.rows.get(data_id, {})
            rows += any(text in there.get(name, "") for name, text in texts.items())
        return Repeated(rows, bool(self.said & other.said))


@dataclass(frozen=True, slots=True)
class Repeated:
    """Where a version repeats the words of another.

    Attributes
    ----------
    rows
        In how many rows.
    said
        Whether in its reason or recipe.
    """

    rows: int
    said: bool

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return self.said or self.rows > 0


def words_of(
    version: Mapping[str, Any], rows: bytes | None, order: SetRedaction
) -> Words:
    """Find the words that a redaction would take out of a version.

    Parameters
    ----------
    version
        The decoded body of its record.
    rows
        The body of the record of its rows; None where it is not here.
    order
        What is to go; the records that it names do not matter.
    """
    found: dict[DataId, Mapping[str, str]] = {}
    if rows is not None:
        fields = msgspec.json.decode(rows)
        dimensions, columns = fields["dimensions"], fields["columns"]
        count = len(dimensions)
        for row in fields["rows"]:
            data_id = data_id_of(dimensions, tuple(row[:count]))
            texts = _texts(dict(zip(columns, row[count:], strict=True)))
            if texts and order.takes(data_id):
                found[data_id_key(data_id)] = texts
    said = {version["reason"]} if order.data_ids is None else set()
    recipe = version.get("recipe") or {}
    for named, given, names in _given_rows(recipe):
        if order.takes(named):
            said.update(_texts({name: given.get(name) for name in names}).values())
    for one in _exceptions(recipe):
        if order.takes(one["data_id"]):
            said.add(one["reason"])
            said.update(_texts(one.get("values") or {}).values())
    return Words(found, frozenset(said - {"", REASON_LEFT}))


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: one for name, one in values.items() if isinstance(one, str) and one}
