"""What a set of records amounts to: every view, worked out at once.

This is the plain reading of the rules: take all records, in any order, and give what
follows. The write path (`domain.book`) works out the same a record at a time; tests
hold the two against each other, and `annologd check` holds the database against this.

Views are rows of JSON values by name, table by table, in the shape in which storage
reads its own back. What is local is left out: numbers, ids of targets, arrivals.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from annolog.domain import exposures, history, tai, times
from annolog.domain.annotations import Operation
from annolog.domain.entries import Entry
from annolog.domain.exposures import ExposureFact, ExposureView, fact_from_record
from annolog.domain.history import Review, Standing, Version
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import (
    NOTHING_SAID,
    STATEMENTS,
    State,
    review_of,
    state_of,
    version_of,
)
from annolog.domain.messages import MessageRow, messages, row_of, told_by
from annolog.domain.records import ENTRY_KINDS, Record, canonical
from annolog.domain.setrecords import REDACTION, ROWS, SET_KINDS, VERSION, view_row
from annolog.domain.setredactions import SetRedaction
from annolog.domain.tags import findable
from annolog.domain.targets import TargetColumns, columns, parse_key
from annolog.domain.vocabulary import Vocabulary

Row = Mapping[str, Any]
"""One row of a view: JSON values by column."""

Rows = dict[str, Row]
"""A view: its rows by a name that is the same at every site."""

_REDACTABLE = STATEMENTS | {VERSION, ROWS}


@dataclass(slots=True)
class Views:
    """All views, as rows by name.

    Attributes
    ----------
    revisions, reviews
        What each says, by id; of a revision whether it holds and counts, too.
    said
        What counts now, by source id and target key.
    joined
        For each target that is one with others, the one that stands for them.
    states
        What holds for each target of which something was said, by key.
    facts, exposures, names
        What sources said of exposures, by record id; what that amounts to, by key;
        the obs_ids given, by instrument, obs_id and key.
    entries
        Vocabularies and the like, by record id.
    visits
        What each visit is made of, by key.
    checked
        Who looked at what, by record id.
    set_rows, set_versions
        What rows of data-ID sets name, by list id; and their versions, by record id.
    set_releases, set_accesses, set_drifts
        What was said of versions and sets, by record id.
    redactions
        Redactions of each record, also of those that have yet to come.
    redacted
        For each record that lost its words, the redaction that it names.
    lists
        Targets of each list, by id.
    waiting
        Statements whose list has yet to come.
    messages
        What exposurelog's clients see, by message id; of names only those that
        records tell.
    """

    revisions: Rows = field(default_factory=dict)
    reviews: Rows = field(default_factory=dict)
    said: Rows = field(default_factory=dict)
    joined: Rows = field(default_factory=dict)
    states: Rows = field(default_factory=dict)
    facts: Rows = field(default_factory=dict)
    exposures: Rows = field(default_factory=dict)
    names: Rows = field(default_factory=dict)
    entries: Rows = field(default_factory=dict)
    visits: Rows = field(default_factory=dict)
    checked: Rows = field(default_factory=dict)
    set_rows: Rows = field(default_factory=dict)
    set_versions: Rows = field(default_factory=dict)
    set_releases: Rows = field(default_factory=dict)
    set_accesses: Rows = field(default_factory=dict)
    set_drifts: Rows = field(default_factory=dict)
    redactions: Rows = field(default_factory=dict)
    redacted: Rows = field(default_factory=dict)
    lists: Rows = field(default_factory=dict)
    waiting: Rows = field(default_factory=dict)
    messages: Rows = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not as it should be.

    Attributes
    ----------
    view, name
        Where.
    wanted, found
        What the records give and what is there, of the columns that differ; None
        where there should be, or is, no such row.
    """

    view: str
    name: str
    wanted: Row | None
    found: Row | None


def views(records: Iterable[Record]) -> Views:
    """Work out all views.

    Parameters
    ----------
    records
        Any records, in any order, any number of times each.

    Returns
    -------
    Views
        A function of the set of records alone.
    """
    gathered = Gathered()
    for record in records:
        gathered.add(record)
    return gathered.views()


def digest(found: Views, records: Iterable[tuple[UUID, bytes]]) -> bytes:
    """Give the SHA-256 of records and views, without what is local.

    Parameters
    ----------
    found
        The views, worked out or as stored.
    records
        Id and hash of every record, any order.

    Returns
    -------
    bytes
        32 bytes; the same at sites that hold the same records.
    """
    total = hashlib.sha256()
    for record_id, hash_ in sorted(records):
        total.update(record_id.bytes)
        total.update(hash_)
    for view in fields(Views):
        rows: Rows = getattr(found, view.name)
        total.update(canonical([view.name, len(rows)]))
        for name in sorted(rows):
            total.update(canonical([name, rows[name]]))
    return total.digest()


def differences(wanted: Views, found: Views) -> Iterator[Difference]:
    """Compare two sets of views.

    Parameters
    ----------
    wanted
        What there should be.
    found
        What there is.

    Returns
    -------
    Iterator of Difference
        View by view, by name; empty where they agree.
    """
    for view in fields(Views):
        right: Rows = getattr(wanted, view.name)
        there: Rows = getattr(found, view.name)
        for name in sorted(right.keys() | there.keys()):
            a, b = right.get(name), there.get(name)
            if a == b:
                continue
            if a is None or b is None:
                yield Difference(view.name, name, a, b)
                continue
            other = [k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
            yield Difference(
                view.name,
                name,
                {k: a.get(k) for k in other},
                {k: b.get(k) for k in other},
            )


class Gathered:
    """Records as they are read one by one: what views need of them is kept."""

    def __init__(self) -> None:
        self._seen: set[UUID] = set()
        self._lists: dict[UUID, Sequence[str]] = {}
        self._statements: dict[UUID, dict[str, Any]] = {}
        self._facts: dict[str, list[ExposureFact]] = {}
        self._entries: list[Entry] = []
        self._visits: dict[str, tuple[int, UUID, list[str]]] = {}
        self._redactions: dict[UUID, set[UUID]] = {}
        self._redactable: dict[UUID, str | None] = {}
        self.set_redactions: list[SetRedaction] = []
        """What was taken out of records of sets, in the order of reading."""
        self._found = Views()

    def add(self, record: Record) -> None:
        """Take in a record; one that is here already changes nothing."""
        if record.record_id in self._seen:
            return
        self._seen.add(record.record_id)
        body = dict(record.fields())
        name = str(record.record_id)
        if record.kind in _REDACTABLE:
            self._redactable[record.record_id] = body.get("redacted_by")
        if record.kind == "target_list":
            self._lists[record.record_id] = tuple(body["keys"])
            self._found.lists[name] = {"keys": body["keys"]}
        elif record.kind in STATEMENTS:
            for words in ("text", "urls", "reason", "query", "user_agent"):
                body.pop(words, None)
            self._statements[record.record_id] = body
        elif record.kind in ENTRY_KINDS:
            self._add_entry(record, body)
        else:
            self._add_other(record, body)

    def _add_entry(self, record: Record, body: Row) -> None:
        entry = Entry(
            record.kind, body["key"], record.record_id, record.clock, 0, body["fields"]
        )
        self._entries.append(entry)
        self._found.entries[str(record.record_id)] = entry_row(entry)

    def _add_other(self, record: Record, body: Row) -> None:
        name = str(record.record_id)
        if record.kind == "exposure":
            fact = fact_from_record(body)
            self._facts.setdefault(fact.key, []).append(fact)
            self._found.facts[name] = fact_row(fact)
        elif record.kind == "redaction":
            for one in body["revisions"]:
                self._redactions.setdefault(UUID(one), set()).add(record.record_id)
        elif record.kind == "visit":
            mine = (record.clock, record.record_id, sorted(set(body["exposures"])))
            if mine[2]:
                before = self._visits.setdefault(body["subject"], mine)
                self._visits[body["subject"]] = max(mine, before)
        elif record.kind == "checked":
            self._found.checked[name] = checked_row(body)
        elif record.kind == REDACTION:
            order = SetRedaction.read(body)
            self.set_redactions.append(order)
            for named in order.records:
                self._redactions.setdefault(named, set()).add(record.record_id)
        elif record.kind in SET_KINDS:
            view, row = view_row(record, body)
            rows: Rows = getattr(self._found, view)
            rows[name] = row

    def views(self) -> Views:
        """Work out the views of all that was added."""
        found = self._found
        vocabulary = Vocabulary.from_entries(self._entries)
        self._places = Places(Instruments.from_entries(vocabulary.instruments))
        found.visits = {
            key: {"record_id": str(record_id), "exposures": keys}
            for key, (_, record_id, keys) in self._visits.items()
        }
        self._redact()
        self._exposures()
        versions, reviews = self._read_statements()
        stands = [
            (key, one)
            for annotation_id in sorted(versions)
            for key, one in self._annotation(
                versions[annotation_id], reviews.get(annotation_id, [])
            )
        ]
        classes = self._classes(vocabulary)
        found.joined = {key: {"with": one} for key, one in classes.items()}
        for known in versions.values():
            self._messages(known)
        by_class: dict[str, list[Standing]] = {}
        for key, standing in stands:
            by_class.setdefault(classes.get(key, key), []).append(standing)
        for key, standings in by_class.items():
            place = self._places[key]
            state = state_of(standings, vocabulary, place.instrument)
            if state != NOTHING_SAID:
                found.states[key] = state_row(state, place)
        return found

    def _redact(self) -> None:
        for revision_id, ids in self._redactions.items():
            self._found.redactions[str(revision_id)] = {"by": sorted(map(str, ids))}
        for record_id, named in self._redactable.items():
            by = {str(one) for one in self._redactions.get(record_id, ())}
            if named is not None:
                by.add(named)
            if by:
                self._found.redacted[str(record_id)] = {"by": min(by)}

    def _exposures(self) -> None:
        for key, facts in self._facts.items():
            view = exposures.merge(facts, self._places.instruments)
            self._found.exposures[key] = exposure_row(view)
            place = self._places[key]
            for fact in facts:
                if fact.obs_id:
                    name = f"{place.instrument or ''} {fact.obs_id} {key}"
                    self._found.names[name] = {}

    def _read_statements(
        self,
    ) -> tuple[dict[UUID, list[Version]], dict[UUID, list[Review]]]:
        versions: dict[UUID, list[Version]] = {}
        reviews: dict[UUID, list[Review]] = {}
        for record_id, body in self._statements.items():
            if body.get("list_id") and UUID(body["list_id"]) not in self._lists:
                self._found.waiting[str(record_id)] = {"list_id": body["list_id"]}
            elif body["kind"] == "review":
                review = review_of(body, self._lists)
                reviews.setdefault(review.annotation_id, []).append(review)
                self._found.reviews[str(record_id)] = review_row(body)
            else:
                version = version_of(body, self._lists)
                versions.setdefault(version.annotation_id, []).append(version)
        return versions, reviews

    def _annotation(
        self, versions: Sequence[Version], reviews: Sequence[Review]
    ) -> Iterator[tuple[str, Standing]]:
        now, first = history.current(versions), history.root(versions)
        standings = history.standings(versions, reviews)
        if now.targets:
            counted = any(source == now.annotation_id for source, _ in standings)
        else:
            counted = now.operation is not Operation.RETRACT
        begun = self._statements[first.revision_id]["created_at"]
        for version in versions:
            is_now = version is now
            self._found.revisions[str(version.revision_id)] = {
                **revision_row(self._statements[version.revision_id]),
                **self._places.of(version.targets),
                "target_count": len(version.targets),
                "current": is_now,
                "counted": is_now and counted,
                "annotation_created_at": times.format(times.parse(begun)),
            }
        for (source_id, key), standing in standings.items():
            name = f"{source_id} {key}"
            self._found.said[name] = said_row(standing, self._places[key])
            yield key, standing

    def _messages(self, versions: Sequence[Version]) -> None:
        for message in messages(versions).values():
            by = message.ended_by
            row = row_of(
                message,
                told_by(self._statements[message.revision_id]),
                None if by is None else told_by(self._statements[by]),
            )
            place = self._places[message.key]
            self._found.messages[str(message.message_id)] = message_row(
                row, names_of(message.key, place, self._found)
            )

    def _classes(self, vocabulary: Vocabulary) -> dict[str, str]:
        """Give for each target that is one with others the least key of them."""
        edges = [(key, o) for key, group in vocabulary.joined.items() for o in group]
        edges += [
            (key, fact.twin)
            for key, facts in self._facts.items()
            for fact in facts
            if fact.twin is not None
        ]
        groups: dict[str, set[str]] = {}
        for one, other in edges:
            union = groups.get(one, {one}) | groups.get(other, {other})
            for key in union:
                groups[key] = union
        return {key: min(group) for key, group in groups.items() if len(group) > 1}


class Places:
    """Columns of targets, as their keys give them."""

    def __init__(self, instruments: Instruments) -> None:
        self.instruments = instruments
        self._known: dict[str, TargetColumns] = {}

    def __getitem__(self, key: str) -> TargetColumns:
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = columns(parse_key(key), self.instruments)
        return found

    def of(self, keys: Iterable[str]) -> Row:
        """Say where an annotation stands in the order of nights."""
        places = [self[key] for key in keys]
        days = [place.day_obs for place in places if place.day_obs is not None]
        first = min(places, key=_night_order, default=None)
        return {
            "instrument": first.instrument if first else None,
            "day_obs": first.day_obs if first else None,
            "seq_num": first.seq_num if first else None,
            "day_last": max(days, default=None),
        }


def _night_order(place: TargetColumns) -> tuple[bool, int, bool, int, str]:
    return (
        place.day_obs is None,
        place.day_obs or 0,
        place.seq_num is None,
        place.seq_num or 0,
        place.instrument or "",
    )


# ------------------------------------------------------------------ shapes of rows


def revision_row(body: Row) -> dict[str, Any]:
    """Give the columns of a revision that stand in its own body."""
    observed = body.get("observed_at") or {}
    names = (
        "annotation_id",
        "parent_id",
        "clock",
        "operation",
        "author",
        "author_kind",
        "voter",
        "rank",
        "check",
        "flag",
        "level",
        "reply_to",
        "list_id",
        "request_digest",
    )
    return {
        **{name: body.get(name) for name in names},
        "tags": list(findable(body["tags"])),
        "created_at": _moment(body["created_at"]),
        "observed_begin": _moment(observed.get("begin")),
        "observed_end": _moment(observed.get("end")),
    }


def review_row(body: Row) -> dict[str, Any]:
    """Give the columns of a review."""
    names = (
        "annotation_id",
        "revision_id",
        "verdict",
        "rank",
        "clock",
        "list_id",
        "request_digest",
    )
    return {**{name: body.get(name) for name in names}, "reviewer": body["voter"]}


def said_row(standing: Standing, place: TargetColumns) -> dict[str, Any]:
    """Give the columns of a statement that counts on a target."""
    said = standing.said
    return {
        "annotation_id": str(said.annotation_id),
        "revision_id": str(said.revision_id),
        "ordinal": standing.ordinal,
        "author": said.author,
        "voter": said.voter,
        "rank": said.rank.word,
        "flag": said.flag,
        "vote_id": str(said.vote_id),
        "vote_clock": said.vote_clock,
        "contested": None if said.contested is None else said.contested.word,
        "tags": list(standing.tags),
        "instrument": place.instrument,
        "day_obs": place.day_obs,
        "seq_num": place.seq_num,
    }


def names_of(key: str, place: TargetColumns, found: Views) -> Row:
    """Say how facts name an exposure: its own, or those of one that is the same.

    Parameters
    ----------
    key
        The exposure.
    place
        What its key tells.
    found
        Views, of which `exposures` and `joined` are needed.
    """
    told = found.exposures.get(key)
    if told is None and key in found.joined:
        one = found.joined[key]
        same = [k for k, other in found.joined.items() if other == one]
        told = next(
            (found.exposures[k] for k in sorted(same) if k in found.exposures), None
        )
    told = told or {}
    return {
        "obs_id": told.get("obs_id"),
        "day_obs": told.get("day_obs") if place.day_obs is None else place.day_obs,
        "seq_num": told.get("seq_num") if place.seq_num is None else place.seq_num,
    }


def message_row(row: MessageRow, names: Row) -> dict[str, Any]:
    """Give the columns of a message; names that facts tell fill what it lacks."""
    message = row.message
    until = row.date_invalidated
    told = {
        name: names.get(name) if (own := getattr(row, name)) is None else own
        for name in ("obs_id", "day_obs", "seq_num")
    }
    return {
        "annotation_id": str(message.annotation_id),
        "revision_id": str(message.revision_id),
        "key": message.key,
        "site_id": row.site_id,
        "instrument": row.instrument,
        **told,
        "date_added": tai.format(row.date_added),
        "date_invalidated": None if until is None else tai.format(until),
        "parent_id": str(message.parent_id) if message.parent_id else None,
        "kept": row.kept,
    }


def state_row(state: State, place: TargetColumns) -> dict[str, Any]:
    """Give the columns of a state, which is not empty."""
    return {
        "flag": state.flag,
        "decided_by": [str(one) for one in state.decided_by],
        "outvoted": [str(one) for one in state.outvoted],
        "disputed": state.disputed,
        "bots_differ": state.bots_differ,
        "follow_ups": [str(one) for one in state.follow_ups],
        "tags": list(state.tags),
        "notes": state.notes,
        "kind": place.kind,
        "instrument": place.instrument,
        "day_obs": place.day_obs,
        "seq_num": place.seq_num,
    }


def fact_row(fact: ExposureFact) -> dict[str, Any]:
    """Give the columns of a fact."""
    return {
        "key": fact.key,
        "source": fact.source.value,
        "event": fact.event.value,
        "clock": fact.clock,
        "fields": dict(fact.fields),
    }


def exposure_row(view: ExposureView) -> dict[str, Any]:
    """Give the columns of an exposure."""
    seconds = view.exposure_time
    return {
        "instrument": view.instrument,
        "day_obs": view.day_obs,
        "seq_num": view.seq_num,
        "exposure_id": view.exposure_id,
        "obs_id": view.obs_id,
        "state": view.state.value,
        "begin_at": None if view.begin is None else times.format(view.begin),
        "end_at": None if view.end is None else times.format(view.end),
        "exposure_time": None if seconds is None else round(seconds * 1000),
        "observation_type": view.observation_type,
        "fields": dict(view.fields),
        "contradictions": view.contradictions_as_dict(),
    }


def entry_row(entry: Entry) -> dict[str, Any]:
    """Give the columns of an entry."""
    return {
        "kind": entry.kind,
        "key": entry.key,
        "clock": entry.clock,
        "fields": dict(entry.fields),
    }


def checked_row(body: Row) -> dict[str, Any]:
    """Give the columns of a checked range."""
    names = (
        "instrument",
        "day_obs",
        "seq_first",
        "seq_last",
        "author",
        "revokes",
        "clock",
    )
    return {**{name: body.get(name) for name in names}, "tags": list(body["tags"])}


def _moment(text: str | None) -> str | None:
    """Write a moment the one way, however the record has it."""
    return None if text is None else times.format(times.parse(text))
