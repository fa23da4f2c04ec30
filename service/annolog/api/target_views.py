"""What is shown of a target: read in one snapshot, as of now or of a change.

The state is worked out from the rows of what was said with the rules of the moment
asked for, so it is right also where a stored state still waits to be refreshed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import msgspec

from annolog.actions.preview import Pasted, Previewed
from annolog.actions.resolve import Resolution
from annolog.api import formats
from annolog.domain import exposures, times
from annolog.domain.annotations import MAX_TARGETS
from annolog.domain.book import Known, State, state_of
from annolog.domain.chronicle import Chronicle, Step
from annolog.domain.entries import Entry
from annolog.domain.errors import InvalidError, NotFoundError, Problem
from annolog.domain.flags import WITHDRAW, Said, explain, most_severe
from annolog.domain.history import Standing
from annolog.domain.inheritance import Inherited, inherited
from annolog.domain.instruments import Instruments
from annolog.domain.roles import Action, Actor, Subject, allowed, permissions
from annolog.domain.states import TargetState
from annolog.domain.targets import (
    DetectorTarget,
    GapTarget,
    NightTarget,
    columns,
    parse_key,
)
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import changes, entries, inheritance, standings
from annolog.storage.database import Connection
from annolog.storage.inheritance import Statement
from annolog.storage.standings import LATEST, Member

MAX_SHOWN = 200
"""Annotations that one answer shows; the list of annotations has all."""

_DIGITS = 20
"""Digits that no change number has."""

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


@dataclass(frozen=True, slots=True)
class Moment:
    """The change as of which a target is shown.

    Attributes
    ----------
    number
        For reading rows: a change number, or `LATEST`.
    shown
        The same as people see it: for now, the head of the log.
    """

    number: int
    shown: int


async def moment_of(conn: Connection, as_of: str | None) -> Moment:
    """Read `as_of`: a change number, or a time at which this site had some last one.

    Raises
    ------
    InvalidError
        It is neither, or a number that the log has not reached.
    """
    head = await changes.head(conn)
    if as_of is None:
        return Moment(LATEST, head)
    if as_of.isascii() and as_of.isdigit():
        number = int(as_of[:20])
        if number > head:
            reason = f"the log of this site ends at change {head}"
            raise InvalidError.at("?as_of", as_of, reason, "as_of_ahead")
        return Moment(number, number)
    try:
        moment = times.parse(as_of)
    except InvalidError:
        reason = "is neither a change number nor a time, as 2026-11-19T03:12:00Z"
        raise InvalidError.at("?as_of", as_of, reason, "as_of") from None
    number = await standings.number_at(conn, moment)
    return Moment(number, number)


async def known_at(conn: Connection, moment: Moment, known: Known) -> Known:
    """Give the vocabulary of then; `known` is what this process knows of now."""
    if moment.number == LATEST:
        return await entries.catch_up(conn, known)
    return await entries.read(conn, moment.number)


# ------------------------------------------------------------------ the target


@dataclass(frozen=True, slots=True)
class Found:
    """A target with what held for it.

    Attributes
    ----------
    key
        The key asked for.
    members
        Rows of all targets that were one with it, by key; the first stands for them.
    step
        What held.
    number
        The last change that changed the state, as lists and topics know it.
    """

    key: str
    members: Sequence[Member]
    step: Step
    number: int

    @property
    def state(self) -> State:
        """What held."""
        return self.step.state

    @property
    def ids(self) -> list[int]:
        """Local numbers of the members."""
        return [one.target_id for one in self.members]


async def find(
    conn: Connection, key: str, moment: Moment, known: Known, instruments: Instruments
) -> Found:
    """Find a target and work out what held for it."""
    rows = await standings.members(conn, [key])
    if not rows:
        return Found(key, [_unwritten(key, instruments)], _nothing(key), 0)
    if moment.number != LATEST:
        return await _find_then(conn, key, moment, rows)
    class_id = rows[0].class_id
    stored = (await standings.stored_states(conn, [class_id])).get(class_id)
    read = await standings.intervals(conn, [m.target_id for m in rows], LATEST)
    here = tuple(one.standing for one in read)
    state = state_of(here, known.vocabulary, rows[0].instrument)
    number = 0 if stored is None else stored.number
    if state != (State() if stored is None else stored.state):
        # The stored one waits for its refresh.
        chronicle, _ = await chronicle_of(conn, key)
        number = chronicle.at(LATEST).changed_at
    keys = tuple(m.key for m in rows)
    return Found(key, rows, Step(moment.shown, keys, here, state, number), number)


async def _find_then(
    conn: Connection, key: str, moment: Moment, now: Sequence[Member]
) -> Found:
    chronicle, rows = await chronicle_of(conn, key)
    step = chronicle.at(moment.number)
    stored = (await standings.stored_states(conn, [now[0].class_id])).get(
        now[0].class_id
    )
    number = step.changed_at
    if stored is not None and stored.state == step.state:
        # A refresh wrote the state again: lists and topics have its number.
        number = stored.number if number < stored.number <= moment.number else number
    members = [one for one in rows if one.key in step.members]
    return Found(key, members, step, number)


async def chronicle_of(
    conn: Connection, key: str
) -> tuple[Chronicle, Sequence[Member]]:
    """Read all that ever bore on a target.

    Returns
    -------
    tuple
        The chronicle, and the rows of all targets that ever were one with it.
    """
    said = await entries.after(conn, 0)
    pairs = list(_pairs(said))
    rows = await standings.members(conn, [key])
    while True:
        keys = {key, *(one.key for one in rows)}
        more = {k for pair in pairs if not keys.isdisjoint(pair) for k in pair} - keys
        if not more:
            break
        grown = await standings.members(conn, keys | more)
        if len(grown) == len(rows):
            break
        rows = grown
    ids = [one.target_id for one in rows]
    twins = []
    if len(rows) > 1:
        twins = standings.twins_among(await standings.facts(conn, ids))
    chronicle = Chronicle(
        key,
        {one.key: one.instrument for one in rows},
        await standings.intervals(conn, ids),
        said,
        twins,
    )
    return chronicle, rows


def _pairs(said: Iterable[Entry]) -> Iterable[tuple[str, str]]:
    for one in said:
        a, b = one.fields.get("key_a"), one.fields.get("key_b")
        if one.kind == "same_as" and isinstance(a, str) and isinstance(b, str):
            yield a, b


def _unwritten(key: str, instruments: Instruments) -> Member:
    place = columns(parse_key(key), instruments)
    return Member(0, 0, key, *place)


def _nothing(key: str) -> Step:
    return Step(0, (key,), (), State(), 0)


async def require_known(
    conn: Connection, found: Found, instruments: Instruments
) -> None:
    """Refuse a target of which nobody ever heard.

    Parts of what is known are known: detectors of an exposure, the gap behind it, a
    night with exposures.

    Raises
    ------
    NotFoundError
        It was neither announced nor spoken of; names what is near.
    """
    target = parse_key(found.key)
    keys = {found.key, *(one.key for one in found.members)}
    if isinstance(target, DetectorTarget | GapTarget) and target.exposure is not None:
        keys.add(target.exposure.key)
    if await standings.is_known(conn, keys) or await standings.is_visit(
        conn, found.key
    ):
        return
    place = found.members[0]
    near: list[str] = []
    if place.instrument is not None and place.day_obs is not None:
        homes = [one.name for one in instruments.of_part(place.instrument)]
        homes = homes or [place.instrument]
        near = await standings.known_near(conn, homes, place.day_obs, place.seq_num)
        of_night = isinstance(target, NightTarget) or (
            isinstance(target, GapTarget) and target.exposure is None
        )
        if near and of_night:
            return
    hint = f"; known that night are {', '.join(near)}" if near else ""
    raise NotFoundError(
        f"nobody has announced {found.key} or said anything about it{hint}",
        code="unknown_target",
        extra={"key": found.key, "near": near},
    )


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


# ------------------------------------------------------------------ inherited


@dataclass(frozen=True, slots=True)
class Source:
    """Another target whose statements hold for the one that asked.

    Attributes
    ----------
    by
        Which target it is and on which way it reaches.
    statements
        Those of its statements that hold.
    state
        What they come to; without a flag where only words hold.
    """

    by: Inherited
    statements: Sequence[Statement]
    state: State


async def sources(
    conn: Connection,
    found: Found,
    moment: Moment,
    vocabulary: Vocabulary,
    instruments: Instruments,
) -> list[Source]:
    """Find what is said of other targets and holds for this one, the nearest first."""
    targets = [parse_key(one.key) for one in found.members]
    around = await inheritance.relations(conn, targets, instruments, moment.number)
    own = {one.key for one in targets}
    reached: dict[str, Inherited] = {}
    for target in targets:
        for one in inherited(target, around):
            if one.source not in own:
                reached.setdefault(one.source, one)
    said = await inheritance.statements(conn, reached, moment.number)
    result = []
    for key, one in reached.items():
        holding = [s for s in said.get(key, ()) if one.holds(s.observed)]
        if not holding:
            continue
        instrument = columns(parse_key(key), instruments).instrument
        state = state_of((s.standing for s in holding), vocabulary, instrument)
        if one.words_only:
            state = State(tags=state.tags, notes=state.notes, empty=False)
        result.append(Source(one, holding, state))
    return result


def summary(found: Sequence[Source], vocabulary: Vocabulary) -> dict[str, Any]:
    """Say in short what a target inherits: the worst flag, tags, how much."""
    flag = most_severe((one.state.flag for one in found), vocabulary)
    return {
        "flag": flag,
        "disputed": any(one.state.disputed for one in found),
        "tags": sorted({tag for one in found for tag in one.state.tags}),
        "sources": len(found),
        "notes": len(_ids(found)),
    }


def _ids(found: Sequence[Source]) -> dict[UUID, None]:
    """Give the ids of the annotations of all sources, the nearest source's first."""
    return dict.fromkeys(
        one.standing.said.annotation_id for s in found for one in s.statements
    )


async def sources_shown(
    conn: Connection, found: Sequence[Source], moment: Moment
) -> tuple[list[dict[str, Any]], bool]:
    """Show sources with their ways and annotations; tell whether that is all."""
    wanted = list(_ids(found))
    bodies = await inheritance.bodies(conn, wanted[:MAX_SHOWN], moment.number)
    shown = []
    for one in found:
        ids = dict.fromkeys(s.standing.said.annotation_id for s in one.statements)
        shown.append(
            {
                "source": one.by.source,
                "path": [
                    {
                        "source": step.source,
                        "target": step.target,
                        "relation": step.relation,
                        "direction": step.direction.value,
                    }
                    for step in one.by.path
                ],
                "words_only": one.by.words_only,
                "flag": one.state.flag,
                "disputed": one.state.disputed,
                "tags": one.state.tags,
                "annotation_ids": list(ids),
                "annotations": [msgspec.Raw(bodies[i]) for i in ids if i in bodies],
            }
        )
    return shown, len(wanted) <= MAX_SHOWN


def worded(value: Mapping[str, Any]) -> bytes:
    """Write an answer."""
    return msgspec.json.encode(value)


# ------------------------------------------------------------------ whole answers


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


async def inherited_shown(
    conn: Connection,
    found: Found,
    moment: Moment,
    known: Known,
    instruments: Instruments,
) -> dict[str, Any]:
    """Put the answer about what a target inherits together."""
    reach = await sources(conn, found, moment, known.vocabulary, instruments)
    shown, complete = await sources_shown(conn, reach, moment)
    short = summary(reach, known.vocabulary)
    return {
        "key": found.key,
        "as_of": moment.shown,
        **short,
        "sources": shown,
        "complete": complete,
    }


# ------------------------------------------------------------------ flag history


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


# ------------------------------------------------------------------ resolving


def preview_shown(
    wanted: Pasted,
    shown: Sequence[Previewed],
    site_id: str,
    night: tuple[str, int] | None,
) -> dict[str, Any]:
    """Put the answer about what a write would touch together.

    Parameters
    ----------
    wanted
        What the names, the text, the range ... came to.
    shown
        Its targets.
    site_id
        The site whose view it is.
    night
        Instrument and day_obs of a range; None for all else.
    """
    found = wanted.found
    unknown: list[dict[str, Any]] = [
        {"name": one.value, "key": None, "reason": one.reason}
        for one in found.problems
        if one.code == "unknown"
    ]
    unknown += [
        {
            "name": _name(found, one.key),
            "key": one.key,
            "reason": "nobody has announced it or said anything about it yet",
        }
        for one in shown
        if not one.known
    ]
    holes = {at: str(numbers) for at, numbers in wanted.holes.items()}
    if night is not None and found.holes:
        holes[night] = found.holes
    problems = [one.as_dict() for one in found.problems]
    if len(found.keys) > MAX_TARGETS:
        reason = f"one annotation takes at most {MAX_TARGETS} targets"
        one = Problem("", len(found.keys), reason, "too_many_targets")
        problems.append(one.as_dict())
    return {
        "count": len(found.keys),
        "accepted": bool(found.keys) and not problems,
        "targets": [_previewed(one, wanted, site_id) for one in shown],
        "unknown": unknown,
        "ambiguous": [
            {"name": name, "candidates": keys}
            for name, keys in found.candidates.items()
        ],
        "doubled": [
            {"key": key, "names": found.written.get(key, [])} for key in found.doubled
        ],
        "holes": [
            {"instrument": at[0], "day_obs": at[1], "seq_nums": numbers}
            for at, numbers in sorted(holes.items())
        ],
        "problems": problems,
    }


def _name(found: Resolution, key: str) -> str:
    return found.written.get(key, [key])[0]


def _previewed(one: Previewed, wanted: Pasted, site_id: str) -> dict[str, Any]:
    state = None
    if one.overview is not None and one.state is not None and not one.state.empty:
        names = one.overview.names
        place = one.overview.member
        state = state_shown(place, one.state, one.number, names, site_id)
    shown = {
        "key": one.key,
        "name": _name(wanted.found, one.key),
        "known": one.known,
        "state": state and state.model_dump(mode="json"),
    }
    if one.key in wanted.comments:
        shown["comment"] = wanted.comments[one.key]
    return shown
