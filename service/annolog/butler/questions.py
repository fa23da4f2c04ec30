"""What tables may be asked: words that are known, and what was exported into them.

A question that the tables cannot answer in whole is refused: an empty answer would be
read as "nothing is bad", and what is bad would be used.
"""

from collections.abc import Collection, Iterable
from functools import cache

from lsst.daf.butler import Butler

from annolog.butler import layout
from annolog.butler.holdings import instruments
from annolog.butler.scopes import ALL, NightRange, Scope
from annolog.butler.tables import Tables, TablesError
from annolog.domain.instruments import SHIPPED
from annolog.domain.shipped import shipped_entries
from annolog.domain.vocabulary import nearest


class ScopeError(TablesError):
    """What is asked for was not exported into the tables."""

    code = "outside_scope"


class UnknownFlagError(TablesError):
    """A flag that nobody defined."""

    code = "unknown_flag"


class UnknownInstrumentError(TablesError):
    """An instrument that neither the tables nor the repository know."""

    code = "unknown_instrument"


class Questions:
    """Refuses what the tables of one butler cannot answer.

    Parameters
    ----------
    butler
        The butler.
    tables
        Its tables, opened.
    """

    def __init__(self, butler: Butler, tables: Tables) -> None:
        self._butler = butler
        self._tables = tables
        self._instruments: frozenset[str] = frozenset()
        self.scope = Scope()
        """Which part of what holds is in the tables."""

    def demand_words(self, flags: Collection[str], tags: Collection[str]) -> None:
        """Refuse flags that are not known.

        Tags are open: one that nothing has is no mistake.

        Parameters
        ----------
        flags, tags
            What is asked for.

        Raises
        ------
        TypeError
            If either is a text, which would be taken letter by letter.
        UnknownFlagError
            If a flag is not known; it names the nearest.
        """
        for name, words in (("flags", flags), ("tags", tags)):
            if isinstance(words, str):
                msg = f'{name} should be several: {name}=["{words}"]'
                raise TypeError(msg)
        strange = set(flags) - _shipped_flags()
        if not strange:
            return
        found_by = ("kind", ["flag"])
        known = _shipped_flags() | {
            key for (key,) in self._tables.rows(layout.ENTRY, ("entry_key",), found_by)
        }
        for flag in sorted(strange - known):
            if not self._is_carried(flag):
                raise UnknownFlagError(
                    f"the flag {flag!r} is not known; {_meant(flag, known)}"
                )

    def demand(self, instrument: str, nights: NightRange | None) -> None:
        """Refuse an instrument and nights that were not exported.

        Parameters
        ----------
        instrument
            What is asked about.
        nights
            All nights that matter; None: every night.

        Raises
        ------
        ScopeError
            If the tables do not hold them; it says what they hold.
        UnknownInstrumentError
            If nobody knows the instrument.
        """
        if lacking := self.scope.lacks_instrument(instrument):
            raise ScopeError(lacking)
        if not self._knows(instrument):
            known = sorted(self._instruments)
            raise UnknownInstrumentError(
                f"the repository has no instrument {instrument!r};"
                f" {_meant(instrument, known)}"
            )
        if lacking := self.scope.lacks_nights(nights or ALL):
            raise ScopeError(lacking)

    def demand_ids(
        self, instrument: str, ids: Collection[int], nights: NightRange | None
    ) -> None:
        """Refuse exposures or visits that were not exported; as `demand`.

        Parameters
        ----------
        instrument
            Theirs.
        ids
            What is asked about.
        nights
            Their nights; None: what their ids say.

        Raises
        ------
        ScopeError
            If the tables may not hold them.
        UnknownInstrumentError
            If nobody knows the instrument.
        """
        if nights is None and self.scope.nights != ALL:
            nights = _nights_of(instrument, ids) if ids else self.scope.nights
        self.demand(instrument, nights)

    def tags(self) -> set[str]:
        """Give all tags that something in the tables has."""
        return {
            tag
            for kind in layout.KINDS
            for tag in self._tables.values(layout.tags(kind), "tag")
        }

    def _knows(self, instrument: str) -> bool:
        if instrument in self.scope.instrument:
            return True  # even if the repository gets it only later
        if instrument not in self._instruments:
            self._instruments = frozenset(instruments(self._butler))
        return instrument in self._instruments

    def _is_carried(self, flag: str) -> bool:
        """Tell whether something has a flag whose definition did not come."""
        names = [layout.STANDING, *map(layout.states, layout.KINDS)]
        return any(
            True
            for name in names
            for _ in self._tables.rows(name, ("flag",), ("flag", [flag]))
        )


@cache
def _shipped_flags() -> frozenset[str]:
    return frozenset(key for kind, key, _ in shipped_entries() if kind == "flag")


def _nights_of(instrument: str, ids: Iterable[int]) -> NightRange | None:
    """Give the nights of exposures or visits by their ids; None if these say none."""
    known = SHIPPED.get(instrument)
    if known is None:
        return None
    located = [known.locate(one) for one in ids]
    nights = [one[0] for one in located if one is not None]
    return (min(nights), max(nights)) if len(nights) == len(located) else None


def _meant(word: str, known: Iterable[str]) -> str:
    near = nearest(word, known)
    likely = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{likely}there are {', '.join(sorted(known)) or 'none'}"
