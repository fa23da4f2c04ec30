"""Which rows of a butler's tables a change is about."""

from typing import NamedTuple

from annolog.butler import layout
from annolog.butler.wanted import Gathered, Key


class FoundBy(NamedTuple):
    """How the rows in question are found.

    Attributes
    ----------
    column, values
        A column and what it may be: maybe of more rows than are in question.
    keys, width
        The first values of the keys in question, and how many those are; None: all.
    """

    column: str
    values: list[object]
    keys: set[Key] | None
    width: int = 0


def found_by(gathered: Gathered) -> dict[str, FoundBy]:
    """Say which rows what changed is about, by table.

    Parameters
    ----------
    gathered
        What changed.
    """
    found: dict[str, FoundBy] = {}
    annotations: list[object] = list(gathered.statements)
    if annotations:
        by_annotation = FoundBy("annotation_id", annotations, None)
        found[layout.STATEMENT] = by_annotation
        found[layout.STANDING] = by_annotation
        found |= {layout.links(kind): by_annotation for kind in layout.KINDS}
    if gathered.entries:
        kinds: list[object] = list({kind for kind, _ in gathered.entries})
        found[layout.ENTRY] = FoundBy("kind", kinds, set(gathered.entries), 2)
    if gathered.sets:
        by_key = FoundBy("set_key", list(gathered.sets), None)
        found |= {layout.SET_VERSION: by_key, layout.SET_MEMBER: by_key}
    keys: dict[str, set[Key]] = {}
    for key in gathered.states:
        place = gathered.place(key)
        if place is not None:
            keys.setdefault(place.kind, set()).add(place.key)
    for kind, some in keys.items():
        names = [column.name for column in layout.KINDS[kind]]
        column = names.index(layout.FOUND_BY[kind])
        values = list({key[column] for key in some})
        of_kind = FoundBy(names[column], values, some, len(names))
        found |= {layout.states(kind): of_kind, layout.tags(kind): of_kind}
    return found
