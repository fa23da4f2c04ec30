"""Briefs: what a change touched in a few words, for pages that only need to know that.

A page that shows a night wants to hear which targets to fetch anew, not the words
themselves. A brief is small enough to be sent to every page for every change.
"""

import msgspec

from annolog.domain import times
from annolog.domain.events import LoggedChange

MAX_TARGETS = 50
"""Keys of one brief."""

MAX_TARGET_BYTES = 1600
"""Bytes of those keys together, so that a brief stays within two kilobytes."""


class _Who(msgspec.Struct):
    id: str
    kind: str | None = None
    on_behalf_of: str | None = None


class _Moved(msgspec.Struct):
    added: list[str] = []
    removed: list[str] = []
    added_count: int = 0
    count: int = 0
    complete: bool = True


class _Detail(msgspec.Struct):
    """The members of a detail that a brief has; the rest is skipped unread."""

    annotation_id: str | None = None
    actor: _Who | None = None
    targets: _Moved = msgspec.field(default_factory=_Moved)


class _Body(msgspec.Struct):
    """The members of a record that say what it is about."""

    targets: list[str] | msgspec.UnsetType | None = msgspec.UNSET


_DETAIL = msgspec.json.Decoder(_Detail)
_BODY = msgspec.json.Decoder(_Body)


def brief_of(change: LoggedChange) -> bytes:
    """Say in a few words what a change touched.

    Parameters
    ----------
    change
        The change with its record.

    Returns
    -------
    bytes
        A JSON object of one line: `number`, `kind`, `operation`, `subject`,
        `annotation_id`, `author`, `author_kind`, `instruments`, `targets` (the first
        `MAX_TARGETS` keys that joined, left or are spoken of), `complete` (whether
        those are all) and `time`.
    """
    detail = _DETAIL.decode(change.detail) if change.detail else _Detail()
    moved = detail.targets
    try:
        spoken_of = _BODY.decode(change.body).targets
    except msgspec.DecodeError:
        # Another kind of record may mean something else by that name.
        spoken_of = msgspec.UNSET
    keys = list(dict.fromkeys([*moved.added, *moved.removed, *(spoken_of or ())]))
    shown = _within(keys)
    # A statement about very many names them in a list of its own, which is known here
    # only when it is new.
    named = spoken_of is not None and (
        spoken_of is not msgspec.UNSET or moved.added_count == moved.count
    )
    who = detail.actor
    return msgspec.json.encode(
        {
            "number": change.number,
            "kind": change.kind,
            "operation": change.operation,
            "subject": change.subject,
            "annotation_id": detail.annotation_id,
            "author": (who.on_behalf_of or who.id) if who else None,
            "author_kind": who.kind if who else None,
            "instruments": change.instruments,
            "targets": shown,
            "complete": named and moved.complete and len(shown) == len(keys),
            "time": times.format(change.committed_at),
        }
    )


def _within(keys: list[str]) -> list[str]:
    shown: list[str] = []
    room = MAX_TARGET_BYTES
    for key in keys[:MAX_TARGETS]:
        room -= len(key.encode()) + 3
        if room < 0:
            break
        shown.append(key)
    return shown
