"""What was measured, and how it is printed."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.http import Figures

SLOWER = 1.5
"""Times that a figure may fall behind that of a smaller database."""

Kept = Mapping[str, Mapping[str, float]]
"""Figures of another run: by table and title of the line, and their name."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached.

    Attributes
    ----------
    words
        As it is printed.
    met
        Whether it was.
    """

    words: str
    met: bool

    @classmethod
    def below(cls, value: float, most: float, words: str) -> "Goal":
        """Make a goal of a value that shall not be above another."""
        return cls(words, value <= most)


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
        What bare asyncpg did on one connection, a second; None: nothing like it.
    share
        Share of it that is to be reached; None for none.
    goals
        What else is to be reached.
    rows
        Rows of an answer, where that matters.
    raw_many
        What bare asyncpg did on as many connections as the service has, a second.
    note
        What else there is to say.
    """

    title: str
    figures: Figures
    raw: float | None = None
    share: float | None = None
    goals: Sequence[Goal] = ()
    rows: int | None = None
    raw_many: float | None = None
    note: str = ""

    def wanted(self) -> list[Goal]:
        """Give all that is to be reached."""
        found = [*self.goals]
        if self.share is not None and self.raw is not None:
            reached = self.figures.rate / self.raw >= self.share
            found.insert(0, Goal(f"{self.share:.0%}", reached))
        return found


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind.

    Attributes
    ----------
    title
        What they have in common.
    lines
        The rows.
    """

    title: str
    lines: Sequence[Line]


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
        """Give the medians of rates and times, and the mean of processor time."""
        known = [one for one in self._found[name] if isinstance(one, Figures)]
        return Figures(
            statistics.median(one.rate for one in known),
            statistics.median(one.p50 for one in known),
            statistics.median(one.p99 for one in known),
            sum(one.count for one in known),
            sum(one.refused for one in known),
            _mean([(one.service, one.count) for one in known]),
            _mean([(one.postgres, one.count) for one in known]),
        )


def _mean(each: Sequence[tuple[float | None, int]]) -> float | None:
    """Give what a request took over all rounds: the clock of one is too coarse."""
    known = [(value, count) for value, count in each if value is not None]
    total = sum(count for _, count in known)
    return sum(v * count for v, count in known) / total if total else None


# ---------------------------------------------------------------------- in words

_HEAD = ("rows", "a second", "p50 ms", "p99 ms", "service us", "PG us")
_RAW = ("raw", "share", "raw, all", "share")


def table(shown: Table, before: Kept) -> str:
    """Write rates, times, processor time, shares of the raw limit, and goals.

    Parameters
    ----------
    shown
        What was measured.
    before
        The same of another run; empty for none.
    """
    has_raw = any(line.raw for line in shown.lines)
    then = {line.title: _then(shown, line, before) for line in shown.lines}
    head = [*_HEAD, *(_RAW if has_raw else ())]
    if any(then.values()):
        head.append("of then")
    written = [_row(shown.title, head, "goal")]
    for line in shown.lines:
        cells = _cells(line) + (_shares(line) if has_raw else [])
        goals = line.wanted()
        if (ratio := then[line.title]) is not None:
            cells.append(f"{ratio:.0%}")
            goals.append(Goal(f"{1 / SLOWER:.0%} of then", ratio >= 1 / SLOWER))
        refused = line.figures.refused
        note = f"{line.note} {refused} refused".strip() if refused else line.note
        written.append(_row(line.title, cells, _goals(goals, note)))
    return "\n".join(written)


def _cells(line: Line) -> list[str]:
    figures = line.figures
    return [
        "" if line.rows is None else str(line.rows),
        _rate(figures.rate),
        f"{figures.p50:.2f}",
        f"{figures.p99:.2f}",
        "" if figures.service is None else f"{figures.service:.0f}",
        "" if figures.postgres is None else f"{figures.postgres:.0f}",
    ]


def _shares(line: Line) -> list[str]:
    found = []
    for raw in (line.raw, line.raw_many):
        if raw is None:
            found += ["", ""]
        else:
            found += [_rate(raw), f"{line.figures.rate / raw:.0%}"]
    return found


def _goals(goals: Sequence[Goal], note: str) -> str:
    words = ", ".join(goal.words for goal in goals)
    if any(not goal.met for goal in goals):
        missed = [goal.words for goal in goals if not goal.met]
        words += "  MISSED" + (f" {', '.join(missed)}" if len(goals) > 1 else "")
    return "  ".join(filter(None, (words, note)))


def _rate(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.1f}"


def _row(title: str, cells: Iterable[str], last: str) -> str:
    middle = "".join(f"{cell:>11}" for cell in cells)
    return f"{title:<40}{middle}   {last}".rstrip()


# ------------------------------------------------------------------ other runs


def save(path: Path, tables: Iterable[Table]) -> None:
    """Keep figures for a later run to be compared with."""
    kept = {
        _name(shown, line): asdict(line.figures)
        for shown in tables
        for line in shown.lines
    }
    path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def read(path: Path) -> Kept:
    """Read what was kept."""
    found: Kept = json.loads(path.read_text("utf-8"))
    return found


def _name(shown: Table, line: Line) -> str:
    return f"{shown.title} / {line.title}"


def _then(shown: Table, line: Line, before: Kept) -> float | None:
    known = before.get(_name(shown, line))
    return line.figures.rate / known["rate"] if known else None
