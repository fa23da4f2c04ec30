"""What sources say about exposures themselves: facts.

As in `actions.annotations` each function makes the decision of one request. Saying
again what the same source said last writes nothing, so bulk uploads may be repeated.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from annolog.actions.desk import Desk
from annolog.actions.requests import Request, sender
from annolog.domain import flags, records, roles, times
from annolog.domain.book import Book
from annolog.domain.errors import AnnologError, InvalidError
from annolog.domain.exposures import (
    Event,
    ExposureFact,
    ExposureFactDraft,
    Source,
    fact_from_record,
)
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Wants
from annolog.domain.names import Named, ObsIdName, SeqName
from annolog.domain.records import Record
from annolog.domain.roles import Action, Subject
from annolog.domain.targets import ExposureTarget, parse_key
from annolog.storage import exposures, targets
from annolog.storage.database import Connection

_NAMED = 5
"""Exposures that an error names where several are meant."""

_OVER = frozenset({Event.CANCEL, Event.REMOVE})


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact whose exposure has been found.

    Attributes
    ----------
    key
        The exposure.
    twin
        Key of the target by which it was known while it had no id; else None.
    draft
        The fact as sent.
    said
        Its fields as the record holds them, the obs_id as its instrument writes it.
    digest
        SHA-256 of the fact as sent.
    """

    key: str
    twin: str | None
    draft: ExposureFactDraft
    said: Mapping[str, Any]
    digest: bytes

    @property
    def keys(self) -> frozenset[str]:
        """All targets that it speaks of."""
        return frozenset({self.key} | ({self.twin} if self.twin else set()))


FactName = Named | SeqName | ObsIdName
"""How a fact names its exposure."""


def permit(request: Request, draft: ExposureFactDraft, instrument: str) -> None:
    """Check that the caller may say this fact.

    Raises
    ------
    ForbiddenError
        If not: what the butler holds is for importers to say.
    """
    about = Subject(instruments=frozenset({instrument}))
    butler = draft.source == Source.BUTLER.value
    roles.require(request.actor, Action.IMPORT if butler else Action.ANNOUNCE, about)


def twin_of(key: str, draft: ExposureFactDraft, instruments: Instruments) -> str | None:
    """Give the key of the target that a fact shows to be the same exposure.

    Parameters
    ----------
    key
        The exposure.
    draft
        What is said of it.
    instruments
        The known instruments.

    Returns
    -------
    str or None
        Where an id and an obs_id are said and no rule leads from one to the other.
    """
    target = parse_key(key)
    if (
        not isinstance(target, ExposureTarget)
        or target.exposure_id is None
        or draft.obs_id is None
    ):
        return None
    home = instruments.get(target.instrument)
    if home is not None and home.obs_id_rule is not None:
        return None
    return ExposureTarget(target.instrument, None, draft.obs_id).key


@dataclass(frozen=True, slots=True)
class Asked:
    """A fact as sent, and where it stood in its request."""

    draft: ExposureFactDraft
    pointer: str
    digest: bytes


async def found(
    request: Request,
    asked: Sequence[Asked],
    instruments: Instruments,
    connection: Connection,
) -> list[Fact | AnnologError]:
    """Find the exposures that facts speak of, and check that the caller may.

    Parameters
    ----------
    request
        Who calls.
    asked
        The facts.
    instruments
        The known instruments.
    connection
        To look up with; nothing is written.

    Returns
    -------
    list
        For each fact, in order, the fact with its exposure or why it is refused.
    """
    names: list[FactName | AnnologError] = []
    for one in asked:
        try:
            where = f"{one.pointer}/instrument"
            home = instruments.require(one.draft.instrument, where)
            permit(request, one.draft, home.name)
            names.append(one.draft.name(instruments, one.pointer))
        except AnnologError as error:
            names.append(error)
    by_number = {
        (name.instrument, name.day_obs, name.seq_num)
        for name in names
        if isinstance(name, SeqName)
    }
    by_obs_id = {
        (name.instrument or "", name.obs_id)
        for name in names
        if isinstance(name, ObsIdName)
    }
    numbers = await exposures.by_numbers(connection, by_number) if by_number else {}
    obs_ids = await targets.by_obs_ids(connection, by_obs_id) if by_obs_id else {}
    facts: list[Fact | AnnologError] = []
    for one, name in zip(asked, names, strict=True):
        if isinstance(name, AnnologError):
            facts.append(name)
            continue
        try:
            key = _key(one, name, numbers, obs_ids)
        except AnnologError as error:
            facts.append(error)
            continue
        twin = twin_of(key, one.draft, instruments)
        said = _said(one.draft, instruments)
        facts.append(Fact(key, twin, one.draft, said, one.digest))
    return facts


def _said(draft: ExposureFactDraft, instruments: Instruments) -> Mapping[str, Any]:
    said = draft.said()
    home = instruments.find(draft.instrument)
    if home is None or draft.obs_id is None:
        return said
    parts = home.parse_obs_id(draft.obs_id)
    # MC_O_20261119_123 and MC_O_20261119_000123 are one name, and no contradiction.
    return said if parts is None else {**said, "obs_id": parts.obs_id}


def _key(
    one: Asked,
    name: FactName,
    numbers: Mapping[tuple[str, int, int], list[str]],
    obs_ids: Mapping[tuple[str, str], list[str]],
) -> str:
    match name:
        case Named():
            return name.target.key
        case SeqName():
            known = numbers.get((name.instrument, name.day_obs, name.seq_num), [])
            if len(known) != 1:
                raise _unclear(one, known)
            return known[0]
        case ObsIdName():
            known = obs_ids.get((name.instrument or "", name.obs_id), [])
            if len(known) > 1:
                raise _unclear(one, known)
            unseen = name.unseen
            assert unseen is not None  # noqa: S101 - a fact names its instrument
            return known[0] if known else unseen.key


def _unclear(one: Asked, keys: Sequence[str]) -> InvalidError:
    draft = one.draft
    if draft.obs_id is not None:
        place, where = draft.obs_id, "obs_id"
        value: str | int | None = draft.obs_id
    else:
        place, where = f"{draft.day_obs}/{draft.seq_num}", "seq_num"
        value = draft.seq_num
    place = f"{draft.instrument} {place}"
    if keys:
        several = ", ".join(keys[:_NAMED])
        reason = f"{place} may be any of {several}: give its exposure_id"
        return InvalidError.at(f"{one.pointer}/{where}", value, reason, "ambiguous")
    reason = f"no exposure is known at {place}: give its exposure_id or obs_id"
    return InvalidError.at(f"{one.pointer}/{where}", value, reason, "unknown")


def announce(request: Request, facts: Sequence[Fact]) -> Callable[[Desk], list[bool]]:
    """Prepare the decision to say facts.

    Parameters
    ----------
    request
        Who calls; `permit` has been asked.
    facts
        What is said, in order.

    Returns
    -------
    callable
        The decision: for each fact whether it was written; False where the same
        source has said the same already.
    """
    keys = frozenset(key for fact in facts for key in fact.keys)

    def decide(desk: Desk) -> list[bool]:
        book = desk.book
        book.require(Wants(keys=keys))
        # All at once: nothing may be missing once the first fact is entered.
        book.require(Wants(facts=_joined(book, keys)))
        written = []
        for fact in facts:
            known = [
                one
                for key in sorted(_joined(book, fact.keys))
                for one in book.facts.get(key, ())
            ]
            fresh = not _said_already(fact, known)
            if fresh:
                record = _fact_record(desk, request, fact, known)
                fields = record.fields()
                book.enter_fact(record, fact_from_record(fields), fields)
            written.append(fresh)
        return written

    return decide


def _joined(book: Book, keys: frozenset[str]) -> frozenset[str]:
    return frozenset(
        place.key
        for key in keys
        for place in book.members[book.places[key].class_id].values()
        if place.kind == "exposure"
    )


def _said_already(fact: Fact, known: Sequence[ExposureFact]) -> bool:
    """Tell whether the fact's source has said all this, and nothing against it since.

    What it said of another target of a joined exposure counts, unless it is the fact
    that joins them.
    """
    event, source = Event(fact.draft.event), Source(fact.draft.source)
    own = sorted((one for one in known if one.source is source), key=_by_age)
    if fact.twin is not None and all(one.twin != fact.twin for one in own):
        return False
    since: ExposureFact | None = None
    held: dict[str, Any] = {}
    for one in own:
        if one.event is event:
            since = one
        elif (one.event in _OVER) is not (event in _OVER):
            since = None
        held.update({name: v for name, v in one.fields.items() if v is not None})
    return since is not None and all(
        name in held and _same(held[name], value) for name, value in fact.said.items()
    )


def _same(one: object, other: object) -> bool:
    # JSON does not tell 30 from 30.0, but it tells both from true.
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _by_age(fact: ExposureFact) -> tuple[int, UUID]:
    return fact.age


def _fact_record(
    desk: Desk, request: Request, fact: Fact, known: Sequence[ExposureFact]
) -> Record:
    return seal(
        desk,
        request,
        "exposure",
        {
            "key": fact.key,
            "source": fact.draft.source,
            "event": Event(fact.draft.event).value,
            "fields": fact.said,
            "twin": fact.twin,
        },
        answers=max((one.clock for one in known), default=0),
        digest=fact.digest,
    )


# ---------------------------------------------------------------- inner works


def enter_other(book: Book, record: Record) -> None:
    """Enter a record that moves no state."""
    fields = record.fields()
    book.enter_other(
        record,
        fields["operation"],
        fields["subject"],
        fields,
        instruments=tuple(fields["instruments"]),
        days=tuple(fields["days"]),
    )


def seal(
    desk: Desk,
    request: Request,
    kind: str,
    fields: Mapping[str, Any],
    *,
    answers: int,
    digest: bytes,
) -> Record:
    """Make a record of a kind of this module and its neighbours.

    Parameters
    ----------
    desk
        The desk of the decision.
    request
        Who speaks.
    kind
        Kind of record.
    fields
        What is said.
    answers
        The greatest clock among what it answers; 0 for nothing.
    digest
        SHA-256 of what was sent.
    """
    speaker = sender(request)
    record, _ = records.seal(
        kind=kind,
        record_id=desk.new_id(),
        id_field="record_id",
        origin=desk.book.origin,
        number=desk.book.next_number,
        clock=times.next_clock(times.to_clock(desk.now), [answers]),
        now=desk.now,
        sender=speaker,
        voter=flags.voter_of(
            speaker.author, "bot" if speaker.author_kind == "bot" else "human", None
        ),
        fields=fields,
        request_digest=digest,
    )
    return record
