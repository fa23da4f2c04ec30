"""What is shown of a target: its state, the votes and words, what is known of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from annolog.api import formats
from annolog.api.target_inherited import sources, summary
from annolog.api.target_moments import MAX_SHOWN, Found, Moment
from annolog.domain import exposures, times
from annolog.domain.flags import Said, explain
from annolog.domain.history import Standing
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Known, State
from annolog.domain.roles import Action, Actor, Subject, allowed, permissions
from annolog.domain.states import TargetState
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import standings
from annolog.storage.database import Connection
from annolog.storage.standings import Member

FLAGLESS = frozenset({"gap", "night"})
"""Kinds of targets that take no flag."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and where and when.

    Attributes
    ----------
    actor
        Who asks.
    site_id
        The site whose view it is.
    instruments
        The instruments known here.
    now
        The wall time.
    """

    actor: Actor
    site_id: str
    instruments: Instruments
    now: datetime


async def target_shown(
    conn: Connection,
    found: Found,
    moment: Moment,
    known: Known,
    caller: Caller,
) -> dict[str, Any]:
    """Put the answer about one target together.

    Parameters
    ----------
    conn
        A snapshot.
    found
        The target.
    moment
        The change as of which it is shown.
    known
        The vocabulary of then.
    caller
        Who asks, and where.
    """
    first, vocabulary = found.members[0], known.vocabulary
    home, instrument = caller.instruments, found.members[0].instrument
    here = found.step.standings
    names = await standings.names(conn, found.ids)
    shown, complete, last = await annotations_shown(conn, found, moment)
    reach = await sources(conn, found, moment, vocabulary, home)
    exposure = await exposure_shown(conn, found, moment, home, caller.now)
    state = state_shown(first, found.state, found.number, names, caller.site_id)
    answer = {
        "key": found.key,
        "as_of": moment.shown,
        "number": max(found.number, last, exposure["number"] if exposure else 0),
        "basis": known.basis,
        "state": state.model_dump(mode="json"),
        "names": names,
        "joined": [one.key for one in found.members],
        "votes": votes_shown(here, vocabulary, instrument),
        "tags": tags_shown(here, vocabulary, instrument),
        "annotations": shown,
        "complete": complete,
        "exposure": exposure,
        "inherited": summary(reach, vocabulary),
        "allowed": permissions_shown(caller.actor, first),
    }
    if not complete:
        where = urlencode({"target": found.key, "counted": "all"})
        answer["note"] = f"only {MAX_SHOWN} annotations are shown; `more` lists all"
        answer["more"] = f"/annolog/v1/annotations?{where}"
    return answer


def state_shown(
    member: Member, state: State, number: int, names: Collection[str], site_id: str
) -> TargetState:
    """Write a state as everyone sees it."""
    return TargetState(
        key=member.key,
        kind=member.kind,
        instrument=member.instrument,
        day_obs=member.day_obs,
        seq_num=member.seq_num,
        exposure_id=member.exposure_id,
        detector=member.detector,
        dataset_id=member.dataset_id,
        names=tuple(names),
        flag=state.flag,
        decided_by=state.decided_by,
        outvoted=state.outvoted,
        disputed=state.disputed,
        bots_differ=state.bots_differ,
        follow_ups=state.follow_ups,
        tags=state.tags,
        notes=state.notes,
        number=number,
        site_id=site_id,
    )


def votes_shown(
    here: Sequence[Standing], vocabulary: Vocabulary, instrument: str | None
) -> list[dict[str, Any]]:
    """List each voter's one vote, the latest first, with the part that it played."""
    return [
        {
            "voter": vote.voter,
            "author": vote.said.author,
            "rank": vote.said.rank.word,
            "flag": vote.said.flag,
            "part": vote.part.value,
            "at": times.format(times.from_clock(vote.said.vote_clock)),
            "contested": vote.said.contested is not None,
            "vote_id": vote.said.vote_id,
            "annotation_id": vote.said.annotation_id,
            "revision_id": vote.said.vote_id if _own(vote.said) else None,
            "review_id": None if _own(vote.said) else vote.said.source_id,
        }
        for vote in explain((one.said for one in here), vocabulary, instrument)
    ]


def _own(said: Said) -> bool:
    return said.source_id == said.annotation_id


def tags_shown(
    here: Iterable[Standing], vocabulary: Vocabulary, instrument: str | None
) -> list[dict[str, Any]]:
    """List the tags, sorted, with who says each.

    `tag` is the word that was said, `name` what it stands for now; a tag that no
    vocabulary has is not `curated`.
    """
    said_by: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(here, key=lambda o: (o.said.vote_clock, o.said.source_id)):
        for tag in one.tags:
            said_by.setdefault(tag, []).append(
                {
                    "author": one.said.author,
                    "rank": one.said.rank.word,
                    "annotation_id": one.said.annotation_id,
                }
            )
    shown = []
    for tag in sorted(said_by):
        name = vocabulary.tag_name(tag, instrument)
        entry = vocabulary.tag(name, instrument)
        shown.append(
            {
                "tag": tag,
                "name": name,
                "curated": entry is not None,
                "archived": entry is not None and entry.archived,
                "said_by": said_by[tag],
            }
        )
    return shown


def permissions_shown(actor: Actor, member: Member) -> dict[str, bool]:
    """Say what the caller may do here; `flag` is false for gaps and nights."""
    about = Subject(instruments=frozenset({member.instrument}))
    may = permissions(actor, about)
    creates = allowed(actor, Action.CREATE, about) is True
    return {**may, "flag": creates and member.kind not in FLAGLESS}


async def exposure_shown(
    conn: Connection,
    found: Found,
    moment: Moment,
    instruments: Instruments,
    now: datetime,
) -> dict[str, Any] | None:
    """Show what was known of an exposure; None for other targets, or no facts."""
    if found.members[0].kind != "exposure":
        return None
    facts = await standings.facts(conn, found.ids, moment.number)
    if not facts:
        return None
    view = exposures.merge((one.fact for one in facts), instruments)
    return {
        "state": view.state.value,
        "end_unknown": exposures.end_unknown(view, now),
        "exposure_id": view.exposure_id,
        "obs_id": view.obs_id,
        "day_obs": view.day_obs,
        "seq_num": view.seq_num,
        "begin": view.begin and times.format(view.begin),
        "end": view.end and times.format(view.end),
        "exposure_time": view.exposure_time,
        "observation_type": view.observation_type,
        "fields": view.fields,
        "sources": {name: one.value for name, one in view.sources.items()},
        "contradictions": view.contradictions_as_dict(),
        "number": facts[-1].number,
    }


async def annotations_shown(
    conn: Connection, found: Found, moment: Moment
) -> tuple[list[msgspec.Raw], bool, int]:
    """Show what was said: counted first, then what was taken back or rejected.

    Returns
    -------
    tuple
        The annotations, whether these are all, and the last change of any of them.
        Of more than 16 targets only the count is shown.
    """
    rows = await standings.annotations(conn, found.ids, moment.number, MAX_SHOWN + 1)
    shown = [
        msgspec.Raw(
            b'{"counted_here":%b,' % (b"true" if one.counted_here else b"false")
            + formats.annotation_json(one.row)[1:]
        )
        for one in rows[:MAX_SHOWN]
    ]
    last = max((one.row.number for one in rows[:MAX_SHOWN]), default=0)
    return shown, len(rows) <= MAX_SHOWN, last


def worded(value: Mapping[str, Any]) -> bytes:
    """Write an answer."""
    return msgspec.json.encode(value)
