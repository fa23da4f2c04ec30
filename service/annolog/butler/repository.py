"""One butler, asked through a child process of its own.

The butler's library blocks and may hang with a file system or a database, so it never
runs here. The child is started at the first question, gets one question at a time, is
killed when it does not answer in time, and is started anew at the next one. While a
butler is known to be away its callers are told at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

import annolog
from annolog.butler.wire import (
    LINE,
    Answer,
    Ask,
    Count,
    Exposures,
    Instruments,
    Named,
    Opened,
    Page,
    Question,
    Reading,
    VisitDefinition,
    Visits,
)
from annolog.domain.errors import UnavailableError
from annolog.domain.registries import ExposureQuery

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_TOLD = 300
"""Characters that the log is told of what the child wrote."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a butler is waited for, in seconds.

    Attributes
    ----------
    answer
        For each part of an answer, and for the questions before.
    start
        Until the butler is open; who asks meanwhile waits no longer than `answer`.
    away
        How long a butler that did not answer is left alone.
    """

    answer: float = 10.0
    start: float = 30.0
    away: float = 10.0


SERVING = Patience()
"""While somebody waits for a page."""

BRINGING = Patience(answer=300.0, start=120.0, away=0.0)
"""While whole nights are read and nobody waits."""


class _BrokenError(Exception):
    """The child ended, did not open the butler, or did not answer in time."""


class _HungError(_BrokenError):
    """The child did not answer in time; another one would hang just as long."""


class _RefusedError(Exception):
    """The butler raised an error, and the child goes on."""


@dataclass(eq=False, slots=True)
class _Child:
    """A running child whose butler is open, or about to be."""

    process: asyncio.subprocess.Process
    words: "deque[str]"
    listening: "asyncio.Task[None]"

    async def end(self) -> None:
        """Kill it and all that it started, and wait for that."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        self.listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.listening


class Repository:
    """Asks one butler.

    Parameters
    ----------
    uri
        What the butler's library opens: a folder, a file, a label, an address.
    name
        What it is called in errors: the URI may be nobody's business.
    patience
        How long it is waited for.
    """

    def __init__(self, uri: str, name: str, patience: Patience = SERVING) -> None:
        self.uri = uri
        self.name = name
        self._patience = patience
        self._turn = asyncio.Lock()
        self._child: _Child | None = None
        self._starting: asyncio.Task[_Child] | None = None
        self._number = 0
        self._away_until = 0.0
        self._failed = False

    @property
    def state(self) -> Literal["idle", "open", "away"]:
        """How the last question went: idle before the first one."""
        if self._failed:
            return "away"
        return "idle" if self._child is None else "open"

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return None if self._child is None else self._child.process.pid

    async def close(self) -> None:
        """End the child; the next question would start another."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, _BrokenError):
                await self._starting
            self._starting = None
        await self._end()

    # ------------------------------------------------------------ questions

    async def instruments(self) -> list[str]:
        """Give the names of all instruments, sorted.

        Raises
        ------
        UnavailableError
            If the butler is away; so all other questions too.
        """
        return await self._ask(Instruments(), str)

    async def exposures(self, query: ExposureQuery) -> list[Reading]:
        """Give exposures in the order asked for; none of an unknown instrument."""
        return await self._ask(Exposures(query), Reading)

    async def named(self, instrument: str, obs_ids: tuple[str, ...]) -> list[Reading]:
        """Give the exposures that have one of these names, by id."""
        return await self._ask(Named(instrument, obs_ids), Reading)

    async def page(self, instrument: str, after: int, limit: int) -> list[Reading]:
        """Give the exposures with the least ids after one, by id."""
        return await self._ask(Page(instrument, after, limit), Reading)

    async def visits(
        self, instrument: str, first: int, last: int
    ) -> list[VisitDefinition]:
        """Give the visits with an exposure in a range of ids, each whole, in order."""
        return await self._ask(Visits(instrument, first, last), VisitDefinition)

    async def count(self, instrument: str, before: int, *, visits: bool = False) -> int:
        """Count exposures, or exposures of visits, with ids before one."""
        [number] = await self._ask(Count(instrument, before, visits), int)
        return number

    # ------------------------------------------------------------ asking

    async def _ask(self, question: Question, kind: type[_T]) -> list[_T]:
        self._refuse_if_away()
        try:
            async with asyncio.timeout(self._patience.answer):
                await self._turn.acquire()
        except TimeoutError:
            raise self._unavailable("is busy with earlier questions") from None
        try:
            self._refuse_if_away()
            found = await self._asked(question, kind)
        except _BrokenError as error:
            self._failed = True
            await self._end()
            loop = asyncio.get_running_loop()
            self._away_until = loop.time() + self._patience.away
            _log.warning("%s (%s) is away: %s", self.name, self.uri, error)
            raise self._unavailable("is away") from None
        else:
            self._failed = False
            return found
        finally:
            self._turn.release()

    async def _asked(self, question: Question, kind: type[_T]) -> list[_T]:
        """Ask, and ask once more where that may help."""
        child = await self._running()
        try:
            return await self._answered(child, question, kind)
        except _RefusedError as error:
            _log.warning("%s did not answer %r: %s", self.name, question, error)
            # Its connection to a database may have broken: the library makes another.
            if not await self._answers(child):
                await self._end()
        except _HungError:
            raise
        except _BrokenError as error:
            _log.warning("%s is started again: %s", self.name, error)
            await self._end()
        child = await self._running()
        try:
            return await self._answered(child, question, kind)
        except _RefusedError as error:
            if await self._answers(child):
                # The butler is there for others, so it is not called away.
                raise self._unavailable("cannot answer this") from None
            raise _BrokenError(str(error)) from None

    async def _answers(self, child: _Child) -> bool:
        try:
            await self._answered(child, Instruments(), str)
        except (_RefusedError, _BrokenError):
            return False
        return True

    async def _answered(
        self, child: _Child, question: Question, kind: type[_T]
    ) -> list[_T]:
        self._number += 1
        number = self._number
        rows: list[_T] = []
        line = msgspec.json.encode(Ask(number, question)) + b"\n"
        assert child.process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            child.process.stdin.write(line)
            async with asyncio.timeout(self._patience.answer):
                await child.process.stdin.drain()
        except TimeoutError:
            raise _HungError(_last(child, "it takes no questions")) from None
        except (ConnectionError, RuntimeError):  # uvloop's word for a closed pipe
            raise _BrokenError(_last(child, "it ended")) from None
        while True:
            said = await _line(child, Answer, self._patience.answer)
            if said.number != number:
                continue  # whoever asked this did not wait
            if said.error is not None:
                raise _RefusedError(said.error[:_TOLD])
            rows += msgspec.json.decode(said.rows, type=list[kind])  # type: ignore[valid-type]
            if not said.more:
                return rows

    def _refuse_if_away(self) -> None:
        if asyncio.get_running_loop().time() < self._away_until:
            raise self._unavailable("is away")

    def _unavailable(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"{self.name} {what}; try again in a moment",
            code="butler_away",
            extra={"retry_after": max(1, round(self._patience.away))},
        )

    # ------------------------------------------------------------ the child

    async def _running(self) -> _Child:
        if self._child is not None:
            return self._child
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="annolog butler")
        starting = self._starting
        try:
            # Shielded: it goes on opening for those who come later.
            async with asyncio.timeout(self._patience.answer):
                self._child = await asyncio.shield(starting)
        except TimeoutError:
            raise self._unavailable("is being opened") from None
        finally:
            if starting.done():
                self._starting = None
        return self._child

    async def _start(self) -> _Child:
        root = str(Path(annolog.__file__).parents[1])
        paths = [root, os.environ.get("PYTHONPATH", "")]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "annolog.butler.child",
            self.uri,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            # Ctrl-C reaches the whole foreground group; the order is ours.
            start_new_session=True,
        )
        words: deque[str] = deque(maxlen=20)
        child = _Child(process, words, asyncio.create_task(_listen(process, words)))
        try:
            universe = await _opened(child, self._patience.start)
        except BaseException:
            await child.end()
            raise
        _log.info("%s is open, dimension universe %d", self.name, universe)
        return child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


async def _opened(child: _Child, seconds: float) -> int:
    """Wait until the butler is open; give its dimension universe."""
    opened = await _line(child, Opened, seconds)
    if opened.error is not None:
        raise _BrokenError(opened.error[:_TOLD])
    return opened.universe


async def _line(child: _Child, kind: type[_T], seconds: float) -> _T:
    """Read the next thing that a child says."""
    assert child.process.stdout is not None  # noqa: S101 - it is a pipe
    try:
        async with asyncio.timeout(seconds):
            line = await child.process.stdout.readline()
    except TimeoutError:
        raise _HungError(_last(child, f"no answer for {seconds:.0f} s")) from None
    except ValueError:
        raise _BrokenError("an answer is too long") from None
    if not line:
        raise _BrokenError(_last(child, "it ended"))
    return msgspec.json.decode(line, type=kind)


def _last(child: _Child, what: str) -> str:
    return f"{what} ({child.words[-1][:_TOLD]})" if child.words else what


async def _listen(process: asyncio.subprocess.Process, words: "deque[str]") -> None:
    """Keep the last lines that a child's libraries wrote."""
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(ValueError):  # a line without end: no more is kept
        while line := await process.stderr.readline():
            words.append(line.decode("utf-8", "replace").strip())
