"""A service on known messages, to be asked over HTTP."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.messages import AMessage, Shown, insert
from tests.support.postgres import PostgresServer, run_apart
from tests.support.served import ServiceProcess

MESSAGES = "/exposurelog/messages"
"""Where messages live."""


@dataclass(frozen=True)
class Log:
    """A service on known messages."""

    client: httpx.Client
    known: tuple[AMessage, ...]

    @property
    def shown(self) -> list[Shown]:
        """All messages as the API gives them."""
        return [one.shown() for one in self.known]

    def get(self, path: str = "", **asked: Any) -> httpx.Response:  # noqa: ANN401 - any
        return self.client.get(MESSAGES + path, params=asked)

    def find(self, **asked: Any) -> list[Shown]:  # noqa: ANN401 - any value
        """Give the messages that are found."""
        answer = self.get(**asked)
        assert answer.status_code == 200, answer.text
        shown: list[Shown] = answer.json()
        return shown

    def numbers(self, **asked: Any) -> set[int]:  # noqa: ANN401 - any value
        """Give the numbers of the messages that are found."""
        ids = {one["id"] for one in self.find(**asked)}
        return {one.number for one in self.known if one.id in ids}


@contextmanager
def message_log(
    server: PostgresServer, template: str, home: Path, known: Sequence[AMessage]
) -> Iterator[Log]:
    """Serve known messages, and no others, from a database of their own."""
    server.start()
    url = server.create(template=template)
    run_apart(insert(url, known))
    with (
        ServiceProcess(url, home) as process,
        httpx.Client(base_url=process.url, timeout=30) as client,
    ):
        yield Log(client, tuple(known))
    assert '"fault"' not in process.told()
    server.drop(url)
