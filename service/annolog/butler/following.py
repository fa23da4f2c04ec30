"""Staying behind a butler: the same reading again and again, whatever goes away."""

import asyncio
import contextlib
import logging
import math
from dataclasses import dataclass, field

from annolog.butler.bringing import Bringer, Thorough
from annolog.domain.errors import AnnologError

COUNTED = 30.0
"""Seconds after which the exposures of earlier nights are counted again."""

VISITS_COUNTED = 600.0
"""Seconds after which the visits of earlier nights are: that joins four tables."""

SWEPT_AGAIN = 600.0
"""Seconds after everything was read until it may be read again because of a number."""

SWEPT = 86_400.0
"""Seconds after which everything is read again, for what changed without a trace."""

LONGEST_PAUSE = 60.0
"""Seconds between two attempts at most, while something is away."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Due:
    """When what was last counted, by the loop's clock."""

    exposures: float = -math.inf
    visits: float = -math.inf


@dataclass(slots=True)
class Follower:
    """Follows one butler until it is cancelled.

    Attributes
    ----------
    bringer
        Brings what the butler has.
    interval
        Seconds between two readings.
    instrument
        The only instrument that is followed; None: all.
    """

    bringer: Bringer
    interval: float
    instrument: str | None = None
    _due: dict[str, _Due] = field(default_factory=dict)

    async def run(self) -> None:
        """Read again and again; a butler or a database that is away is waited for."""
        pause = self.interval
        while True:
            try:
                await self.once()
                pause = self.interval
            except AnnologError as error:
                pause = min(2 * pause, max(LONGEST_PAUSE, self.interval))
                _log.warning("%s; next attempt in %.0f s", error.detail, pause)
            except Exception:  # noqa: BLE001 - one bad reading ends no follower
                pause = min(2 * pause, max(LONGEST_PAUSE, self.interval))
                _log.exception("a reading failed; next attempt in %.0f s", pause)
            await asyncio.sleep(pause)

    async def once(self) -> None:
        """Read once.

        Raises
        ------
        UnavailableError
            If the butler or the database is away.
        """
        names = await self.bringer.instruments()
        for name in names:
            if self.instrument in {None, name}:
                await self._read(name)

    async def _read(self, name: str) -> None:
        now = asyncio.get_running_loop().time()
        due = self._due.setdefault(name, _Due())
        thorough = Thorough(
            exposures=now - due.exposures >= COUNTED,
            visits=now - due.visits >= VISITS_COUNTED,
            everything=await self.bringer.swept_age(name) >= SWEPT,
        )
        brought = await self.bringer.bring(name, thorough)
        if brought.swept:
            due.exposures = now + SWEPT_AGAIN - COUNTED
            due.visits = now + SWEPT_AGAIN - VISITS_COUNTED
        elif thorough.exposures:
            due.exposures = now
        if thorough.visits and not brought.swept:
            due.visits = now
        if brought.exposures_written or brought.visits_written:
            _log.info(
                "%s: %d exposures and %d visits are new or have changed",
                name,
                brought.exposures_written,
                brought.visits_written,
            )


async def follow_all(followers: "list[Follower]", stop: asyncio.Event) -> None:
    """Follow several butlers at once until told to stop.

    Parameters
    ----------
    followers
        One for each butler.
    stop
        Set when it shall end; a reading is broken off then, which does no harm.
    """
    tasks = [asyncio.create_task(one.run()) for one in followers]
    try:
        await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
