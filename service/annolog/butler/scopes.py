"""Which part of what holds a butler's tables have, and what they can answer by it."""

from typing import TypeAlias

import msgspec

NightRange: TypeAlias = tuple[int | None, int | None]
"""First and last night, YYYYMMDD, both included; without an end where one is None."""

ALL: NightRange = (None, None)
"""Every night."""

EVERY = "*"
"""Stands for all data-ID sets."""


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which part of what holds a butler gets; another scope is another export.

    Attributes
    ----------
    instrument, day_obs_min, day_obs_max, sets
        As asked of the service.
    label
        The observatory's label for the repository.
    embargo_hours
        Only targets that are older.
    """

    instrument: tuple[str, ...] = ()
    day_obs_min: int | None = None
    day_obs_max: int | None = None
    sets: tuple[str, ...] = ()
    label: str | None = None
    embargo_hours: float | None = None

    @property
    def nights(self) -> NightRange:
        """The nights that the tables hold."""
        return self.day_obs_min, self.day_obs_max

    def has_set(self, name: str) -> bool:
        """Tell whether a data-ID set was asked for."""
        return EVERY in self.sets or name in self.sets

    def lacks_instrument(self, instrument: str) -> str | None:
        """Say why nothing can be answered about an instrument; None if it can."""
        if not self.instrument or instrument in self.instrument:
            return None
        return (
            f"the tables hold {', '.join(self.instrument)} only, and {instrument} is"
            f" asked for: export with --instrument {instrument} too"
        )

    def lacks_nights(self, nights: NightRange) -> str | None:
        """Say why nothing can be answered about nights; None if it can.

        Parameters
        ----------
        nights
            All that matter.

        Returns
        -------
        str or None
            None if the tables hold each of them.
        """
        if not _beyond(nights, self.nights):
            return None
        return (
            f"the tables hold {_words(self.nights)} only, and {_words(nights)} are"
            " asked for: ask for those alone, or export more"
        )

    def leaves_out(self, before: "Scope") -> list[str]:
        """Say what an earlier scope has that this one has not.

        Parameters
        ----------
        before
            The other one.

        Returns
        -------
        list of str
            In words; empty if nothing is lost. A longer embargo is not named: it is
            there to take away.
        """
        found = []
        if self.instrument and not before.instrument:
            found.append(f"instruments beside {', '.join(self.instrument)}")
        elif self.instrument:
            found += [one for one in before.instrument if one not in self.instrument]
        if _beyond(before.nights, self.nights):
            found.append(f"{_words(before.nights)}, not only {_words(self.nights)}")
        if EVERY not in self.sets:
            found += [
                "all data-ID sets" if one == EVERY else f"the data-ID set {one}"
                for one in before.sets
                if one not in self.sets
            ]
        if before.label not in {None, self.label}:
            found.append(f"collections of the label {before.label}")
        return found


def _beyond(nights: NightRange, held: NightRange) -> bool:
    """Tell whether some nights lie outside of others."""
    (first, last), (low, high) = nights, held
    return (low is not None and (first is None or first < low)) or (
        high is not None and (last is None or last > high)
    )


def _words(nights: NightRange) -> str:
    match nights:
        case (None, None):
            return "all nights"
        case (first, None):
            return f"nights from {first}"
        case (None, last):
            return f"nights to {last}"
        case (first, last):
            return f"nights from {first} to {last}"
