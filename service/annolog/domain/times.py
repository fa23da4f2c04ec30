"""Moments, clocks and spans.

Annolog keeps time in UTC, in whole microseconds, and writes it as RFC 3339 with `Z`.
A *clock* is the same moment as an integer: microseconds since 1970-01-01T00:00:00Z
without leap seconds, pushed forward where an answer would otherwise seem older than
what it answers. Spans are half-open, and open where an end is None.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

from annolog.domain.errors import InvalidError, Problem

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Moment of clock 0."""

MICROSECOND = timedelta(microseconds=1)
"""The smallest difference between two moments."""

_WRITTEN = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,12}))?"
    r"([Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII,
)
_MICRO_DIGITS = 6
_LEAP_SECOND = 60
_MAX_OFFSET_HOURS = 23
_MAX_OFFSET_MINUTES = 59
_EXAMPLE = "write it as 2026-11-19T03:12:00Z"


class InvalidTimeError(InvalidError, ValueError):
    """A time that cannot be accepted as it is written.

    It is a ValueError too, so that pydantic reports it with its place in the request.
    """

    code = "invalid_time"


def parse(text: str) -> datetime:
    """Read a moment.

    Parameters
    ----------
    text
        RFC 3339: date, `T` or a blank, time, up to six digits of a second, and `Z`
        or an offset as `+01:00`. Further digits are taken if they are zeros.

    Returns
    -------
    datetime
        Aware, in UTC.

    Raises
    ------
    InvalidTimeError
        If it has another form, no zone, a leap second, more digits than
        microseconds, or lies outside the years 1 to 9999 in UTC.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise _invalid(text, f"is no time: {_EXAMPLE}")
    *parts, fraction, zone = found.groups()
    if zone is None:
        raise _invalid(text, f"has no zone: {_EXAMPLE}, with Z for UTC")
    year, month, day, hour, minute, second = map(int, parts)
    if second == _LEAP_SECOND:
        raise _invalid(text, "is a leap second, which UTC clocks here do not have")
    digits = (fraction or "").ljust(_MICRO_DIGITS, "0")
    if digits[_MICRO_DIGITS:].strip("0"):
        raise _invalid(text, "is finer than microseconds: round it to six digits")
    micro = int(digits[:_MICRO_DIGITS])
    try:
        moment = datetime(
            year, month, day, hour, minute, second, micro, tzinfo=_zone(text, zone)
        )
        return moment.astimezone(UTC)
    except OverflowError:
        raise _invalid(text, "lies outside the years 1 to 9999 in UTC") from None
    except InvalidTimeError:
        raise
    except ValueError as error:
        raise _invalid(text, f"is no time: {error}") from None


def format(moment: datetime) -> str:  # noqa: A001 read with its module: times.format
    """Write a moment as annolog's interfaces and records have it.

    Parameters
    ----------
    moment
        Aware, in any zone.

    Returns
    -------
    str
        UTC, always with six digits of a second and `Z`: 27 characters, so that the
        order of the texts is that of the moments.

    Raises
    ------
    InvalidTimeError
        If it is naive, or outside the years 1 to 9999 in UTC.
    """
    return utc(moment).isoformat(timespec="microseconds")[:-6] + "Z"


def utc(moment: datetime) -> datetime:
    """Bring a moment to UTC.

    Parameters
    ----------
    moment
        Aware, in any zone.

    Returns
    -------
    datetime
        The same moment, in UTC.

    Raises
    ------
    InvalidTimeError
        If it is naive, or outside the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is UTC:
        return moment
    if moment.utcoffset() is None:
        raise _invalid(moment.isoformat(), f"has no zone: {_EXAMPLE}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _invalid(
            moment.isoformat(), "lies outside the years 1 to 9999 in UTC"
        ) from None


@lru_cache(maxsize=64)
def to_clock(moment: datetime) -> int:
    """Give a moment as a clock; what one turn asks for again and again is remembered.

    Parameters
    ----------
    moment
        Aware, in any zone.

    Returns
    -------
    int
        Microseconds since `EPOCH`, exact; negative before it.

    Raises
    ------
    InvalidTimeError
        If it is naive.
    """
    since = utc(moment) - EPOCH
    # Integers all the way: total_seconds() loses microseconds to rounding.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_clock(clock: int) -> datetime:
    """Give a clock as a moment.

    Parameters
    ----------
    clock
        Microseconds since `EPOCH`.

    Returns
    -------
    datetime
        Aware, in UTC, exact.

    Raises
    ------
    InvalidTimeError
        If it lies outside the years 1 to 9999.
    """
    try:
        return EPOCH + timedelta(microseconds=clock)
    except OverflowError:
        raise _invalid(str(clock), "lies outside the years 1 to 9999") from None


def next_clock(wall: int, answered: Iterable[int] = ()) -> int:
    """Give the clock of a new record.

    Parameters
    ----------
    wall
        Wall time as a clock (`to_clock`).
    answered
        Clocks of all that the record answers: its parent, the revision reviewed, the
        entry replaced, the counted votes on its targets.

    Returns
    -------
    int
        The wall time, or one more than the greatest clock answered if that is
        later: an answer is never older than what it answers, whoever's clock is
        wrong.
    """
    return max(wall, 1 + max(answered, default=wall - 1))


@dataclass(frozen=True, slots=True)
class Span:
    """A time from `begin` (inclusive) to `end` (exclusive).

    Attributes
    ----------
    begin
        First moment, aware; None: it has always been so.
    end
        First moment after it, aware; None: it still is so. Equal to `begin` for a
        single moment, which lasts no time but meets the spans that it lies in.

    Raises
    ------
    InvalidTimeError
        If a moment is naive, or if the span ends before it begins.
    """

    begin: datetime | None
    end: datetime | None

    def __post_init__(self) -> None:
        for moment in (self.begin, self.end):
            if moment is not None:
                utc(moment)
        if self.begin is not None and self.end is not None and self.end < self.begin:
            raise _invalid(format(self.end), f"is before {format(self.begin)}")

    @property
    def duration(self) -> timedelta | None:
        """How long it lasts; None where an end is open."""
        if self.begin is None or self.end is None:
            return None
        return self.end - self.begin

    @property
    def is_moment(self) -> bool:
        """Whether it is a single moment."""
        return self.begin is not None and self.begin == self.end

    def overlaps(self, other: "Span") -> bool:
        """Tell whether the spans share a moment.

        Parameters
        ----------
        other
            Another span. Spans that only touch do not overlap; a single moment
            overlaps the span that begins with it, and not the one that ends there.

        Returns
        -------
        bool
            The same whichever of the two is asked.
        """
        return _is_before(self.begin, _last_end(other)) and _is_before(
            other.begin, _last_end(self)
        )

    def clip(self, window: "Span") -> "Span | None":
        """Give the part that lies in a window.

        Parameters
        ----------
        window
            Another span, open ends allowed.

        Returns
        -------
        Span or None
            The part; None where they do not overlap.
        """
        if not self.overlaps(window):
            return None
        begin, end = self.begin, self.end
        if begin is None or (window.begin is not None and window.begin > begin):
            begin = window.begin
        if end is None or (window.end is not None and window.end < end):
            end = window.end
        return Span(begin, end)


_LAST = datetime.max.replace(tzinfo=UTC)


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Join spans so that no time is counted twice.

    Parameters
    ----------
    spans
        Any, in any order, with open ends or not.

    Returns
    -------
    tuple of Span
        In order of time, apart from each other: spans that overlap or touch are one.
        Single moments last no time and are left out. Empty where nothing is left.
    """
    lasting = sorted(
        (one for one in spans if not one.is_moment),
        key=lambda one: (one.begin is not None, one.begin or EPOCH),
    )
    joined: list[Span] = []
    for span in lasting:
        last = joined[-1] if joined else None
        if last is None or _is_before(last.end, span.begin, open_is_before=False):
            joined.append(span)
        elif last.end is not None and (span.end is None or span.end > last.end):
            joined[-1] = Span(last.begin, span.end)
    return tuple(joined)


def clip(spans: Iterable[Span], windows: Iterable[Span]) -> tuple[Span, ...]:
    """Give what spans and windows have in common.

    Parameters
    ----------
    spans
        Any, in any order.
    windows
        Any, in any order.

    Returns
    -------
    tuple of Span
        The part of the spans' `union` that lies in the windows' `union`, in order
        of time.
    """
    inside = union(windows)
    return tuple(
        part
        for span in union(spans)
        for window in inside
        if (part := span.clip(window)) is not None
    )


def total(spans: Iterable[Span]) -> timedelta:
    """Add up how long spans last, counting no time twice.

    Parameters
    ----------
    spans
        With closed ends; `clip` them to a window first.

    Returns
    -------
    timedelta
        Length of their `union`.

    Raises
    ------
    ValueError
        If an end is open.
    """
    length = timedelta()
    for span in union(spans):
        if span.duration is None:
            msg = "a span with an open end lasts no stated time; clip it first"
            raise ValueError(msg)
        length += span.duration
    return length


def _last_end(span: Span) -> datetime | None:
    # For overlaps a single moment lasts as long as a moment can be told apart.
    if span.end is None or span.end != span.begin:
        return span.end
    return span.end + MICROSECOND if span.end < _LAST else None


def _is_before(
    begin: datetime | None, end: datetime | None, *, open_is_before: bool = True
) -> bool:
    """Compare two moments where None means "no bound"."""
    if begin is None or end is None:
        return open_is_before
    return begin < end


def _zone(text: str, zone: str) -> timezone:
    if zone in {"Z", "z"}:
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > _MAX_OFFSET_HOURS or minutes > _MAX_OFFSET_MINUTES:
        raise _invalid(text, f"has no possible zone: {_EXAMPLE}")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if zone[0] == "-" else offset)


def _invalid(value: str, reason: str) -> InvalidTimeError:
    problem = Problem("", value, reason, InvalidTimeError.code)
    return InvalidTimeError(f"{value[:40]!r} {reason}", problems=[problem])
