"""A whole registry into the log: what is new or has changed, and no more.

The last nights are read again each time, for their records come late and change. What
lies before is counted, and all is read again where the number is another one. So a
reading costs little, may be broken off and repeated at any time, and two at once do no
harm.
"""

import asyncio
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from annolog.actions.lane import Lane
from annolog.butler import entering
from annolog.butler.entering import Entry, entry_of
from annolog.butler.repository import Repository
from annolog.butler.wire import Reading, VisitDefinition
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments
from annolog.domain.registries import Position
from annolog.storage import registries
from annolog.storage.database import Pool, begin, reading

NIGHTS = 2
"""Nights that are read again each time: this one and the last."""

PAGE = 2_000
"""Exposures that are read at once."""

_BEFORE_ALL = -(2**63)
_LAST_ID = 2**63 - 1


@dataclass(slots=True)
class Brought:
    """What a reading of an instrument has come to so far.

    Attributes
    ----------
    instrument
        Which one.
    swept
        Whether all of it is read, not the last nights alone.
    exposures, visits
        How many were read.
    exposures_written, visits_written
        How many of them were new, or had changed.
    refused
        How many could not be taken, as their names make no key.
    """

    instrument: str
    swept: bool = False
    exposures: int = 0
    exposures_written: int = 0
    visits: int = 0
    visits_written: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Thorough:
    """What a reading looks at beside the last nights.

    Attributes
    ----------
    exposures, visits
        Whether the earlier ones are counted, and all read again if their number has
        changed.
    everything
        All is read again in any case.
    """

    exposures: bool = True
    visits: bool = True
    everything: bool = False


@dataclass(slots=True)
class _Tally:
    """What was read, as far as the next position needs it."""

    ids: "array[int]" = field(default_factory=lambda: array("q"))
    visited: "array[int]" = field(default_factory=lambda: array("q"))
    nights: dict[int, int] = field(default_factory=dict)

    def add(
        self, page: Sequence[Reading], definitions: Sequence[VisitDefinition]
    ) -> None:
        for one in page:
            exposure = one.exposure
            self.ids.append(exposure.exposure_id)
            if exposure.day_obs is not None:
                # In the order of their ids, so the first is the least.
                self.nights.setdefault(exposure.day_obs, exposure.exposure_id)
        first, last = self.ids[-len(page)], self.ids[-1]
        self.visited.extend(
            one
            for definition in definitions
            for one in definition.exposures
            if first <= one <= last
        )

    def position(self, before: Position | None) -> Position:
        """Give how far this reading came; `before` where it began, None: at first."""
        start = before or Position(0, 0, 0)
        recent = sorted(self.nights)[-NIGHTS:]
        since = min((self.nights[one] for one in recent), default=start.since_id)
        return Position(
            since,
            start.exposures_before + sum(one < since for one in self.ids),
            start.visits_before + sum(one < since for one in self.visited),
        )


class Bringer:
    """Brings what one registry has into the log.

    Parameters
    ----------
    repository
        The butler; it is not asked by others meanwhile.
    lane
        The way into the log.
    reads, work
        Connections to read with, and for small writes outside the lane.
    tell
        Is told after each page how far it has come.
    """

    def __init__(
        self,
        repository: Repository,
        lane: Lane,
        reads: Pool,
        work: Pool,
        *,
        tell: Callable[[Brought], None] = lambda _: None,
    ) -> None:
        self.repository = repository
        self._lane = lane
        self._reads = reads
        self._work = work
        self._tell = tell
        self._id: int | None = None

    async def instruments(self) -> list[str]:
        """Ask which instruments there are, and note it.

        Raises
        ------
        UnavailableError
            If the butler or the database is away.
        """
        names = await self.repository.instruments()
        registry_id = await self._registry()
        async with begin(self._work) as connection:
            await registries.set_instruments(connection, registry_id, names)
        return names

    async def swept_age(self, instrument: str) -> float:
        """Give the seconds since all of an instrument was read; infinity for never."""
        async with reading(self._reads) as connection:
            read = await registries.reading_of(
                connection, await self._registry(), instrument
            )
        return float("inf") if read is None else read.swept_age

    async def bring(self, instrument: str, thorough: Thorough) -> Brought:
        """Bring what is new, or has changed, of an instrument.

        Parameters
        ----------
        instrument
            Its name; of one that the butler does not know nothing is brought.
        thorough
            What to look at beside the last nights.

        Raises
        ------
        UnavailableError
            If the butler or the database is away; what came before is kept.
        """
        registry_id = await self._registry()
        async with reading(self._reads) as connection:
            read = await registries.reading_of(connection, registry_id, instrument)
        start = None if read is None else read.position
        if start is not None and not await self._stands(instrument, start, thorough):
            start = None
        brought = Brought(instrument, swept=start is None)
        tally = _Tally()
        after = _BEFORE_ALL if start is None else start.since_id - 1
        ahead = self._ahead(instrument, after)
        try:
            while page := await ahead:
                last = page[-1].exposure.exposure_id
                # The butler reads on while the lane writes.
                ahead = self._ahead(instrument, last)
                visits = await self.repository.visits(
                    instrument, page[0].exposure.exposure_id, last
                )
                tally.add(page, visits)
                await self._enter(registry_id, brought, page, visits)
                await self._forget(registry_id, instrument, (after + 1, last), page)
                after = last
                self._tell(brought)
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)
        await self._forget(registry_id, instrument, (after + 1, _LAST_ID), ())
        async with begin(self._work) as connection:
            await registries.set_reading(
                connection,
                registry_id,
                instrument,
                tally.position(start),
                swept=brought.swept,
            )
        return brought

    # ------------------------------------------------------------ inner works

    def _ahead(self, instrument: str, after: int) -> "asyncio.Task[list[Reading]]":
        return asyncio.create_task(self.repository.page(instrument, after, PAGE))

    async def _stands(
        self, instrument: str, position: Position, thorough: Thorough
    ) -> bool:
        """Tell whether what was read long ago is still all that there is."""
        if thorough.everything:
            return False
        before = position.since_id
        if thorough.exposures:
            number = await self.repository.count(instrument, before)
            if number != position.exposures_before:
                return False
        if thorough.visits:
            number = await self.repository.count(instrument, before, visits=True)
            if number != position.visits_before:
                return False
        return True

    async def _enter(
        self,
        registry_id: int,
        brought: Brought,
        page: Sequence[Reading],
        visits: Sequence[VisitDefinition],
    ) -> None:
        """Bring one page into the log, and note that it is there."""
        known = Instruments.from_entries(self._lane.known.vocabulary.instruments)
        entries: list[Entry] = []
        for one in page:
            try:
                entries.append(entry_of(one, known))
            except InvalidError:
                brought.refused += 1
        async with reading(self._reads) as connection:
            held = await registries.digests(
                connection,
                registry_id,
                brought.instrument,
                [entry.place[1] for entry in entries],
            )
        changed = [one for one in entries if held.get(one.place[1]) != one.digest]
        brought.exposures_written += await entering.enter(
            self._lane, self._work, changed
        )
        # Afterwards: what is noted as being in the log must be there.
        if changed:
            async with begin(self._work) as connection:
                await registries.remember(
                    connection,
                    registry_id,
                    [one.reading.exposure for one in changed],
                    {one.place: one.digest for one in changed},
                )
        brought.visits_written += await entering.enter_visits(
            self._lane, self._reads, brought.instrument, visits
        )
        brought.exposures += len(page)
        brought.visits += len(visits)

    async def _forget(
        self,
        registry_id: int,
        instrument: str,
        span: tuple[int, int],
        page: Sequence[Reading],
    ) -> None:
        async with begin(self._work) as connection:
            await registries.forget_between(
                connection,
                registry_id,
                instrument,
                span,
                [one.exposure.exposure_id for one in page],
            )

    async def _registry(self) -> int:
        if self._id is None:
            async with begin(self._work) as connection:
                self._id = await registries.ensure(connection, self.repository.uri)
        return self._id
