"""Sequence numbers of a night as closed ranges: `100-140,150`.

A `SeqNums` is a set of numbers, kept as sorted ranges that neither overlap nor touch,
so that two equal sets are equal values and have one canonical text, the shortest.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from typing_extensions import override

from annolog.domain.errors import InvalidError, Problem
from annolog.domain.instruments import MAX_SEQ_NUM

MAX_TEXT = 100_000
"""Characters of ranges as written: more than all numbers of a night need."""
MAX_RANGES = 10_000
"""Ranges as written."""

_PIECE = re.compile(r"([0-9]{1,6})(?:\s*(?:-|\.\.|\u2013)\s*([0-9]{1,6}))?")


@dataclass(frozen=True, slots=True)
class SeqNums:
    """A set of sequence numbers.

    Attributes
    ----------
    ranges
        First and last number (both inclusive) of each range, sorted, apart by at
        least one missing number. Use `parse` or `of` to make them so.
    """

    ranges: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "SeqNums":
        """Make the set of these numbers."""
        return cls.of_ranges((one, one) for one in numbers)

    @classmethod
    def of_ranges(cls, ranges: Iterable[tuple[int, int]]) -> "SeqNums":
        """Make the set of all numbers in closed ranges.

        Parameters
        ----------
        ranges
            First and last number of each, in any order, overlapping or not; one whose
            last is below its first holds no number.
        """
        joined: list[tuple[int, int]] = []
        for first, last in sorted(one for one in ranges if one[0] <= one[1]):
            if joined and first <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], last))
            else:
                joined.append((first, last))
        return cls(tuple(joined))

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and any(
            first <= number <= last for first, last in self.ranges
        )

    @override
    def __str__(self) -> str:
        return format_ranges(self)

    def __or__(self, other: "SeqNums") -> "SeqNums":
        """Give the numbers of either."""
        return SeqNums.of_ranges((*self.ranges, *other.ranges))

    def __sub__(self, other: "SeqNums") -> "SeqNums":
        """Give the numbers that are not in the other."""
        left: list[tuple[int, int]] = []
        taken = iter((*other.ranges, None))
        cut = next(taken)
        for first, last in self.ranges:
            begin = first
            while cut is not None and cut[0] <= last:
                left.append((begin, cut[0] - 1))
                begin = max(begin, cut[1] + 1)
                if cut[1] > last:
                    break
                cut = next(taken)
            left.append((begin, last))
        return SeqNums.of_ranges(left)

    def __and__(self, other: "SeqNums") -> "SeqNums":
        """Give the numbers of both."""
        return self - (self - other)


def parse_ranges(text: str, *, pointer: str = "", limit: int | None = None) -> SeqNums:
    """Read closed ranges.

    Parameters
    ----------
    text
        Numbers and ranges apart by commas or semicolons, `100-140, 150`; blanks and
        empty pieces (a comma at the end) do not matter; `..` stands for `-` too.
    pointer
        Where it stood in the request, for the error.
    limit
        How many numbers are taken; None: all of a night.

    Returns
    -------
    SeqNums
        The numbers, at least one.

    Raises
    ------
    InvalidError
        `invalid_seq_nums`, naming the piece that is wrong.
    """
    if len(text) > MAX_TEXT:
        raise _invalid(pointer, text, f"has more than {MAX_TEXT} characters")
    pieces = [one.strip() for one in re.split(r"[,;]", text)]
    if len(pieces) > MAX_RANGES:
        raise _invalid(pointer, text, f"has more than {MAX_RANGES} pieces")
    found = SeqNums.of_ranges(_piece(one, pointer) for one in pieces if one)
    if not found.ranges:
        raise _invalid(pointer, text, "names no sequence number; write 100-140,150")
    if limit is not None and len(found) > limit:
        raise _invalid(
            pointer, text, f"names {len(found)} sequence numbers; {limit} are taken"
        )
    return found


def format_ranges(numbers: SeqNums) -> str:
    """Write a set of numbers in its canonical form; empty for the empty set."""
    return ",".join(
        str(first) if first == last else f"{first}-{last}"
        for first, last in numbers.ranges
    )


def holes(wanted: SeqNums, known: Iterable[int]) -> SeqNums:
    """Give the wanted numbers that are not known: what a range skips."""
    return wanted - SeqNums.of(known)


def _piece(piece: str, pointer: str) -> tuple[int, int]:
    found = _PIECE.fullmatch(piece)
    if found is None:
        raise _invalid(
            pointer, piece, "is neither a number nor a closed range like 100-140"
        )
    first = int(found[1])
    last = first if found[2] is None else int(found[2])
    if last < first:
        raise _invalid(pointer, piece, f"runs backwards; write {last}-{first}")
    if last > MAX_SEQ_NUM:
        raise _invalid(pointer, piece, f"goes above {MAX_SEQ_NUM}")
    return first, last


def _invalid(pointer: str, value: str, reason: str) -> InvalidError:
    detail = f"{value[:60]!r} {reason}"
    problem = Problem(pointer, value, detail, "invalid_seq_nums")
    return InvalidError(detail, code="invalid_seq_nums", problems=[problem])
