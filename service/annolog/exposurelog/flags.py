"""Flags as exposurelog's clients know them: none, junk, questionable.

What a flag is shown as is written in its vocabulary entry (`exposurelog_value`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from annolog.domain.entries import ExposureFlag
from annolog.domain.vocabulary import Vocabulary

EXPOSURE_FLAGS: tuple[ExposureFlag, ...] = get_args(ExposureFlag)
"""Values of `exposure_flag`, in the order in which they sort."""

UNKNOWN: ExposureFlag = "questionable"
"""What a flag is shown as of which nothing is known yet: it may be bad."""


@dataclass(frozen=True, slots=True)
class ShownFlags:
    """What each flag of a vocabulary is shown as. Make it with `of`.

    Attributes
    ----------
    values
        What is shown by flag; None, the absence of one, is among them.
    """

    values: Mapping[str | None, ExposureFlag]

    @classmethod
    def of(cls, vocabulary: Vocabulary) -> "ShownFlags":
        """Take from a vocabulary what its flags are shown as."""
        return cls(vocabulary.exposure_flags)

    def shown(self, flag: str | None) -> ExposureFlag:
        """Say what a flag is shown as.

        Parameters
        ----------
        flag
            The flag of a statement; None where it has none.

        Returns
        -------
        str
            `UNKNOWN` for a flag whose entry has not come yet.
        """
        return self.values.get(flag, UNKNOWN)

    def named(self, value: ExposureFlag) -> list[str]:
        """Name the known flags that are shown as a value, sorted."""
        return sorted(
            name
            for name, shown in self.values.items()
            if name is not None and shown == value
        )
