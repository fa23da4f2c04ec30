"""What writers asked for and what they were answered."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that was acknowledged.

    Attributes
    ----------
    operation
        `create`, `edit`, `retract` or `restore`.
    annotation_id, revision_id, number
        As they were answered.
    content
        What the author had sent: flag, tags, text.
    keys
        The targets that it must have.
    """

    operation: str
    annotation_id: str
    revision_id: str
    number: int
    content: Mapping[str, Any]
    keys: frozenset[str]


@dataclass
class Ledger:
    """All that befell the requests of all writers.

    Attributes
    ----------
    said
        Statements that were acknowledged, in the order of the answers.
    moments
        When each was acknowledged, by the monotonic clock.
    requests
        How many were sent.
    refused
        How many were answered with a status and code that say: try again.
    unreached, broken
        How many found nobody, and how many were cut off without an answer.
    resolved
        Outcomes that were unknown, by what sending again told.
    given_up
        (operation, annotation) of those that were not sent again: either is right.
    wrong
        Answers that nobody should get.
    """

    said: list[Said] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    requests: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    unreached: int = 0
    broken: int = 0
    resolved: Counter[str] = field(default_factory=Counter)
    given_up: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def longest_pause(self, begin: float, end: float) -> float:
        """Give the longest time without an acknowledgement that touches a span."""
        moments = [begin, *(one for one in self.moments if one >= begin)]
        pauses = [
            after - before for before, after in pairwise(moments) if before <= end
        ]
        return max(pauses, default=0.0)
