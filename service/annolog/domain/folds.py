"""A snapshot put together from events: the same lines, from the topics alone.

The topic of states says what holds; what counts where is worked out from the records
in the topic of changes, by the functions that work it out for the log. It holds as far
as the topics do: a record that was removed from its topic, or was too large for an
event, is missing, and `incomplete` counts what that leaves out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import history
from annolog.domain.entries import Entry
from annolog.domain.events import Event
from annolog.domain.history import Review, Standings, Version
from annolog.domain.inheritance import TIMED
from annolog.domain.ledger import review_of, version_of
from annolog.domain.records import ENTRY_KINDS, SWEEPING_KINDS
from annolog.domain.shipped import shipped_entries
from annolog.domain.snapshots import (
    Gone,
    Line,
    SnapshotFilter,
    Stands,
    State,
    Statement,
    stands,
    weighing,
)
from annolog.domain.times import Span, parse
from annolog.domain.vocabulary import Vocabulary


class _Place(msgspec.Struct):
    """What of a state the filters look at."""

    instrument: str | None = None
    day_obs: int | None = None


@dataclass(slots=True)
class _Known:
    """What was said in one annotation, and of it."""

    versions: dict[UUID, Version] = field(default_factory=dict)
    bodies: dict[UUID, Mapping[str, Any]] = field(default_factory=dict)
    reviews: dict[UUID, Review] = field(default_factory=dict)


class Fold:
    """What holds, as far as events told.

    Parameters
    ----------
    asked
        Which part is wanted; `after` is not looked at.
    """

    def __init__(self, asked: SnapshotFilter) -> None:
        self._asked = asked
        self._states: dict[str, State] = {}
        self._known: dict[UUID, _Known] = {}
        self._lists: dict[UUID, tuple[str, ...]] = {}
        self._waiting: dict[UUID, list[Mapping[str, Any]]] = {}
        self._redacted: set[UUID] = set()
        self._joins: dict[str, tuple[int, bool]] = {}
        self._classes: dict[str, frozenset[str]] = {}
        # Records of old may be gone from a topic; these flags are everybody's.
        self._vocabulary = Vocabulary.from_entries(
            Entry(kind, key, UUID(int=0), -1, -1, fields)
            for kind, key, fields in shipped_entries()
            if kind in SWEEPING_KINDS
        )
        self._changed_entries: set[tuple[str, str]] = set()
        self._changed_keys: set[str] = set()
        self._changed_ids: set[UUID] = set()
        self._missing: set[UUID] = set()
        self.number = 0
        """Greatest number of a change that was told."""
        self.source = ""
        """Which log the newest event belongs to."""
        self.needs_whole = False
        """Whether `changed` would not give all that changed."""

    @property
    def incomplete(self) -> int:
        """How many statements cannot be known from the topic."""
        return len(self._waiting) + len(self._missing)

    # ------------------------------------------------------------ what is told

    def begin_states(self) -> None:
        """Forget all states: they are told anew."""
        self._states.clear()
        self.needs_whole = True

    def take_state(self, event: Event) -> None:
        """Take in an event of the topic of states."""
        key = event.key
        self._changed_keys.add(key)
        if event.data is None or not self._is_asked(event.data):
            self._states.pop(key, None)
        else:
            self._states[key] = msgspec.json.decode(
                b'{"type":"state",' + event.data[1:], type=State
            )

    def take_change(self, event: Event) -> None:
        """Take in an event of the topic of changes."""
        body = event.body() or {}
        if event.number >= self.number:
            self.number, self.source = event.number, event.source
        kind, record = str(body.get("kind")), body.get("after")
        if record is None:
            if kind in {"revision", "review"}:
                subject = body.get("annotation_id") or body.get("subject")
                self._missing.add(UUID(str(subject)))
            return
        match kind:
            case "revision" | "review":
                self._take_statement(record)
            case "target_list":
                list_id = UUID(record["list_id"])
                self._lists[list_id] = tuple(record["keys"])
                for held in self._waiting.pop(list_id, []):
                    self._take_statement(held)
            case "redaction":
                for revision in record["revisions"]:
                    self._redacted.add(UUID(revision))
                    self._changed_ids.add(UUID(record["annotation_id"]))
            case _ if kind in ENTRY_KINDS:
                self._take_entry(kind, record, event.number)
            case _:
                pass

    def _take_entry(self, kind: str, record: Mapping[str, Any], number: int) -> None:
        key, clock, fields = record["key"], int(record["clock"]), record["fields"]
        if kind == "same_as":
            said = (clock, not fields.get("revoked", False))
            self._joins[key] = max(said, self._joins.get(key, said))
            self.needs_whole = True
            self._join()
        elif kind in SWEEPING_KINDS:
            entry = Entry(kind, key, UUID(record["record_id"]), clock, number, fields)
            self._vocabulary = self._vocabulary.with_entry(entry)
            self._changed_entries.add((kind, key))

    def _take_statement(self, record: Mapping[str, Any]) -> None:
        list_id = record.get("list_id")
        if list_id and UUID(list_id) not in self._lists:
            self._waiting.setdefault(UUID(list_id), []).append(record)
            return
        annotation_id = UUID(record["annotation_id"])
        known = self._known.setdefault(annotation_id, _Known())
        self._changed_ids.add(annotation_id)
        if record["kind"] == "review":
            review = review_of(record, self._lists)
            known.reviews[review.review_id] = review
            return
        version = version_of(record, self._lists)
        known.versions[version.revision_id] = version
        known.bodies[version.revision_id] = record

    def _is_asked(self, data: bytes) -> bool:
        asked, place = self._asked, msgspec.json.decode(data, type=_Place)
        if asked.instrument and place.instrument not in {None, *asked.instrument}:
            return False
        low, high, day = asked.day_obs_min, asked.day_obs_max, place.day_obs
        return day is None or (low or day) <= day <= (high or day)

    # ------------------------------------------------------------ what holds

    def whole(self) -> Iterator[Line]:
        """Give all lines; afterwards nothing has changed."""
        self._changed_keys.clear()
        self._changed_ids.clear()
        self._changed_entries.clear()
        self.needs_whole = False
        for state in list(self._states.values()):
            yield self._joined(state)
        for annotation_id in list(self._known):
            line = self._statement(annotation_id)
            if isinstance(line, Statement):
                yield line
            yield from self._standings(annotation_id)
        yield from weighing(self._vocabulary)

    def has_changed(self) -> bool:
        """Tell whether there is anything to be given."""
        return bool(
            self._changed_keys
            or self._changed_ids
            or self._changed_entries
            or self.needs_whole
        )

    def changed(self) -> Iterator[Line]:
        """Give what changed since lines were given last; afterwards nothing has."""
        keys, self._changed_keys = self._changed_keys, set()
        ids, self._changed_ids = self._changed_ids, set()
        for key in sorted(keys):
            state = self._states.get(key)
            if state is None:
                yield State(key=key, kind="", number=self.number, empty=True)
            else:
                yield self._joined(state)
        for annotation_id in sorted(ids):
            yield self._statement(annotation_id)
            yield from self._standings(annotation_id)
        entries, self._changed_entries = self._changed_entries, set()
        for line in weighing(self._vocabulary) if entries else ():
            if (line.kind, line.key) in entries:
                yield line

    def _joined(self, state: State) -> State:
        others = self._classes.get(state.key, frozenset()) - {state.key}
        if not others:
            return state
        return msgspec.structs.replace(state, joined=tuple(sorted(others)))

    def _stood(self, annotation_id: UUID) -> tuple[_Known, Standings]:
        known = self._known.get(annotation_id, _Known())
        if annotation_id in self._missing:
            return known, history.NONE
        reviews = list(known.reviews.values())
        return known, history.standings(list(known.versions.values()), reviews)

    def _standings(self, annotation_id: UUID) -> Iterator[Stands]:
        known, standings = self._stood(annotation_id)
        for (_, key), standing in standings.items():
            if key.startswith(TIMED) and self._has_state(key):
                now = history.current(known.versions.values()).revision_id
                observed = _observed(known.bodies[now])
                yield stands(self._class(key), standing, observed)

    def _statement(self, annotation_id: UUID) -> Statement | Gone:
        known, standings = self._stood(annotation_id)
        keys = [key for source, key in standings if source == annotation_id]
        keys = [key for key in keys if self._has_state(key)]
        if not keys:
            return Gone(annotation_id)
        now = history.current(known.versions.values()).revision_id
        body = {
            **known.bodies[now],
            "type": "statement",
            "counted_for": sorted({o for k in keys for o in self._class(k)}),
        }
        if now in self._redacted:
            body["text"] = ""
        return msgspec.convert(body, Statement)

    def _has_state(self, key: str) -> bool:
        return any(one in self._states for one in self._class(key))

    def _class(self, key: str) -> frozenset[str]:
        return self._classes.get(key, frozenset({key}))

    def _join(self) -> None:
        groups: dict[str, set[str]] = {}
        for pair, (_, holds) in self._joins.items():
            one, _, other = pair.partition(" ")
            if holds and other:
                union = groups.get(one, {one}) | groups.get(other, {other})
                for key in union:
                    groups[key] = union
        self._classes = {key: frozenset(group) for key, group in groups.items()}


def _observed(body: Mapping[str, Any]) -> Span | None:
    """Give the time that a revision is about; None: no time given."""
    said = body.get("observed_at") or {}
    begin, end = (said.get(name) and parse(said[name]) for name in ("begin", "end"))
    return None if begin is None and end is None else Span(begin, end)
