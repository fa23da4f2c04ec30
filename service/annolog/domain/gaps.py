"""Gaps: the time of a night in which nothing looked at the sky, and why.

A gap begins where an on-sky exposure ends (or the night does) and lasts until the next
begins (or the night ends). It is named by the exposure that it follows, so its name
stays when the night goes on; when a late record splits or merges gaps, what was said
about a time shows on every gap that the time overlaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from annolog.domain import times
from annolog.domain.exposures import END_GRACE, ExposureState, ExposureView
from annolog.domain.instruments import Instrument
from annolog.domain.nights import NightEdges
from annolog.domain.targets import ExposureTarget, GapTarget, parse_key
from annolog.domain.times import Span


@dataclass(frozen=True, slots=True)
class Taken:
    """An exposure as the gaps of its night see it.

    Attributes
    ----------
    key
        Key of the exposure.
    begin, end
        Times, aware. Without begin it is passed over: nobody knows where it stands.
        Without end it is taken to last its `exposure_time`; up to now if it is in
        progress and its end is not overdue by `END_GRACE`.
    exposure_time
        Seconds; None where not known.
    on_sky
        Whether it looks at the sky; a type that is not known does.
    in_progress
        Whether it still goes on, as far as anyone knows.
    """

    key: str
    begin: datetime | None
    end: datetime | None = None
    exposure_time: float | None = None
    on_sky: bool = True
    in_progress: bool = False

    def span(self, now: datetime) -> Span | None:
        """Give the time that it takes; None where nobody knows when it began.

        Parameters
        ----------
        now
            The present moment.
        """
        if self.begin is None:
            return None
        if self.end is not None:
            return Span(self.begin, max(self.begin, self.end))
        end = self.begin + timedelta(seconds=self.exposure_time or 0.0)
        # A lost end message must not swallow the rest of the night.
        goes_on = self.in_progress and now <= end + END_GRACE
        return Span(self.begin, max(end, now) if goes_on else end)


def taken_of(view: ExposureView, instrument: Instrument | None) -> Taken | None:
    """Give an exposure as the gaps of its night see it.

    Parameters
    ----------
    view
        The exposure.
    instrument
        Its instrument, which knows the types that do not look at the sky; None: all
        do.

    Returns
    -------
    Taken or None
        None for one that was not taken: cancelled, removed, only named or announced.
    """
    match view.state:
        case ExposureState.IN_PROGRESS | ExposureState.ENDED | ExposureState.INGESTED:
            on_sky = instrument is None or instrument.is_on_sky(view.observation_type)
            return Taken(
                view.key,
                view.begin or view.started,
                view.end,
                view.exposure_time,
                on_sky=on_sky,
                in_progress=view.state is ExposureState.IN_PROGRESS,
            )
        case (
            ExposureState.NAMED
            | ExposureState.ANNOUNCED
            | ExposureState.CANCELLED
            | ExposureState.REMOVED
        ):
            return None


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without on-sky exposures.

    Attributes
    ----------
    target
        Its name.
    begin
        When it begins, UTC.
    end
        When it ends, UTC; None while it goes on (it is the last one, now lies in the
        night).
    inside
        Keys of the exposures within it that did not look at the sky, by begin.
    """

    target: GapTarget
    begin: datetime
    end: datetime | None
    inside: tuple[str, ...] = ()

    def span(self, now: datetime) -> Span:
        """Give its time, an open one up to now."""
        return Span(self.begin, max(self.begin, now) if self.end is None else self.end)


def find_gaps(
    instrument: str,
    day_obs: int,
    exposures: Iterable[Taken],
    edges: NightEdges,
    *,
    minimum: timedelta,
    now: datetime,
) -> tuple[Gap, ...]:
    """Find the gaps of a night.

    Parameters
    ----------
    instrument
        Name of the instrument.
    day_obs
        The night.
    exposures
        All exposures known of it, in any order; cancelled ones left out.
    edges
        When the night is dark; gaps lie between these.
    minimum
        What is shorter (strictly) is no gap.
    now
        The present moment: in the night the last gap goes on, before it there is none.

    Returns
    -------
    tuple of Gap
        By time. A gap begins and ends at exposures or the edges only: an exposure
        without a known begin neither makes nor ends one.
    """
    known = sorted(
        ((span, one) for one in exposures if (span := one.span(now)) is not None),
        key=_by_begin,
    )
    horizon = min(edges.morning, now)
    gaps: list[Gap] = []
    # What was last on the sky: the latest end so far, not the latest begin, since an
    # exposure may lie within another's time.
    cursor: datetime = edges.evening
    after: str | None = None
    for span, one in known:
        if not one.on_sky or span.begin is None or span.end is None:
            continue
        if span.begin > now:
            break
        if span.begin > cursor:
            upto = min(span.begin, edges.morning)
            if upto - cursor >= minimum and upto > cursor:
                gaps.append(_gap(instrument, day_obs, after, (cursor, upto), known))
        # One that is over before the night begins is not what its first gap follows.
        if span.end > cursor:
            after, cursor = one.key, span.end
    if horizon > cursor and horizon - cursor >= minimum:
        found = _gap(instrument, day_obs, after, (cursor, horizon), known)
        is_open = now < edges.morning
        gaps.append(
            Gap(found.target, cursor, None if is_open else horizon, found.inside)
        )
    return tuple(gaps)


def _by_begin(item: tuple[Span, Taken]) -> tuple[datetime, datetime, str]:
    span, one = item
    assert span.begin is not None  # noqa: S101 - without one it has no span
    assert span.end is not None  # noqa: S101 - as above
    return span.begin, span.end, one.key


def _gap(
    instrument: str,
    day_obs: int,
    after: str | None,
    limits: tuple[datetime, datetime],
    known: Sequence[tuple[Span, Taken]],
) -> Gap:
    begin, end = limits
    gap = Span(begin, end)
    inside = tuple(
        one.key for span, one in known if not one.on_sky and span.overlaps(gap)
    )
    return Gap(_target(instrument, day_obs, after), begin, end, inside)


def _target(instrument: str, day_obs: int, after: str | None) -> GapTarget:
    if after is None:
        return GapTarget(instrument, day_obs, None)
    exposure = parse_key(after)
    if not isinstance(exposure, ExposureTarget):
        msg = f"{after} is no exposure"
        raise TypeError(msg)
    return GapTarget(instrument, day_obs, exposure.obs_id or exposure.exposure_id)


# ------------------------------------------------------------------------- time lost


@dataclass(frozen=True, slots=True)
class Reason:
    """What a statement says about the cause of a lost time.

    Attributes
    ----------
    span
        The time that it is about; an open end is still open.
    cause
        Why (`weather`, `fault`, ...).
    clock, revision_id
        When it was said: of several for one moment the latest holds.
    """

    span: Span
    cause: str
    clock: int
    revision_id: UUID


@dataclass(frozen=True, slots=True)
class TimeLost:
    """Where the time of a night's gaps went.

    Attributes
    ----------
    by_cause
        Seconds by cause, each second under one cause; causes sorted, none with 0.
    unexplained
        Seconds of gaps about which nobody said a cause.
    total
        Seconds of all gaps: the sum of the above, exactly to microseconds.
    """

    by_cause: Mapping[str, float]
    unexplained: float
    total: float


def time_lost(
    reasons: Iterable[Reason], gaps: Iterable[Gap], now: datetime
) -> TimeLost:
    """Add up the time lost in a night by cause, counting nothing twice.

    Parameters
    ----------
    reasons
        What was said, in any order.
    gaps
        The night's gaps: only time within them is lost.
    now
        The present moment, up to which an open gap counts.

    Returns
    -------
    TimeLost
        The same for the same set of reasons.
    """
    windows = times.union(gap.span(now) for gap in gaps)
    total = times.total(windows)
    taken: list[Span] = []
    lost: dict[str, timedelta] = {}
    # The latest goes first and takes its time; earlier ones get what it leaves.
    for reason in sorted(reasons, key=_by_age, reverse=True):
        mine = times.clip([reason.span], windows)
        before = times.total(taken)
        taken = list(times.union([*taken, *mine]))
        gained = times.total(taken) - before
        if gained:
            lost[reason.cause] = lost.get(reason.cause, timedelta()) + gained
    explained = sum(lost.values(), timedelta())
    return TimeLost(
        by_cause={cause: lost[cause].total_seconds() for cause in sorted(lost)},
        unexplained=(total - explained).total_seconds(),
        total=total.total_seconds(),
    )


def _by_age(reason: Reason) -> tuple[int, UUID]:
    return reason.clock, reason.revision_id


def overlapping(span: Span, gaps: Iterable[Gap], now: datetime) -> tuple[Gap, ...]:
    """List the gaps on which a statement about a time shows, in their order.

    Parameters
    ----------
    span
        The time that the statement is about.
    gaps
        The night's gaps.
    now
        The present moment, up to which an open gap lasts.
    """
    return tuple(gap for gap in gaps if gap.span(now).overlaps(span))
