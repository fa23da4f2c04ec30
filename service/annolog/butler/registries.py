"""The butlers of a site, as those who answer requests see them.

What is known is answered without a butler. One is asked only for what is not: a name
that nobody brought yet, or a list that nobody read just now. A butler that is away
takes with it what only it could tell, and nothing else.
"""

import asyncio
import contextlib
import importlib.util
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from annolog.actions.lane import Lane
from annolog.butler import entering
from annolog.butler.repository import SERVING, Patience, Repository
from annolog.butler.wire import Reading
from annolog.domain.errors import InvalidError, NotFoundError, UnavailableError
from annolog.domain.instruments import Instruments
from annolog.domain.registries import (
    MAX_REGISTRIES,
    ExposureQuery,
    RegistryExposure,
    storable,
)
from annolog.storage import registries
from annolog.storage.database import Pool, begin, reading

FRESH = 30.0
"""Seconds for which what was read answers lists in place of the butler."""

INSTRUMENTS_FRESH = 300.0
"""Seconds for which a butler's instruments are taken as they were."""

_log = logging.getLogger(__name__)


def require_library() -> None:
    """Check that the butler's library is here, without importing it.

    Raises
    ------
    InvalidError
        If it is not installed.
    """
    if importlib.util.find_spec("lsst") is None:
        raise InvalidError(
            "ANNOLOG_BUTLER_URIS needs the butler's library, which is not installed:"
            " pip install 'annolog[butler]'",
            code="setting_butler",
        )


class Registries:
    """Up to three butlers, and what is known of them.

    Parameters
    ----------
    uris
        Where they are, in the order in which they are asked; empty places are allowed.
    reads
        Read-only connections.
    work
        Connections for small writes outside the lane.
    lane
        The way into the log.
    patience
        How long a butler is waited for.
    """

    def __init__(
        self,
        uris: Sequence[str],
        reads: Pool,
        work: Pool,
        lane: Lane,
        *,
        patience: Patience = SERVING,
    ) -> None:
        places = [*uris, *[""] * MAX_REGISTRIES]
        self.uris: tuple[str, ...] = tuple(places[:MAX_REGISTRIES])
        """Where the butlers are, by place; empty where there is none."""
        self.repositories: dict[int, Repository] = {
            number: Repository(uri, f"butler {number}", patience)
            for number, uri in enumerate(self.uris, 1)
            if uri
        }
        """The butlers by their number, 1 to 3."""
        self._reads = reads
        self._work = work
        self._lane = lane
        self._ids: dict[int, int] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Registries"]:
        """Serve while the block lasts; butlers are opened when first asked.

        Raises
        ------
        InvalidError
            If there are butlers and their library is not installed.
        """
        if self.repositories:
            require_library()
        try:
            yield self
        finally:
            for repository in self.repositories.values():
                await repository.close()

    def states(self) -> dict[int, Literal["idle", "open", "away"]]:
        """Give how the last question to each butler went, by its number."""
        return {number: one.state for number, one in self.repositories.items()}

    # ------------------------------------------------------------ exposures

    async def find(self, instrument: str, obs_id: str) -> RegistryExposure | None:
        """Find an exposure by name; the log has it afterwards.

        Parameters
        ----------
        instrument
            The butler's name of the instrument.
        obs_id
            The observatory's name of the exposure.

        Returns
        -------
        RegistryExposure or None
            None if no butler has it.

        Raises
        ------
        UnavailableError
            If a butler that may have it is away, and no other has it; or the database.
        """
        if not self.repositories or not (storable(instrument) and storable(obs_id)):
            return None
        ids = {number: await self._id(number) for number in self.repositories}
        async with reading(self._reads) as connection:
            noted = await registries.named(
                connection, list(ids.values()), instrument, [obs_id]
            )
        known = noted.get(obs_id)
        if known is not None and known.entered:
            return known.exposure
        away: UnavailableError | None = None
        async with _asked(self.repositories, instrument, obs_id) as answers:
            for number, answer in answers.items():
                try:
                    found = await answer
                except UnavailableError as error:
                    if await self._may_have(ids[number], instrument):
                        away = away or error
                    continue
                if found:
                    await self._enter(ids[number], found[0])
                    return found[0].exposure
        if known is not None:
            return known.exposure
        if away is not None:
            raise away
        return None

    async def exposures(
        self, number: int, wanted: ExposureQuery
    ) -> list[RegistryExposure]:
        """List exposures of a butler.

        Parameters
        ----------
        number
            Which butler, from 1.
        wanted
            Which exposures, in which order.

        Returns
        -------
        list of RegistryExposure
            None of an instrument that the butler does not know. While the butler is
            away: of those that are known here.

        Raises
        ------
        NotFoundError
            If there is no such butler.
        UnavailableError
            If it is away and nothing is known of the instrument; or the database.
        """
        repository = self._repository(number)
        registry_id = await self._id(number)
        async with reading(self._reads) as connection:
            read = await registries.reading_of(
                connection, registry_id, wanted.instrument
            )
            if read is not None and read.read_age <= FRESH:
                return await registries.exposures(connection, registry_id, wanted)
            names, age = await registries.instruments(connection, registry_id)
            if age <= INSTRUMENTS_FRESH and wanted.instrument not in names:
                return []
        try:
            found = await repository.exposures(wanted)
        except UnavailableError as error:
            return await self._known(registry_id, wanted, error)
        answer = [one.exposure for one in found]
        # Nobody has to wait for a database that is away, for an answer that is here.
        with contextlib.suppress(UnavailableError):
            async with begin(self._work) as connection:
                await registries.remember(connection, registry_id, answer)
        return answer

    async def _known(
        self, registry_id: int, wanted: ExposureQuery, away: UnavailableError
    ) -> list[RegistryExposure]:
        """Answer for a butler that is away."""
        async with reading(self._reads) as connection:
            found = await registries.exposures(connection, registry_id, wanted)
            if found or await registries.has_any(
                connection, registry_id, wanted.instrument
            ):
                return found
        if await self._may_have(registry_id, wanted.instrument):
            # An empty list would say that nothing was taken, which nobody knows.
            raise away
        return []

    async def _may_have(self, registry_id: int, instrument: str) -> bool:
        """Tell whether a butler that is away may have exposures of an instrument."""
        async with reading(self._reads) as connection:
            names, _ = await registries.instruments(connection, registry_id)
        return not names or instrument in names

    # ------------------------------------------------------------ instruments

    async def instruments(self, number: int) -> list[str]:
        """List the instruments of a butler.

        Parameters
        ----------
        number
            Which butler, from 1.

        Returns
        -------
        list of str
            Sorted; while the butler is away those that it had, none if it was never
            asked.

        Raises
        ------
        NotFoundError
            If there is no such butler.
        """
        repository = self._repository(number)
        registry_id = await self._id(number)
        async with reading(self._reads) as connection:
            names, age = await registries.instruments(connection, registry_id)
        if age <= INSTRUMENTS_FRESH:
            return names
        try:
            names = await repository.instruments()
        except UnavailableError:
            return names
        async with begin(self._work) as connection:
            await registries.set_instruments(connection, registry_id, names)
        return names

    # ------------------------------------------------------------ inner works

    def _repository(self, number: int) -> Repository:
        if number not in self.repositories:
            raise NotFoundError(
                f"there is no butler {number}: ANNOLOG_BUTLER_URIS names none in this"
                " place",
                code="no_such_registry",
            )
        return self.repositories[number]

    async def _id(self, number: int) -> int:
        if number not in self._ids:
            async with begin(self._work) as connection:
                self._ids[number] = await registries.ensure(
                    connection, self.uris[number - 1]
                )
        return self._ids[number]

    async def _enter(self, registry_id: int, found: Reading) -> None:
        instruments = Instruments.from_entries(self._lane.known.vocabulary.instruments)
        entry = entering.entry_of(found, instruments)
        await entering.enter(self._lane, self._work, [entry])
        async with begin(self._work) as connection:
            await registries.remember(
                connection, registry_id, [found.exposure], {entry.place: entry.digest}
            )


@contextlib.asynccontextmanager
async def _asked(
    repositories: Mapping[int, Repository], instrument: str, obs_id: str
) -> AsyncIterator[Mapping[int, "asyncio.Task[list[Reading]]"]]:
    """Ask all butlers at once: of several that hang none is waited for twice."""
    answers = {
        number: asyncio.create_task(one.named(instrument, (obs_id,)))
        for number, one in repositories.items()
    }
    try:
        yield answers
    finally:
        for answer in answers.values():
            answer.cancel()
        await asyncio.gather(*answers.values(), return_exceptions=True)
