"""Events: a change or a target state in its envelope, as everyone hears of it.

An event is a CloudEvents 1.0 event. The same function makes it for Kafka (binary
mode: attributes in headers, body in the value), for `/changes` and for the live feed
(structured mode: one JSON object), so ids and numbers are the same everywhere and a
consumer may begin with one way and go on with another.

A body is put together from bytes: what the log holds (`detail`, canonical JSON made
by `change_detail` when the change is written) and the record, which is not opened.
"""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import msgspec

from annolog.domain import times
from annolog.domain.errors import MalformedError
from annolog.domain.records import REDACTED_FIELDS, Sender, canonical
from annolog.domain.states import TargetState

SCHEMA_VERSION = 1
"""Version of the body of a change. Within it members are only ever added."""

MAX_EVENT_BYTES = 256 * 1024
"""An event with key and headers stays below this; brokers commonly take 1 MB."""

CHANGE_SCHEMA = "urn:annolog:schema:change:1"
"""Names the schema of a change's body (`dataschema`)."""

STATE_SCHEMA = "urn:annolog:schema:target-state:1"
"""Names the schema of a target state (`dataschema`)."""

STATE_CHANGED = "org.lsst.annolog.target.changed.v1"
"""Type of an event that brings a target's state."""

STATE_EMPTIED = "org.lsst.annolog.target.emptied.v1"
"""Type of a tombstone: nothing is said of that target any more."""

REFRESH = "refresh"
"""Operation of a change that brings no record, but more of an earlier one's effects."""

_ENVELOPE_BYTES = 8 * 1024
"""Room for key (512 bytes), headers and the fixed members of a body."""

_LEAST_ROOM = 16 * 1024
"""If the record leaves less than this, the event does without the record."""

_STATE_LISTED = 200
"""So many members of each list are kept in a state that is too large."""

_NOUNS = {"revision": "annotation"}
"""Kinds whose events are named after what they speak of."""

_PAST = {
    "begin": "begun",
    "cancel": "cancelled",
    "put": "put",
    "say": "said",
    "set": "set",
    "split": "split",
    "stub": "stubbed",
    "withdraw": "withdrawn",
}
"""Operations whose past tense the rule does not give."""


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """One entry of the log with the record that it brought.

    Attributes
    ----------
    number
        Place in this site's order.
    record_id, kind, operation, subject
        The record, its kind, what it does, and the object that it changes (an
        annotation's id, else the key or id of another object).
    instruments
        Instruments concerned; empty where none is.
    detail
        What `change_detail` gave when the change was written; None means nothing.
    body
        The record, canonical JSON.
    committed_at
        When this site took it (UTC).
    site_id, incarnation
        This site, and the life of its database that gave the number.
    """

    number: int
    record_id: UUID
    kind: str
    operation: str
    subject: str
    instruments: tuple[str, ...]
    detail: bytes | None
    body: bytes
    committed_at: datetime
    site_id: str
    incarnation: str


@dataclass(frozen=True, slots=True)
class LoggedState:
    """A target state with what its event needs beside it.

    Attributes
    ----------
    state
        The state itself.
    empty
        Whether nothing is said of the target any more.
    changed_at
        When the change `state.number` was committed here (UTC).
    incarnation
        Life of the database that gave the number.
    """

    state: TargetState
    empty: bool
    changed_at: datetime
    incarnation: str


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvents event, to be sent or as received.

    Attributes
    ----------
    attributes
        Context attributes without the content type, in the order of their sending.
    key
        What decides the partition.
    data
        The body as JSON; None for a tombstone.
    """

    attributes: Mapping[str, str]
    key: str
    data: bytes | None

    @property
    def id(self) -> str:
        """The event's id, the same each time it is sent."""
        return self.attributes["id"]

    @property
    def source(self) -> str:
        """Which log the number belongs to."""
        return self.attributes["source"]

    @property
    def type(self) -> str:
        """What happened, as a CloudEvents type."""
        return self.attributes["type"]

    @property
    def number(self) -> int:
        """Change number within the source."""
        return int(self.attributes["sequence"])

    @property
    def size(self) -> int:
        """The bytes of key, headers and body."""
        headers = sum(len(name) + len(value) for name, value in self.headers())
        return len(self.key.encode()) + headers + len(self.data or b"")

    def body(self) -> dict[str, Any] | None:
        """Read the body; None for a tombstone."""
        if self.data is None:
            return None
        value: dict[str, Any] = msgspec.json.decode(self.data)
        return value

    def headers(self) -> list[tuple[str, bytes]]:
        """Give the headers of CloudEvents' binary mode for Kafka."""
        written = [
            (f"ce_{name}", value.encode()) for name, value in self.attributes.items()
        ]
        if self.data is not None:
            written.append(("content-type", b"application/json"))
        return written

    def structured(self) -> bytes:
        """Give the event as one JSON object (CloudEvents' structured mode)."""
        written = msgspec.json.encode(dict(self.attributes))
        if self.data is None:
            return written
        return b"".join(
            (
                written[:-1],
                b',"datacontenttype":"application/json","data":',
                self.data,
                b"}",
            )
        )


@functools.lru_cache(maxsize=64)
def source_of(site_id: str, incarnation: str) -> str:
    """Name a log: a site and the life of its database, as a URN."""
    return f"urn:annolog:{quote(site_id, safe='')}:{quote(incarnation, safe='')}"


def site_of(source: str) -> tuple[str, str] | None:
    """Read site and incarnation out of a source; None if it is none of ours."""
    match source.split(":"):
        case ["urn", "annolog", site_id, incarnation]:
            return unquote(site_id), unquote(incarnation)
        case _:
            return None


def type_of(kind: str, operation: str) -> str:
    """Name what happened.

    Parameters
    ----------
    kind
        Kind of record.
    operation
        What it does, as an English verb in the present ("create").

    Returns
    -------
    str
        For instance "org.lsst.annolog.annotation.created.v1".
    """
    return f"org.lsst.annolog.{_NOUNS.get(kind, kind)}.{past_tense(operation)}.v1"


def id_of(record_id: UUID, operation: str, number: int) -> str:
    """Name the event of a change, the same each time it is sent.

    It is the record's id. A record whose effects are worked out in pieces brings
    several changes: each further one ("refresh") adds its number.
    """
    return f"{record_id}/{number}" if operation == REFRESH else str(record_id)


def past_tense(operation: str) -> str:
    """Say that an operation is done: "create" gives "created"."""
    if operation in _PAST:
        return _PAST[operation]
    if operation.endswith("ed"):
        return operation
    if operation.endswith("e"):
        return operation + "d"
    if re.search("[^aeiou]y$", operation):
        return operation[:-1] + "ied"
    return operation + "ed"


# ------------------------------------------------------------------ what is stored


def actor_of(sender: Sender) -> dict[str, str | None]:
    """Tell who acted, as events say it.

    Parameters
    ----------
    sender
        Author and, where another sent it, the actor.

    Returns
    -------
    dict
        `id` is who sent it, `on_behalf_of` the author where that is another one;
        `kind` is that of the author.
    """
    return {
        "id": sender.actor or sender.author,
        "kind": sender.author_kind,
        "on_behalf_of": sender.author if sender.actor else None,
        "authenticated_by": sender.authenticated_by,
    }


class _Moved(msgspec.Struct):
    """Which targets a change moved; members in the order of canonical JSON."""

    added: Sequence[str]
    added_count: int
    complete: bool
    count: int
    link: str | None
    removed: Sequence[str]
    removed_count: int


class _Detail(msgspec.Struct):
    """What the log keeps of a change; members in the order of canonical JSON."""

    actor: Mapping[str, str | None] | None
    annotation_id: UUID | str | None
    before: Mapping[str, Any] | None
    before_complete: bool
    parent_id: UUID | str | None
    reason: str | None
    revision_id: UUID | str | None
    targets: _Moved


def change_detail(  # noqa: PLR0913 # the members of an event, each by its name
    *,
    number: int,
    body_bytes: int,
    actor: Mapping[str, str | None] | None = None,
    annotation_id: UUID | str | None = None,
    revision_id: UUID | str | None = None,
    parent_id: UUID | str | None = None,
    before: Mapping[str, Any] | None = None,
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
    count: int = 0,
    reason: str | None = None,
) -> bytes:
    """Make what the log keeps beside the record, so that the event is only spliced.

    Parameters
    ----------
    number
        Number of the change.
    body_bytes
        Length of the record's body.
    actor
        As `actor_of` gives it; None where nobody acts (a list of targets).
    annotation_id, revision_id, parent_id
        The annotation spoken of, its new or reviewed revision, and the revision that
        this one follows; None where there is none.
    before
        The fields that changed, as they were; None or empty where nothing was before.
    added, removed
        Keys of targets that joined or left the object changed, in the order to show.
    count
        How many targets it has now.
    reason
        Why, if somebody said so.

    Returns
    -------
    bytes
        Canonical JSON. Where the event would grow too large the first keys are kept,
        `complete` is false and `link` leads to the rest; of `before` the fields that
        fit are kept, and `before_complete` is false.
    """
    room = MAX_EVENT_BYTES - _ENVELOPE_BYTES
    if body_bytes + _LEAST_ROOM <= room:
        room -= body_bytes
    old, old_bytes = _fields_within(before, room // 2) if before else ({}, 0)
    room -= old_bytes + (len(canonical(reason)) if reason else len("null"))
    # What leaves is rarely long and cannot be read from the record: it goes first.
    shown_removed, used = _keys_within(removed, room // 2)
    shown_added, _ = _keys_within(added, room - used)
    complete = len(shown_added) == len(added) and len(shown_removed) == len(removed)
    if complete:
        link = None
    elif annotation_id is not None:
        # Not the annotation itself: that shows neither what left nor what was then.
        link = f"/annolog/v1/annotations/{annotation_id}/revisions"
    else:
        link = _whole(number)
    return canonical(
        _Detail(
            actor=actor,
            annotation_id=annotation_id,
            before=old or None,
            before_complete=len(old) == len(before or ()),
            parent_id=parent_id,
            reason=reason,
            revision_id=revision_id,
            targets=_Moved(
                added=shown_added,
                added_count=len(added),
                complete=complete,
                count=count,
                link=link,
                removed=shown_removed,
                removed_count=len(removed),
            ),
        )
    )


def blank_detail(detail: bytes) -> bytes:
    """Give a stored detail without words, for a change whose words were redacted.

    Parameters
    ----------
    detail
        What `change_detail` gave for the change of the redacted revision, or of the
        revision that follows it, whose `before` has the same words.
    """
    fields = msgspec.json.decode(detail)
    before = fields["before"] or {}
    fields["before"] = {
        name: REDACTED_FIELDS.get(name, value) for name, value in before.items()
    } or None
    if fields["reason"]:
        fields["reason"] = REDACTED_FIELDS["reason"]
    return canonical(fields)


def _keys_within(keys: Sequence[str], room: int) -> tuple[list[str], int]:
    """Take the first keys that fit into so many bytes, and say how many bytes."""
    shown: list[str] = []
    used = 0
    for key in keys:
        length = len(key.encode()) + 3
        if used + length > room:
            break
        shown.append(key)
        used += length
    return shown, used


def _fields_within(fields: Mapping[str, Any], room: int) -> tuple[dict[str, Any], int]:
    """Take the smallest fields that fit into so many bytes, and say how many bytes."""
    sizes = {name: len(canonical({name: value})) for name, value in fields.items()}
    shown: dict[str, Any] = {}
    used = 0
    for name in sorted(sizes, key=lambda name: (sizes[name], name)):
        if used + sizes[name] > room:
            break
        shown[name] = fields[name]
        used += sizes[name]
    return shown, used


def _whole(number: int) -> str:
    return f"/annolog/v1/changes?after={number - 1}&limit=1&whole=true"


# --------------------------------------------------------------------- what is sent


class _Actor(msgspec.Struct):
    id: str
    kind: str | None = None


class _Peek(msgspec.Struct):
    """The members of a detail that go into headers; the rest is skipped unread."""

    annotation_id: str | None = None
    actor: _Actor | None = None


_PEEK = msgspec.json.Decoder(_Peek)

_NO_DETAIL = change_detail(number=0, body_bytes=0)

_AUTH_TYPES = {"human": "user", "bot": "service_account"}
"""Words of the CloudEvents extension "authcontext" for the kinds of authors."""


def change_event(change: LoggedChange, *, whole: bool = False) -> Event:
    """Put a change into its envelope.

    Parameters
    ----------
    change
        The change with its record.
    whole
        Whether to carry the record however large it is; for HTTP answers only.

    Returns
    -------
    Event
        Below `MAX_EVENT_BYTES` unless `whole`: a larger record is left out (`after`
        is null) and `after_link` leads to it.
    """
    detail = change.detail or _NO_DETAIL
    head = msgspec.json.encode(
        {
            "schema_version": SCHEMA_VERSION,
            "number": change.number,
            "site_id": change.site_id,
            "incarnation": change.incarnation,
            "timestamp": times.to_clock(change.committed_at),
            "operation": change.operation,
            "kind": change.kind,
            "subject": change.subject,
        }
    )
    after, link = change.body, None
    length = len(head) + len(detail) + len(after)
    if not whole and length + _ENVELOPE_BYTES // 2 > MAX_EVENT_BYTES:
        after, link = b"null", _whole(change.number)
    data = b"".join(
        (
            head[:-1],
            b",",
            detail[1:-1],
            b',"after":',
            after,
            b',"after_link":',
            msgspec.json.encode(link),
            b"}",
        )
    )
    moment = times.format(change.committed_at)
    attributes = {
        "specversion": "1.0",
        "id": id_of(change.record_id, change.operation, change.number),
        "source": source_of(change.site_id, change.incarnation),
        "type": type_of(change.kind, change.operation),
        "subject": change.subject,
        "time": moment,
        "recordedtime": moment,
        "sequence": _padded(change.number),
        "partitionkey": change.subject,
        "dataschema": CHANGE_SCHEMA,
    }
    actor = _PEEK.decode(detail).actor
    if actor is not None:
        attributes["authtype"] = _AUTH_TYPES.get(actor.kind or "", "unknown")
        attributes["authid"] = actor.id
    return Event(attributes, change.subject, data)


def state_event(logged: LoggedState) -> Event:
    """Put a target state into its envelope; a tombstone where nothing is left.

    Parameters
    ----------
    logged
        The state and the change that it is of.

    Returns
    -------
    Event
        Below `MAX_EVENT_BYTES`: the lists of a larger state are cut, and it says so.
    """
    state = logged.state
    moment = times.format(logged.changed_at)
    attributes = {
        "specversion": "1.0",
        "id": f"{state.number}/{state.key}",
        "source": source_of(state.site_id, logged.incarnation),
        "type": STATE_EMPTIED if logged.empty else STATE_CHANGED,
        "subject": state.key,
        "time": moment,
        "recordedtime": moment,
        "sequence": _padded(state.number),
        "partitionkey": state.key,
        "dataschema": STATE_SCHEMA,
    }
    if logged.empty:
        return Event(attributes, state.key, None)
    data = state.model_dump_json().encode()
    if len(data) + _ENVELOPE_BYTES > MAX_EVENT_BYTES:
        data = _cut(state).model_dump_json().encode()
    return Event(attributes, state.key, data)


def _cut(state: TargetState) -> TargetState:
    lists = ("names", "decided_by", "outvoted", "follow_ups", "tags")
    cut = {name: getattr(state, name)[:_STATE_LISTED] for name in lists}
    return state.model_copy(update={**cut, "complete": False})


def _padded(number: int) -> str:
    """Write a number so that strings compare as numbers do, as CloudEvents wants."""
    return f"{number:020d}"


# ----------------------------------------------------------------- what is received

_NEEDED = ("specversion", "id", "source", "type", "sequence")


def from_message(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]]
) -> Event:
    """Read an event as it came from Kafka.

    Parameters
    ----------
    key, value
        Of the message; no value means a tombstone.
    headers
        Of the message. Names that are not CloudEvents' own are passed over.

    Returns
    -------
    Event
        The event; its body is not opened.

    Raises
    ------
    MalformedError
        If it is no event of annolog.
    """
    try:
        attributes = {
            name.removeprefix("ce_"): content.decode()
            for name, content in headers
            if name.startswith("ce_")
        }
        written = (key or b"").decode()
    except UnicodeDecodeError:
        raise MalformedError(
            "the message's key or headers are not UTF-8: it is no event of annolog"
        ) from None
    missing = [name for name in _NEEDED if name not in attributes]
    if missing:
        raise MalformedError(
            f"the message has no header ce_{missing[0]}: it is no event of annolog"
        )
    if not re.fullmatch("[0-9]{1,20}", attributes["sequence"]):
        raise MalformedError(
            f"ce_sequence is {attributes['sequence'][:40]!r}, which is no change number"
        )
    return Event(attributes, written, value)
