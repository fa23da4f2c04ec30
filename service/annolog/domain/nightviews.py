"""A night as observers see it: its exposures, its gaps, and what it amounts to.

All of it follows from rows that one snapshot gave and from the present moment. The
list of a night and its counts are made of the same rows, so they agree.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    model_validator,
)
from typing_extensions import override

from annolog.domain import times
from annolog.domain.exposures import ExposureState, ExposureView, end_unknown
from annolog.domain.gaps import (
    Gap,
    Reason,
    Taken,
    TimeLost,
    find_gaps,
    overlapping,
    taken_of,
    time_lost,
)
from annolog.domain.instruments import Instrument, is_day_obs
from annolog.domain.nights import NightEdges, edges
from annolog.domain.orders import Key, Order, SortColumn
from annolog.domain.queries import NO_FLAG, Day, PageFilter, Word, Words
from annolog.domain.seqnums import SeqNums, parse_ranges
from annolog.domain.targets import GapTarget, parse_key
from annolog.domain.times import Span

NO_TYPE = "unknown"
"""What counts call exposures whose observation type nobody gave."""

_NOTHING_TO_SEE = frozenset({ExposureState.CANCELLED, ExposureState.REMOVED})

# ------------------------------------------------------------------ what is asked


def _night(value: int) -> int:
    if not is_day_obs(value):
        msg = "is no date: write the night as 20261119"
        raise ValueError(msg)
    return value


NightDay = Annotated[Day, AfterValidator(_night)]
"""A night as YYYYMMDD."""


class NightFilter(BaseModel):
    """One night of an instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: Word = Field(description="Instrument, as LSSTCam.")
    day_obs: NightDay = Field(description="Night as YYYYMMDD.")


class ExposureFilter(PageFilter):
    """Which exposures, in the night's order."""

    count: bool = Field(
        False,
        description="Also count the whole list: exact to 10,000 (a single night "
        'always), then "10000+".',
    )
    instrument: Word = Field(description="Instrument, as LSSTCam.")
    day_obs: NightDay | None = Field(None, description="One night as YYYYMMDD.")
    day_obs_min: NightDay | None = Field(None, description="First night (inclusive).")
    day_obs_max: NightDay | None = Field(None, description="Last night (inclusive).")
    seq_nums: Annotated[str, Field(max_length=20_000)] | None = Field(
        None, description='Closed ranges of sequence numbers, as "100-140,150".'
    )
    state: Words = Field(
        default=(),
        description="How far it has come: named, announced, in_progress, ended, "
        "ingested, cancelled or removed; repeat for any of several.",
    )
    observation_type: Words = Field(
        default=(), description="Type, as science; repeat for any of several."
    )
    contradicted: bool | None = Field(
        None,
        description="Only those on which sources contradict each other (true), of all "
        "nights if none is named; or only the others (false).",
    )
    annotated: bool | None = Field(
        None, description="Only those with counted annotations, or only the others."
    )
    unlooked: bool | None = Field(
        None,
        description="Only those that nobody looked at: no counted vote and in no "
        "checked range (but cancelled and removed ones); or only the others.",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        for word in self.state:
            if word not in set(ExposureState):
                known = ", ".join(one.value for one in ExposureState)
                msg = f"state {word[:40]!r} is unknown; known are {known}"
                raise ValueError(msg)
        if self.seq_nums is not None:
            parse_ranges(self.seq_nums, pointer="?seq_nums")
        if self.day_obs and (self.day_obs_min or self.day_obs_max):
            msg = "day_obs is one night: leave out day_obs_min and day_obs_max"
            raise ValueError(msg)
        low, high = self.nights
        if low and high and low > high:
            msg = f"day_obs_min {low} lies after day_obs_max {high}"
            raise ValueError(msg)
        if (low is None or high is None) and self.contradicted is not True:
            msg = "needs day_obs, or day_obs_min and day_obs_max, or contradicted=true"
            raise ValueError(msg)
        return self

    @property
    @override
    def ordering(self) -> Order:
        """The order of the list."""
        return _NIGHT_ORDER

    @property
    def nights(self) -> tuple[int | None, int | None]:
        """First and last night (inclusive); None is open."""
        return self.day_obs or self.day_obs_min, self.day_obs or self.day_obs_max

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ranges of sequence numbers, both ends inclusive; empty for all."""
        return parse_ranges(self.seq_nums).ranges if self.seq_nums else ()


_NIGHT_ORDER = Order(
    "night",
    (
        SortColumn("day_obs", "int", nullable=True),
        SortColumn("seq_num", "int", nullable=True),
        SortColumn("target_id", "int"),
    ),
)

# ------------------------------------------------------------------ what is known


@dataclass(frozen=True, slots=True)
class Listed:
    """One exposure of a night, with what holds for it.

    Attributes
    ----------
    place
        Its place in the night's order: day_obs, seq_num, local number.
    view
        Its facts merged.
    number
        Change number of the last fact; None where there is none.
    first_clock
        Clock of the first fact; None where there is none.
    flag, disputed, bots_differ, tags, notes, follow_ups
        What now holds for it, as in its target state.
    voted
        Whether a vote counts for it (a request for attention is none).
    checked
        Whether it lies in a range that was checked.
    """

    place: Key
    view: ExposureView
    number: int | None
    first_clock: int | None
    flag: str | None
    disputed: bool
    bots_differ: bool
    tags: tuple[str, ...]
    notes: int
    follow_ups: tuple[UUID, ...]
    voted: bool
    checked: bool

    @property
    def unlooked(self) -> bool:
        """Whether nobody looked, though there is something to look at."""
        seen = self.voted or self.checked
        return not seen and self.view.state not in _NOTHING_TO_SEE


@dataclass(frozen=True, slots=True)
class GapStatement:
    """A counted annotation on a gap.

    Attributes
    ----------
    key
        The gap that it names.
    annotation_id, revision_id
        Which annotation, and its current revision.
    clock
        Clock of that revision.
    said_at
        When the annotation was created.
    observed
        The time that it is about; None: the gap's own.
    cause
        Why nothing was taken; None where it does not say.
    """

    key: str
    annotation_id: UUID
    revision_id: UUID
    clock: int
    said_at: datetime
    observed: Span | None
    cause: str | None


# ------------------------------------------------------------------ gaps


@dataclass(frozen=True, slots=True)
class GapView:
    """A gap with the annotations that overlap it and where its time went."""

    gap: Gap
    annotations: tuple[UUID, ...]
    lost: TimeLost


@dataclass(frozen=True, slots=True)
class NightGaps:
    """The gaps of a night.

    Attributes
    ----------
    edges
        When it is dark; None where the instrument's place is not known.
    gaps
        By time.
    elsewhere
        Annotations on gaps that overlap none of these any more.
    lost
        Where the time of all of them went, nothing counted twice.
    """

    edges: NightEdges | None
    gaps: tuple[GapView, ...]
    elsewhere: tuple[UUID, ...]
    lost: TimeLost


def gaps_of(
    instrument: Instrument,
    day_obs: int,
    listed: Sequence[Listed],
    statements: Sequence[GapStatement],
    now: datetime,
) -> NightGaps:
    """Work out the gaps of a night and what was said about them.

    Parameters
    ----------
    instrument
        The instrument.
    day_obs
        The night.
    listed
        All exposures of the night.
    statements
        All counted annotations on its gaps, one a gap named.
    now
        The present moment.
    """
    night = _Night(instrument, day_obs, listed, now)
    gaps = night.gaps()
    spans = {one: night.span_of(one) for one in statements}
    shown: dict[GapTarget, dict[UUID, None]] = {gap.target: {} for gap in gaps}
    elsewhere: dict[UUID, None] = {}
    reasons = []
    for statement, span in spans.items():
        touched = overlapping(span, gaps, now) if span is not None else ()
        for gap in touched:
            shown[gap.target][statement.annotation_id] = None
        if not touched:
            elsewhere[statement.annotation_id] = None
        if span is not None and statement.cause is not None:
            reasons.append(
                Reason(span, statement.cause, statement.clock, statement.revision_id)
            )
    placed = {one for found in shown.values() for one in found}
    return NightGaps(
        night.edges,
        tuple(
            GapView(gap, tuple(shown[gap.target]), time_lost(reasons, [gap], now))
            for gap in gaps
        ),
        tuple(one for one in elsewhere if one not in placed),
        time_lost(reasons, gaps, now),
    )


class _Night:
    # The gaps of a night, as known now or without some exposures.

    def __init__(
        self,
        instrument: Instrument,
        day_obs: int,
        listed: Sequence[Listed],
        now: datetime,
    ) -> None:
        self._instrument = instrument
        self._day_obs = day_obs
        self._now = now
        self._clocks = {one.view.key: one.first_clock for one in listed}
        views = (taken_of(one.view, instrument) for one in listed)
        self._taken = [one for one in views if one is not None]
        self._found: dict[frozenset[str], tuple[Gap, ...]] = {}
        self.edges = None
        if instrument.site is not None:
            self.edges = edges(instrument.site, day_obs)

    def gaps(self, without: frozenset[str] = frozenset()) -> tuple[Gap, ...]:
        """Find the gaps, passing over some exposures."""
        if without not in self._found:
            taken = [one for one in self._taken if one.key not in without]
            limits = self.edges or self._limits(taken)
            self._found[without] = (
                ()
                if limits is None
                else find_gaps(
                    self._instrument.name,
                    self._day_obs,
                    taken,
                    limits,
                    minimum=timedelta(seconds=self._instrument.gap_minimum),
                    now=self._now,
                )
            )
        return self._found[without]

    def span_of(self, statement: GapStatement) -> Span | None:
        """Give the time that a statement is about; None where nobody knows it.

        What names no time is about the gap as it was when this was said: records that
        came late do not count, though those of what was taken afterwards do.
        """
        if statement.observed is not None:
            return statement.observed
        target = parse_key(statement.key)
        assert isinstance(target, GapTarget)  # noqa: S101 - its key begins with gap:
        anchor = target.exposure.key if target.exposure is not None else None
        late = frozenset(
            one.key for one in self._taken if self._is_late(one, statement, anchor)
        )
        for gaps in (self.gaps(late), self.gaps()):
            for gap in gaps:
                if gap.target == target:
                    return Span(gap.begin, gap.end)
        return self._merged(anchor)

    def _is_late(self, one: Taken, statement: GapStatement, anchor: str | None) -> bool:
        clock, span = self._clocks[one.key], one.span(self._now)
        return (
            one.key != anchor
            and clock is not None
            and span is not None
            and span.begin is not None
            and span.begin < statement.said_at < times.from_clock(clock)
        )

    def _merged(self, anchor: str | None) -> Span | None:
        """Give the rest of the gap in which the end of an exposure lies by now.

        The gap after it is none of its own any more: it turned out not to look at the
        sky, or another exposure covers its end.
        """
        for one in self._taken:
            span = one.span(self._now)
            if one.key == anchor and span is not None and span.end is not None:
                at = Span(span.end, span.end)
                for gap in overlapping(at, self.gaps(), self._now):
                    return Span(span.end, gap.end)
        return None

    def _limits(self, taken: Iterable[Taken]) -> NightEdges | None:
        """Give first begin and last end, where nobody knows the night's edges."""
        spans = [one.span(self._now) for one in taken if one.on_sky]
        begins = [one.begin for one in spans if one is not None and one.begin]
        ends = [one.end for one in spans if one is not None and one.end]
        return NightEdges(min(begins), max(ends)) if begins and ends else None


# ------------------------------------------------------------------ summary


@dataclass(frozen=True, slots=True)
class Counts:
    """What the exposures of a night amount to.

    Attributes
    ----------
    total
        How many exposures are known.
    states, types, flags, tags
        How many by state, observation type, effective flag and tag; sorted; `none`
        for no flag, `unknown` for no type. Of tags an exposure may have several.
    annotated, disputed, bots_differ, contradicted, end_unknown, unlooked, follow_ups
        How many are so.
    unlooked_seq_nums
        Numbers of those that nobody looked at, as closed ranges.
    disputed_keys, follow_up_keys, contradicted_keys, lost_keys
        Which; the last are those with words that were cancelled or removed.
    """

    total: int
    states: Mapping[str, int]
    types: Mapping[str, int]
    flags: Mapping[str, int]
    tags: Mapping[str, int]
    annotated: int
    disputed: int
    bots_differ: int
    contradicted: int
    end_unknown: int
    unlooked: int
    follow_ups: int
    unlooked_seq_nums: str
    disputed_keys: tuple[str, ...]
    follow_up_keys: tuple[str, ...]
    contradicted_keys: tuple[str, ...]
    lost_keys: tuple[str, ...]


def counts_of(listed: Sequence[Listed], now: datetime) -> Counts:
    """Count the exposures of a night.

    Parameters
    ----------
    listed
        All of them, in the night's order.
    now
        The present moment.
    """
    unlooked = [one for one in listed if one.unlooked]
    numbers = [one.view.seq_num for one in unlooked if one.view.seq_num is not None]
    disputed = tuple(one.view.key for one in listed if one.disputed)
    asked = tuple(one.view.key for one in listed if one.follow_ups)
    contradicted = tuple(one.view.key for one in listed if one.view.contradictions)
    return Counts(
        total=len(listed),
        states=_counted(one.view.state.value for one in listed),
        types=_counted(one.view.observation_type or NO_TYPE for one in listed),
        flags=_counted(one.flag or NO_FLAG for one in listed),
        tags=_counted(tag for one in listed for tag in one.tags),
        annotated=sum(one.notes > 0 for one in listed),
        disputed=len(disputed),
        bots_differ=sum(one.bots_differ for one in listed),
        contradicted=len(contradicted),
        end_unknown=sum(end_unknown(one.view, now) for one in listed),
        unlooked=len(unlooked),
        follow_ups=len(asked),
        unlooked_seq_nums=str(SeqNums.of(numbers)),
        disputed_keys=disputed,
        follow_up_keys=asked,
        contradicted_keys=contradicted,
        lost_keys=tuple(
            one.view.key
            for one in listed
            if one.notes and one.view.state in _NOTHING_TO_SEE
        ),
    )


def _counted(words: Iterable[str]) -> Mapping[str, int]:
    return dict(sorted(Counter(words).items()))
