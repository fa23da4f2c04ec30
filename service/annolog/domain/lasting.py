"""What holds of a detector at some times and not at others.

What is said of a detector as such holds for that detector of every exposure that the
statement's time overlaps. So each exposure has a set of statements of its own, and its
flag is what the one policy makes of these, as everywhere.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from annolog.domain.history import Standing
from annolog.domain.inheritance import holds
from annolog.domain.ledger import state_of
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary

ALWAYS = Span(None, None)
"""The time of a statement that gives none."""


@dataclass(frozen=True)
class Lasting:
    """Whether a detector has one of some flags, or one of some tags, at a time.

    Attributes
    ----------
    stood
        All that stands on the detector, each with the time that it is about; None: no
        time given.
    flags, tags
        What is asked for; any is enough.
    vocabulary
        Flags, policies and aliases to judge by.
    instrument
        The detector's.
    """

    stood: tuple[tuple[Standing, Span | None], ...]
    flags: frozenset[str]
    tags: frozenset[str]
    vocabulary: Vocabulary
    instrument: str

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The times outside of which it has none of them; empty if it never has."""
        return tuple(
            observed or ALWAYS
            for standing, observed in self.stood
            if standing.said.flag in self.flags
            or not self.tags.isdisjoint(standing.tags)
        )

    def holds(self, window: Span | None) -> bool:
        """Tell whether it has one of them for an exposure.

        Parameters
        ----------
        window
            The exposure's time; None: nobody knows it.
        """
        if window is None or window.begin is None or window.end is None:
            return self._judge(window)
        # Nearly all exposures lie between the same two moments, and there are many: as
        # long as one lies alike to all moments, the same statements hold for it.
        begin, end = window.begin, window.end
        at = (
            bisect_left(self._moments, begin),
            bisect_right(self._moments, begin),
            bisect_left(self._moments, end),
            bisect_right(self._moments, end),
            begin == end,
        )
        found = self._judged.get(at)
        if found is None:
            found = self._judged[at] = self._judge(window)
        return found

    def _judge(self, window: Span | None) -> bool:
        holding = [one for one, observed in self.stood if holds(observed, window)]
        state = state_of(holding, self.vocabulary, self.instrument)
        return state.flag in self.flags or not self.tags.isdisjoint(state.tags)

    @cached_property
    def _moments(self) -> list[datetime]:
        spans = [observed for _, observed in self.stood if observed is not None]
        ends = {moment for one in spans for moment in (one.begin, one.end)}
        return sorted(moment for moment in ends if moment is not None)

    @cached_property
    def _judged(self) -> dict[tuple[int, ...], bool]:
        return {}


def hull(spans: Iterable[Span]) -> Span | None:
    """Give the least span that holds others; None where there are none."""
    known = list(spans)
    if not known:
        return None
    begins = [one.begin for one in known if one.begin is not None]
    ends = [one.end for one in known if one.end is not None]
    return Span(
        min(begins) if len(begins) == len(known) else None,
        max(ends) if len(ends) == len(known) else None,
    )
