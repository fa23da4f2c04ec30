"""Messages: what revisions say about one exposure, as exposurelog's clients see it.

A client of exposurelog knows one exposure a message; an annotation may name thousands
and lives through many revisions. A message is a run of revisions in which what one
exposure shows does not change. Its id is that of the run's first revision, with the
exposure's ordinal in the last 14 bits, so an edit that leaves an exposure alone leaves
its message alone. Everything here is a function of the set of revisions.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import history, tai, times
from annolog.domain.annotations import MAX_ORDINALS
from annolog.domain.history import Version
from annolog.domain.ids import id_of, read_id
from annolog.domain.targets import exposure_names

SHOWN = ("text", "level", "tags", "urls", "flag", "author", "author_kind")
"""What of a revision a message shows, beside its targets."""

KEPT = ("obs_id", "instrument", "day_obs", "seq_num")
"""Names of an exposure that an imported row keeps as they were written."""

_EXPOSURE = "exposure:"


class Message(msgspec.Struct, frozen=True):
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


class MessageRow(msgspec.Struct, frozen=True):
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


class Told(msgspec.Struct, frozen=True):
    """What a revision tells of the messages that it begins or ends.

    Attributes
    ----------
    site_id
        Where it was said.
    row
        What it keeps of an old row; empty for most.
    date_added, date_invalidated
        When messages began or ended with it (naive TAI).
    """

    site_id: str
    row: Mapping[str, Any]
    date_added: datetime
    date_invalidated: datetime


def told_by(fields: Mapping[str, Any]) -> Told:
    """Read of a revision's decoded body what its messages need."""
    row = fields.get("exposurelog") or {}
    made = _made_at(fields["created_at"])
    added, ended = row.get("date_added"), row.get("date_invalidated")
    return Told(
        row.get("site_id", fields["site_id"]),
        row,
        tai.parse(added) if added else made,
        tai.parse(ended) if ended else made,
    )


@functools.lru_cache(maxsize=64)
def _made_at(created_at: str) -> datetime:
    """Read a moment as TAI; all that a turn enters has the same one."""
    return tai.from_utc(times.parse(created_at))


def row_of(message: Message, begun: Told, ended: Told | None) -> MessageRow:
    """Work out a message's row.

    Parameters
    ----------
    message
        The message.
    begun, ended
        What the revisions tell with which it began and ended; None while it holds.
    """
    row = begun.row
    until = None if ended is None else ended.date_invalidated
    if row.get("obs_id") is not None:
        return MessageRow(
            message,
            begun.site_id,
            row["instrument"],
            row["obs_id"],
            row.get("day_obs"),
            row.get("seq_num"),
            begun.date_added,
            until,
            kept=True,
        )
    instrument, obs_id = exposure_names(message.key)
    return MessageRow(
        message,
        begun.site_id,
        instrument,
        obs_id,
        None,
        None,
        begun.date_added,
        until,
        kept=False,
    )


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
    return read_id(parent.get("content_id") or parent["revision_id"])


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
    return start if alone else id_of(start.int | (ordinal % MAX_ORDINALS))


def messages(versions: Sequence[Version]) -> dict[UUID, Message]:
    """Give all messages of an annotation, those that ended included.

    Parameters
    ----------
    versions
        All known revisions of one annotation, any order; none gives none.
    """
    if len(versions) == 1:
        return _begun_with(versions[0])
    return _Lines().after(versions) if versions else {}


def before_and_after(
    known: Sequence[Version], further: Sequence[Version]
) -> tuple[dict[UUID, Message], dict[UUID, Message]]:
    """Give all messages of an annotation before and after further revisions.

    Parameters
    ----------
    known
        Its revisions before, any order; none gives none.
    further
        The further ones, any order; at least one.
    """
    if not known:
        return {}, messages(further)
    lines = _Lines()
    was = lines.after(known)
    if min(v.order for v in further) < max(v.order for v in known):
        # Rarely an older one comes from elsewhere: the lines are other ones.
        return was, messages([*known, *further])
    return was, lines.after(further)


def _begun_with(version: Version) -> dict[UUID, Message]:
    """Give the messages of an annotation of which one revision is known.

    Nearly all have one; `_Lines` would give the same.
    """
    own = version.revision_id
    alone = len(version.targets) == 1
    found: dict[UUID, Message] = {}
    for ordinal, key in enumerate(version.named):
        if key.startswith(_EXPOSURE):
            one = message_id(own, ordinal, alone=alone)
            found[one] = Message(
                one, version.annotation_id, own, key, version.continues
            )
    return found


class _Lines:
    """Follows each line of revisions, older ones first.

    Messages go by their place in a list: what shows is compared ten thousand times.
    """

    def __init__(self) -> None:
        self._versions: dict[UUID, Version] = {}
        self._shown: dict[UUID, dict[str, int]] = {}
        self._last: dict[UUID, dict[str, int]] = {}
        self._ordinals: dict[UUID, dict[str, int]] = {}
        self._found: list[Message] = []

    def after(self, further: Iterable[Version]) -> dict[UUID, Message]:
        """Take in further revisions, all later than the ones before; give all."""
        for version in sorted(further, key=lambda one: one.order):
            self.follow(version)
        known = list(self._versions.values())
        return self.ended(history.current(known), known)

    def follow(self, version: Version) -> None:
        """Take in the next revision."""
        own = version.revision_id
        parent = self._versions.get(version.parent_id) if version.parent_id else None
        before = {} if parent is None else self._shown[parent.revision_id]
        last = {} if parent is None else self._last[parent.revision_id]
        same = parent is not None and version.targets == parent.targets
        ordinals = self._numbered(version, parent)
        alone = len(version.targets) == 1
        anew = (
            parent is None
            or version.content_id != parent.content_id
            or (alone and same)
        )
        shown: dict[str, int] = {}
        if parent is not None and not anew and same and version.named == parent.named:
            shown = before
        else:
            for key in version.named:
                if not key.startswith(_EXPOSURE):
                    continue
                if not anew and key in before:
                    shown[key] = before[key]
                    continue
                parent_id = version.continues
                if parent_id is None and key in last:
                    parent_id = self._found[last[key]].message_id
                shown[key] = len(self._found)
                one = message_id(own, ordinals[key], alone=alone)
                self._found.append(
                    Message(one, version.annotation_id, own, key, parent_id)
                )
            if shown:
                last = {**last, **shown}
        self._versions[own] = version
        self._shown[own] = shown
        self._last[own] = last
        self._ordinals[own] = ordinals

    def _numbered(self, version: Version, parent: Version | None) -> dict[str, int]:
        """Give the ordinals of all exposures that its line named so far."""
        known = {} if parent is None else self._ordinals[parent.revision_id]
        if parent is not None and version.targets == parent.targets:
            return known
        fresh = [key for key in version.targets if key not in known]
        if not fresh:
            return known
        return known | {key: number for number, key in enumerate(fresh, len(known))}

    def ended(self, now: Version, versions: Iterable[Version]) -> dict[UUID, Message]:
        """Say which revision ended each message that does not hold now."""
        holding = set(self._shown[now.revision_id].values())
        if len(holding) == len(self._found):
            return {message.message_id: message for message in self._found}
        ended: dict[int, UUID] = {}
        for version in self._versions.values():  # in their order
            shown = self._shown[version.revision_id]
            before = self._shown.get(version.parent_id) if version.parent_id else None
            if before is None or before is shown:
                continue
            for key, one in before.items():
                if shown.get(key) != one:
                    ended.setdefault(one, version.revision_id)
        found: dict[UUID, Message] = {}
        for one, message in enumerate(self._found):
            by = None
            if one not in holding:
                by = ended.get(one) or self._overtaken(one, now, versions)
            found[message.message_id] = (
                message
                if by is None
                else Message(
                    message.message_id,
                    message.annotation_id,
                    message.revision_id,
                    message.key,
                    message.parent_id,
                    by,
                )
            )
        return found

    def _overtaken(self, one: int, now: Version, versions: Iterable[Version]) -> UUID:
        """Say which revision came after a line that nobody answered and that lost."""
        key = self._found[one].key
        latest = max(
            (v for v in versions if self._shown[v.revision_id].get(key) == one),
            key=lambda v: v.order,
        )
        by = min(
            (v for v in versions if v.order > latest.order),
            key=lambda v: v.order,
            default=now,
        )
        return by.revision_id
