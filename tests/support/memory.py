"""A storage without a database: it keeps what a turn's book holds, and gives it back.

It passes the same suite as the real one (`tests.support.histories`), so that rules of
the book can be tested with many more histories than a database could take.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs

from annolog.actions.receive import keys_of
from annolog.domain import exposures, times, views
from annolog.domain.book import Book
from annolog.domain.entries import Entry
from annolog.domain.exposures import ExposureFact
from annolog.domain.history import Standing, root
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import (
    NOTHING_SAID,
    STATEMENTS,
    Known,
    NeedMore,
    Place,
    State,
    Wants,
)
from annolog.domain.messages import Message, row_of, told_by
from annolog.domain.records import Origin, Record
from annolog.domain.setrecords import REDACTION, SET_KINDS, view_row
from annolog.domain.setredactions import SetRedaction
from annolog.domain.targets import TargetColumns, columns, parse_key
from annolog.domain.views import Views
from annolog.domain.vocabulary import Vocabulary

HERE = Origin("here", "ffffffff")
_INSTRUMENTS = Instruments.from_entries({})


@dataclass
class _Revision:
    annotation_id: UUID
    keys: tuple[str, ...]
    begun: str
    counted: bool
    from_number: int | None
    to_number: int | None


@dataclass
class _Said:
    standing: Standing
    from_number: int
    to_number: int | None


class Memory:
    """Tables as dictionaries, written after each turn as the real ones are."""

    def __init__(self) -> None:
        self.known = Known(Vocabulary.from_entries(()))
        self.head = 0
        self.records: dict[UUID, Record] = {}
        self.log: list[tuple[int, UUID, str]] = []
        self.lists: dict[UUID, bytes] = {}
        self.places: dict[str, Place] = {}
        self.revisions: dict[UUID, _Revision] = {}
        self.reviews: dict[UUID, UUID] = {}
        self.said: dict[tuple[UUID, str], list[_Said]] = {}
        self.states: dict[int, State] = {}
        self.facts: dict[UUID, ExposureFact] = {}
        self.entries: dict[UUID, Entry] = {}
        self.redactions: set[tuple[UUID, UUID]] = set()
        self.redacted: dict[UUID, str] = {}
        self.visits: dict[UUID, tuple[str, int, list[str], bool]] = {}
        self.waiting: set[tuple[UUID, UUID]] = set()
        self.messages: dict[UUID, Message] = {}

    # ------------------------------------------------------------ turns

    def receive(self, received: Sequence[Record]) -> None:
        """Take records in, in one turn."""
        self._ensure({key for one in received for key in keys_of(one)})
        book = Book(HERE, self.head, self.known)
        entered = 0
        while entered < len(received):
            try:
                book.receive(received[entered])
                entered += 1
            except NeedMore as need:
                self._load(book, need.wants)
        self._write(book)

    def refresh(self) -> None:
        """Work all states out anew, as is done after an alias or a policy."""
        if not self.places or not self.records:
            return
        book = Book(HERE, self.head, self.known)
        self._load(book, Wants(keys=frozenset(self.places)))
        record = next(iter(self.records.values()))
        classes = {place.class_id for place in book.places.values()}
        book.enter_refresh(record, "policy:*", classes)
        self._write(book)

    def _ensure(self, keys: Iterable[str]) -> None:
        for key in sorted(keys):
            if key not in self.places:
                c = columns(parse_key(key), _INSTRUMENTS)
                number = len(self.places) + 1
                self.places[key] = Place(
                    number, number, key, c.kind, c.instrument, c.day_obs, c.seq_num
                )

    def _load(self, book: Book, wants: Wants) -> None:
        if wants.annotations:
            self._load_annotations(book, wants.annotations)
        if wants.keys:
            self._load_keys(book, wants.keys)
        if wants.facts:
            book.load_facts(
                wants.facts, [f for f in self.facts.values() if f.key in wants.facts]
            )
        if wants.records:
            ids = wants.records
            book.load_records(
                ids,
                [one for one in ids if one in self.records],
                [(r, by) for r, by in self.redactions if r in ids],
                [(one, self.lists[one]) for one in ids if one in self.lists],
                [(at, self.records[r].body) for at, r in self.waiting if at in ids],
                [
                    (one, self.records[one].body)
                    for one in ids
                    if one in self.records and self.records[one].kind in STATEMENTS
                ],
            )
            book.load_set_redactions(
                self.records[by].body
                for r, by in self.redactions
                if r in ids and self.records[by].kind == REDACTION
            )
        if wants.bodies:
            here = wants.bodies & self.records.keys()
            book.load_bodies(
                wants.bodies, [(one, self.records[one].body) for one in here]
            )

    def _load_annotations(self, book: Book, ids: Iterable[UUID]) -> None:
        wanted = set(ids)
        mine = [r for r, one in self.revisions.items() if one.annotation_id in wanted]
        spoken = [r for r, one in self.reviews.items() if one in wanted]
        book.load_annotations(
            wanted,
            [self.records[one].body for one in mine],
            [self.records[one].body for one in spoken],
            self.lists.items(),
        )

    def _load_keys(self, book: Book, keys: Iterable[str]) -> None:
        classes = {self.places[key].class_id for key in keys}
        members = [p for p in self.places.values() if p.class_id in classes]
        book.load_places((p, self.states.get(p.class_id)) for p in members)
        for (_, key), rows in self.said.items():
            if rows[-1].to_number is None and self.places[key].class_id in classes:
                book.load_standing(key, rows[-1].standing)

    def _write(self, book: Book) -> None:  # noqa: C901 - one table after the other
        self.known = book.known
        self.head = book.head
        for entered in book.entered:
            self.log.append(
                (entered.number, entered.record.record_id, entered.operation)
            )
            if entered.operation != "refresh":
                self._write_record(entered.record, entered.fields)
        self._write_revisions(book)
        for review, _, _ in book.new_reviews:
            self.reviews[review.review_id] = review.annotation_id
        by_id = {place.target_id: place for place in self.places.values()}
        for (source_id, target_id), number in book.closed.items():
            rows = self.said[source_id, by_id[target_id].key]
            assert rows[-1].to_number is None
            assert rows[-1].from_number < number
            rows[-1].to_number = number
        for row in [*book.finished, *book.opened.values()]:
            at = (row.standing.said.source_id, row.place.key)
            rows = self.said.setdefault(at, [])
            assert row.from_number not in {one.from_number for one in rows}
            rows.append(_Said(row.standing, row.from_number, row.to_number))
        for target_id, class_id in book.moved.items():
            key = by_id[target_id].key
            self.places[key] = structs.replace(self.places[key], class_id=class_id)
        for class_id, (_, state) in book.changed_states().items():
            self.states[class_id] = state
        for entry in book.new_entries:
            self.entries[entry.record_id] = entry
        for fact, _ in book.new_facts:
            self.facts[fact.record_id] = fact
        for record_id, body in book.blanked:
            self.records[record_id] = structs.replace(
                self.records[record_id], body=body
            )
            self.redacted[record_id] = msgspec.json.decode(body)["redacted_by"]
        self.waiting |= set(book.new_waiting)
        self._write_messages(book)

    def _write_messages(self, book: Book) -> None:
        for before, after in book.changed_messages():
            if after is not None:
                assert (before is None) == (after.message_id not in self.messages)
                self.messages[after.message_id] = after
            elif before is not None:
                del self.messages[before.message_id]

    def _write_record(self, record: Record, fields: Mapping[str, Any]) -> None:
        assert record.record_id not in self.records
        self.records[record.record_id] = record
        match record.kind:
            case "target_list":
                keys = msgspec.json.decode(record.body)["keys"]
                self.lists[record.record_id] = msgspec.json.encode(keys)
            case "redaction":
                self.redactions |= {
                    (UUID(one), record.record_id) for one in fields["revisions"]
                }
            case "set_redaction":
                self.redactions |= {
                    (one, record.record_id) for one in SetRedaction.read(fields).records
                }
            case "visit":
                self._write_visit(record, fields)
            case _:
                pass

    def _write_visit(self, record: Record, fields: Mapping[str, Any]) -> None:
        subject = fields["subject"]
        mine = (record.clock, record.record_id)
        newer = any(
            (clock, record_id) > mine
            for record_id, (key, clock, _, is_open) in self.visits.items()
            if key == subject and is_open
        )
        if not newer:
            for record_id, (key, clock, keys, _) in self.visits.items():
                if key == subject:
                    self.visits[record_id] = (key, clock, keys, False)
        self.visits[record.record_id] = (
            subject,
            record.clock,
            sorted(fields["exposures"]),
            not newer,
        )

    def _write_revisions(self, book: Book) -> None:
        moved = book.ended.keys() | book.current_from.keys()
        for revision_id in moved & self.revisions.keys():
            one = self.revisions[revision_id]
            one.from_number = book.current_from.get(revision_id, one.from_number)
            one.to_number = book.ended.get(revision_id)
        for revision_id, counted in book.counted.items():
            if revision_id in self.revisions:
                self.revisions[revision_id].counted = counted
        for annotation_id, first in book.begun_anew().items():
            for one in self.revisions.values():
                if one.annotation_id == annotation_id:
                    one.begun = _created_at(book.bodies[first.revision_id])
        for version, _, _ in book.new_versions:
            first = root(book.versions[version.annotation_id])
            self.revisions[version.revision_id] = _Revision(
                version.annotation_id,
                version.targets,
                _created_at(book.bodies[first.revision_id]),
                book.counted.get(version.revision_id, False),
                book.current_from.get(version.revision_id),
                book.ended.get(version.revision_id),
            )

    # ------------------------------------------------------------ looking

    def stored(self) -> Views:  # noqa: C901, PLR0912 - one table after the other
        """Give what is stored, in the shape of `annolog.domain.views`."""
        found = Views()
        places = views.Places(_INSTRUMENTS)
        for revision_id, one in self.revisions.items():
            found.revisions[str(revision_id)] = {
                **views.revision_row(self.records[revision_id].fields()),
                **places.of(one.keys),
                "target_count": len(one.keys),
                "current": one.from_number is not None and one.to_number is None,
                "counted": one.counted,
                "annotation_created_at": one.begun,
            }
        for review_id in self.reviews:
            body = self.records[review_id].fields()
            found.reviews[str(review_id)] = views.review_row(body)
        for (source_id, key), rows in self.said.items():
            if rows[-1].to_number is None:
                row = views.said_row(rows[-1].standing, places[key])
                found.said[f"{source_id} {key}"] = row
        self._classes_and_states(found, places)
        by_key: dict[str, list[ExposureFact]] = {}
        for fact in self.facts.values():
            found.facts[str(fact.record_id)] = views.fact_row(fact)
            by_key.setdefault(fact.key, []).append(fact)
            if fact.obs_id:
                home = self.places[fact.key].instrument
                found.names[f"{home} {fact.obs_id} {fact.key}"] = {}
        for key, facts in by_key.items():
            view = exposures.merge(facts, _INSTRUMENTS)
            found.exposures[key] = views.exposure_row(view)
        for entry in self.entries.values():
            found.entries[str(entry.record_id)] = views.entry_row(entry)
        for record_id, (subject, _, keys, is_open) in self.visits.items():
            if is_open:
                row = {"record_id": str(record_id), "exposures": keys}
                found.visits[subject] = row
        for record in self.records.values():
            if record.kind == "checked":
                row = views.checked_row(record.fields())
                found.checked[str(record.record_id)] = row
            elif record.kind in SET_KINDS:
                name, said = view_row(record, record.fields())
                getattr(found, name)[str(record.record_id)] = said
        for revision_id, by in sorted(self.redactions):
            named = found.redactions.setdefault(str(revision_id), {"by": []})
            named["by"].append(str(by))
        found.redacted = {str(r): {"by": by} for r, by in self.redacted.items()}
        found.lists = {
            str(one): {"keys": msgspec.json.decode(keys)}
            for one, keys in self.lists.items()
        }
        found.waiting = {
            str(record_id): {"list_id": str(list_id)}
            for list_id, record_id in self.waiting
            if list_id not in self.lists
        }
        for message in self.messages.values():
            end = message.ended_by
            begun = told_by(self.records[message.revision_id].fields())
            ended = None if end is None else told_by(self.records[end].fields())
            shown = row_of(message, begun, ended)
            names = views.names_of(message.key, places[message.key], found)
            found.messages[str(message.message_id)] = views.message_row(shown, names)
        return found

    def _classes_and_states(self, found: Views, places: views.Places) -> None:
        by_id = {place.target_id: place for place in self.places.values()}
        sizes: dict[int, int] = {}
        for place in self.places.values():
            sizes[place.class_id] = sizes.get(place.class_id, 0) + 1
        for key, place in self.places.items():
            if sizes[place.class_id] > 1:
                found.joined[key] = {"with": by_id[place.class_id].key}
        for class_id, state in self.states.items():
            if state != NOTHING_SAID:
                key = by_id[class_id].key
                found.states[key] = views.state_row(state, places[key])


def place_of(key: str) -> TargetColumns:
    """Give a target's columns."""
    return columns(parse_key(key), _INSTRUMENTS)


def _created_at(body: bytes) -> str:
    return times.format(times.parse(msgspec.json.decode(body)["created_at"]))
