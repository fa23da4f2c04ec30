"""What an export came to, how far it is, and what an earlier one left."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from annolog.butler.wanted import Waiting


class Progress(NamedTuple):
    """How far an export is.

    Attributes
    ----------
    step
        What is being done, in a word or two.
    done, total
        Rows; total is 0 where it is not known.
    """

    step: str
    done: int
    total: int = 0


@dataclass(slots=True)
class Exported:
    """What an export came to.

    Attributes
    ----------
    site_id, number, taken_at
        Of the snapshot that is in the tables now.
    added, changed, removed
        Rows by table; tables of which nothing was touched are left out.
    waiting
        Targets that have no row, by reason and kind.
    """

    site_id: str
    number: int
    taken_at: datetime
    added: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    waiting: Waiting = field(default_factory=Waiting)

    @property
    def touched(self) -> int:
        """How many rows were touched."""
        return sum(
            sum(one.values()) for one in (self.added, self.changed, self.removed)
        )


class Stored(NamedTuple):
    """Whose snapshot is in the tables; as `layout.SNAPSHOT` has it."""

    site_id: str
    incarnation: str
    number: int
    taken_at: datetime
    exported_at: datetime
    schema_version: int
    scope: str
    waiting: int
