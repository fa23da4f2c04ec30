"""What befalls whom and when: out of a seed, and the same again for the same seed."""

import random
from collections.abc import Collection
from dataclasses import dataclass

GROUPS = ("broker", "relay", "service", "postgres", "disk", "three")
"""What can be asked for by `--only`."""

FIRST = 2.0
"""Seconds of peace at the beginning."""

BETWEEN = (1.5, 6.0)
"""Seconds from one fault to the next; the first may still last."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault that may befall a part.

    Attributes
    ----------
    name
        Its group and what is done.
    group
        One of `GROUPS`.
    part
        Whom it befalls, as in `broker`; where there are several, one is chosen.
    many
        How many of that part there are.
    lasts
        Seconds until it is made good: the least and the most.
    recovery
        About how many seconds more the part is of no use.
    """

    name: str
    group: str
    part: str
    many: int = 1
    lasts: tuple[float, float] = (0.0, 0.0)
    recovery: float = 2.0


KINDS = (
    Kind("broker killed", "broker", "broker", lasts=(0.0, 5.0), recovery=5.0),
    Kind("broker frozen", "broker", "broker", lasts=(1.0, 9.0)),
    Kind("broker restarted", "broker", "broker", recovery=6.0),
    Kind("relay killed", "relay", "relay"),
    Kind("relay frozen", "relay", "relay", lasts=(1.0, 6.0)),
    Kind("relay frozen beside its successor", "relay", "relay", lasts=(22.0, 28.0)),
    Kind("relay doubled", "relay", "relay", lasts=(3.0, 6.0)),
    Kind("relay cut off from its lease", "relay", "relay"),
    Kind("service killed", "service", "service", 2),
    Kind("service frozen in the lane", "service", "service", 2, lasts=(3.0, 7.0)),
    Kind("service restarted", "service", "service", 2),
    Kind("both services killed", "service", "service"),
    Kind("PostgreSQL killed", "postgres", "postgres", lasts=(0.0, 3.0), recovery=4.0),
    Kind("PostgreSQL restarted", "postgres", "postgres", recovery=4.0),
    Kind("PostgreSQL's session killed", "postgres", "postgres", recovery=3.0),
    Kind("disk of PostgreSQL full", "disk", "disk", lasts=(3.0, 7.0), recovery=6.0),
    Kind("disk of the broker full", "disk", "disk", lasts=(3.0, 7.0), recovery=8.0),
    Kind("one of three killed", "three", "broker", 3, (0.0, 6.0), recovery=8.0),
    Kind("one of three frozen", "three", "broker", 3, (1.0, 9.0)),
    Kind("one of three restarted", "three", "broker", 3, recovery=8.0),
    Kind("two of three killed", "three", "brokers", lasts=(2.0, 5.0), recovery=14.0),
)
"""Every fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a plan.

    Attributes
    ----------
    at
        Seconds after the writers began.
    kind
        Name of its kind.
    part
        Whom it befalls: one fault at a time befalls a part.
    which
        Which of them, from 0.
    lasts
        Seconds until it is made good.
    """

    at: float
    kind: str
    part: str
    which: int = 0
    lasts: float = 0.0


def make(seed: int | str, groups: Collection[str], seconds: float) -> tuple[Fault, ...]:
    """Make a plan: every kind of the groups comes once before any comes again."""
    dice = random.Random(f"faults {seed}")
    kinds = [kind for kind in KINDS if kind.group in groups]
    deck: list[Kind] = []
    free: dict[str, float] = {}
    faults = []
    at = FIRST
    while kinds and at < seconds:
        if len(deck) < len(kinds):
            deck += dice.sample(kinds, len(kinds))
        # The next that fits: its part is well, and it is made good in time.
        for place, kind in enumerate(deck):
            which = dice.randrange(kind.many)
            lasts = round(dice.uniform(*kind.lasts), 2)
            over = at + lasts + kind.recovery
            # Three brokers are one: with two away at most times, nothing would be left
            # to go wrong.
            place_of = "three" if kind.group == "three" else f"{kind.part} {which}"
            if over <= seconds and free.get(place_of, 0.0) <= at:
                free[place_of] = over
                faults.append(Fault(round(at, 2), kind.name, kind.part, which, lasts))
                del deck[place]
                break
        at += dice.uniform(*BETWEEN)
    return tuple(faults)


def short() -> tuple[Fault, ...]:
    """Give the plan that belongs to the tests: fixed, and soon over."""
    faults = [Fault(1.5 + 4.5 * n, "broker killed", "broker", 0, 0.3) for n in range(5)]
    faults += [
        Fault(1.0 + 2.1 * n, "service killed", "service", n % 2) for n in range(10)
    ]
    faults += [Fault(4.0 + 5.0 * n, "relay killed", "relay") for n in range(4)]
    return tuple(sorted(faults, key=lambda fault: fault.at))
