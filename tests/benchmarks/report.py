"""What was measured, and how it is printed."""

import statistics
from collections.abc import Iterable
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
        What bare asyncpg did, a second.
    goal
        Share of it that is to be reached; None for none.
    rows
        Rows of an answer, where that matters.
    """

    title: str
    figures: Figures
    raw: float | None
    goal: float | None
    rows: int | None = None


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


def table(title: str, lines: Iterable[Line]) -> str:
    """Write rates, times, shares of the raw limit, and goals.

    Parameters
    ----------
    title
        What the rows are.
    lines
        The rows.
    """
    written = [
        _row(title, "rows", "a second", "p50 ms", "p99 ms", "raw", "share", "goal")
    ]
    for line in lines:
        figures = line.figures
        share = figures.rate / line.raw if line.raw else None
        behind = share is not None and line.goal is not None and share < line.goal
        written.append(
            _row(
                line.title,
                "" if line.rows is None else str(line.rows),
                _rate(figures.rate),
                f"{figures.p50:.2f}",
                f"{figures.p99:.2f}",
                "" if line.raw is None else _rate(line.raw),
                "" if share is None else f"{share:.0%}",
                f"{line.goal:.0%}" + (" !" if behind else "  ") if line.goal else "",
            )
        )
    return "\n".join(written)


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _row(title: str, *cells: str) -> str:
    return (f"{title:<38}" + "".join(f"{cell:>9}" for cell in cells)).rstrip()
