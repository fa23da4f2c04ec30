"""Which annotation each row of an exposurelog database belongs to.

Rows come by their dates. A row waits for its parent, as a parent's place is needed
for its own; that of a child that is older than its parent comes later. Only rows that
have children are remembered, so the memory that it takes is that of the edits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from annolog.exposurelog.rows import Line, Row, line_of


@dataclass(frozen=True, slots=True)
class Found:
    """A row, and what the rows around it say of its place.

    Attributes
    ----------
    row
        The row.
    has_children
        Whether there are edited versions of it.
    parent_is_here
        Whether its parent is in the table.
    may_continue
        Whether it is the first of its parent's children, and the parent is no longer
        valid.
    """

    row: Row
    has_children: bool
    parent_is_here: bool
    may_continue: bool


class Lines:
    """Brings rows into an order, parents first, and gives each its place."""

    def __init__(self) -> None:
        self._come: set[UUID] = set()
        self._lines: dict[UUID, Line] = {}
        self._waiting: dict[UUID, list[Found]] = {}

    def ordered(self, rows: Iterable[Found]) -> list[Found]:
        """Give the rows that can be placed now.

        Parameters
        ----------
        rows
            The next rows, by date and id.

        Returns
        -------
        list of Found
            Parents before their children; rows whose parent has not come wait.
        """
        return [one for row in rows for one in self._with_waiting(row)]

    def rest(self) -> Iterator[Found]:
        """Give the rows that still wait once all have come.

        Their ancestors form rings. The first of them, by date and id, has no place to
        go by and begins an annotation; the others follow it.
        """
        parents = sorted(
            (one for group in self._waiting.values() for one in group),
            key=lambda one: (one.row.date_added, one.row.message_id),
        )
        for one in parents:
            if one.has_children:
                yield from self._released(one)

    def _with_waiting(self, found: Found) -> Iterator[Found]:
        parent = found.row.parent_id
        if parent is not None and found.parent_is_here and parent not in self._come:
            self._waiting.setdefault(parent, []).append(found)
            return
        yield from self._released(found)

    def _released(self, found: Found) -> Iterator[Found]:
        ready = [found]
        while ready:  # no recursion: chains of edits may be long
            one = ready.pop()
            own = one.row.message_id
            if own in self._come:
                continue
            yield one
            if one.has_children:
                self._come.add(own)
                ready += reversed(self._waiting.pop(own, ()))

    def place(
        self, found: Found, stored: Line | None = None, *, taken: bool = False
    ) -> Line:
        """Say where a row stands.

        Parameters
        ----------
        found
            The row, in the order that `ordered` and `rest` give.
        stored
            Where it stands in the database already; that holds.
        taken
            Whether another row continues its parent's annotation already.
        """
        row = found.row
        line = stored
        if line is None:
            parent = None
            if row.parent_id is not None and row.parent_id != row.message_id:
                parent = self._lines.get(row.parent_id)
            line = line_of(row, parent, continues=found.may_continue and not taken)
        if found.has_children:
            self._lines[row.message_id] = line
        return line
