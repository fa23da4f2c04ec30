"""From exposurelog's words to annolog's, where one is not simply the other.

The way back is a look at the vocabulary: `flags.ShownFlags`.
"""

from typing import Literal

from annolog.domain.entries import ExposureFlag
from annolog.exposurelog.flags import ShownFlags


def flag_of(value: ExposureFlag, before: str | None, flags: ShownFlags) -> str | None:
    """Say which flag a client means by an `exposure_flag`.

    Parameters
    ----------
    value
        What was sent.
    before
        The flag of the statement that is changed; None where it has none, and for a
        new statement.
    flags
        What flags are shown as.

    Returns
    -------
    str or None
        The flag it had, where that is shown as this value already: a client that
        sends back all it was shown loses neither `good` nor `follow_up`. Else the flag
        of that name; None for "none", which is no opinion and no withdrawal.
    """
    if flags.shown(before) == value:
        return before
    return None if value == "none" else value


def author_kind(*, is_human: bool) -> Literal["human", "bot"]:
    """Say what kind of author an `is_human` means."""
    return "human" if is_human else "bot"
