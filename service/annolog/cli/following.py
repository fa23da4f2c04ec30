"""Exporting into a butler: once, or for as long as things are said.

The butler's library is imported only when an export begins: the rest of the command
does without.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from annolog.butler.scopes import Scope
from annolog.domain.errors import AnnologError
from annolog.stream.snapshots import AwayError, Source

RETRY = 5.0
"""Seconds until a follower tries again after a failure."""

_log = logging.getLogger("annolog.export")

_REASONS = {
    "not_held": "not in this repository",
    "embargoed": "too young for it",
    "no_place": "of kinds that have no tables",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What one export came to, for people and programs.

    Attributes
    ----------
    repo
        The repository.
    site_id, number, taken_at
        Of the snapshot.
    added, changed, removed
        Rows by table.
    waiting
        Counts and examples by reason and kind.
    dropped
        Tables of older layouts that were removed.
    seconds
        How long it took.
    """

    repo: str
    site_id: str
    number: int
    taken_at: datetime
    added: Mapping[str, int]
    changed: Mapping[str, int]
    removed: Mapping[str, int]
    waiting: list[dict[str, Any]]
    dropped: list[str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Give it for programs."""
        return {name: getattr(self, name) for name in self.__slots__}

    def lines(self) -> list[str]:
        """Give it for people."""
        head = f"change {self.number} of {self.site_id}"
        lines = [f"{head}: {self.counts()}, in {self.seconds:.1f} s"]
        for one in self.waiting:
            reason = _REASONS[one["reason"]]
            named = ", ".join(one["examples"])
            lines.append(f"{one['count']} {one['kind']} targets are {reason}: {named}")
        if self.dropped:
            lines.append(f"removed {len(self.dropped)} tables of older layouts")
        return lines

    def counts(self) -> str:
        """Say how many rows were touched."""
        words = [
            f"{sum(rows.values())} rows {word}"
            for word, rows in (
                ("added", self.added),
                ("changed", self.changed),
                ("removed", self.removed),
            )
            if rows
        ]
        return ", ".join(words) or "nothing to do"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an export may do beyond bringing what differs.

    Attributes
    ----------
    other_site
        Replace the snapshot of another site.
    narrow
        Remove what an earlier export asked for and this one does not.
    drop_older
        Remove tables of older layouts afterwards.
    """

    other_site: bool = False
    narrow: bool = False
    drop_older: bool = False


class Follower:
    """Exports into one repository.

    Parameters
    ----------
    repo
        Where it is.
    scope
        Which part it gets: the options of the command, by their names.
    now
        Gives the wall time.
    tell
        Is told what is being done, and how far it is.
    allowed
        What it may do besides.
    knows
        Tells whether an instrument is known to the source.
    """

    def __init__(
        self,
        repo: str,
        scope: Mapping[str, Any],
        now: Callable[[], datetime],
        *,
        tell: Callable[[str, int, int], None],
        allowed: Allowed,
        knows: Callable[[str], bool],
    ) -> None:
        self._repo = repo
        self._scope = dict(scope)
        self._now = now
        self._tell = tell
        self._allowed = allowed
        self._knows = knows
        self._exporter: Any = None

    def once(self, source: Source) -> Report:
        """Export all that now holds.

        Raises
        ------
        AnnologError
            If the source or the butler cannot be used; then nothing was written.
        """
        began = time.monotonic()
        exporter = self._opened()
        with source.whole() as (head, lines):
            done = exporter.export(
                head,
                lines,
                other_site=self._allowed.other_site,
                narrow=self._allowed.narrow,
            )
        dropped = exporter.tables.drop_older() if self._allowed.drop_older else []
        return self._report(done, dropped, began)

    def follow(self, source: Source, stop: threading.Event, full_every: float) -> None:
        """Export what now holds, and then what changes, until told to stop.

        Parameters
        ----------
        source
            Where it comes from.
        stop
            Ends it within some seconds when it is set.
        full_every
            Seconds after which the whole is compared again: what the butler got or
            lost meanwhile shows only then, and what is too young becomes old.

        Raises
        ------
        AnnologError
            If the source refuses, or the butler cannot be used at the first export.
        """
        number, due = None, 0.0
        while not stop.is_set():
            try:
                if number is None or time.monotonic() >= due:
                    report = self.once(source)
                    number, due = report.number, time.monotonic() + full_every
                    for line in report.lines():
                        _log.info("%s", line)
                    continue
                left = max(due - time.monotonic(), 0.1)
                match source.wait(number, left, stop):
                    case "changed":
                        number = self._changed(source, number)
                    case "whole":
                        due = 0.0
                    case "none":
                        pass
            except AnnologError as error:
                if number is None and not isinstance(error, AwayError):
                    raise
                _log.warning("%s; it is tried again", error.detail)
                # The whole leads on from wherever the tables are now.
                due = 0.0
                self.close()
                stop.wait(RETRY)

    def close(self) -> None:
        """Close the repository; it is opened again when it is needed."""
        exporter, self._exporter = self._exporter, None
        if exporter is not None:
            exporter.close()

    def _changed(self, source: Source, number: int) -> int:
        began = time.monotonic()
        with source.changed(number) as (head, lines):
            done = self._opened().export(head, lines)
        report = self._report(done, [], began)
        if done.touched or done.waiting.total:
            for line in report.lines():
                _log.info("%s", line)
        return report.number

    def _opened(self) -> Any:  # noqa: ANN401 - an Exporter, whose library is not imported
        if self._exporter is None:
            self._exporter = self._open()
        return self._exporter

    def _open(self) -> Any:  # noqa: ANN401 - as above
        from annolog.butler import exporter  # noqa: PLC0415 - needs the butler's library

        scope = Scope(
            tuple(sorted(self._scope["instruments"])),
            self._scope["day_obs_min"],
            self._scope["day_obs_max"],
            tuple(sorted(self._scope["sets"])),
            self._scope["label"],
            self._scope["embargo_hours"],
        )
        return exporter.open_exporter(
            self._repo,
            scope,
            now=self._now,
            tell=lambda p: self._tell(*p),
            knows=self._knows,
        )

    def _report(self, done: Any, dropped: list[str], began: float) -> Report:  # noqa: ANN401 - an Exported
        waiting = [
            {
                "reason": reason,
                "kind": kind,
                "count": count,
                "examples": done.waiting.examples[reason, kind],
            }
            for (reason, kind), count in sorted(done.waiting.counts.items())
        ]
        return Report(
            self._repo,
            done.site_id,
            done.number,
            done.taken_at,
            done.added,
            done.changed,
            done.removed,
            waiting,
            dropped,
            round(time.monotonic() - began, 3),
        )
