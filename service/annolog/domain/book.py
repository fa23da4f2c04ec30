"""The working set of one turn: what was known, what was said, what follows.

A turn of the lane loads what its requests touch into a `Book`, decides the requests
one after the other (each sees those before it), and writes what the book then holds.
The book does no IO; where it lacks something it raises `NeedMore` and is asked again.
The same book applies records of other sites and rebuilds views from the log, so there
is one way from records to views.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from msgspec import structs

from annolog.domain import history, setredactions
from annolog.domain.annotations import Operation
from annolog.domain.entries import Entry
from annolog.domain.exposures import ExposureFact, fact_from_record
from annolog.domain.history import Review, Version
from annolog.domain.holdings import Holdings
from annolog.domain.ids import read_id
from annolog.domain.ledger import (
    NOTHING_SAID,
    STATEMENTS,
    Entered,
    Known,
    NeedMore,
    Place,
    SaidRow,
    State,
    Wants,
)
from annolog.domain.messages import Message, before_and_after
from annolog.domain.plans import Plan, plan_of
from annolog.domain.records import (
    ENTRY_KINDS,
    REDACTION_KINDS,
    Origin,
    Record,
    blank,
)
from annolog.domain.setrecords import REDACTION, ROWS, SET_KINDS, VERSION, of_record
from annolog.domain.setredactions import SetRedaction

_T = TypeVar("_T", str, int)

MAX_CHANGE_INSTRUMENTS = 8
"""Instruments that a change names for those who filter; more: none, it goes to all."""
MAX_CHANGE_DAYS = 64
"""Nights that a change names for those who filter; more: none, it goes to all."""


class Book(Holdings):
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
        super().__init__(known)
        self.origin = origin
        self.head = head
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
        self._messages: (
            tuple[int, list[tuple[Message | None, Message | None]]] | None
        ) = None

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
            list_id = read_id(fields["list_id"])
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

    def enter_rows(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Enter the rows of versions of data-ID sets, unless they are here already."""
        own = record.record_id
        self.require(Wants(records=frozenset({own})))
        if own in self.known_records:
            return
        self.weigh(len(fields["rows"]))
        obedient = self._without_words(record)
        self._enter(obedient, "create", str(own), (), fields=fields)
        self.known_records.add(own)
        self._keep_body(obedient, blank=obedient is not record or _is_blank(fields))

    def enter_of_set(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Enter any record of a data-ID set: rows, a version, what is said of one."""
        if record.kind == ROWS:
            self.enter_rows(record, fields)
            return
        if record.kind == VERSION:
            self._keep_body(record, blank=_is_blank(fields))
        self.enter_other(
            record,
            fields["operation"],
            fields["subject"],
            fields,
            instruments=tuple(fields["instruments"]),
            days=tuple(fields["days"]),
        )
        said, held = of_record(record, fields), self.sets.get(fields["name"])
        if said is not None and held is not None:
            self.sets[held.name] = held.plus(said)

    def enter_redaction(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Enter a redaction and blank what it names, also what has yet to come."""
        if record.kind == REDACTION:
            self._enter_set_redaction(record, fields)
            return
        ids = [read_id(one) for one in fields["revisions"]]
        annotation_id = read_id(fields["annotation_id"])
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

    def _enter_set_redaction(self, record: Record, fields: Mapping[str, Any]) -> None:
        order = SetRedaction.read(fields)
        ids = frozenset(order.records)
        self.require(Wants(records=ids, bodies=ids))
        self.enter_other(
            record,
            fields["operation"],
            fields["subject"],
            fields,
            instruments=tuple(fields["instruments"]),
            days=tuple(fields["days"]),
        )
        self._note_set_redaction(order)
        for one in ids & self.bodies.keys():
            body = setredactions.blank(self.bodies[one], [order])
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
        if record.kind != ROWS:  # large; entering them sees to it
            record = self._without_words(record)
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
        elif record.kind in REDACTION_KINDS:
            self.enter_redaction(record, fields)
        elif record.kind in SET_KINDS:
            self.enter_of_set(record, fields)
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

    def changed_messages(self) -> Sequence[tuple[Message | None, Message | None]]:
        """Work out what exposurelog's clients see otherwise than before the turn.

        Returns
        -------
        sequence of tuple
            Each message as it was and as it is; None where there was or is none.
        """
        count = len(self.new_versions)
        if self._messages is None or self._messages[0] != count:
            self._messages = (count, list(self._changed_messages()))
        return self._messages[1]

    def _changed_messages(self) -> Iterator[tuple[Message | None, Message | None]]:
        fresh = {version.revision_id for version, _, _ in self.new_versions}
        for annotation_id in {v.annotation_id for v, _, _ in self.new_versions}:
            known: list[Version] = []
            further: list[Version] = []
            for one in self.versions[annotation_id]:
                (further if one.revision_id in fresh else known).append(one)
            was, now = before_and_after(known, further)
            for message_id, after in now.items():
                before = was.get(message_id)
                if before is not after and before != after:
                    yield before, after
            for message_id, before in was.items():
                if message_id not in now:
                    yield before, None

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

    def _without_words(self, record: Record) -> Record:
        """Blank what redactions that came before a record take out of it."""
        own = record.record_id
        if record.kind in STATEMENTS and own in self.redactions:
            return structs.replace(
                record, body=blank(record.body, self.redactions[own])
            )
        if record.kind in {ROWS, VERSION} and own in self.set_redactions:
            orders = list(self.set_redactions[own].values())
            body = setredactions.blank(record.body, orders)
            return structs.replace(record, body=body)
        return record

    def _keep_body(self, record: Record, *, blank: bool) -> None:
        """Keep what a redaction of the same turn may have to blank."""
        self.bodies[record.record_id] = record.body
        if blank:
            self.blanked.append((record.record_id, record.body))

    def _require_for(
        self, waiting: Sequence[Mapping[str, Any]], keys: Sequence[str]
    ) -> None:
        """Load all that may move when statements count whose list has come.

        They are counted one after the other behind one number, so nothing may be
        missing half way.
        """
        ids = frozenset(read_id(fields["annotation_id"]) for fields in waiting)
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
        list_id = read_id(fields["list_id"])
        if list_id in self.lists:
            return False
        self.require(Wants(records=frozenset({list_id})))
        return list_id not in self.lists

    def _plan(self, fields: Mapping[str, Any]) -> Plan:
        """Work out what a statement changes; asks for more, changes nothing."""
        annotation_id = read_id(fields["annotation_id"])
        self.require(Wants(annotations=frozenset({annotation_id})))
        versions = self.versions.get(annotation_id, [])
        plan = plan_of(
            annotation_id,
            fields,
            versions,
            self.reviews.get(annotation_id, []),
            self.lists,
            self.bodies,
        )
        touched = frozenset(plan.keys)
        if versions:  # otherwise it can count for what it names alone
            touched = touched.union(key for _, key in (*plan.closed, *plan.opened))
        self.require(Wants(keys=touched))
        return plan

    def _count(self, fields: Mapping[str, Any], number: int) -> None:
        """Count a statement that is in the log already."""
        self._carry_out(self._plan(fields), fields, number)

    def _carry_out(self, plan: Plan, fields: Mapping[str, Any], number: int) -> None:
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
        versions = self.versions.get(plan.annotation_id)
        if versions:
            self._count_current(history.current(versions), plan)
        for source_id, key in plan.closed:
            place = self.places[key]
            row = self.opened.pop((source_id, key), None)
            if row is None:
                self.closed[source_id, place.target_id] = number
            elif row.from_number < number:
                self.finished.append(structs.replace(row, to_number=number))
            del self._standing[place.class_id][source_id, key]
            self.touched[place.class_id] = number
        for (source_id, key), standing in plan.opened.items():
            place = self.places[key]
            self.opened[source_id, key] = SaidRow(place, standing, number)
            self._standing[place.class_id][source_id, key] = standing
            self.touched[place.class_id] = number

    def _count_current(self, current: Version, plan: Plan) -> None:
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
        places = self.places
        where = [places[key] for key in (*keys, *removed) if key in places]
        self.entered.append(
            Entered(
                self.head,
                record,
                operation,
                subject,
                _bounded(
                    [*[p.instrument for p in where if p.instrument], *instruments],
                    MAX_CHANGE_INSTRUMENTS,
                ),
                _bounded(
                    [*[p.day_obs for p in where if p.day_obs], *days], MAX_CHANGE_DAYS
                ),
                added,
                removed,
                target_count,
                before or {},
                fields or {},
            )
        )
        return self.head

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
            moved = structs.replace(place, class_id=class_id)
            if moved != place:
                self.moved[place.target_id] = class_id
            self.places[key] = moved
            self.members.setdefault(class_id, {})[key] = moved
            self._standing.setdefault(class_id, {})
            self.touched[class_id] = number
        for (source_id, key), one_standing in standing.items():
            self._standing[self.places[key].class_id][source_id, key] = one_standing


def _is_blank(fields: Mapping[str, Any]) -> bool:
    """Tell whether a record came without words that it had."""
    return "redacted_by" in fields


def _operation(fields: Mapping[str, Any]) -> str:
    """Name what a statement does: a revision its operation, a review its verdict."""
    word: str = fields["verdict" if fields["kind"] == "review" else "operation"]
    return word


def _bounded(values: Sequence[_T], most: int) -> tuple[_T, ...]:
    if len(values) < 2:  # noqa: PLR2004 - as of nearly all changes
        return tuple(values)
    found = set(values)
    return () if len(found) > most else tuple(sorted(found))
