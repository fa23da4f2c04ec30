"""Snapshots out of the topics: for those who may reach the broker and no service.

Both topics are read from their beginning whenever a process starts: states are
compacted, and what counts is worked out from all records. What a topic does not hold
any more is missing; the service's own snapshots lack nothing.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Self

from typing_extensions import override

from annolog.domain.errors import AnnologError
from annolog.domain.events import site_of
from annolog.domain.folds import Fold
from annolog.domain.snapshots import SCHEMA_VERSION, Head, Line, SnapshotFilter
from annolog.stream.batches import Batch, batches
from annolog.stream.consume import Until
from annolog.stream.snapshots import AwayError, News, Source
from annolog.stream.topics import Access, Topics

PATIENCE = 600.0
"""Seconds in which both topics must have been read to their ends."""

QUIET = 0.2
"""Seconds without news after which partitions are taken to agree."""

HELD = 20
"""Batches that wait to be taken in, of up to 1000 events each."""

_GLANCE = 0.5

_log = logging.getLogger("annolog.export")

_Taken = tuple[str, Batch | AnnologError | None]


class TopicsSource(Source):
    """The two topics of a site.

    Parameters
    ----------
    access
        The brokers.
    topics
        Names of the topics.
    asked
        Which part is wanted.
    now
        Gives the wall time.
    """

    def __init__(
        self,
        access: Access,
        topics: Topics,
        asked: SnapshotFilter,
        now: Callable[[], datetime],
    ) -> None:
        self._access = access
        self._topics = topics
        self._asked = asked
        self._now = now
        self._fold = Fold(asked)
        self._stop = threading.Event()
        self._queue: queue.Queue[_Taken] = queue.Queue(HELD)
        self._unread = {topics.changes, topics.targets}
        self._told = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Read both topics while the block lasts."""
        readers = [
            threading.Thread(target=self._read, args=(topic,), daemon=True, name=topic)
            for topic in sorted(self._unread)
        ]
        for one in readers:
            one.start()
        try:
            yield self
        finally:
            self._stop.set()
            with contextlib.suppress(queue.Empty):
                while True:  # so that nobody waits for room
                    self._queue.get_nowait()
            for one in readers:
                one.join(5)

    @override
    def whole(self) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        return self._given(None)

    @override
    def changed(
        self, after: int
    ) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        return self._given(after)

    @override
    def wait(self, number: int, seconds: float, stop: threading.Event) -> News:
        del number  # the fold knows what it gave
        ends = time.monotonic() + seconds
        while not stop.is_set():
            left = ends - time.monotonic()
            if not self._take(min(_GLANCE, max(left, 0.0))) and left <= 0:
                return "none"
            # A state may be read before the change that it comes from.
            if self._fold.source and self._fold.has_changed():
                # Partitions are read one after another, and a change is in one of them.
                while self._take(QUIET) and time.monotonic() < ends:
                    pass
                return "whole" if self._fold.needs_whole else "changed"
        return "none"

    # ------------------------------------------------------------ inner works

    @contextlib.contextmanager
    def _given(self, after: int | None) -> Iterator[tuple[Head, Iterator[Line]]]:
        ends = time.monotonic() + PATIENCE
        while self._unread:
            if time.monotonic() > ends:
                raise AwayError(f"Kafka has not given {', '.join(self._unread)} yet")
            self._take(_GLANCE)
        site = site_of(self._fold.source)
        if site is None:
            raise AwayError(f"nothing was published in {self._topics.changes} yet")
        missing = self._fold.incomplete
        if missing != self._told:
            self._told = missing
            _log.warning(
                "%d annotations are left out, as the topic lacks records of them or of"
                " their targets: the service's own snapshots have them",
                missing,
            )
        head = Head(
            SCHEMA_VERSION,
            *site,
            self._fold.number,
            self._now(),
            after,
            self._asked.instrument,
            self._asked.day_obs_min,
            self._asked.day_obs_max,
        )
        yield head, self._fold.whole() if after is None else self._fold.changed()

    def _take(self, seconds: float) -> bool:
        """Take in what was read; false if nothing came for so long."""
        try:
            topic, taken = self._queue.get(timeout=max(seconds, 0.01))
        except queue.Empty:
            return False
        if isinstance(taken, AnnologError):
            raise taken
        if taken is None:
            raise AwayError(f"the reading of {topic} has ended")
        if taken.begins and topic == self._topics.targets:
            self._fold.begin_states()
        take = self._fold.take_change
        if topic == self._topics.targets:
            take = self._fold.take_state
        for event in taken.events:
            take(event)
        if taken.caught_up:
            self._unread.discard(topic)
        return True

    def _read(self, topic: str) -> None:
        last: _Taken = (topic, None)
        try:
            for batch in batches(self._access, topic, stop=self._stop, until=Until()):
                self._put((topic, batch))
        except AnnologError as error:
            last = (topic, error)
        except Exception:  # noqa: BLE001 - who waits for this thread is told
            _log.exception("the reading of %s has failed", topic)
        self._put(last)

    def _put(self, taken: _Taken) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(taken, timeout=_GLANCE)
                return
