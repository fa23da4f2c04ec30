"""Exposurelog's API of a running service, as its clients call it.

    door = Door(annolog)
    said = await door.add(1, exposure_flag="junk")
    edited = await door.edit(said, message_text="vignetted")
    assert not (await door.read(said))["is_valid"]

Helpers check the status that they expect and give what was answered; `send` gives raw
answers.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from annolog.actions import check
from annolog.storage import database
from tests.support.nights import DAY, INSTRUMENT
from tests.support.service import Service, service

MESSAGES = "/exposurelog/messages"

Shown = dict[str, Any]
"""A decoded message."""


class Door:
    """A client of exposurelog's API.

    Attributes
    ----------
    annolog
        The service.
    headers
        Sent with each request: whom a proxy vouches for, say.
    """

    def __init__(self, annolog: Service, **headers: str) -> None:
        self.annolog = annolog
        self._client = annolog.client
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        **query: Any,  # noqa: ANN401 - whatever httpx takes
    ) -> httpx.Response:
        """Send a request to a path below /exposurelog, with JSON or as it stands."""
        return await self._client.request(
            method,
            "/exposurelog" + path,
            json=body,
            content=content,
            params=query or None,
            headers=self.headers,
        )

    async def add(self, seq_num: int = 1, **said: object) -> Shown:
        answer = await self.send("POST", "/messages", a_message(seq_num, **said))
        return decoded(answer)

    async def edit(self, message: Shown | str, **change: object) -> Shown:
        path = f"/messages/{_id(message)}"
        return decoded(await self.send("PATCH", path, change))

    async def drop(self, message: Shown | str) -> None:
        answer = await self.send("DELETE", f"/messages/{_id(message)}")
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    async def read(self, message: Shown | str) -> Shown:
        return decoded(await self.send("GET", f"/messages/{_id(message)}"))

    async def find(self, **query: Any) -> list[Shown]:  # noqa: ANN401 - as above
        asked = {"limit": 1000, "order_by": ["seq_num", "date_added"], **query}
        answer = await self.send("GET", "/messages", **asked)
        assert answer.status_code == 200, answer.text
        found: list[Shown] = answer.json()
        return found


@asynccontextmanager
async def at_the_door(
    database_url: str, butlers: Sequence[str] = ()
) -> AsyncIterator[Door]:
    """Run the service with butlers, for one client."""
    async with service(database_url, butlers=butlers) as annolog:
        yield Door(annolog)


def a_message(seq_num: int = 1, **said: object) -> Shown:
    """Make the body of a POST about an exposure of the night."""
    return {
        "obs_id": f"MC_O_{DAY}_{seq_num:06d}",
        "instrument": INSTRUMENT,
        "message_text": "wind",
        "user_id": "ann",
        "user_agent": "a test",
        "is_human": True,
        "is_new": False,
        **said,
    }


def decoded(answer: httpx.Response, status: int = 200) -> Shown:
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/json"
    body: Shown = answer.json()
    return body


def _id(message: Shown | str) -> str:
    return message if isinstance(message, str) else str(message["id"])


async def all_views_agree(database_url: str) -> None:
    """Hold every view of a database against its records."""
    pool = await database.pool(database_url, database.BULK)
    try:
        async with database.snapshot(pool) as connection:
            report = await check.check_all(connection)
    finally:
        await pool.close()
    assert [fault.sentence for fault in report.faults] == []
