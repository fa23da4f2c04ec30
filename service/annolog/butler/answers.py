"""What stands of targets in a butler's tables: their states, and who said what."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from annolog.butler import layout
from annolog.butler.layout import LAYOUTS
from annolog.butler.tables import Tables

Key: TypeAlias = tuple[Any, ...]
"""What names a target in the tables of its kind."""

_STATE = ("flag", "disputed", "bots_differ", "notes", "number")
_STATEMENT = LAYOUTS[layout.STATEMENT].names[:-1]


@dataclass(frozen=True, slots=True)
class TargetState:
    """What holds for one target, as the tables have it.

    Attributes
    ----------
    flag
        Effective flag; None means that nobody has an opinion.
    disputed, bots_differ
        Whether people, or bots alone, disagree about it.
    tags
        Union of the tags of all counted statements, sorted.
    notes
        How many statements count.
    number
        Change by which the state came.
    """

    flag: str | None
    disputed: bool
    bots_differ: bool
    tags: tuple[str, ...]
    notes: int
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that counts for a target.

    Attributes
    ----------
    annotation_id, revision_id
        Its ids.
    author, author_kind, rank, check
        Whose it is ("human" or "bot"), with which weight; a bot's kind of judgement.
    flag, tags, text, level
        What it says.
    created_at
        When it was said so (UTC).
    """

    annotation_id: UUID
    revision_id: UUID
    author: str
    author_kind: str
    rank: str
    check: str | None
    flag: str | None
    tags: tuple[str, ...]
    level: int
    text: str
    created_at: datetime


def having(
    tables: Tables, kind: str, flags: Collection[str], tags: Collection[str]
) -> set[Key]:
    """Give the targets of a kind with one of some effective flags, or of some tags.

    Parameters
    ----------
    tables
        Opened.
    kind
        Which targets: one of `layout.KINDS`.
    flags, tags
        Any of either is enough.
    """
    names = [column.name for column in layout.KINDS[kind]]
    found = set(tables.rows(layout.states(kind), names, ("flag", list(flags))))
    return found | set(tables.rows(layout.tags(kind), names, ("tag", list(tags))))


def states(
    tables: Tables, kind: str, values: Collection[object]
) -> dict[Key, TargetState]:
    """Give what holds for targets; without those of which nothing is said.

    Parameters
    ----------
    tables
        Opened.
    kind
        Which targets.
    values
        What the column by which they are found may be.
    """
    names = [column.name for column in layout.KINDS[kind]]
    width = len(names)
    found_by = (layout.FOUND_BY[kind], list(values))
    tags: dict[Key, list[str]] = {}
    for row in tables.rows(layout.tags(kind), (*names, "tag"), found_by):
        tags.setdefault(row[:width], []).append(row[width])
    found = {}
    for row in tables.rows(layout.states(kind), (*names, *_STATE), found_by):
        key, (flag, disputed, bots_differ, notes, number) = row[:width], row[width:]
        found[key] = TargetState(
            flag,
            disputed,
            bots_differ,
            tuple(sorted(tags.get(key, ()))),
            notes,
            number,
        )
    return found


def statements(
    tables: Tables, kind: str, values: Collection[object]
) -> dict[Key, list[Said]]:
    """Give the statements that count for targets, oldest first; as `states`."""
    names = [column.name for column in layout.KINDS[kind]]
    found_by = (layout.FOUND_BY[kind], values)
    pairs = [
        (row[:-1], row[-1])
        for row in tables.rows(layout.links(kind), (*names, "annotation_id"), found_by)
    ]
    ids = {annotation_id for _, annotation_id in pairs}
    said = {
        row[0]: _said(row)
        for row in tables.rows(layout.STATEMENT, _STATEMENT, ("annotation_id", ids))
    }
    found: dict[Key, list[Said]] = {}
    for key, annotation_id in pairs:
        # A snapshot that came between the two questions may have taken it away.
        if annotation_id in said:
            found.setdefault(key, []).append(said[annotation_id])
    for some in found.values():
        some.sort(key=lambda one: (one.created_at, one.annotation_id))
    return found


def _said(row: Key) -> Said:
    values = dict(zip(_STATEMENT, row, strict=True))
    return Said(
        values["annotation_id"],
        values["revision_id"],
        values["author"],
        values["author_kind"],
        values["author_rank"],
        values["check_name"],
        values["flag"],
        tuple(msgspec.json.decode(values["tags"])),
        values["level"],
        values["text"],
        values["created_at"].replace(tzinfo=UTC),
    )
