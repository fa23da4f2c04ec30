"""Writing, and reading by id: through annolog's own API and through exposurelog's.

Each kind of request is sent over HTTP, and beside it the turns that the same requests
come to are stored over one connection.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from annolog.actions import annotations as actions
from annolog.actions.requests import Request
from annolog.domain.annotations import AnnotationDraft
from annolog.domain.instruments import SHIPPED
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor, Role
from annolog.domain.targets import columns, parse_key
from annolog.exposurelog import decisions
from annolog.exposurelog.continuations import Place
from annolog.exposurelog.drafts import MessageDraft, MessagePatch
from annolog.exposurelog.queries_writing import place_of
from annolog.storage import database, targets
from tests.benchmarks import calls, nights, turns
from tests.benchmarks.calls import PREFIX, Shown
from tests.benchmarks.http import Figures, request
from tests.benchmarks.nights import CAMERAS
from tests.benchmarks.report import Goal, Line, Rounds
from tests.benchmarks.servers import Stand
from tests.benchmarks.turns import TURN, Item

TEXT = "Rings around stars in more than half of the detectors; focus is suspected. " * 6
"""A remark of usual length (450 characters)."""

EXPOSURES = 20_000
"""Different exposures that are spoken of through annolog's own API."""

SPOKEN_OF = nights.FOLLOWED
"""Last nights that new messages of exposurelog's API are about, each of the exposure
after the last one's: so many that no exposure is spoken of again and again."""

GOALS = {1: None, 16: 0.40, 64: 0.40}
"""Share of the raw limit that POST should reach, by concurrency."""

ALONE = 1.0
"""Milliseconds that half of the requests of one client should not take."""

_REQUEST = Request(
    Actor("bench", "human", frozenset({Role.AUTHOR, Role.VIEWER})), b"\0" * 32, None
)


def measure(stand: Stand, rounds: int, size: int, messages: int) -> list[Line]:
    """Measure in rounds, in each of which everything has its turn.

    Parameters
    ----------
    stand
        The database and the service.
    rounds, size
        How many rounds, and how many requests of one kind in each.
    messages
        How many messages the database was made with.
    """
    found = Rounds()
    native = Native()
    door = _Door(stand.url, messages)
    for number in range(rounds + 1):
        # The first round is there to be warm afterwards.
        count = size if number else 4 * TURN
        into = found if number else Rounds()
        for concurrency in GOALS:
            few = count if concurrency > 1 else max(50, count // 10)
            into.add(f"native {concurrency}", native.post(stand, few, concurrency))
            into.add(f"post {concurrency}", door.post(stand, few, concurrency))
        for concurrency in (1, 16):
            few = count // 2 if concurrency > 1 else max(50, count // 20)
            into.add(f"patch {concurrency}", door.patch(stand, few, concurrency))
            into.add(f"delete {concurrency}", door.delete(stand, few, concurrency))
        # A turn is not timed.
        few = max(2, count // 2 // TURN) * TURN + TURN
        into.add("native", asyncio.run(native.raw(stand.url, few)))
        into.add("post", asyncio.run(turns.rate(stand.url, door.posts(few))))
        into.add("patch", asyncio.run(turns.rate(stand.url, door.patches(few))))
        into.add("delete", asyncio.run(turns.rate(stand.url, door.deletes(few))))
    return list(_lines(found))


def _lines(found: Rounds) -> Iterator[Line]:
    for title, name in (("native POST", "native"), ("POST", "post")):
        for concurrency, share in GOALS.items():
            figures = found.figures(f"{name} {concurrency}")
            alone = Goal.below(figures.p50, ALONE, f"p50 < {ALONE:g} ms")
            yield Line(
                f"{title}, concurrency {concurrency}",
                figures,
                found.rate(name),
                share,
                goals=[alone] if concurrency == 1 else [],
            )
    for title in ("PATCH", "DELETE"):
        name = title.lower()
        for concurrency in (1, 16):
            yield Line(
                f"{title}, concurrency {concurrency}",
                found.figures(f"{name} {concurrency}"),
                found.rate(name),
            )


# -------------------------------------------------------------- annolog's own API


def key(number: int) -> str:
    """Name one of the exposures that are spoken of."""
    day, seq = divmod(number % EXPOSURES, 1000)
    return f"exposure:LSSTCam/{20261100 + day % 28 + 1}{seq + 1:05d}"


def draft(number: int, targets: Sequence[str] | None = None) -> dict[str, Any]:
    """Write one of many annotations, of an exposure of its own or of some."""
    return {
        "targets": targets or [key(number * 7)],
        "text": TEXT,
        "flag": "questionable" if number % 3 == 0 else None,
        "tags": ["donuts"] if number % 2 else [],
    }


class Native:
    """Creates annotations, each of another exposure for a long time."""

    def __init__(self) -> None:
        self._next = 0

    def _numbers(self, count: int) -> range:
        self._next += count
        return range(self._next - count, self._next)

    def wires(self, count: int) -> list[bytes]:
        """Write requests, each about another exposure than those before."""
        return [created(draft(number)) for number in self._numbers(count)]

    def post(self, stand: Stand, count: int, concurrency: int) -> Figures:
        return stand.drive(self.wires(count), concurrency, 201)

    async def raw(self, url: str, count: int) -> float:
        drafts = [draft(number) for number in self._numbers(count)]
        keys = sorted({name for said in drafts for name in said["targets"]})
        connection = await database.connect(url, database.WORK)
        await targets.add(
            connection, [(name, columns(parse_key(name), SHIPPED)) for name in keys]
        )
        await connection.close()
        return await turns.rate(url, [_item(said) for said in drafts])


def created(said: dict[str, Any]) -> bytes:
    """Write the request that creates an annotation."""
    return request("POST", "/annolog/v1/annotations", json.dumps(said).encode())


def _item(said: dict[str, Any]) -> Item:
    keys = said["targets"]
    return Item(
        Wants(keys=frozenset(keys)),
        actions.create(_REQUEST, AnnotationDraft.model_validate(said), keys),
    )


# --------------------------------------------------------------- exposurelog's API


@dataclass(frozen=True, slots=True)
class _Message:
    """A message to be changed: where it stands, and what is shown of it."""

    place: Place
    shown: Shown


class _Door:
    """Writes as exposurelog's clients do; each message is changed or deleted once."""

    def __init__(self, url: str, messages: int) -> None:
        self._url = url
        self._nights = min(nights.nights(messages), SPOKEN_OF)
        self._next = 0
        self._after = UUID(int=0)

    def _drafts(self, count: int) -> list[dict[str, Any]]:
        camera = CAMERAS[0]
        found = []
        self._next += count
        for number in range(self._next - count, self._next):
            before, seq_num = divmod(number, camera.exposures)
            night = nights.LAST_NIGHT - timedelta(days=before % self._nights)
            found.append(
                {
                    "obs_id": nights.obs_id(camera, night, seq_num + 1),
                    "instrument": camera.name,
                    "message_text": TEXT,
                    "level": "20",
                    "tags": ["donuts"] if number % 2 else [],
                    "urls": [],
                    "user_id": f"observer{number % 40}",
                    "user_agent": "LOVE",
                    "is_human": "true",
                    "is_new": "false",
                    "exposure_flag": "none" if number % 3 else "questionable",
                    "request_type": "exposure",
                }
            )
        return found

    def _fresh(self, count: int) -> list[_Message]:
        """Take valid messages that nobody touched, from all nights."""
        return asyncio.run(self._read(count))

    async def _read(self, count: int) -> list[_Message]:
        connection = await database.connect(self._url, database.READS)
        rows = await connection.fetch(
            f"""
            select {calls.MESSAGE}, r.body
              from message m join record r on r.record_id = m.revision_id
             where m.message_id > $1 and m.date_invalidated is null and m.kept
               and m.parent_id is null
             order by m.message_id limit $2
            """,
            self._after,
            count,
        )
        if len(rows) < count:
            msg = "there are too few messages for so many rounds: give --messages"
            raise RuntimeError(msg)
        self._after = rows[-1]["message_id"]
        found = []
        for row in rows:
            place = await place_of(connection, row["message_id"])
            assert place is not None
            found.append(_Message(place, calls.message(row)))
        await connection.close()
        return found

    # ------------------------------------------------------------ over HTTP

    def post(self, stand: Stand, count: int, concurrency: int) -> Figures:
        wires = [
            request("POST", f"{PREFIX}/messages", json.dumps(sent).encode())
            for sent in self._drafts(count)
        ]
        return stand.drive(wires, concurrency, 200)

    def patch(self, stand: Stand, count: int, concurrency: int) -> Figures:
        wires = [
            request(
                "PATCH",
                f"{PREFIX}/messages/{one.place.message_id}",
                json.dumps(_sent_back(one.shown)).encode(),
            )
            for one in self._fresh(count)
        ]
        return stand.drive(wires, concurrency, 200)

    def delete(self, stand: Stand, count: int, concurrency: int) -> Figures:
        wires = [
            request("DELETE", f"{PREFIX}/messages/{one.place.message_id}", b"{}")
            for one in self._fresh(count)
        ]
        return stand.drive(wires, concurrency, 204)

    # ------------------------------------------------------------ bare

    def posts(self, count: int) -> list[Item]:
        found = []
        for sent in self._drafts(count):
            parts = SHIPPED[sent["instrument"]].parse_obs_id(sent["obs_id"])
            assert parts is not None
            about = f"exposure:{sent['instrument']}/{parts.exposure_id}"
            decide = decisions.post(_REQUEST, MessageDraft.model_validate(sent), about)
            found.append(Item(Wants(keys=frozenset({about})), decide))
        return found

    def patches(self, count: int) -> list[Item]:
        return [
            Item(
                one.place.wants,
                decisions.patch(
                    _REQUEST,
                    one.place,
                    MessagePatch.model_validate(_sent_back(one.shown)),
                ),
            )
            for one in self._fresh(count)
        ]

    def deletes(self, count: int) -> list[Item]:
        return [
            Item(one.place.wants, decisions.delete(_REQUEST, one.place))
            for one in self._fresh(count)
        ]


def _sent_back(shown: Shown) -> dict[str, Any]:
    """Change a message as LOVE does: all of it, scalars as words, and more."""
    sent: dict[str, Sequence[str] | str | None] = {
        name: value if value is None or isinstance(value, list) else _word(value)
        for name, value in shown.items()
    }
    text = f"{shown['message_text']} Seen again."
    return sent | {"message_text": text, "jira": "false", "request_type": "exposure"}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
