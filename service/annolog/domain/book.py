"""The working set of one turn: what was known, what was said, what follows.

A turn of the lane loads what its requests touch into a `Book`, decides the requests
one after the other (each sees those before it), and writes what the book then holds.
The book does no IO; where it lacks something it raises `NeedMore` and is asked again.
The same book applies records of other sites and rebuilds views from the log, so there
is one way from records to views.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from annolog.domain import history
from annolog.domain.annotations import CONTENT_FIELDS, Operation, Verdict
from annolog.domain.entries import Entry
from annolog.domain.exposures import ExposureFact, fact_from_record
from annolog.domain.flags import Rank, effective
from annolog.domain.history import Review, Standing, Standings, Version
from annolog.domain.records import (
    ENTRY_KINDS,
    SWEEPING_KINDS,
    Origin,
    Record,
    blank,
)
from annolog.domain.vocabulary import Vocabulary

_T = TypeVar("_T", str, int)

STATEMENTS = frozenset({"revision", "review"})
"""Kinds of records that count for targets, and that can be redacted."""

MAX_CHANGE_INSTRUMENTS = 8
"""Instruments that a change names for those who filter; more: none, it goes to all."""
MAX_CHANGE_DAYS = 64
"""Nights that a change names for those who filter; more: none, it goes to all."""


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


@dataclass(frozen=True, slots=True)
class Wants:
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
    """

    annotations: frozenset[UUID] = frozenset()
    keys: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    records: frozenset[UUID] = frozenset()

    def __or__(self, other: "Wants") -> "Wants":
        """Want both."""
        return Wants(
            self.annotations | other.annotations,
            self.keys | other.keys,
            self.facts | other.facts,
            self.records | other.records,
        )

    def __bool__(self) -> bool:
        """Tell whether anything is wanted."""
        return bool(self.annotations or self.keys or self.facts or self.records)


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


@dataclass(frozen=True, slots=True)
class Place:
    """A target's row: local numbers and the columns that lists filter by."""

    target_id: int
    class_id: int
    key: str
    kind: str
    instrument: str | None
    day_obs: int | None
    seq_num: int | None


@dataclass(frozen=True, slots=True)
class State:
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


@dataclass(slots=True)
class SaidRow:
    """One interval of a standing, about to be written."""

    place: Place
    standing: Standing
    from_number: int
    to_number: int | None = None


@dataclass(frozen=True, slots=True)
class Entered:
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
    before: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)


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
    result = effective((one.said for one in known), vocabulary, instrument)
    return State(
        flag=result.flag,
        decided_by=result.decided_by,
        outvoted=result.outvoted,
        disputed=result.disputed,
        bots_differ=result.bots_differ,
        follow_ups=result.follow_ups,
        tags=tuple(sorted({tag for one in known for tag in one.tags})),
        notes=len(
            {
                one.said.annotation_id
                for one in known
                if one.said.source_id == one.said.annotation_id
            }
        ),
        empty=False,
    )


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
        keys = lists[UUID(fields["list_id"])]
    else:
        keys = fields["targets"]
    parent = fields["parent_id"]
    return Version(
        UUID(fields["revision_id"]),
        UUID(fields["annotation_id"]),
        UUID(parent) if parent else None,
        fields["clock"],
        Operation(fields["operation"]),
        tuple(keys),
        fields["flag"],
        tuple(fields["tags"]),
        fields["author"],
        fields["author_kind"],
        fields["voter"],
        Rank[fields["rank"].upper()],
    )


def review_of(fields: Mapping[str, Any], lists: Mapping[UUID, Sequence[str]]) -> Review:
    """Read of a review's body what the views need; lists as for `version_of`."""
    targets: frozenset[str] | None
    if fields.get("list_id"):
        targets = frozenset(lists[UUID(fields["list_id"])])
    else:
        targets = None if fields["targets"] is None else frozenset(fields["targets"])
    return Review(
        UUID(fields["record_id"]),
        UUID(fields["annotation_id"]),
        UUID(fields["revision_id"]),
        Verdict(fields["verdict"]),
        targets,
        fields["voter"],
        Rank[fields["rank"].upper()],
        fields["clock"],
    )


class Book:
    """One turn's knowledge and its results.

    Parameters
    ----------
    origin
        This site and incarnation.
    head
        The greatest change number so far.
    known
        Vocabularies, policies, aliases as of that number.
    """

    def __init__(self, origin: Origin, head: int, known: Known) -> None:
        self.origin = origin
        self.head = head
        self.known = known
        self.places: dict[str, Place] = {}
        self.lists: dict[UUID, Sequence[str]] = {}
        self.bodies: dict[UUID, bytes] = {}
        self.versions: dict[UUID, list[Version]] = {}
        self.reviews: dict[UUID, list[Review]] = {}
        self.facts: dict[str, list[ExposureFact]] = {}
        self.redactions: dict[UUID, UUID] = {}
        self.states: dict[int, State] = {}
        self.members: dict[int, dict[str, Place]] = {}
        self.known_records: set[UUID] = set()
        self.known_lists: set[UUID] = set()
        self._standing: dict[int, dict[tuple[UUID, str], Standing]] = {}
        self._seen_annotations: set[UUID] = set()
        self._seen_facts: set[str] = set()
        self._seen_records: set[UUID] = set()
        self.waiting: dict[UUID, list[Mapping[str, Any]]] = {}
        # results
        self.entered: list[Entered] = []
        self.opened: dict[tuple[UUID, str], SaidRow] = {}
        self.finished: list[SaidRow] = []
        self.closed: dict[tuple[UUID, int], int] = {}
        self.current_from: dict[UUID, int] = {}
        self.ended: dict[UUID, int] = {}
        self.touched: dict[int, int] = {}
        self.new_versions: list[tuple[Version, Mapping[str, Any], int]] = []
        self.new_reviews: list[tuple[Review, Mapping[str, Any], int]] = []
        self.new_entries: list[Entry] = []
        self.new_facts: list[tuple[ExposureFact, int]] = []
        self.new_waiting: list[tuple[UUID, UUID]] = []
        self.blanked: list[tuple[UUID, bytes]] = []
        self.counted: dict[UUID, bool] = {}
        self.moved: dict[int, int] = {}

    # ------------------------------------------------------------ loading

    def load_places(self, places: Iterable[tuple[Place, State | None]]) -> None:
        """Take in places (all members of their classes) and their classes' states."""
        for place, state in places:
            self.places[place.key] = place
            self.members.setdefault(place.class_id, {})[place.key] = place
            self._standing.setdefault(place.class_id, {})
            if state is not None:
                self.states.setdefault(place.class_id, state)

    def load_standing(self, key: str, standing: Standing) -> None:
        """Take in one standing as the database has it."""
        place = self.places[key]
        slot = self._standing[place.class_id]
        slot.setdefault((standing.said.source_id, key), standing)

    def load_annotations(
        self,
        ids: Iterable[UUID],
        bodies: Iterable[bytes],
        reviews: Iterable[bytes],
        lists: Iterable[tuple[UUID, bytes]],
    ) -> None:
        """Take in annotations whole; those asked for and not found do not exist."""
        fresh = set(ids) - self._seen_annotations
        self._seen_annotations |= fresh
        for list_id, keys in lists:
            self.known_lists.add(list_id)
            self.lists.setdefault(list_id, msgspec.json.decode(keys))
        for body in bodies:
            fields = msgspec.json.decode(body)
            annotation_id = UUID(fields["annotation_id"])
            if annotation_id in fresh:
                version = version_of(fields, self.lists)
                self.bodies[version.revision_id] = body
                self.versions.setdefault(annotation_id, []).append(version)
        for body in reviews:
            fields = msgspec.json.decode(body)
            if UUID(fields["annotation_id"]) in fresh:
                review = review_of(fields, self.lists)
                self.bodies[review.review_id] = body
                self.reviews.setdefault(review.annotation_id, []).append(review)

    def load_facts(self, keys: Iterable[str], facts: Iterable[ExposureFact]) -> None:
        """Take in all facts of the exposures asked for."""
        fresh = set(keys) - self._seen_facts
        self._seen_facts |= fresh
        for fact in facts:
            if fact.key in fresh:
                self.facts.setdefault(fact.key, []).append(fact)

    def load_records(
        self,
        ids: Iterable[UUID],
        known: Iterable[UUID],
        redactions: Iterable[tuple[UUID, UUID]],
        lists: Iterable[tuple[UUID, bytes]],
        waiting: Iterable[tuple[UUID, bytes]],
        bodies: Iterable[tuple[UUID, bytes]] = (),
    ) -> None:
        """Take in what is here of the records asked for.

        Parameters
        ----------
        ids
            Those asked for.
        known
            Those of them that are here.
        redactions
            (revision, redaction) of those that were redacted before they came.
        lists
            Those of them that are lists: id and keys.
        waiting
            (list, body) of statements that wait for one of them.
        bodies
            Those of them that are statements: id and body.
        """
        self._seen_records |= set(ids)
        self.known_records |= set(known)
        for revision_id, redaction_id in redactions:
            self._note_redaction(revision_id, redaction_id)
        for record_id, body in bodies:
            self.bodies.setdefault(record_id, body)
        for list_id, keys in lists:
            self.known_lists.add(list_id)
            self.lists.setdefault(list_id, msgspec.json.decode(keys))
        for list_id, body in waiting:
            fields = msgspec.json.decode(body)
            self.waiting.setdefault(list_id, []).append(fields)
            record_id = UUID(fields.get("revision_id") or fields["record_id"])
            self.bodies.setdefault(record_id, body)

    # ------------------------------------------------------------ looking

    def require(self, wants: Wants) -> None:
        """Make sure that all this is loaded.

        Raises
        ------
        NeedMore
            If something is not; load it and ask again.
        """
        lacking = Wants(
            wants.annotations - self._seen_annotations,
            frozenset(k for k in wants.keys if k not in self.places),
            wants.facts - self._seen_facts,
            wants.records - self._seen_records,
        )
        if lacking:
            raise NeedMore(lacking)

    def standing_on(self, key: str) -> Iterable[Standing]:
        """Give all that counts on a target and those joined with it."""
        return self._standing[self.places[key].class_id].values()

    def greatest_clock(self, keys: Iterable[str]) -> int:
        """Give the greatest clock among the votes that stand on these targets."""
        return max(
            (one.said.vote_clock for key in keys for one in self.standing_on(key)),
            default=0,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, with what the turn added to it."""
        return self.known.vocabulary

    @property
    def next_number(self) -> int:
        """The number of the next record."""
        return self.head + 1

    # ------------------------------------------------------------ entering

    def enter_list(self, record: Record, keys: Sequence[str]) -> None:
        """Enter a list of targets, unless it is here already."""
        list_id = record.record_id
        if list_id in self.known_lists:
            return
        waiting = self.waiting.pop(list_id, [])
        try:
            self._require_for(waiting, keys)
        except NeedMore:
            self.waiting[list_id] = waiting
            raise
        self.known_lists.add(list_id)
        self.lists[list_id] = keys
        number = self._enter(record, "create", str(list_id), ())
        for fields in waiting:
            self._count(fields, number)

    def enter_statement(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Enter a revision or a review: the log, the current line, the standings.

        Where the list of its targets has not come yet it is kept, and counts from when
        the list comes.

        Parameters
        ----------
        record
            The sealed record.
        fields
            Its decoded body.
        """
        if self._lacks(fields):
            self._enter(
                record, _operation(fields), fields["annotation_id"], (), fields=fields
            )
            list_id = UUID(fields["list_id"])
            self.bodies[record.record_id] = record.body
            self.waiting.setdefault(list_id, []).append(fields)
            self.new_waiting.append((list_id, record.record_id))
            return
        plan = self._plan(fields)
        number = self._enter(
            record,
            _operation(fields),
            fields["annotation_id"],
            plan.keys,
            added=plan.added,
            removed=plan.removed,
            target_count=len(plan.keys),
            before=plan.before,
            fields=fields,
        )
        self.bodies[record.record_id] = record.body
        self._carry_out(plan, fields, number)

    def enter_entry(
        self, record: Record, entry_key: str, fields: Mapping[str, Any]
    ) -> None:
        """Enter an entry of a vocabulary or the like; the book's own follows."""
        pair = frozenset[str]()
        if record.kind == "same_as":
            pair = frozenset({fields["key_a"], fields["key_b"]})
            self._require_classes(pair)
        instrument = fields.get("instrument")
        number = self._enter(
            record,
            "set",
            f"{record.kind}:{entry_key}",
            (),
            instruments=(instrument,) if instrument else (),
            fields=fields,
        )
        entry = Entry(
            record.kind, entry_key, record.record_id, record.clock, number, fields
        )
        self.new_entries.append(entry)
        self.known = self.known.plus([entry])
        if pair:
            self._regroup(pair, number)

    def enter_fact(
        self, record: Record, fact: ExposureFact, fields: Mapping[str, Any]
    ) -> None:
        """Enter a fact about an exposure."""
        wants = Wants(keys=frozenset({fact.key}), facts=frozenset({fact.key}))
        twin = fact.twin
        if twin is not None:
            wants |= Wants(keys=frozenset({twin}))
        self.require(wants)
        if twin is not None:
            self._require_classes(frozenset({fact.key, twin}))
        number = self._enter(
            record, fact.event, fact.key, (fact.key,), target_count=1, fields=fields
        )
        self.facts.setdefault(fact.key, []).append(fact)
        self.new_facts.append((fact, number))
        if twin is not None:
            self._regroup(frozenset({fact.key, twin}), number)

    def enter_other(
        self,
        record: Record,
        operation: str,
        subject: str,
        fields: Mapping[str, Any],
        *,
        instruments: tuple[str, ...] = (),
        days: tuple[int, ...] = (),
    ) -> None:
        """Enter a record that moves no state: a checked range, a visit."""
        self._enter(
            record,
            operation,
            subject,
            (),
            fields=fields,
            instruments=instruments,
            days=days,
        )

    def enter_redaction(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Enter a redaction and blank what it names, also what has yet to come."""
        ids = [UUID(one) for one in fields["revisions"]]
        annotation_id = UUID(fields["annotation_id"])
        self.require(
            Wants(annotations=frozenset({annotation_id}), records=frozenset(ids))
        )
        self._enter(record, "redact", str(annotation_id), (), fields=fields)
        for one in ids:
            self._note_redaction(one, record.record_id)
            if one in self.bodies:
                body = blank(self.bodies[one], record.record_id)
                self.bodies[one] = body
                self.blanked.append((one, body))

    def enter_refresh(
        self, record: Record, subject: str, class_ids: Iterable[int]
    ) -> None:
        """Enter that states were worked out anew because of an earlier record."""
        number = self._enter(record, "refresh", subject, ())
        for class_id in class_ids:
            self.touched[class_id] = number

    def receive(self, record: Record) -> bool:
        """Enter a record that was born elsewhere, or that a log holds.

        Form is all that is checked here (design.md section 7); role, If-Match and
        vocabulary were its origin's affair.

        Returns
        -------
        bool
            False if it was here already.
        """
        record_id = record.record_id
        self.require(Wants(records=frozenset({record_id})))
        if record_id in self.known_records:
            return False
        redaction = self.redactions.get(record_id)
        if redaction is not None and record.kind in STATEMENTS:
            record = replace(record, body=blank(record.body, redaction))
        fields = record.fields()
        if record.kind == "target_list":
            self.enter_list(record, fields["keys"])
        elif record.kind in STATEMENTS:
            self.enter_statement(record, fields)
            if "redacted_by" in fields:
                self.blanked.append((record_id, record.body))
        elif record.kind in ENTRY_KINDS:
            self.enter_entry(record, fields["key"], fields["fields"])
        elif record.kind == "exposure":
            self.enter_fact(record, fact_from_record(fields), fields)
        elif record.kind == "redaction":
            self.enter_redaction(record, fields)
        else:
            self.enter_other(
                record,
                fields["operation"],
                fields["subject"],
                fields,
                instruments=tuple(fields["instruments"]),
                days=tuple(fields["days"]),
            )
        self.known_records.add(record_id)
        return True

    # ------------------------------------------------------------ results

    def changed_states(self) -> dict[int, tuple[Place, State]]:
        """Work out the states of all classes that the turn touched.

        Returns
        -------
        dict
            Class id -> the place that stands for the class and its new state; only
            states that differ from what was loaded.
        """
        found: dict[int, tuple[Place, State]] = {}
        for class_id in self.touched:
            state = self.state_now(class_id)
            if state != self.states.get(class_id, NOTHING_SAID):
                found[class_id] = (self.representative(class_id), state)
        return found

    def state_now(self, class_id: int) -> State:
        """Work out what holds for the targets of a class."""
        place = self.representative(class_id)
        return state_of(
            self._standing[class_id].values(), self.vocabulary, place.instrument
        )

    def outdated(self, keys: Iterable[str]) -> set[int]:
        """Give the classes of these targets whose states are not what now holds."""
        classes = {self.places[key].class_id for key in keys}
        return {
            one
            for one in classes
            if self.state_now(one) != self.states.get(one, NOTHING_SAID)
        }

    def begun_anew(self) -> dict[UUID, Version]:
        """Give the first revisions that came after others of their annotation.

        Returns
        -------
        dict
            Annotation -> its root, where the turn brought the root and other revisions
            were stored before.
        """
        fresh = {version.revision_id for version, _, _ in self.new_versions}
        found: dict[UUID, Version] = {}
        for version, _, _ in self.new_versions:
            known = self.versions[version.annotation_id]
            first = history.root(known)
            if first.revision_id in fresh and any(
                one.revision_id not in fresh for one in known
            ):
                found[version.annotation_id] = first
        return found

    # ------------------------------------------------------------ inner works

    def _note_redaction(self, revision_id: UUID, redaction_id: UUID) -> None:
        """Remember of several redactions the least, as `blank` does."""
        known = self.redactions.get(revision_id, redaction_id)
        self.redactions[revision_id] = min(known, redaction_id)

    def _require_for(
        self, waiting: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> None:
        """Load all that may move when statements count whose list has come.

        They are counted one after the other behind one number, so nothing may be
        missing half way.
        """
        ids = frozenset(UUID(fields["annotation_id"]) for fields in waiting)
        self.require(Wants(annotations=ids))
        named = {
            key
            for annotation_id in ids
            for version in self.versions.get(annotation_id, ())
            for key in version.targets
        }
        if ids:
            self.require(Wants(keys=frozenset(named | set(keys))))

    def _lacks(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether the list of a statement's targets has yet to come."""
        if not fields.get("list_id"):
            return False
        list_id = UUID(fields["list_id"])
        if list_id in self.lists:
            return False
        self.require(Wants(records=frozenset({list_id})))
        return list_id not in self.lists

    def _plan(self, fields: Mapping[str, Any]) -> "_Plan":
        """Work out what a statement changes; asks for more, changes nothing."""
        annotation_id = UUID(fields["annotation_id"])
        self.require(Wants(annotations=frozenset({annotation_id})))
        versions = self.versions.get(annotation_id, [])
        reviews = self.reviews.get(annotation_id, [])
        was = history.standings(versions, reviews)
        if fields["kind"] == "review":
            review = review_of(fields, self.lists)
            seen = next(
                (v for v in versions if v.revision_id == review.revision_id), None
            )
            if review.targets is not None:
                keys = tuple(sorted(review.targets))
            else:
                keys = seen.targets if seen else ()
            now = history.standings(versions, [*reviews, review])
            plan = _Plan(was, now, keys, review=review)
        else:
            version = version_of(fields, self.lists)
            now = history.standings([*versions, version], reviews)
            parent = next(
                (v for v in versions if v.revision_id == version.parent_id), None
            )
            plan = _Plan(was, now, version.targets, version=version)
            if parent is None:
                plan.added = version.targets
            else:
                before, after = set(parent.targets), set(version.targets)
                plan.added = tuple(sorted(after - before))
                plan.removed = tuple(sorted(before - after))
                plan.before = _changed(self.bodies[parent.revision_id], fields)
        changed = {key for _, key in (*plan.closed, *plan.opened)}
        self.require(Wants(keys=frozenset(changed | set(plan.keys))))
        return plan

    def _count(self, fields: Mapping[str, Any], number: int) -> None:
        """Count a statement that is in the log already."""
        self._carry_out(self._plan(fields), fields, number)

    def _carry_out(self, plan: "_Plan", fields: Mapping[str, Any], number: int) -> None:
        if plan.version is not None:
            version = plan.version
            known = self.versions.setdefault(version.annotation_id, [])
            holder = history.current(known) if known else None
            known.append(version)
            now = history.current(known)
            if holder is None or now is not holder:
                if holder is not None:
                    self.ended[holder.revision_id] = number
                    self.counted[holder.revision_id] = False
                # Rarely an older one holds again: the true root came, and what
                # held until now was another create of the same id.
                self.current_from[now.revision_id] = number
                self.ended.pop(now.revision_id, None)
            self.new_versions.append((version, fields, number))
        if plan.review is not None:
            self.reviews.setdefault(plan.review.annotation_id, []).append(plan.review)
            self.new_reviews.append((plan.review, fields, number))
        versions = self.versions.get(UUID(fields["annotation_id"]))
        if versions:
            self._count_current(history.current(versions), plan)
        for source_id, key in plan.closed:
            place = self.places[key]
            row = self.opened.pop((source_id, key), None)
            if row is None:
                self.closed[source_id, place.target_id] = number
            elif row.from_number < number:
                self.finished.append(replace(row, to_number=number))
            del self._standing[place.class_id][source_id, key]
            self.touched[place.class_id] = number
        for (source_id, key), standing in plan.opened.items():
            place = self.places[key]
            self.opened[source_id, key] = SaidRow(place, standing, number)
            self._standing[place.class_id][source_id, key] = standing
            self.touched[place.class_id] = number

    def _count_current(self, current: Version, plan: "_Plan") -> None:
        """Note whether the revision that holds counts for any of its targets."""
        if current.targets:
            own = current.annotation_id
            self.counted[current.revision_id] = any(at == own for at, _ in plan.now)
        else:
            retracted = current.operation is Operation.RETRACT
            self.counted[current.revision_id] = not retracted

    def _enter(  # noqa: PLR0913 - the members of a change
        self,
        record: Record,
        operation: str,
        subject: str,
        keys: Sequence[str],
        *,
        added: tuple[str, ...] = (),
        removed: tuple[str, ...] = (),
        target_count: int = 0,
        before: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
        instruments: tuple[str, ...] = (),
        days: tuple[int, ...] = (),
    ) -> int:
        self.head += 1
        where = [self.places[key] for key in (*keys, *removed) if key in self.places]
        self.entered.append(
            Entered(
                self.head,
                record,
                operation,
                subject,
                _bounded(
                    {p.instrument for p in where if p.instrument} | set(instruments),
                    MAX_CHANGE_INSTRUMENTS,
                ),
                _bounded(
                    {p.day_obs for p in where if p.day_obs} | set(days),
                    MAX_CHANGE_DAYS,
                ),
                added,
                removed,
                target_count,
                before or {},
                fields or {},
            )
        )
        return self.head

    def _require_classes(self, keys: frozenset[str]) -> None:
        """Load all that decides which targets are one with these."""
        self.require(Wants(keys=keys))
        members = {
            place.key
            for key in keys
            for place in self.members[self.places[key].class_id].values()
            if place.kind == "exposure"
        }
        self.require(Wants(facts=frozenset(members)))

    def _regroup(self, keys: frozenset[str], number: int) -> None:
        """Work out anew which targets are one, among those joined with the given.

        Two are one while a `same_as` that was not revoked says so, or where an
        exposure known by its obs_id alone turned out to have an id.
        """
        old = {self.places[key].class_id for key in keys}
        members = {k: p for class_id in old for k, p in self.members[class_id].items()}
        standing = {
            at: one for class_id in old for at, one in self._standing[class_id].items()
        }
        groups: dict[str, set[str]] = {key: {key} for key in members}
        edges = [
            (key, other)
            for key in members
            for other in self.vocabulary.joined.get(key, ())
        ]
        # Which fact joins is said by the fact: an obs_id read of it here would join
        # more or less as instruments and arrivals differ from site to site.
        edges += [
            (key, fact.twin)
            for key in members
            for fact in self.facts.get(key, ())
            if fact.twin is not None
        ]
        for one, other in edges:
            if other in groups and groups[one] is not groups[other]:
                groups[one] |= groups[other]
                for key in groups[other]:
                    groups[key] = groups[one]
        for class_id in old:
            self.members[class_id], self._standing[class_id] = {}, {}
            self.touched[class_id] = number
        for key, place in members.items():
            class_id = members[min(groups[key])].target_id
            moved = replace(place, class_id=class_id)
            if moved != place:
                self.moved[place.target_id] = class_id
            self.places[key] = moved
            self.members.setdefault(class_id, {})[key] = moved
            self._standing.setdefault(class_id, {})
            self.touched[class_id] = number
        for (source_id, key), one_standing in standing.items():
            self._standing[self.places[key].class_id][source_id, key] = one_standing

    def representative(self, class_id: int) -> Place:
        """Give the target that stands for a class: the one with the least key."""
        members = self.members[class_id]
        if not members:  # it was joined to another class, and stands for none now
            return next(p for p in self.places.values() if p.target_id == class_id)
        return members[min(members)]


class _Plan:
    """What one statement will change."""

    def __init__(
        self,
        was: Standings,
        now: Standings,
        keys: tuple[str, ...],
        *,
        version: Version | None = None,
        review: Review | None = None,
    ) -> None:
        self.now = now
        self.closed = {at: one for at, one in was.items() if now.get(at) != one}
        self.opened = {at: one for at, one in now.items() if was.get(at) != one}
        self.keys = keys
        self.version = version
        self.review = review
        self.added: tuple[str, ...] = ()
        self.removed: tuple[str, ...] = ()
        self.before: Mapping[str, Any] = {}


def _operation(fields: Mapping[str, Any]) -> str:
    """Name what a statement does: a revision its operation, a review its verdict."""
    word: str = fields["verdict" if fields["kind"] == "review" else "operation"]
    return word


def _changed(parent: bytes, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields that a revision changed, as its parent had them."""
    before = msgspec.json.decode(parent)
    return {
        name: before.get(name)
        for name in CONTENT_FIELDS
        if before.get(name) != fields.get(name)
    }


def _bounded(values: set[_T], most: int) -> tuple[_T, ...]:
    return () if len(values) > most else tuple(sorted(values))
