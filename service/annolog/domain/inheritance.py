"""What is said about A and holds for B too.

Shown as inherited, never a vote. Statements come down from a whole to its parts (visit
to exposures, exposure to detectors, a detector's record to that detector of every
exposure that its time overlaps, night to exposures: text and tags only) and go up from
a part to what is made of it (exposure to visits). Down and then up may be chained, up
and then down never: one bad snap does not spoil its sister.

For a target that asks, sources are looked for in the other direction: first whatever
it inherits from by going up, step by step (its parts), and from each of those by going
down (their wholes). Steps are small functions over relations that storage feeds;
datasets and their inputs become further steps of the same two sorts.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from annolog.domain import nights
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments
from annolog.domain.targets import (
    DetectorTarget,
    ExposureTarget,
    NightTarget,
    RecordTarget,
    Target,
    parse_key,
)
from annolog.domain.times import Span

MAX_SOURCES = 10_000
"""Sources that one answer lists; more are cut and said to be."""

TIMED = "record:detector/"
"""What the keys of targets begin with whose statements hold for a time."""


def holds(observed: Span | None, window: Span | None) -> bool:
    """Tell whether what was said of a detector's record holds for one exposure.

    Parameters
    ----------
    observed
        The time that the statement is about, an open end allowed; None: no time
        given, so that it holds always.
    window
        The time of the exposure, as `window_of` gives it; None: nobody knows it.
    """
    return observed is None or (window is not None and window.overlaps(observed))


def window_of(
    begin: datetime | None,
    end: datetime | None,
    lasts: timedelta | None,
    day_obs: int | None,
) -> Span | None:
    """Give the time of an exposure; where nobody knows it, that of its night.

    Parameters
    ----------
    begin, end
        When it began and ended (aware); None where it is not known.
    lasts
        Its exposure time, for one whose end is not known.
    day_obs
        Its night.

    Returns
    -------
    Span or None
        None where nothing of all that is known.
    """
    if begin is not None:
        if end is None and lasts is not None:
            end = begin + lasts
        return Span(begin, begin if end is None or end < begin else end)
    try:
        return nights.span_of(day_obs) if day_obs else None
    except InvalidError:
        return None


class Direction(StrEnum):
    """Which way a statement travels in one step."""

    DOWN = "down"
    UP = "up"


class Step(NamedTuple):
    """One step of a statement, from what it was said about to what it reaches."""

    source: str
    """Key of the target from which it comes."""
    target: str
    """Key of the target that it reaches."""
    relation: str
    """How the two belong together: `visit`, `exposure`, `detector`, `night`, `set`."""
    direction: Direction
    """Down to a part or up to a whole."""
    words_only: bool = False
    """Whether only text and tags take it, no flag."""
    timed: bool = False
    """Whether it holds only for statements whose time overlaps the exposure's."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """Another target whose statements hold for the one that asked.

    Attributes
    ----------
    source
        Its key.
    path
        The steps from there to the target that asked, in the order of travel.
    words_only
        Whether only text and tags hold, no flags.
    timed
        Whether a statement with a time must overlap `window` (a detector's record).
    window
        Time of the exposure concerned; None where nobody knows it, so that a statement
        with a time does not hold. One without a time holds always.
    """

    source: str
    path: tuple[Step, ...]
    words_only: bool
    timed: bool = False
    window: Span | None = None

    def holds(self, observed: Span | None) -> bool:
        """Tell whether a statement of the source holds for the target that asked.

        Parameters
        ----------
        observed
            The time that the statement is about, an open end allowed; None: no time
            given.
        """
        return not self.timed or holds(observed, self.window)


@dataclass(frozen=True, slots=True)
class Relations:
    """What is known around a target; storage fills in what its steps can reach.

    Attributes
    ----------
    visits_of
        Keys of the visits that an exposure belongs to, by exposure key, from
        `visit_definition` records.
    exposures_of
        Keys of a visit's exposures, by visit key, from the same.
    spans
        Time of each exposure by key; one that is missing overlaps nothing timed, but
        what has no time holds.
    nights
        day_obs of each exposure by key.
    sets_of
        Keys of the versions of data-ID sets that a target is a member of, by its key;
        those of which nothing was said may be left out.
    instruments
        Known instruments: nights of declared parts hold for all of their instruments.
    """

    visits_of: Mapping[str, Iterable[str]] = field(default_factory=dict)
    exposures_of: Mapping[str, Iterable[str]] = field(default_factory=dict)
    spans: Mapping[str, Span] = field(default_factory=dict)
    nights: Mapping[str, int] = field(default_factory=dict)
    sets_of: Mapping[str, Iterable[str]] = field(default_factory=dict)
    instruments: Instruments = field(default_factory=lambda: Instruments(()))


def steps_into(target: Target, relations: Relations) -> Iterator[Step]:
    """Give the steps by which statements reach a target directly.

    Parameters
    ----------
    target
        What is reached.
    relations
        What is known around it.

    Yields
    ------
    Step
        Those down from wholes and those up from parts.
    """
    key = target.key
    for version in sorted(set(relations.sets_of.get(key, ()))):
        yield Step(version, key, "set", Direction.DOWN)
    match target:
        case ExposureTarget():
            for visit in sorted(set(relations.visits_of.get(key, ()))):
                yield Step(visit, key, "visit", Direction.DOWN)
            yield from _from_nights(target, relations)
        case DetectorTarget(instrument, _, detector):
            yield Step(target.exposure.key, key, "exposure", Direction.DOWN)
            record = RecordTarget(
                "detector", (("instrument", instrument), ("detector", detector))
            )
            yield Step(record.key, key, "detector", Direction.DOWN, timed=True)
        case RecordTarget("visit"):
            for exposure in sorted(set(relations.exposures_of.get(key, ()))):
                yield Step(exposure, key, "visit", Direction.UP)
        case _:
            # Datasets get their steps with provenance; the others stand alone.
            return


def _from_nights(target: ExposureTarget, relations: Relations) -> Iterator[Step]:
    day_obs = relations.nights.get(target.key)
    if day_obs is None:
        return
    known = relations.instruments.get(target.instrument)
    parts = known.night_parts if known is not None else ()
    for part in (target.instrument, *parts):
        night = NightTarget(part, day_obs).key
        yield Step(night, target.key, "night", Direction.DOWN, words_only=True)


def inherited(target: Target, relations: Relations) -> tuple[Inherited, ...]:
    """List the targets whose statements hold for this one too.

    Parameters
    ----------
    target
        The one that asks.
    relations
        What is known around it.

    Returns
    -------
    tuple of Inherited
        Without the target itself, each source once by its shortest path, flags before
        words only, then by key; at most `MAX_SOURCES`.
    """
    found: dict[str, Inherited] = {}
    # Travelling backwards: as long as the last step was up, the one before it may be
    # either; once a step was down, those before it were down too.
    wave: list[tuple[str, tuple[Step, ...]]] = [(target.key, ())]
    seen = {(target.key, False)}
    while wave and len(found) < MAX_SOURCES:
        following: list[tuple[str, tuple[Step, ...]]] = []
        for key, path in wave:
            for step in steps_into(parse_key(key), relations):
                descending = any(one.direction is Direction.DOWN for one in path)
                if descending and step.direction is Direction.UP:
                    continue
                now_descending = descending or step.direction is Direction.DOWN
                if (step.source, now_descending) in seen:
                    continue
                seen.add((step.source, now_descending))
                longer = (step, *path)
                if step.source != target.key:
                    _keep(found, step.source, longer, relations)
                following.append((step.source, longer))
        wave = following
    return tuple(sorted(found.values(), key=_order)[:MAX_SOURCES])


def _keep(
    found: dict[str, Inherited],
    source: str,
    path: tuple[Step, ...],
    relations: Relations,
) -> None:
    words_only = any(one.words_only for one in path)
    held = found.get(source)
    if held is None or (held.words_only and not words_only):
        timed = next((one for one in path if one.timed), None)
        window = _window(timed, relations) if timed is not None else None
        found[source] = Inherited(source, path, words_only, timed is not None, window)


def _window(step: Step, relations: Relations) -> Span | None:
    reached = parse_key(step.target)
    if isinstance(reached, DetectorTarget):
        return relations.spans.get(reached.exposure.key)
    return None


def _order(one: Inherited) -> tuple[int, bool, str]:
    return len(one.path), one.words_only, one.source


def reached_from(source: Target, target: Target, relations: Relations) -> bool:
    """Tell whether statements about one target hold for another, some way."""
    return any(one.source == source.key for one in inherited(target, relations))
