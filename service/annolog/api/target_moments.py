"""What held for a target, as of now or of a change: read in one snapshot.

The state is worked out from the rows of what was said with the rules of the moment
asked for, so it is right also where a stored state still waits to be refreshed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from annolog.domain import times
from annolog.domain.chronicle import Chronicle, Step
from annolog.domain.entries import Entry
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Known, State, state_of
from annolog.domain.targets import (
    DetectorTarget,
    GapTarget,
    NightTarget,
    SetTarget,
    columns,
    parse_key,
)
from annolog.storage import changes, entries, standings
from annolog.storage.database import Connection
from annolog.storage.standings import LATEST, Member

MAX_SHOWN = 200
"""Annotations that one answer shows; the list of annotations has all."""


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
    if isinstance(target, SetTarget):
        return  # its name led here: it is there
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
