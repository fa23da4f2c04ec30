"""The values of a turn: what is wanted, what is known, what is written down.

A `Book` is filled with them and brings them about; storage writes them as rows, and
whoever works out a state or reads a statement does it with the functions here, so that
there is one reading of a body and one folding of statements into a state.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.annotations import Operation, Verdict
from annolog.domain.entries import Entry
from annolog.domain.flags import Rank, effective
from annolog.domain.history import Review, Standing, Version
from annolog.domain.ids import read_id
from annolog.domain.records import SWEEPING_KINDS, Record
from annolog.domain.tags import findable
from annolog.domain.vocabulary import Vocabulary

STATEMENTS = frozenset({"revision", "review"})
"""Kinds of records that count for targets, and that can be redacted."""


class NeedMore(Exception):  # noqa: N818  (a request to the lane, not an error)
    """The decision needs rows that were not loaded yet.

    Parameters
    ----------
    wants
        What to load before asking again.
    """

    def __init__(self, wants: "Wants") -> None:
        super().__init__("more rows are needed")
        self.wants = wants


class Wants(msgspec.Struct, frozen=True):
    """What a decision has to see.

    Attributes
    ----------
    annotations
        Annotations whose revisions and reviews are wanted.
    keys
        Targets whose places, standing statements and states are wanted.
    facts
        Exposures whose facts are wanted.
    records
        Records of which it matters whether they are here.
    sets
        Names of data-ID sets of which all but the rows is wanted.
    bodies
        Records of data-ID sets of which the words are wanted, as they may be large.
    """

    annotations: frozenset[UUID] = frozenset()
    keys: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    records: frozenset[UUID] = frozenset()
    sets: frozenset[str] = frozenset()
    bodies: frozenset[UUID] = frozenset()

    def __or__(self, other: "Wants") -> "Wants":
        """Want both."""
        return Wants(
            self.annotations | other.annotations,
            self.keys | other.keys,
            self.facts | other.facts,
            self.records | other.records,
            self.sets | other.sets,
            self.bodies | other.bodies,
        )

    @classmethod
    def of_all(cls, many: Iterable["Wants"]) -> "Wants":
        """Want all of these."""
        each = list(many)
        return cls(
            frozenset().union(*(one.annotations for one in each)),
            frozenset().union(*(one.keys for one in each)),
            frozenset().union(*(one.facts for one in each)),
            frozenset().union(*(one.records for one in each)),
            frozenset().union(*(one.sets for one in each)),
            frozenset().union(*(one.bodies for one in each)),
        )

    def __bool__(self) -> bool:
        """Tell whether anything is wanted."""
        return bool(
            self.annotations
            or self.keys
            or self.facts
            or self.records
            or self.sets
            or self.bodies
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A vocabulary as read from the log.

    Attributes
    ----------
    vocabulary
        Flags, tags, policies, aliases ...
    number
        Change number of the last entry that was read; 0 for none.
    basis
        Change number of the last entry that may have changed states everywhere.
    """

    vocabulary: Vocabulary
    number: int = 0
    basis: int = 0

    def plus(self, entries: Iterable[Entry]) -> "Known":
        """Give it with further entries, oldest first."""
        vocabulary, number, basis = self.vocabulary, self.number, self.basis
        for entry in entries:
            vocabulary = vocabulary.with_entry(entry)
            number = max(number, entry.number)
            if entry.kind in SWEEPING_KINDS:
                basis = max(basis, entry.number)
        return Known(vocabulary, number, basis)


class Place(msgspec.Struct, frozen=True):
    """A target's row: local numbers and the columns that lists filter by.

    `obs_id` is what facts call an exposure: empty where they give it no name, None
    where nobody told of it when the row was read.
    """

    target_id: int
    class_id: int
    key: str
    kind: str
    instrument: str | None
    day_obs: int | None
    seq_num: int | None
    obs_id: str | None = None


class State(msgspec.Struct, frozen=True):
    """What now holds for a target; equal states are not written again."""

    flag: str | None = None
    decided_by: tuple[UUID, ...] = ()
    outvoted: tuple[UUID, ...] = ()
    disputed: bool = False
    bots_differ: bool = False
    follow_ups: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()
    notes: int = 0
    empty: bool = True


NOTHING_SAID = State()
"""The state of a target of which nobody said anything."""


class SaidRow(msgspec.Struct):
    """One interval of a standing, about to be written."""

    place: Place
    standing: Standing
    from_number: int
    to_number: int | None = None


class Entered(msgspec.Struct, frozen=True):
    """One record that the turn brings into the log."""

    number: int
    record: Record
    operation: str
    subject: str
    instruments: tuple[str, ...]
    days: tuple[int, ...]
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    target_count: int = 0
    before: Mapping[str, Any] = {}
    fields: Mapping[str, Any] = {}


def state_of(
    standings: Iterable[Standing], vocabulary: Vocabulary, instrument: str | None
) -> State:
    """Fold what stands on a target into its state.

    Parameters
    ----------
    standings
        All that counts on the target and on those joined with it, any order.
    vocabulary
        Flags, policies and aliases to judge by.
    instrument
        The target's instrument; None if it has none.
    """
    known = list(standings)
    if not known:
        return NOTHING_SAID
    result = effective([one.said for one in known], vocabulary, instrument)
    if len(known) == 1:  # as on nearly every target: no sets for one
        tags, notes = known[0].tags, int(_is_note(known[0]))
    else:
        tags = tuple(sorted({tag for one in known for tag in one.tags}))
        notes = len({one.said.annotation_id for one in known if _is_note(one)})
    return State(
        result.flag,
        result.decided_by,
        result.outvoted,
        result.disputed,
        result.bots_differ,
        result.follow_ups,
        tags,
        notes,
        empty=False,
    )


def _is_note(standing: Standing) -> bool:
    """Tell a statement from a review that confirms one."""
    return standing.said.source_id == standing.said.annotation_id


def version_of(
    fields: Mapping[str, Any], lists: Mapping[UUID, Sequence[str]]
) -> Version:
    """Read of a revision's body what the views need.

    Parameters
    ----------
    fields
        The decoded body.
    lists
        Lists of targets by id; its own must be among them.
    """
    if fields.get("list_id"):
        keys = lists[read_id(fields["list_id"])]
    else:
        keys = fields["targets"]
    parent = fields["parent_id"]
    revision_id = read_id(fields["revision_id"])
    content_id = fields.get("content_id")
    continues = fields.get("continues")
    return Version(
        revision_id,
        read_id(fields["annotation_id"]),
        read_id(parent) if parent else None,
        fields["clock"],
        Operation(fields["operation"]),
        tuple(keys),
        fields["flag"],
        findable(fields["tags"]),
        fields["author"],
        fields["author_kind"],
        fields["voter"],
        Rank[fields["rank"].upper()],
        read_id(content_id)
        if content_id and content_id != fields["revision_id"]
        else revision_id,
        read_id(continues) if continues else None,
    )


def review_of(fields: Mapping[str, Any], lists: Mapping[UUID, Sequence[str]]) -> Review:
    """Read of a review's body what the views need; lists as for `version_of`."""
    targets: frozenset[str] | None
    if fields.get("list_id"):
        targets = frozenset(lists[read_id(fields["list_id"])])
    else:
        targets = None if fields["targets"] is None else frozenset(fields["targets"])
    return Review(
        read_id(fields["record_id"]),
        read_id(fields["annotation_id"]),
        read_id(fields["revision_id"]),
        Verdict(fields["verdict"]),
        targets,
        fields["voter"],
        Rank[fields["rank"].upper()],
        fields["clock"],
    )
