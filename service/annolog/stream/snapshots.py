"""Snapshots for those who keep a copy: read from the service, and what changed since.

A `Source` gives the whole, waits for news, and gives what changed. `ServiceSource`
asks the service over HTTP; `annolog.stream.folding` has one that reads the topics.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Literal, Protocol

import httpx
from typing_extensions import override

from annolog.domain.errors import AnnologError
from annolog.domain.snapshots import End, Head, Line, read
from annolog.stream import over_http
from annolog.stream.consume import Until
from annolog.stream.over_http import RefusedError
from annolog.stream.positions import Position

PATIENCE = 60.0
"""Seconds that the service may take for the next piece of a snapshot."""

_TOO_MANY = 429
_SERVER_ERROR = 500
_JOINING = frozenset({"same_as"})
# Records after which statements that nobody touched hold for other targets.

_log = logging.getLogger("annolog.export")

News = Literal["changed", "whole", "none"]
"""What happened since a number: something that `changed` gives; something that only the
whole shows; nothing."""

Query = Mapping[str, str | int | Sequence[str]]
"""Which part is wanted: what `GET /annolog/v1/snapshot` takes, but for `after`."""


class AwayError(AnnologError):
    """The service cannot be reached, or broke off; trying again may help."""

    code = "service_away"


class Source(Protocol):
    """Where snapshots come from."""

    def whole(self) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        """Give all that now holds.

        Returns
        -------
        context manager
            Of the first line and the others but the last, which are read in it.

        Raises
        ------
        AwayError
            If it cannot be had now; also while lines are read.
        RefusedError
            If it is refused.
        """
        ...

    def changed(
        self, after: int
    ) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        """Give what changed after a number; as `whole`."""
        ...

    def wait(self, number: int, seconds: float, stop: threading.Event) -> News:
        """Wait until something happens after a number, or for so many seconds.

        Raises
        ------
        RefusedError
            If the source does not answer this caller.
        """
        ...


class ServiceSource(Source):
    """The service, over HTTP.

    Parameters
    ----------
    http
        Has the service's address as its base URL, and says who is calling.
    query
        Which part is wanted.
    """

    def __init__(self, http: httpx.Client, query: Query) -> None:
        self._http = http
        self._query = {name: value for name, value in query.items() if value}

    @override
    def whole(self) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        return self._asked({})

    @override
    def changed(
        self, after: int
    ) -> AbstractContextManager[tuple[Head, Iterator[Line]]]:
        return self._asked({"after": after})

    @override
    def wait(self, number: int, seconds: float, stop: threading.Event) -> News:
        found = over_http.changes(
            self._http, Position(floor=number), until=Until(seconds=seconds), stop=stop
        )
        with contextlib.closing(found):
            for batch in found:
                if batch.events:
                    kinds = {str((e.body() or {}).get("kind")) for e in batch.events}
                    return "whole" if kinds & _JOINING else "changed"
        return "none"

    @contextlib.contextmanager
    def _asked(self, more: Mapping[str, int]) -> Iterator[tuple[Head, Iterator[Line]]]:
        query = {**self._query, **more}
        path = "/annolog/v1/snapshot"
        try:
            with self._http.stream(
                "GET", path, params=query, timeout=PATIENCE
            ) as answer:
                if (
                    answer.status_code == _TOO_MANY
                    or answer.status_code >= _SERVER_ERROR
                ):
                    raise AwayError(f"{path} was answered {answer.status_code}")
                if not answer.is_success:
                    answer.read()
                    raise RefusedError(
                        f"{path} was answered {answer.status_code}: {answer.text[:300]}"
                    )
                lines = map(read, _lines(answer.iter_bytes()))
                head = next(lines, None)
                if not isinstance(head, Head):
                    raise AwayError(f"{path} gives no snapshot")
                yield head, _to_the_end(lines)
        except httpx.TransportError as error:
            raise AwayError(
                f"the service does not answer: {str(error) or type(error).__name__}"
            ) from error


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Cut at line feeds alone: texts hold other characters that end lines elsewhere."""
    held: list[bytes] = []
    for piece in pieces:
        first, *others = piece.split(b"\n")
        held.append(first)
        for one in others:
            yield b"".join(held)
            held = [one]
    if rest := b"".join(held):
        yield rest


def _to_the_end(lines: Iterator[Line]) -> Iterator[Line]:
    for count, line in enumerate(lines):
        if isinstance(line, End):
            if line.lines != count:
                raise AwayError(
                    f"the snapshot has {count} lines, and says it has {line.lines}"
                )
            return
        yield line
    raise AwayError("the snapshot broke off")
