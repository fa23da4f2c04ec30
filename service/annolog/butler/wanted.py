"""What belongs into a butler's tables: rows worked out from a snapshot's lines.

Plain values alone: which targets the butler holds comes from whoever asks it.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from annolog.butler import layout
from annolog.butler.layout import Place, detector_of, place_of
from annolog.domain.snapshots import (
    Gone,
    Line,
    SetVersion,
    Stands,
    State,
    Statement,
    Weighing,
)

EXAMPLES = 5
"""So many targets that wait are named for each reason."""

Key = tuple[object, ...]
"""Values of a table's key columns."""

Rows = dict[Key, Key]
"""Rows of one table: the values of the other columns by those of the key."""

_encode = msgspec.json.Encoder().encode
# The service and the topics give the members of an object in orders of their own.
_encode_sorted = msgspec.json.Encoder(order="deterministic").encode


@dataclass(slots=True)
class Waiting:
    """What could not be exported, and why.

    Attributes
    ----------
    counts
        How many targets, by reason and kind.
    examples
        The first keys of each.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    examples: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, reason: str, kind: str, key: str) -> None:
        """Take note of a target."""
        place = (reason, kind)
        self.counts[place] += 1
        named = self.examples.setdefault(place, [])
        if len(named) < EXAMPLES:
            named.append(key)

    @property
    def total(self) -> int:
        """How many targets wait for the butler to hold them, or to be old enough."""
        return sum(n for (reason, _), n in self.counts.items() if reason != NO_PLACE)


NO_PLACE = "no_place"
"""Reason: there is no table for such a target (nights, gaps, other repositories)."""

NOT_HELD = "not_held"
"""Reason: the butler does not hold it, yet or any more."""

EMBARGOED = "embargoed"
"""Reason: it is younger than what may be exported."""


class Gathered:
    """The lines of a snapshot, or of what changed, by what they are about.

    Parameters
    ----------
    label
        The observatory's label for the butler; None if it has none.
    """

    def __init__(self, label: str | None) -> None:
        self._label = label
        self._places: dict[str, Place | None] = {}
        self.states: dict[str, State | None] = {}
        """What holds by key, for joined targets under each key; None: nothing does."""
        self.statements: dict[UUID, Statement | None] = {}
        """Statements by annotation; None for one that counts no more."""

        self.standings: list[Stands] = []
        """What stands on detectors, all of it of the annotations in `statements`."""

        self.entries: dict[tuple[str, str], Weighing] = {}
        """Entries by which votes are weighed, by kind and key."""

        self.sets: dict[str, SetVersion] = {}
        """Versions of data-ID sets by key."""

    def add(self, line: Line) -> None:
        """Take in a line; what has no place in the tables is passed over."""
        match line:
            case State():
                if line.empty:
                    # Another line may say that it is one with a target that has a
                    # state: in whichever order they come.
                    self.states.setdefault(line.key, None)
                else:
                    for key in (line.key, *line.joined):
                        self.states[key] = line
            case Statement():
                self.statements[line.annotation_id] = line
            case Stands():
                self.standings.append(line)
            case Weighing():
                self.entries[line.kind, line.key] = line
            case SetVersion():
                self.sets[line.key] = line
            case Gone():
                self.statements[line.annotation_id] = None
            case _:
                pass

    def place(self, key: str) -> Place | None:
        """Say where a target stands in the tables; None if nowhere."""
        try:
            return self._places[key]
        except KeyError:
            found = self._places[key] = place_of(key, self._label)
            return found

    def keys(self) -> Iterator[str]:
        """Give all keys that are spoken of, some of them more than once."""
        yield from self.states
        for one in self.statements.values():
            if one is not None:
                yield from one.counted_for
        for stood in self.standings:
            yield from stood.keys

    def places(self) -> set[Place]:
        """Give the places of all targets that are spoken of."""
        return {one for one in map(self.place, self.keys()) if one is not None}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Rows that belong into the tables.

    Attributes
    ----------
    tables
        Rows by the name of the table; a table that is not in it has none.
    waiting
        What does not belong there yet.
    """

    tables: Mapping[str, Rows]
    waiting: Waiting


def rows(gathered: Gathered, held: Mapping[Place, str | None]) -> Wanted:
    """Work out the rows.

    Parameters
    ----------
    gathered
        What was said.
    held
        Why a place may have no row (a reason as `NOT_HELD`); None where it may.
    """
    tables: dict[str, Rows] = {name: {} for name in layout.LAYOUTS}
    waiting = Waiting()
    for key, state in gathered.states.items():
        if state is None:
            continue
        place = gathered.place(key)
        if place is None:
            waiting.add(NO_PLACE, state.kind, key)
        elif (reason := held[place]) is not None:
            waiting.add(reason, place.kind, key)
        else:
            tables[layout.states(place.kind)][place.key] = _state_row(state)
            tagged = tables[layout.tags(place.kind)]
            for tag in state.tags:
                tagged[*place.key, tag] = ()
    for annotation_id, statement in gathered.statements.items():
        if statement is not None and _link(tables, gathered, held, statement):
            tables[layout.STATEMENT][annotation_id,] = _statement_row(statement)
    _enter_standings(tables, gathered, held)
    _enter_sets(tables, gathered)
    return Wanted(tables, waiting)


def _enter_standings(
    tables: Mapping[str, Rows], gathered: Gathered, held: Mapping[Place, str | None]
) -> None:
    """Enter what stands on detectors that are here, and how it is weighed."""
    for stood in gathered.standings:
        for key in stood.keys:
            at = detector_of(key)
            place = gathered.place(key)
            if at is not None and place is not None and held[place] is None:
                tables[layout.STANDING][*at, stood.source_id] = _standing_row(stood)
    for entry in gathered.entries.values():
        fields = _encode_sorted(entry.fields).decode()
        tables[layout.ENTRY][entry.kind, entry.key] = _sealed(fields)


def _enter_sets(tables: Mapping[str, Rows], gathered: Gathered) -> None:
    """Enter versions of sets with their rows."""
    for version in gathered.sets.values():
        tables[layout.SET_VERSION][version.key,] = _version_row(version)
        members = tables[layout.SET_MEMBER]
        for number, row in enumerate(version.rows):
            members[version.key, number] = _member_row(version, row)


def _link(
    tables: Mapping[str, Rows],
    gathered: Gathered,
    held: Mapping[Place, str | None],
    statement: Statement,
) -> bool:
    """Enter for what a statement counts; tell whether that is anything here."""
    counts = False
    for key in statement.counted_for:
        place = gathered.place(key)
        if place is not None and held[place] is None:
            of_kind = tables[layout.links(place.kind)]
            of_kind[*place.key, statement.annotation_id] = ()
            counts = True
    return counts


def _state_row(state: State) -> Key:
    return _sealed(
        state.flag, state.disputed, state.bots_differ, state.notes, state.number
    )


def _statement_row(said: Statement) -> Key:
    return _sealed(
        said.revision_id,
        said.author,
        said.author_kind,
        said.rank,
        said.check,
        said.flag,
        _encode(said.tags).decode(),
        said.level,
        # PostgreSQL has no room for it in a text.
        said.text.replace("\x00", ""),
        naive(said.created_at),
    )


def _standing_row(stood: Stands) -> Key:
    return _sealed(
        stood.annotation_id,
        stood.revision_id,
        stood.author,
        stood.voter,
        stood.rank,
        stood.flag,
        stood.vote_id,
        stood.vote_clock,
        stood.contested,
        _encode(stood.tags).decode(),
        None if stood.observed_begin is None else naive(stood.observed_begin),
        None if stood.observed_end is None else naive(stood.observed_end),
    )


def _version_row(version: SetVersion) -> Key:
    return _sealed(
        version.name,
        version.version,
        version.content,
        version.author,
        version.reason,
        _encode(version.labels).decode(),
        naive(version.created_at),
    )


def _member_row(version: SetVersion, row: Key) -> Key:
    width = len(version.dimensions)
    named = zip(version.dimensions, row[:width], strict=True)
    return _sealed(
        # A row of a whole exposure names no detector beside others that name one.
        _encode({name: value for name, value in named if value is not None}).decode(),
        _encode(dict(zip(version.columns, row[width:], strict=True))).decode(),
    )


def _sealed(*values: object) -> Key:
    """Add the digest, by which a row is compared without being read."""
    content = hashlib.blake2b(_encode(values), digest_size=8).digest()
    return (*values, int.from_bytes(content, signed=True))


def naive(moment: datetime) -> datetime:
    """Give a moment as the tables have it: UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def by_kind(places: Iterable[Place]) -> dict[str, set[Key]]:
    """Sort places by their kind; each kind is there."""
    found: dict[str, set[Key]] = {kind: set() for kind in layout.KINDS}
    for place in places:
        found[place.kind].add(place.key)
    return found


def first_of(keys: Collection[Key], column: int) -> set[object]:
    """Give the values of one column of keys."""
    return {key[column] for key in keys}
