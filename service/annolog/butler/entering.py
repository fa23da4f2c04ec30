"""From a butler's records to the log: facts about exposures, definitions of visits.

They go the way of all facts, so what the butler said last is not said again, whoever
reads it, and what is new here has the clock of its arrival: gaps of a night show by
that which exposures came late.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annolog.actions import exposures as facts
from annolog.actions import receive, visits
from annolog.actions.desk import Work
from annolog.actions.exposures import Fact
from annolog.actions.lane import Lane
from annolog.actions.requests import Request
from annolog.actions.visits import Visit
from annolog.butler.wire import Reading, VisitDefinition
from annolog.domain import records, roles, tai, times
from annolog.domain.errors import AnnologError
from annolog.domain.exposures import Event, ExposureFactDraft, Source
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor, Role
from annolog.domain.targets import ExposureTarget, columns, parse_key
from annolog.storage import exposures
from annolog.storage.database import Pool, reading

AT_ONCE = 500
"""Facts of one turn of the lane: others wait for a few tenths of a second."""

_REQUEST = Request(
    Actor(
        "butler",
        "bot",
        roles.roles_of(Role.IMPORTER, "bot"),
        authenticated_by="butler",
    ),
    records.digest(None),
    None,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """An exposure on its way into the log.

    Attributes
    ----------
    reading
        As the butler has it.
    fact
        What is said of it.
    """

    reading: Reading
    fact: Fact

    @property
    def place(self) -> tuple[str, int]:
        """Instrument and id."""
        return self.reading.exposure.instrument, self.reading.exposure.exposure_id

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that is said."""
        return self.fact.digest


def entry_of(reading: Reading, instruments: Instruments) -> Entry:
    """Make the fact that a butler's record is.

    Parameters
    ----------
    reading
        The record, of any instrument.
    instruments
        The known instruments, for how they write their obs_ids.

    Raises
    ------
    AnnologError
        If its instrument or id makes no key.
    """
    exposure = reading.exposure
    key = ExposureTarget(exposure.instrument, exposure.exposure_id).key
    # Not validated: what a butler holds is taken as it is.
    draft = ExposureFactDraft.model_construct(
        instrument=exposure.instrument,
        exposure_id=exposure.exposure_id,
        obs_id=exposure.obs_id,
        event=Event.RECORD,
        source=Source.BUTLER.value,
    )
    try:
        twin = facts.twin_of(key, draft, instruments)
    except AnnologError:
        twin = None  # a name that makes no key was never used as one
    said = _said(reading, instruments)
    digest = records.digest([key, twin, said])
    return Entry(reading, Fact(key, twin, draft, said, digest))


def _said(reading: Reading, instruments: Instruments) -> Mapping[str, Any]:
    exposure = reading.exposure
    begin, end = exposure.timespan_begin, exposure.timespan_end
    said = {
        **reading.more,
        "exposure_id": exposure.exposure_id,
        "obs_id": exposure.obs_id,
        "day_obs": exposure.day_obs,
        "seq_num": exposure.seq_num,
        "begin": None if begin is None else times.format(tai.to_utc(begin)),
        "end": None if end is None else times.format(tai.to_utc(end)),
        "observation_type": exposure.observation_type,
        "observation_reason": exposure.observation_reason,
        "group": exposure.group_name,
        "target_name": exposure.target_name,
        "science_program": exposure.science_program,
        "tracking_ra": exposure.tracking_ra,
        "tracking_dec": exposure.tracking_dec,
        "sky_angle": exposure.sky_angle,
    }
    home = instruments.get(exposure.instrument)
    parts = None if home is None else home.parse_obs_id(exposure.obs_id)
    if parts is not None:
        said["obs_id"] = parts.obs_id
    return {name: value for name, value in said.items() if value is not None}


async def enter(lane: Lane, work: Pool, entries: Sequence[Entry]) -> int:
    """Bring exposures into the log.

    Parameters
    ----------
    lane
        The way of all writes.
    work
        For rows of targets that are new.
    entries
        The exposures.

    Returns
    -------
    int
        How many were written: the others the butler had said before.
    """
    written = 0
    for first in range(0, len(entries), AT_ONCE):
        piece = [entry.fact for entry in entries[first : first + AT_ONCE]]
        keys = frozenset(key for fact in piece for key in fact.keys)
        await receive.ensure_rows(lane, work, keys)
        work_of = Work(
            facts.announce(_REQUEST, piece),
            Wants(keys=keys, facts=keys),
            size=len(piece),
        )
        done = await lane.submit(work_of)
        written += sum(done)
    return written


async def enter_visits(
    lane: Lane,
    reads: Pool,
    instrument: str,
    definitions: Iterable[VisitDefinition],
) -> int:
    """Bring visits with their exposures into the log.

    Parameters
    ----------
    lane
        The way of all writes.
    reads
        To look up what is known of them.
    instrument
        Whose visits.
    definitions
        The visits, each whole.

    Returns
    -------
    int
        How many were written: the others were so already.

    Raises
    ------
    AnnologError
        If an instrument or a number makes no key.
    """
    instruments = Instruments.from_entries(lane.known.vocabulary.instruments)
    found = [_visit(instrument, one, instruments) for one in definitions]
    async with reading(reads) as connection:
        known = await exposures.definitions(connection, {one.key for one in found})
    fresh = [
        one
        for one in found
        if one.key not in known or known[one.key].exposures != one.exposures
    ]
    written = 0
    for first in range(0, len(fresh), AT_ONCE):
        piece = fresh[first : first + AT_ONCE]
        decide = visits.define(_REQUEST, piece, known)
        done = await lane.submit(Work(decide, size=len(piece)))
        written += sum(done)
    return written


def _visit(
    instrument: str, definition: VisitDefinition, instruments: Instruments
) -> Visit:
    keys = sorted(ExposureTarget(instrument, one).key for one in definition.exposures)
    places = [columns(parse_key(key), instruments) for key in keys]
    days = {place.day_obs for place in places if place.day_obs is not None}
    key = visits.visit_key(instrument, definition.visit)
    return Visit(
        key,
        definition.visit,
        instrument,
        tuple(sorted(days)),
        tuple(keys),
        Source.BUTLER.value,
        records.digest([key, keys]),
    )
