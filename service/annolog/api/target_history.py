"""How a target's flag came about, step by step."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from annolog.api.target_moments import chronicle_of
from annolog.domain import times
from annolog.domain.chronicle import Chronicle, Step
from annolog.domain.errors import InvalidError
from annolog.domain.flags import WITHDRAW
from annolog.storage import standings
from annolog.storage.database import Connection

_DIGITS = 20
"""Digits that no change number has."""


def place_of(cursor: str | None) -> int:
    """Read where a history goes on: behind the change that the cursor names.

    Raises
    ------
    InvalidError
        It is no cursor as it was given out.
    """
    if cursor is None:
        return -1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < _DIGITS):
        reason = "this is no cursor as it was given out; start again without one"
        raise InvalidError.at("?cursor", cursor, reason, "cursor_damaged")
    return int(cursor)


async def history_shown(
    conn: Connection, key: str, after: int, limit: int
) -> dict[str, Any]:
    """Put one page of a target's flag history together.

    Parameters
    ----------
    conn
        A snapshot.
    key
        The target.
    after
        Steps behind this change.
    limit
        At most so many steps.
    """
    chronicle, rows = await chronicle_of(conn, key)
    spoken = await standings.about(conn, [one.target_id for one in rows])
    steps = list(_telling(chronicle, frozenset(spoken)))
    page = [one for one in steps if one.step.number > after][: limit + 1]
    logged = await standings.logged(conn, [one.step.number for one in page[:limit]])
    members = {one.key for one in rows}
    items = [
        _step_shown(one, logged[one.step.number])
        for one in page[:limit]
        if one.step.number in logged
        and _concerns(logged[one.step.number], one, members)
    ]
    more = len(page) > limit
    return {
        "key": key,
        "items": items,
        "next": str(page[limit - 1].step.number) if more else None,
    }


@dataclass(frozen=True, slots=True)
class _Told:
    """A step and what it changed."""

    step: Step
    moved: bool
    changed: bool


def _telling(chronicle: Chronicle, spoken: frozenset[int]) -> Iterable[_Told]:
    """Pick the steps at which somebody spoke of the target or its outcome changed."""
    before: Step | None = None
    for step in chronicle.steps(also=spoken):
        was = (before.standings, before.members) if before else ((), step.members)
        moved = set(was[0]) != set(step.standings) or was[1] != step.members
        changed = step.changed_at == step.number
        if moved or changed or step.number in spoken:
            yield _Told(step, moved, changed)
        before = step


def _concerns(logged: standings.LoggedStep, told: _Told, keys: Collection[str]) -> bool:
    """Tell whether a change is about the target: a review may be about others only."""
    if told.moved or told.changed or logged.kind != "review":
        return True
    fields = msgspec.json.decode(logged.body)
    about = fields.get("targets")
    if logged.keys is not None:
        about = msgspec.json.decode(logged.keys)
    return about is None or not set(about).isdisjoint(keys)


def _step_shown(told: _Told, logged: standings.LoggedStep) -> dict[str, Any]:
    fields = msgspec.json.decode(logged.body)
    state = told.step.state
    return {
        "number": logged.number,
        "at": times.format(logged.committed_at),
        "what": _what(logged, fields),
        "by": fields.get("author"),
        "by_kind": fields.get("author_kind"),
        "rank": fields.get("rank"),
        "actor": fields.get("actor"),
        "says": fields.get("flag") if logged.kind == "revision" else None,
        "verdict": fields.get("verdict"),
        "reason": fields.get("reason") or None,
        "annotation_id": fields.get("annotation_id"),
        "record_id": logged.record_id,
        "flag": state.flag,
        "disputed": state.disputed,
        "bots_differ": state.bots_differ,
        "decided_by": state.decided_by,
        "changed": told.changed,
    }


def _what(logged: standings.LoggedStep, fields: Mapping[str, Any]) -> str:
    """Name what happened: a revision by what it does, an entry by its kind."""
    if logged.kind == "revision":
        if fields["operation"] != "create":
            return str(fields["operation"])
        if fields["flag"] is None:
            return "note"
        return "withdraw" if fields["flag"] == WITHDRAW else "vote"
    words = {"flag": "flag_vocabulary", "exposure": "joined", "target_list": "arrived"}
    return words.get(logged.kind, logged.kind)


def links(path: str, key: str, limit: int, answer: Mapping[str, Any]) -> dict[str, str]:
    """Give the header that leads to the next page, if there is one."""
    if answer["next"] is None:
        return {}
    query = urlencode({"key": key, "limit": limit, "cursor": answer["next"]})
    return {"Link": f'<{path}?{query}>; rel="next"'}
