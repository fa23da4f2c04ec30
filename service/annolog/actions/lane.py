"""The one lane that every write of a site passes.

Requests queue up while a turn runs; the next turn takes what is there (adaptive group
commit), holds the site-wide lock, decides them one after the other and commits them
together. One bad request in a turn fails alone. A request is answered only once its
transaction is durable; where a commit broke, the outcome is looked up first.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from annolog.actions.desk import Desk, Work
from annolog.actions.known_keys import KnownKeys
from annolog.actions.passage import Passage
from annolog.domain.book import Book
from annolog.domain.errors import AnnologError, OverloadedError, UnavailableError
from annolog.domain.ledger import Known, NeedMore, Wants
from annolog.domain.records import Origin
from annolog.storage import targets, turn
from annolog.storage.database import (
    CONNECT_TIMEOUT,
    RETRY_AFTER,
    Connection,
    Pool,
    has_ended,
    is_away,
    unavailable,
)
from annolog.storage.large import MANY, more_time, worked_out

MOST_WORKS = 64
"""Requests in one turn: more gain nothing, and make the others wait."""

FEW_WORKS = 4
"""Requests that are never split over two turns."""

MOST_TARGETS = MANY
"""Targets in one turn, unless one request alone has more."""

MOST_WAITING = 4_096
"""Requests that may wait; the next one is told to try again later."""

LONGEST_WAIT = 20.0
"""Seconds that a request waits for its turn before it is told to try again."""

FEW_TARGETS = 256
"""Targets that a lane has written to when it has its statements planned anew for the
first time; then at four times as many, and so on."""

AT_LATEST = 0.01
"""Seconds after which a turn is answered although the next one has not come far."""

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a turn looked like, for those who measure.

    Attributes
    ----------
    works, changes
        Requests decided and changes written.
    seconds
        From taking the requests to the end of the commit.
    head
        The log's greatest number afterwards.
    """

    works: int
    changes: int
    seconds: float
    head: int


class Lane:
    """Queues works and runs turns, one at a time, over one connection.

    Parameters
    ----------
    connections
        Pool of one connection for the lane (`database.LANE`).
    origin
        This site and incarnation.
    known
        The vocabulary as read at start.
    now
        Gives the wall time (UTC).
    new_id
        Gives a fresh id for a moment.
    observe
        Is told of each turn.
    """

    def __init__(
        self,
        connections: Pool,
        origin: Origin,
        known: Known,
        *,
        now: Callable[[], datetime],
        new_id: Callable[[datetime], UUID],
        observe: Callable[[Seen], None] = lambda _: None,
    ) -> None:
        self._connections = connections
        self._passage = Passage(connections)
        self._origin = origin
        self._now = now
        self._new_id = new_id
        self._observe = observe
        self._queue: deque[Work[Any]] = deque()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._in_turn = False
        self._due: list[tuple[Work[Any], Any]] = []
        self._taken = 0
        self._written = 0
        self._planned_for = FEW_TARGETS
        self.known = known
        """The vocabulary as this process knows it; at most a turn behind the log."""
        self.known_keys = KnownKeys()
        """Keys that are known to have rows."""

    @property
    def waiting(self) -> int:
        """How many requests wait for a turn."""
        return len(self._queue)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Lane"]:
        """Run turns while the block lasts; at its end the queue is worked off."""
        self._runner = asyncio.create_task(self._run(), name="annolog lane")
        try:
            yield self
        finally:
            # A turn that runs is let end, or nobody would know how it ended.
            while self._queue or self._in_turn:  # noqa: ASYNC110 - a process ends once
                await asyncio.sleep(0.01)
            self._hand_out()
            runner, self._runner = self._runner, None
            runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await runner

    async def submit(self, work: Work[_T]) -> _T:
        """Queue a request and wait for its answer.

        Raises
        ------
        OverloadedError
            If too many wait already.
        UnavailableError
            If the database is away, or the turn did not come in time.
        AnnologError
            Whatever the decision raised.
        """
        if len(self._queue) >= MOST_WAITING or self._runner is None:
            msg = f"{len(self._queue)} requests wait already; try again in a moment"
            raise OverloadedError(msg, extra={"retry_after": 1})
        loop = asyncio.get_running_loop()
        work.answer = loop.create_future()
        self._queue.append(work)
        self._wake.set()
        patience = loop.call_later(LONGEST_WAIT, _give_up, work)
        try:
            return await work.answer
        finally:
            patience.cancel()

    # ------------------------------------------------------------ turns

    async def _run(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            works = self._take()
            self._in_turn = True
            try:
                await self._serve(works)
                if not self._queue:
                    await self._passage.leave()
            except Exception as error:  # noqa: BLE001 - the lane outlives any turn
                _log.exception("a turn of the lane failed")
                _refuse(works, error)
            finally:
                self._in_turn = False

    def _take(self) -> list[Work[Any]]:
        """Take what has queued up, within the limits of one turn.

        Only half of those who are at it now: the others, and those who were in the
        last turn and come back, are read and answered while the server writes this
        one. Where one turn takes all, server and service wait for each other.
        """
        works: list[Work[Any]] = []
        size = 0
        half = (self._taken + len(self._queue) + 1) // 2
        most = min(max(half, FEW_WORKS), MOST_WORKS)
        while self._queue and len(works) < most:
            work = self._queue[0]
            if works and (work.alone or size + work.size > MOST_TARGETS):
                break
            self._queue.popleft()
            if work.answer is None or work.answer.done():
                continue  # the client has gone; nothing was written for it
            work.taken = True
            works.append(work)
            size += work.size
            if work.alone:
                break
        self._taken = len(works)
        return works

    async def _serve(self, works: list[Work[Any]], *, again: bool = False) -> None:
        """Run a turn; if it fails as a whole, each request gets one of its own.

        Where its session was lost before anything was committed, it has another one
        first: who stood still for two seconds finds the server as it was.

        Parameters
        ----------
        works
            The requests.
        again
            Whether this is the other one.
        """
        if not works:
            return
        try:
            await self._turn(works)
        except AnnologError as error:
            _refuse(works, error)
        except Exception as error:  # noqa: BLE001 - each is answered, none raised
            waiting = [one for one in works if one.answer and not one.answer.done()]
            lost = has_ended(error) and not isinstance(error, TimeoutError)
            if lost and not again:
                await self._serve(waiting, again=True)
            elif is_away(error):
                _refuse(works, unavailable())
            elif len(works) == 1:
                _log.exception("a request failed in the lane")
                _refuse(works, error)
            else:
                for work in waiting:
                    await self._serve([work])

    async def _turn(self, works: list[Work[Any]]) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        book: Book | None = None
        answers: list[tuple[Work[Any], Any]] = []
        later: list[Work[Any]] = []
        sent = False
        try:
            connection = await self._passage.enter()
            book = await self._open(connection, works)
            now = self._now()
            desk = Desk(book, now, lambda: self._new_id(now))
            for work in works:
                try:
                    answer = await _decided(connection, desk, work, len(works))
                except _LargerError:
                    later.append(work)
                else:
                    answers.append((work, answer))
            # Once the server has the rows: those of the last turn, while it writes.
            loop.call_soon(self._hand_out)
            messages = await turn.write(connection, book, now)
            sent = True
            for work in works:
                work.messages = messages
            again = bool(later or self._queue)
            stored = bool(book.entered)
            await self._passage.end(connection, stored=stored, again=again)
        except BaseException as error:
            if book is None or not (sent and isinstance(error, Exception)):
                await self._passage.fail(error)
                raise
            # Whatever failed, the commit may have gone well before.
            self._passage.give_up()
            await self._passage.leave()
            if book.entered and await self._landed(book):
                self._answer(answers)
                return
            if is_away(error):
                raise unavailable() from error
            raise
        finally:
            self._queue.extendleft(reversed(later))
        self.known = book.known
        if book.entered:
            self.known_keys.remember(key for work in works for key, _ in work.rows)
            self._written += sum(work.size for work in works)
        self._due += answers
        # The next turn first, or the server would have nothing to do meanwhile.
        wait = AT_LATEST if self._queue else 0.0
        loop.call_later(wait, self._hand_out)
        self._observe(
            Seen(len(answers), len(book.entered), loop.time() - begun, book.head)
        )

    async def _open(self, connection: Connection, works: list[Work[Any]]) -> Book:
        """Lay out what the works need."""
        if self._written > self._planned_for:
            # Plans are kept, and one made while a table was empty may read all of it.
            await connection.execute("discard plans")
            self._planned_for = 4 * self._written
        if sum(work.size for work in works) > MOST_TARGETS:
            await more_time(connection)
        rows = {key: place for work in works for key, place in work.rows}
        if rows:
            await targets.add(connection, sorted(rows.items()))
        names = [name for work in works for name in work.obs_ids]
        if names:
            await targets.add_names(connection, names)
        wants = Wants.of_all(work.wants for work in works)
        book, self.known = await turn.open_book(
            connection, self._origin, self.known, wants.keys
        )
        if book.origin != self._origin:
            self._origin = book.origin
            self.known_keys.forget()
        rest = Wants(wants.annotations, frozenset(), wants.facts, wants.records)
        await turn.load(connection, book, rest)
        return book

    def _hand_out(self) -> None:
        """Answer whoever has not been answered yet; their turn is durable."""
        due, self._due = self._due, []
        self._answer(due)

    def _answer(self, answers: Iterable[tuple[Work[Any], Any]]) -> None:
        for work, answer in answers:
            if work.answer is None or work.answer.done():
                continue
            if isinstance(answer, AnnologError):
                work.answer.set_exception(answer)
            else:
                work.answer.set_result(answer)

    async def _landed(self, book: Book) -> bool:
        """Look up whether a turn whose commit broke was stored.

        The lane's lock is taken first: as long as the broken session lives it holds
        the lock, and its outcome is still open.
        """
        first = book.entered[0]
        for _ in range(3):
            try:
                async with self._connections.acquire(
                    timeout=CONNECT_TIMEOUT
                ) as connection:
                    await connection.execute(turn.ENTER)
                    try:
                        found: bool = await connection.fetchval(
                            """
                            select exists (select from change
                                            where number = $1 and record_id = $2)
                            """,
                            first.number,
                            first.record.record_id,
                        )
                    finally:
                        await connection.execute("rollback")
            except Exception as error:
                if not is_away(error):
                    raise
                await asyncio.sleep(0.5)
            else:
                return found
        raise _outcome_unknown()


class _LargerError(Exception):
    """A request has more targets than was known when its turn began."""


async def _decided(
    connection: Connection, desk: Desk, work: Work[Any], works: int
) -> Any:  # noqa: ANN401 - whatever the decision gives
    """Decide one request of a turn, loading what it turns out to need.

    Raises
    ------
    _LargerError
        It needs so much that the others would have to wait for it; nothing of it was
        entered, and its size is known now.
    """
    book = desk.book
    entered = len(book.entered)
    lacked: Wants | None = None
    while True:
        try:
            return await worked_out(max(work.size, book.size), work.decide, desk)
        except NeedMore as need:
            if need.wants == lacked:
                msg = f"what a decision needs is not there: {need.wants}"
                raise LookupError(msg) from None
            lacked, more = need.wants, len(need.wants.keys)
            untouched = works > 1 and len(book.entered) == entered
            if (
                untouched
                and more > work.size
                and more + len(book.places) > MOST_TARGETS
            ):
                # Only ever with a greater size, so it has its turn in the end.
                work.size, work.taken = more, False
                raise _LargerError from None
            await turn.load(connection, book, lacked)
        except AnnologError as error:
            if work.alone:
                raise
            return error


def _outcome_unknown() -> UnavailableError:
    msg = (
        "the database went away while it was storing this, and whether it did is "
        "not known; send the same request with the same id again"
    )
    return UnavailableError(
        msg, code="outcome_unknown", extra={"retry_after": RETRY_AFTER}
    )


def _give_up(work: Work[Any]) -> None:
    """Let nobody wait for ever; a work that was taken may yet be stored."""
    _refuse([work], _outcome_unknown() if work.taken else unavailable())


def _refuse(works: Iterable[Work[Any]], error: BaseException) -> None:
    for work in works:
        if work.answer is not None and not work.answer.done():
            work.answer.set_exception(error)
