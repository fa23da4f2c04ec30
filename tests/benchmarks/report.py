"""What was measured, and how it is printed."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.http import Figures


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the report.

    Attributes
    ----------
    title
        What was sent.
    figures
        What the service did, over all rounds.
    raw
        What bare asyncpg did on one connection, a second.
    goal
        Share of it that is to be reached; None for none.
    rows
        Rows of an answer, where that matters.
    raw_many
        What bare asyncpg did on as many connections as the service has, a second.
    """

    title: str
    figures: Figures
    raw: float
    goal: float | None = None
    rows: int | None = None
    raw_many: float | None = None


class Rounds:
    """Figures of several rounds, and their medians."""

    def __init__(self) -> None:
        self._found: dict[str, list[Figures | float]] = {}

    def add(self, name: str, figures: Figures | float) -> None:
        """Note what a round gave."""
        self._found.setdefault(name, []).append(figures)

    def rate(self, name: str) -> float:
        """Give the median rate."""
        return statistics.median(
            one.rate if isinstance(one, Figures) else one for one in self._found[name]
        )

    def figures(self, name: str) -> Figures:
        """Give the medians of all figures."""
        known = [one for one in self._found[name] if isinstance(one, Figures)]
        return Figures(
            statistics.median(one.rate for one in known),
            statistics.median(one.p50 for one in known),
            statistics.median(one.p99 for one in known),
        )


def table(title: str, lines: Sequence[Line]) -> str:
    """Write rates, times, shares of the raw limit, and goals.

    Parameters
    ----------
    title
        What the rows are.
    lines
        The rows.
    """
    head = ["rows", "a second", "p50 ms", "p99 ms", "raw", "share", "goal", ""]
    if any(line.raw_many for line in lines):
        head += ["raw, all", "share"]
    return "\n".join([_row(title, head), *(_line(line) for line in lines)])


def _line(line: Line) -> str:
    figures = line.figures
    cells = [
        "" if line.rows is None else str(line.rows),
        _rate(figures.rate),
        f"{figures.p50:.2f}",
        f"{figures.p99:.2f}",
        _rate(line.raw),
        f"{figures.rate / line.raw:.0%}",
        f"{line.goal:.0%}" if line.goal else "",
        "behind" if line.goal and figures.rate / line.raw < line.goal else "",
    ]
    if line.raw_many:
        cells += [_rate(line.raw_many), f"{figures.rate / line.raw_many:.0%}"]
    return _row(line.title, cells)


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _row(title: str, cells: Iterable[str]) -> str:
    return (f"{title:<34}" + "".join(f"{cell:>9}" for cell in cells)).rstrip()
