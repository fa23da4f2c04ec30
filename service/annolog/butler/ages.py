"""How old a collection is: what its documentation says of rule, snapshot and time.

    Made by annolog; what is put in by hand is taken out at the next refresh.
    Rule usable-raws (1f0a77c2): LSSTCam: raw of LSSTCam/raw/all ...
    Snapshot 4711 of 2026-11-21T10:00:00.000000Z
    Refreshed 2026-11-21T10:05:00.000000Z

Everyone who sees the collection reads it, with the butler's own commands.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from annolog.butler.rules import Rule
from annolog.domain import times

MARK = "Made by annolog; what is put in by hand is taken out at the next refresh."
"""First line of the documentation of a collection that is ours."""

_AGE = re.compile(
    re.escape(MARK) + r"\nRule (?P<rule>.+?) \((?P<digest>[0-9a-f]{8})\): .*\n"
    r"Snapshot (?P<number>\d+) of (?P<taken>\S+)\nRefreshed (?P<refreshed>\S+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Age:
    """What a collection was made from.

    Attributes
    ----------
    rule
        The name of the rule.
    digest
        Eight hex digits of what the rule said.
    number
        The change up to which the snapshot went.
    taken_at
        When that snapshot was taken, in UTC.
    refreshed_at
        When the collection was brought to it, in UTC.
    """

    rule: str
    digest: str
    number: int
    taken_at: datetime
    refreshed_at: datetime


def write(rule: Rule, number: int, taken_at: datetime, now: datetime) -> str:
    """Write the documentation of a collection.

    Parameters
    ----------
    rule
        What fills it.
    number, taken_at
        Of the snapshot.
    now
        When it is brought there.

    Returns
    -------
    str
        Four lines.
    """
    return (
        f"{MARK}\n"
        f"Rule {rule.name} ({rule.digest}): {rule.sentence}\n"
        f"Snapshot {number} of {times.format(taken_at)}\n"
        f"Refreshed {times.format(now)}"
    )


def read(documentation: str) -> Age | None:
    """Read the documentation of a collection.

    Parameters
    ----------
    documentation
        As the butler has it.

    Returns
    -------
    Age or None
        None if the collection is not ours, or was never filled.
    """
    found = _AGE.fullmatch(documentation)
    if found is None:
        return None
    return Age(
        found["rule"],
        found["digest"],
        int(found["number"]),
        times.parse(found["taken"]),
        times.parse(found["refreshed"]),
    )


def stale(
    age: Age | None, rule: Rule, number: int, now: datetime, limit: timedelta | None
) -> str | None:
    """Say why a collection should be refreshed.

    Parameters
    ----------
    age
        What it says of itself.
    rule
        What should fill it.
    number
        The change up to which the newest snapshot of the repository goes.
    now
        The present.
    limit
        How old the snapshot in it may be; None: not older than the newest.

    Returns
    -------
    str or None
        None if it need not be.
    """
    if age is None:
        return "it was never filled"
    if age.digest != rule.digest:
        return f"its rule was changed since {times.format(age.refreshed_at)}"
    if limit is None and age.number != number:
        return f"it is of snapshot {age.number}, and the repository has {number}"
    if limit is not None and now - age.taken_at > limit:
        return (
            f"its snapshot is of {times.format(age.taken_at)}, and may be"
            f" {limit.total_seconds() / 3600:g} hours old"
        )
    return None
