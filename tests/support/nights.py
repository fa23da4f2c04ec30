"""Facts of a night's exposures, as cameras and bulk uploads send them.

The night is 2025-11-19 at the summit: dark from 00:19 to 08:37 UTC.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.service import Service, service

INSTRUMENT = "LSSTCam"
DAY = 20251119
NIGHT: dict[str, str | int] = {"instrument": INSTRUMENT, "day_obs": DAY}
"""Parameters that ask for this night."""


async def held(database_url: str) -> AsyncIterator[Service]:
    """Run the service for a fixture.

    The application must be left in the task that entered it, and pytest runs the two
    halves of a fixture in two.
    """
    opened: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        async with service(database_url) as running:
            opened.set_result(running)
            await over.wait()

    holder = asyncio.create_task(hold())
    holder.add_done_callback(lambda _: opened.done() or opened.cancel())
    try:
        running = await opened
    except asyncio.CancelledError:
        await holder
        raise
    yield running
    over.set()
    await holder


def at(clock: str) -> datetime:
    """Give a moment after midnight of the night, written as 03:10."""
    hour, minute = map(int, clock.split(":"))
    return datetime(2025, 11, 20, hour, minute, tzinfo=UTC)


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def key(seq_num: int) -> str:
    return f"exposure:{INSTRUMENT}/{DAY}{seq_num:05d}"


def gap(seq_num: int | None) -> str:
    after = "start" if seq_num is None else f"{DAY}{seq_num:05d}"
    return f"gap:{INSTRUMENT}/{DAY}/after={after}"


def a_fact(seq_num: int = 1, **said: object) -> dict[str, Any]:
    """Make a fact of an exposure of the night: its end, by the camera."""
    return {
        "instrument": INSTRUMENT,
        "obs_id": f"MC_O_{DAY}_{seq_num:06d}",
        "event": "end",
        "source": "camera",
        **said,
    }


def taken(seq_num: int, begin: str, end: str, kind: str = "science") -> dict[str, Any]:
    """Make the fact that an exposure was taken from one time to another."""
    return a_fact(
        seq_num,
        begin=stamp(at(begin)),
        end=stamp(at(end)),
        exposure_time=(at(end) - at(begin)) / timedelta(seconds=1),
        observation_type=kind,
    )


async def announce(annolog: Service, *facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Send facts of which none is refused; give what is shown of each exposure."""
    answer = await annolog.post("/exposures", list(facts))
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert all(one["status"] in {200, 201} for one in items), answer.text
    return [one["exposure"] for one in items]


async def head(annolog: Service) -> int:
    """Give the number of the last change."""
    number: int = decoded(await annolog.get(f"/nights/{DAY}", instrument=INSTRUMENT))[
        "number"
    ]
    return number


def decoded(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    body: dict[str, Any] = answer.json()
    return body
