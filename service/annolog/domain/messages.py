"""Messages: what revisions say about one exposure, as exposurelog's clients see it.

A client of exposurelog knows one exposure a message; an annotation may name thousands
and lives through many revisions. A message is a run of revisions in which what one
exposure shows does not change. Its id is that of the run's first revision, with the
exposure's ordinal in the last 14 bits, so an edit that leaves an exposure alone leaves
its message alone. Everything here is a function of the set of revisions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from annolog.domain import history, tai, times
from annolog.domain.annotations import MAX_ORDINALS
from annolog.domain.history import Version
from annolog.domain.targets import ExposureTarget, parse_key

SHOWN = ("text", "level", "tags", "urls", "flag", "author", "author_kind")
"""What of a revision a message shows, beside its targets."""

KEPT = ("obs_id", "instrument", "day_obs", "seq_num")
"""Names of an exposure that an imported row keeps as they were written."""

_EXPOSURE = "exposure:"


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes
    ----------
    message_id
        Its name in exposurelog's API.
    annotation_id
        The annotation that it is a part of.
    revision_id
        The revision with which it began: it has the words.
    key
        The exposure.
    parent_id
        The message that it continues; None for a first one.
    ended_by
        The revision that ended it; None while it holds.
    """

    message_id: UUID
    annotation_id: UUID
    revision_id: UUID
    key: str
    parent_id: UUID | None
    ended_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """What a message's own records tell of it, as its row has it.

    Attributes
    ----------
    message
        The message.
    site_id
        Where it was said.
    instrument, obs_id, day_obs, seq_num
        Its exposure; None for what only facts can tell.
    date_added, date_invalidated
        When it began and ended (naive TAI); None while it holds.
    kept
        The exposure is named as an old row did, whatever facts say.
    """

    message: Message
    site_id: str
    instrument: str
    obs_id: str | None
    day_obs: int | None
    seq_num: int | None
    date_added: datetime
    date_invalidated: datetime | None
    kept: bool


def row_of(
    message: Message, begun: Mapping[str, Any], ended: Mapping[str, Any] | None
) -> MessageRow:
    """Work out a message's row.

    Parameters
    ----------
    message
        The message.
    begun, ended
        Decoded bodies of the revisions with which it began and ended; None while it
        holds.

    Raises
    ------
    TypeError
        If it is not about an exposure.
    """
    target = parse_key(message.key)
    if not isinstance(target, ExposureTarget):
        raise TypeError(message.key)
    row = begun.get("exposurelog") or {}
    kept = row.get("obs_id") is not None
    return MessageRow(
        message,
        row.get("site_id", begun["site_id"]),
        row["instrument"] if kept else target.instrument,
        row["obs_id"] if kept else target.obs_id,
        row.get("day_obs"),
        row.get("seq_num"),
        _moment(begun, "date_added"),
        None if ended is None else _moment(ended, "date_invalidated"),
        kept,
    )


def _moment(fields: Mapping[str, Any], name: str) -> datetime:
    written = (fields.get("exposurelog") or {}).get(name)
    if written:
        return tai.parse(written)
    return tai.from_utc(times.parse(fields["created_at"]))


def content_id(
    revision_id: UUID, says: Mapping[str, Any], parent: Mapping[str, Any] | None
) -> UUID:
    """Say in which revision what a revision shows last changed.

    Parameters
    ----------
    revision_id
        The revision.
    says
        What it says, by field.
    parent
        The decoded body of the revision that it started from; None for a first one.

    Returns
    -------
    UUID
        Its own id, or that which its parent gave. It is written into the record, as
        a redaction may later make different words equal.
    """
    if parent is None or any(says[name] != parent[name] for name in SHOWN):
        return revision_id
    return UUID(parent.get("content_id") or parent["revision_id"])


def kept_names(parent: Mapping[str, Any] | None, keys: Sequence[str]) -> dict[str, Any]:
    """Give the names of its exposure that a revision keeps from its parent.

    Parameters
    ----------
    parent
        The decoded body of the revision that it started from; None for a first one.
    keys
        What the revision names.

    Returns
    -------
    dict
        The names as an old row had them; empty where there are none, or where the
        revision is about something else.
    """
    row = (parent or {}).get("exposurelog") or {}
    if parent is None or list(keys) != parent.get("targets"):
        return {}
    return {name: row[name] for name in KEPT if row.get(name) is not None}


def message_id(start: UUID, ordinal: int, *, alone: bool) -> UUID:
    """Name a message.

    Parameters
    ----------
    start
        The revision with which it begins.
    ordinal
        Place of its exposure in the annotation, for ever; below `MAX_ORDINALS`.
    alone
        Whether that revision names nothing else: then its id is the message's.
    """
    return start if alone else UUID(int=start.int | (ordinal % MAX_ORDINALS))


def messages(versions: Sequence[Version]) -> dict[UUID, Message]:
    """Give all messages of an annotation, those that ended included.

    Parameters
    ----------
    versions
        All known revisions of one annotation, any order; none gives none.
    """
    if not versions:
        return {}
    lines = _Lines()
    for version in sorted(versions, key=lambda one: one.order):
        lines.follow(version)
    now = history.current(versions)
    return lines.ended(now, versions)


class _Lines:
    """Follows each line of revisions, older ones first."""

    def __init__(self) -> None:
        self._versions: dict[UUID, Version] = {}
        self._shown: dict[UUID, dict[str, UUID]] = {}
        self._last: dict[UUID, dict[str, UUID]] = {}
        self._ordinals: dict[UUID, dict[str, int]] = {}
        self._found: dict[UUID, Message] = {}

    def follow(self, version: Version) -> None:
        """Take in the next revision."""
        own = version.revision_id
        parent = self._versions.get(version.parent_id) if version.parent_id else None
        before = {} if parent is None else self._shown[parent.revision_id]
        last = {} if parent is None else self._last[parent.revision_id]
        ordinals = {} if parent is None else self._ordinals[parent.revision_id]
        if any(key not in ordinals for key in version.targets):
            ordinals = dict(ordinals)
            for key in version.targets:
                ordinals.setdefault(key, len(ordinals))
        alone = len(version.targets) == 1
        anew = (
            parent is None
            or version.content_id != parent.content_id
            or (alone and version.targets == parent.targets)
        )
        shown: dict[str, UUID] = {}
        for key in version.named:
            if not key.startswith(_EXPOSURE):
                continue
            if not anew and key in before:
                shown[key] = before[key]
                continue
            one = message_id(own, ordinals[key], alone=alone)
            parent_id = version.continues or last.get(key)
            self._found[one] = Message(one, version.annotation_id, own, key, parent_id)
            shown[key] = one
        self._versions[own] = version
        self._shown[own] = shown
        self._last[own] = {**last, **shown} if shown else last
        self._ordinals[own] = ordinals

    def ended(self, now: Version, versions: Iterable[Version]) -> dict[UUID, Message]:
        """Say which revision ended each message that does not hold now."""
        holding = set(self._shown[now.revision_id].values())
        ended: dict[UUID, Version] = {}
        latest: dict[UUID, Version] = {}
        for version in self._versions.values():  # in their order
            shown = set(self._shown[version.revision_id].values())
            for one in shown:
                latest[one] = version
            if version.parent_id in self._shown:
                for one in self._shown[version.parent_id].values():
                    if one not in shown:
                        ended.setdefault(one, version)
        found: dict[UUID, Message] = {}
        for one, message in self._found.items():
            if one in holding:
                found[one] = message
                continue
            by = ended.get(one)
            if by is None:
                # Nobody answered this line, and another one won.
                by = min(
                    (v for v in versions if v.order > latest[one].order),
                    key=lambda v: v.order,
                    default=now,
                )
            found[one] = replace(message, ended_by=by.revision_id)
        return found
