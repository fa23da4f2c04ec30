"""The latest part of the log as this process holds it, ready to be given out.

What is held is made once, bytes and all, and shared by everyone who reads there. A
reader is a number: the position up to which it has seen the log. Nothing is kept for
it here, so it costs nothing to be slow.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from annolog.domain.briefs import brief_of
from annolog.domain.events import LoggedChange, change_event
from annolog.domain.records import REDACTION_KINDS

MAX_HELD = 10_000
"""Changes held at most."""

MAX_HELD_BYTES = 32_000_000
"""Bytes of them at most."""

_SHARED = 1000
"""Pages remembered until the tail grows; readers mostly stand at the same place."""


class Entry:
    """One change, as it is given out.

    Parameters
    ----------
    change
        The change with its record.
    whole
        Whether to give the record at any size.

    Attributes
    ----------
    number, kind, instruments
        Of the change.
    frame
        The event as Server-Sent Event.
    """

    __slots__ = (
        "_brief",
        "_change",
        "_from",
        "frame",
        "instruments",
        "kind",
        "number",
    )

    def __init__(self, change: LoggedChange, *, whole: bool = False) -> None:
        self.number = change.number
        self.kind = change.kind
        self.instruments = change.instruments
        head = b"id: %d\nevent: change\ndata: " % change.number
        self._from = len(head)
        self.frame = head + change_event(change, whole=whole).structured() + b"\n\n"
        self._change: LoggedChange | None = change
        self._brief = b""

    @property
    def brief(self) -> bytes:
        """The brief of it as Server-Sent Event, made when first asked for."""
        if self._change is not None:
            head = self.frame[: self._from]
            self._brief = head + brief_of(self._change) + b"\n\n"
            # It holds the record a second time.
            self._change = None
        return self._brief

    @property
    def event(self) -> memoryview:
        """The event as one JSON object, without a copy."""
        return memoryview(self.frame)[self._from : -2]

    @property
    def size(self) -> int:
        """How many bytes are held, once the brief is made."""
        return len(self.frame) + len(self.brief)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which changes a reader wants.

    Attributes
    ----------
    kind
        Only records of this kind; None for all.
    instrument
        Only changes that concern this instrument; None for all.
    """

    kind: str | None = None
    instrument: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Say whether a change is wanted."""
        return (self.kind is None or entry.kind == self.kind) and (
            self.instrument is None or self.instrument in entry.instruments
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one page takes; the first change is taken at any size."""

    changes: int
    bytes: int


@dataclass(frozen=True)
class Page:
    """What a reader gets next.

    Attributes
    ----------
    entries
        Changes in the order of their numbers.
    next_after
        Its position afterwards: all up to here is in `entries` or was not wanted.
    more
        Whether there is more to read at once.
    """

    entries: tuple[Entry, ...]
    next_after: int
    more: bool

    @cached_property
    def frames(self) -> bytes:
        """The entries as Server-Sent Events."""
        return b"".join(entry.frame for entry in self.entries)

    @cached_property
    def briefs(self) -> bytes:
        """Their briefs as Server-Sent Events."""
        return b"".join(entry.brief for entry in self.entries)

    @cached_property
    def items(self) -> bytes:
        """The entries as JSON objects with commas between."""
        return b",".join(entry.event for entry in self.entries)


class Tail:
    """The changes in (low, high], for numbers that this process has read.

    Parameters
    ----------
    most
        How many changes it holds.
    most_bytes
        How many bytes of them.
    """

    def __init__(self, most: int = MAX_HELD, most_bytes: int = MAX_HELD_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: list[Entry] = []
        self._bytes = 0
        self._pages: dict[tuple[int, Selection, Bounds], Page] = {}
        self.low = self.high = -1
        """What is held lies above `low`; -1 for both where nothing was read yet."""

    @property
    def started(self) -> bool:
        """Whether anything was read, if only that there is nothing."""
        return self.high >= 0

    def start(self, after: int) -> None:
        """Hold nothing, and be ready for what comes above a number."""
        self.stop()
        self.low = self.high = after

    def stop(self) -> None:
        """Hold nothing, and know nothing."""
        self._entries = []
        self._pages = {}
        self._bytes = 0
        self.low = self.high = -1

    def append(self, changes: Iterable[LoggedChange]) -> None:
        """Take in the changes that come next.

        Parameters
        ----------
        changes
            All above `high`, in order and without a gap.
        """
        new = [Entry(change) for change in changes]
        if not new:
            return
        if any(entry.kind in REDACTION_KINDS for entry in new):
            # What is held may have the words that are blank in the database by now.
            # These here were read after that.
            self.start(self.high)
        self._pages = {}
        self._entries += new
        self._bytes += sum(entry.size for entry in new)
        self.high = new[-1].number
        self._let_go()

    def _let_go(self) -> None:
        gone = 0
        while self._entries[gone:] and (
            len(self._entries) - gone > self._most or self._bytes > self._most_bytes
        ):
            self._bytes -= self._entries[gone].size
            self.low = self._entries[gone].number
            gone += 1
        del self._entries[:gone]

    def covers(self, after: int) -> bool:
        """Say whether all above a number is held, as far as it was read."""
        return self.started and after >= self.low

    def page(self, after: int, wanted: Selection, bounds: Bounds) -> Page:
        """Give what comes after a position that is covered.

        Parameters
        ----------
        after
            The position.
        wanted
            Which changes.
        bounds
            How many of them.

        Returns
        -------
        Page
            The same object for all who ask the same.
        """
        key = (after, wanted, bounds)
        found = self._pages.get(key)
        if found is None:
            if len(self._pages) >= _SHARED:
                self._pages = {}
            found = self._pages[key] = self._page(after, wanted, bounds)
        return found

    def _page(self, after: int, wanted: Selection, bounds: Bounds) -> Page:
        taken: list[Entry] = []
        room = bounds.bytes
        first = bisect_right(self._entries, after, key=_number)
        for entry in islice(self._entries, first, None):
            if not wanted.takes(entry):
                continue
            room -= len(entry.frame)
            if taken and (room < 0 or len(taken) == bounds.changes):
                return Page(tuple(taken), taken[-1].number, more=True)
            taken.append(entry)
        return Page(tuple(taken), max(self.high, after), more=False)


def _number(entry: Entry) -> int:
    return entry.number
