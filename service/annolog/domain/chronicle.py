"""What held for a target after each change: flag history and `as_of`.

The rows of what was said are intervals of this site's change numbers. Together with
the entries (policies, flags, aliases, `same_as`) and the numbers at which they came
they say what annolog knew here at any number, judged by the rules of then.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from annolog.domain.entries import Entry
from annolog.domain.history import Standing
from annolog.domain.ledger import State, state_of
from annolog.domain.vocabulary import Vocabulary

JUDGING_KINDS = frozenset({"flag", "policy", "alias", "same_as"})
"""Entries that states are worked out by; the others change none."""


@dataclass(frozen=True, slots=True)
class Interval:
    """For which changes a statement, or a confirming review, stood on a target.

    Attributes
    ----------
    key
        The target that was named.
    standing
        How it stood.
    from_number
        The change that brought it.
    to_number
        The change that ended it; None: it stands.
    """

    key: str
    standing: Standing
    from_number: int
    to_number: int | None

    def covers(self, number: int) -> bool:
        """Tell whether it stood after a change."""
        ended = self.to_number is not None and self.to_number <= number
        return self.from_number <= number and not ended


@dataclass(frozen=True, slots=True)
class Twin:
    """A fact by which a target known by its obs_id turned out to be another."""

    number: int
    key: str
    twin: str


@dataclass(frozen=True, slots=True)
class Step:
    """What held from one change on.

    Attributes
    ----------
    number
        The change.
    members
        Keys of all targets that were one with it, sorted.
    standings
        What stood on them.
    state
        What followed.
    changed_at
        The last change up to this one that changed the state; 0 for none.
    """

    number: int
    members: tuple[str, ...]
    standings: tuple[Standing, ...]
    state: State
    changed_at: int


class Chronicle:
    """All that bears on one target, in the order of this site's changes.

    Parameters
    ----------
    key
        The target asked about.
    instruments
        Instrument of each target that ever was one with it, by key.
    intervals
        All that ever stood on them.
    entries
        Entries of the vocabulary; those that judge nothing may be left out.
    twins
        Facts that joined any of them.
    """

    def __init__(
        self,
        key: str,
        instruments: Mapping[str, str | None],
        intervals: Iterable[Interval],
        entries: Iterable[Entry],
        twins: Iterable[Twin] = (),
    ) -> None:
        self._key = key
        self._instruments = instruments
        self._intervals = sorted(intervals, key=lambda one: one.from_number)
        self._entries = sorted(
            (one for one in entries if one.kind in JUDGING_KINDS),
            key=lambda one: one.number,
        )
        self._entry_numbers = [one.number for one in self._entries]
        self._twins = sorted(twins, key=lambda one: one.number)
        self._kept = 0, Vocabulary.from_entries(())

    def at(self, number: int) -> Step:
        """Say what held after a change.

        Parameters
        ----------
        number
            Any change number; 0 is before everything.
        """
        found: Step | None = None
        for step in self.steps(until=number):
            found = step
        return found or Step(0, (self._key,), (), State(), 0)

    def steps(
        self, *, until: int | None = None, also: Iterable[int] = ()
    ) -> Iterator[Step]:
        """Follow what held, change by change, oldest first.

        Parameters
        ----------
        until
            The last change to look at (inclusive); None: all.
        also
            Changes at which a step is wanted though nothing may have moved.

        Yields
        ------
        Step
            One a change that touched what the state is worked out from.
        """
        numbers = {*also, *self._entry_numbers, *(one.number for one in self._twins)}
        opens: dict[int, list[Interval]] = {}
        closes: dict[int, list[Interval]] = {}
        for one in self._intervals:
            # A late loser opens and closes at once: it never stood.
            if one.to_number is not None and one.to_number <= one.from_number:
                continue
            opens.setdefault(one.from_number, []).append(one)
            if one.to_number is not None:
                closes.setdefault(one.to_number, []).append(one)
        first = min(opens, default=None)
        standing: dict[int, Interval] = {}
        state, changed_at = State(), 0
        for number in sorted(numbers | opens.keys() | closes.keys()):
            if until is not None and number > until:
                return
            if first is None or number < first:
                continue
            for one in closes.get(number, ()):
                standing.pop(id(one), None)
            for one in opens.get(number, ()):
                standing[id(one)] = one
            vocabulary = self._vocabulary(number)
            members = self._members(number, vocabulary)
            here = tuple(s.standing for s in standing.values() if s.key in members)
            now = state_of(here, vocabulary, self._instruments.get(members[0]))
            if now != state:
                state, changed_at = now, number
            yield Step(number, members, here, state, changed_at)

    def _vocabulary(self, number: int) -> Vocabulary:
        count = bisect_right(self._entry_numbers, number)
        if self._kept[0] != count:
            self._kept = count, Vocabulary.from_entries(self._entries[:count])
        return self._kept[1]

    def _members(self, number: int, vocabulary: Vocabulary) -> tuple[str, ...]:
        if len(self._instruments) <= 1:
            return (self._key,)
        edges = {key: set(vocabulary.joined.get(key, ())) for key in self._instruments}
        for one in self._twins:
            if one.number <= number:
                edges.setdefault(one.key, set()).add(one.twin)
                edges.setdefault(one.twin, set()).add(one.key)
        return tuple(sorted(_reached(self._key, edges)))


def _reached(key: str, edges: Mapping[str, Iterable[str]]) -> set[str]:
    """Give all that hangs together with a key."""
    found = {key}
    wave: Sequence[str] = [key]
    while wave:
        wave = [n for k in wave for n in edges.get(k, ()) if n not in found]
        found.update(wave)
    return found
