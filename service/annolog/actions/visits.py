"""Which exposures visits are made of: the latest definition of each holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from annolog.actions.desk import Desk
from annolog.actions.exposures import enter_other, seal
from annolog.actions.requests import Request
from annolog.domain import roles
from annolog.domain.annotations import Name, Part, Word
from annolog.domain.dimensions import MAX_INTEGER
from annolog.domain.errors import InvalidError
from annolog.domain.exposures import Source
from annolog.domain.instruments import Instruments
from annolog.domain.roles import Action, Subject
from annolog.domain.targets import (
    ExposureTarget,
    RecordTarget,
    columns,
    parse_key,
)
from annolog.storage.exposures import Definition

MAX_VISIT_EXPOSURES = 1_000
"""Exposures of one visit."""


class VisitDraft(Part):
    """Which exposures a visit is made of, as the butler's visit_definition says."""

    instrument: Word = Field(description="Instrument.", examples=["LSSTCam"])
    visit: Annotated[int, Field(ge=0, le=MAX_INTEGER)] = Field(
        description="Number of the visit.", examples=[2026111900123]
    )
    exposures: list[Annotated[int, Field(ge=0, le=MAX_INTEGER)] | Name] = Field(
        min_length=1,
        max_length=MAX_VISIT_EXPOSURES,
        description="All its exposures: integer ids, or any names.",
        examples=[[2026111900123, 2026111900124]],
    )
    source: Literal["butler", "bulk"] = Field("bulk", description="Who says so.")


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit's definition whose exposures have been found.

    Attributes
    ----------
    key, number
        The visit.
    instrument
        Its instrument.
    days
        Nights of its exposures, as far as known.
    exposures
        Keys of its exposures, sorted.
    source
        Who says so.
    digest
        SHA-256 of the definition as sent.
    """

    key: str
    number: int
    instrument: str
    days: tuple[int, ...]
    exposures: tuple[str, ...]
    source: str
    digest: bytes


def visit_key(instrument: str, visit: int) -> str:
    """Give the key of a visit."""
    return RecordTarget("visit", (("instrument", instrument), ("visit", visit))).key


def permit(request: Request, draft: VisitDraft, instrument: str) -> None:
    """Check that the caller may define a visit.

    Raises
    ------
    ForbiddenError
        If not: what the butler holds is for importers to say.
    """
    about = Subject(instruments=frozenset({instrument}))
    butler = draft.source == Source.BUTLER.value
    roles.require(request.actor, Action.IMPORT if butler else Action.ANNOUNCE, about)


def visit_of(
    draft: VisitDraft,
    instrument: str,
    keys: Sequence[str],
    digest: bytes,
    pointer: str,
    instruments: Instruments,
) -> Visit:
    """Make a visit's definition of what was sent.

    Parameters
    ----------
    draft
        The definition.
    instrument
        The instrument's own name.
    keys
        Keys of its exposures.
    digest
        SHA-256 of the definition as sent.
    pointer
        Where it stood in the request.
    instruments
        The known instruments.

    Raises
    ------
    InvalidError
        If an exposure is none, or another instrument's.
    """
    days = set()
    for key in keys:
        target = parse_key(key)
        if not isinstance(target, ExposureTarget) or target.instrument != instrument:
            reason = f"{key} is no exposure of {instrument}"
            raise InvalidError.at(f"{pointer}/exposures", key, reason, "no_exposure")
        place = columns(target, instruments)
        days |= {place.day_obs} - {None}
    return Visit(
        visit_key(instrument, draft.visit),
        draft.visit,
        instrument,
        tuple(sorted(day for day in days if day is not None)),
        tuple(sorted(set(keys))),
        draft.source,
        digest,
    )


def define(
    request: Request, visits: Sequence[Visit], known: Mapping[str, Definition]
) -> Callable[[Desk], list[bool]]:
    """Prepare the decision to define visits.

    Parameters
    ----------
    request
        Who calls; `permit` has been asked.
    visits
        What is said, in order.
    known
        The definitions that hold, by visit. They are read before the turn: two
        callers at once may say the same twice, which does no harm.

    Returns
    -------
    callable
        The decision: for each visit whether it was written; False where the
        definition that holds says the same.
    """

    def decide(desk: Desk) -> list[bool]:
        written = []
        held = dict(known)
        for visit in visits:
            before = held.get(visit.key)
            fresh = before is None or before.exposures != visit.exposures
            if fresh:
                fields = {
                    "operation": "define",
                    "subject": visit.key,
                    "instruments": [visit.instrument],
                    "days": list(visit.days),
                    "exposures": list(visit.exposures),
                    "source": visit.source,
                }
                record = seal(
                    desk,
                    request,
                    "visit",
                    fields,
                    answers=0 if before is None else before.clock,
                    digest=visit.digest,
                )
                enter_other(desk.book, record)
                held[visit.key] = Definition(record.clock, visit.exposures)
            written.append(fresh)
        return written

    return decide
