"""The consumer kit without a broker: the same batches, read from the service.

`snapshot` gives the states as they are, to begin with; `changes` reads the log.
Positions go from one way to the other: ids and numbers are the same everywhere.
"""

import logging
import threading
import time
from collections.abc import Generator, Sequence
from typing import Any

import httpx
import msgspec

from annolog.domain import times
from annolog.domain.errors import AnnologError
from annolog.domain.events import STATE_CHANGED, STATE_SCHEMA, Event
from annolog.stream.batches import Batch
from annolog.stream.consume import NEVER, Until
from annolog.stream.positions import Position

PAGE = 1000
"""States or changes of one request, and so of one batch."""

WAIT_SECONDS = 1.0
"""One request waits so long for a change; then stop conditions are looked at."""

_BEYOND = 2**62
_RETRY_SECONDS = 1.0
_SAY_SECONDS = 60.0
_SERVER_ERROR = 500
_TOO_MANY = 429

_log = logging.getLogger("annolog.consume")


class RefusedError(AnnologError):
    """The service does not answer this caller, or not this question."""

    code = "refused"


class _Changes(msgspec.Struct):
    items: list[dict[str, msgspec.Raw]]
    head: int
    next_after: int


class _States(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None = None


class _State(msgspec.Struct):
    """The members of a state that its event needs beside the body."""

    key: str
    number: int


def snapshot(
    http: httpx.Client, **filters: str | int | Sequence[str]
) -> Generator[Batch, None, None]:
    """Give all states that now hold, and a position from which to follow them.

    Parameters
    ----------
    http
        Has the service's address as its base URL, and says who is calling.
    **filters
        What `GET /annolog/v1/targets` takes, as `flag="junk"` or
        `instrument="LSSTCam"`. Who filters must filter what follows likewise.

    Yields
    ------
    Batch
        The first one says `begins`. The last one, maybe without events, has a
        position with which either topic is followed; until then it is the beginning,
        `Position()`, as half a snapshot is none.

    Raises
    ------
    RefusedError
        If the service refuses, or the states are those of no moment.
    httpx.TransportError
        If it cannot be reached.

    Notes
    -----
    The states are listed by the number of their last change, up to the head of the
    log at the beginning. A state that changes meanwhile moves behind that number and
    is left to those who follow: the pages together are what no later change touched.
    """
    head, newest = _head(http)
    source = newest.source if newest else ""
    query: dict[str, Any] = {**filters, "order": "number", "limit": PAGE}
    begins, more = True, True
    while more:
        answer = _get(http, "/annolog/v1/targets", query)
        page = msgspec.json.decode(answer, type=_States)
        states = [_state_event(raw, source) for raw in page.items]
        events = tuple(event for event in states if event.number <= head)
        more = page.next is not None and len(events) == len(states)
        query["cursor"] = page.next
        after = Position() if more else Position(floor=head, at=_written_at(newest))
        yield Batch(events, after, begins)
        begins = False


def changes(
    http: httpx.Client,
    position: Position | None = None,
    *,
    until: Until = NEVER,
    stop: threading.Event | None = None,
) -> Generator[Batch, None, None]:
    """Read the log of changes on from a position, over HTTP. Blocks.

    Parameters
    ----------
    http
        Has the service's address as its base URL, and says who is calling.
    position
        What was stored with the last batch, or a snapshot's, or one in the topic of
        changes; None for the beginning.
    until
        When to end; by default never. `end` means once `caught_up` is true.
    stop
        Ends the reading within some seconds when it is set.

    Yields
    ------
    Batch
        In the order of the numbers. A service that is away makes a pause.

    Raises
    ------
    PositionError
        If the position is one in the topic of states.
    RefusedError
        If the service refuses.
    """
    position, stop = position or Position(), stop or threading.Event()
    position.demand_of(states=False)
    after, end, arrived = position.upto, None, False
    began = heard = time.monotonic()
    said = -_SAY_SECONDS
    while not stop.is_set():
        try:
            # The first answer tells where the end is; nothing is waited for.
            wait = 0.0 if end is None or not arrived else WAIT_SECONDS
            query = {"after": after, "limit": PAGE, "wait": wait}
            content = _get(http, "/annolog/v1/changes", query)
        except httpx.TransportError as error:
            if time.monotonic() - said >= _SAY_SECONDS:
                said = time.monotonic()
                _log.warning("reading of changes waits for the service: %s", error)
            stop.wait(_RETRY_SECONDS)
        else:
            page = msgspec.json.decode(content, type=_Changes)
            found = [_change_event(item) for item in page.items]
            events = tuple(e for e in found if not position.had_anywhere(e))
            written_at = _written_at(found[-1] if found else None)
            after = page.next_after
            position = position.read_over_http(after, written_at)
            end = page.head if end is None else end
            arrives = not arrived and after >= end
            arrived = arrived or arrives
            if found or arrives:
                heard = time.monotonic()
                yield Batch(events, position, caught_up=arrived, arrives=arrives)
        now = time.monotonic()
        if until.is_over(now - began, now - heard) or (until.end and arrived):
            return


def _head(http: httpx.Client) -> tuple[int, Event | None]:
    """Give the greatest number of the log, and its change if there is one."""
    empty = _get(http, "/annolog/v1/changes", {"after": _BEYOND})
    head = msgspec.json.decode(empty, type=_Changes).head
    query = {"after": max(head - 1, 0), "limit": 1}
    page = msgspec.json.decode(_get(http, "/annolog/v1/changes", query), type=_Changes)
    found = [_change_event(item) for item in page.items]
    return head, found[0] if found and found[0].number == head else None


def _get(http: httpx.Client, path: str, query: dict[str, Any]) -> bytes:
    """Ask the service; a transport error too where it is only overloaded."""
    answer = http.get(
        path,
        params={name: value for name, value in query.items() if value is not None},
        timeout=WAIT_SECONDS + 30,
    )
    if answer.status_code == _TOO_MANY or answer.status_code >= _SERVER_ERROR:
        raise httpx.RemoteProtocolError(f"{path} was answered {answer.status_code}")
    if answer.is_error:
        raise RefusedError(
            f"{path} was answered {answer.status_code}: {answer.text[:300]}"
        )
    return answer.content


def _change_event(item: dict[str, msgspec.Raw]) -> Event:
    """Read an event in CloudEvents' structured mode; the body stays as it came."""
    attributes = {
        name: msgspec.json.decode(raw, type=str)
        for name, raw in item.items()
        if name not in {"data", "datacontenttype"}
    }
    return Event(attributes, attributes["partitionkey"], bytes(item["data"]))


def _state_event(raw: msgspec.Raw, source: str) -> Event:
    """Put a state of a list into the envelope that it has in the topic."""
    state = msgspec.json.decode(raw, type=_State)
    attributes = {
        "specversion": "1.0",
        "id": f"{state.number}/{state.key}",
        "source": source,
        "type": STATE_CHANGED,
        "subject": state.key,
        "sequence": f"{state.number:020d}",
        "partitionkey": state.key,
        "dataschema": STATE_SCHEMA,
    }
    return Event(attributes, state.key, bytes(raw))


def _written_at(event: Event | None) -> int:
    """Give when a change was committed (milliseconds since 1970); 0 if unknown."""
    if event is None:
        return 0
    return times.to_clock(times.parse(event.attributes["time"])) // 1000
