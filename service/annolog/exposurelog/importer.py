"""Bringing an exposurelog database into annolog.

The source is read in one snapshot and never written to. Its rows become records, which
pass the lane as those of any other site do, so the service goes on meanwhile. What is
here already is not sent again: an import that was killed is started again, and one
that is repeated adds what is new.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from annolog.actions import receive
from annolog.domain.errors import AnnologError, InvalidError, UnavailableError
from annolog.domain.records import Record
from annolog.exposurelog import queries_import, queries_source
from annolog.exposurelog.addresses import database_address
from annolog.exposurelog.lines import Found, Lines
from annolog.exposurelog.queries_import import Stored
from annolog.exposurelog.rows import Row, invalidation, statement
from annolog.runtime import Runtime
from annolog.storage import database
from annolog.storage.database import Connection, Use

PIECE = 500
"""Rows that are taken in by one turn of the lane: others wait for a turn's length."""

BULK = 1_000
"""New messages after which the planner is told what the tables hold."""

_PATIENCE = 8
"""How often a piece is sent again while the database is away or the lane is taken."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is.

    Attributes
    ----------
    rows, total
        Rows of the source that were dealt with, and all of them.
    messages, invalidations
        Those of them that were new here.
    left
        Invalidations that were not taken: of messages that were said here about
        several exposures at once, and went to the source by an export.
    seconds
        Since it began.
    """

    rows: int
    total: int
    messages: int
    invalidations: int
    left: int
    seconds: float


async def bring(
    runtime: Runtime,
    source: str,
    *,
    piece: int = PIECE,
    tell: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Bring what is new in an exposurelog database.

    Parameters
    ----------
    runtime
        The parts of a process on annolog's database.
    source
        Where the source is, in any of the forms of `addresses`.
    piece
        Rows of one turn.
    tell
        Is told of each piece.

    Returns
    -------
    Progress
        What it came to.

    Raises
    ------
    InvalidError
        The address cannot be read, or exposurelog's table is not there.
    UnavailableError
        One of the databases is away; what came so far is kept.
    """
    async with connected(source, queries_source.READING) as connection:
        return await _Import(runtime, piece, tell).run(connection)


@contextlib.asynccontextmanager
async def connected(address: str, use: Use) -> AsyncIterator[Connection]:
    """Connect to an exposurelog database; errors say that it is the one meant.

    Raises
    ------
    InvalidError
        The address cannot be read.
    UnavailableError
        It cannot be reached, or goes away.
    """
    url = database_address(address)
    try:
        connection = await database.connect(url, use)
    except ValueError as error:
        detail = f"the address of the exposurelog database is wrong: {error}"
        raise InvalidError(detail, code="setting_address") from None
    except UnavailableError as error:
        raise _away(error) from error
    try:
        yield connection
    except BaseException as error:
        connection.terminate()
        if isinstance(error, AnnologError) or not database.is_away(error):
            raise
        raise _away(error) from error
    await connection.close()


def _away(error: BaseException) -> UnavailableError:
    cause = error.__cause__ or error
    reason = str(cause).strip() or type(cause).__name__
    return UnavailableError(
        f"the exposurelog database cannot be reached: {reason}", code="source_away"
    )


@dataclass(frozen=True, slots=True)
class _Piece:
    """What some rows come to: records that are not here, and of whom they are."""

    rows: int
    said: frozenset[UUID]
    left: int
    records: Sequence[Record]


class _Import:
    """One run: what was seen, and how far it is."""

    def __init__(
        self, runtime: Runtime, piece: int, tell: Callable[[Progress], None]
    ) -> None:
        self._runtime = runtime
        self._piece = piece
        self._tell = tell
        self._lines = Lines()
        self._old: dict[UUID, Stored] = {}
        self._rows = self._total = 0
        self._messages = self._invalidations = self._left = 0
        self._clock = asyncio.get_running_loop().time
        self._begun = self._clock()

    async def run(self, source: Connection) -> Progress:
        async with source.transaction(isolation="repeatable_read", readonly=True):
            await queries_source.check_layout(source)
            self._total = await queries_source.count(source)
            self._tell(self._progress())
            pieces = self._pieces(source)
            piece = await anext(pieces, None)
            while piece is not None:
                # While the database writes one piece, the next is made.
                _, piece = await asyncio.gather(self._send(piece), anext(pieces, None))
        if self._messages >= BULK:
            # Without it all is here too, and autovacuum does it within a minute.
            with contextlib.suppress(UnavailableError):
                async with database.begin(self._runtime.work) as connection:
                    await queries_import.analyze(connection)
        return self._progress()

    def _progress(self) -> Progress:
        return Progress(
            self._rows,
            self._total,
            self._messages,
            self._invalidations,
            self._left,
            self._clock() - self._begun,
        )

    async def _pieces(self, source: Connection) -> AsyncIterator[_Piece]:
        async for found in queries_source.read(source, self._piece):
            yield await self._made(self._lines.ordered(found))
        rest = list(self._lines.rest())
        for first in range(0, len(rest), self._piece):
            yield await self._made(rest[first : first + self._piece])

    async def _made(self, found: Sequence[Found]) -> _Piece:
        """Find out what of these rows is not here, and make records of it."""
        ids = [one.row.message_id for one in found]
        async with database.reading(self._runtime.reads) as connection:
            stored = await queries_import.stored(connection, ids)
            for one in found:
                if one.has_children and one.row.message_id in stored:
                    self._old[one.row.message_id] = stored[one.row.message_id]
            lines = {
                self._old[one.row.parent_id].line.annotation_id
                for one in found
                if one.may_continue
                and one.row.parent_id in self._old
                and one.row.message_id not in stored
            }
            continued = (
                await queries_import.continued(connection, lines) if lines else {}
            )
        made: list[Record] = []
        left = 0
        for one in found:
            row = one.row
            here = stored.get(row.message_id)
            line = self._lines.place(
                one,
                here.line if here is not None else None,
                taken=self._is_taken(row, continued),
            )
            if here is None:
                made.append(statement(row, line))
            elif here.date_invalidated == row.date_invalidated:
                continue
            elif not here.alone:
                left += row.date_invalidated is not None
                continue
            end = invalidation(row, line)
            if end is not None:
                made.append(end)
        return _Piece(len(found), frozenset(ids), left, made)

    def _is_taken(self, row: Row, continued: Mapping[UUID, UUID]) -> bool:
        """Tell whether a row cannot go on in its parent's annotation.

        That is so where an earlier run saw another first child: a row with an older
        date came later. And a message that was said of several exposures is no
        annotation of its own.
        """
        if row.parent_id is None or row.parent_id not in self._old:
            return False
        first = continued.get(row.parent_id, row.message_id)
        return first != row.message_id or not self._old[row.parent_id].alone

    async def _send(self, piece: _Piece) -> None:
        fresh = await self._received(piece.records) if piece.records else set()
        said = len(fresh & piece.said)
        self._rows += piece.rows
        self._messages += said
        self._invalidations += len(fresh) - said
        self._left += piece.left
        self._tell(self._progress())

    async def _received(self, made: Sequence[Record]) -> set[UUID]:
        lane, work = self._runtime.lane, self._runtime.work
        wait = 0
        while True:
            try:
                return await receive.records(lane, work, made, piece=len(made))
            except UnavailableError:
                wait += 1
                if wait > _PATIENCE:
                    raise
                await asyncio.sleep(wait)
