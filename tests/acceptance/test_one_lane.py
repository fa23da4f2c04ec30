"""Many writers, two service processes, kills and freezes: one log, and nothing lost.

Storage promises that whatever was answered is there once, that nothing is half done,
and that whoever pages the log by number sees every change once, in one order.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from annolog.actions import receive
from annolog.domain.records import Record
from annolog.runtime import opened
from tests.support.postgres import PostgresServer
from tests.support.served import ServiceProcess

SECONDS = 11.0
"""How long the writers go on; after it, each ends what it has begun."""

WRITERS = 16
"""Writers of each process."""

EXPOSURES = [f"exposure:LSSTCam/{2026111900001 + n}" for n in range(400)]
FLAGS = ("junk", "questionable", "good", None)
TAGS = ("vignetted", "bad_focus", "trailed")
ANNOTATIONS = "/annolog/v1/annotations"
CHANGES = "/annolog/v1/changes"

Json = dict[str, Any]


@dataclass
class Told:
    """What was sent, what was answered, and what was read meanwhile."""

    creates: dict[str, Json | None] = field(default_factory=dict)
    edits: dict[str, Json] = field(default_factory=dict)
    reviews: dict[str, Json | None] = field(default_factory=dict)
    last: dict[str, Json] = field(default_factory=dict)
    """The latest annotation of each writer, for others to review."""
    again: int = 0
    """Requests that had to be sent more than once."""

    @property
    def answered(self) -> int:
        made = [*self.creates.values(), *self.reviews.values()]
        return len(self.edits) + sum(one is not None for one in made)


class Writer:
    """Says things until time is up; sends each one until it is answered."""

    def __init__(
        self, name: str, processes: Sequence[ServiceProcess], seed: str, told: Told
    ) -> None:
        self._name = name
        self._processes = list(processes)
        self._random = random.Random(seed)
        self._told = told

    async def run(self, until: float) -> None:
        clock = asyncio.get_running_loop().time
        # As any client should: a process that does not answer is given up in time.
        async with httpx.AsyncClient(timeout=5.0) as self._client:
            while clock() < until:
                await self._create()
                mine = self._told.last.get(self._name)
                dice = self._random.random()
                if mine is not None and dice < 0.4:
                    await self._edit(mine)
                elif dice < 0.6:
                    await self._review()

    async def _create(self) -> None:
        key = self._id()
        many = self._random.random() < 0.08
        body = {
            "annotation_id": key,
            "targets": self._random.sample(EXPOSURES, 40 if many else 1),
            "flag": self._random.choice(FLAGS),
            "tags": self._random.sample(TAGS, self._random.randrange(3)),
            "text": f"{self._name} says {key}",
        }
        self._told.creates[key] = None
        answer = await self._send("POST", ANNOTATIONS, body, {200, 201})
        self._told.creates[key] = self._told.last[self._name] = answer.json()

    async def _edit(self, mine: Json) -> None:
        answer = await self._send(
            "PATCH",
            f"{ANNOTATIONS}/{mine['annotation_id']}",
            {"text": f"edited {self._id()}", "flag": self._random.choice(FLAGS)},
            {200},
            **{"If-Match": f'"{mine["revision_id"]}"'},
        )
        edited = answer.json()
        assert edited["parent_id"] == mine["revision_id"], answer.text
        self._told.edits[edited["revision_id"]] = edited
        self._told.last[self._name] = edited

    async def _review(self) -> None:
        others = [one for name, one in self._told.last.items() if name != self._name]
        if not others:
            return
        key = self._id()
        about = self._random.choice(others)
        body = {
            "review_id": key,
            "verdict": self._random.choice(("confirm", "reject")),
            "revision_id": about["revision_id"],
        }
        path = f"{ANNOTATIONS}/{about['annotation_id']}/reviews"
        self._told.reviews[key] = None
        answer = await self._send("POST", path, body, {200, 201})
        made = answer.json()
        # The same word of the same reviewer is answered with the first one.
        if made["record_id"] != key:
            del self._told.reviews[key]
        self._told.reviews[made["record_id"]] = made

    async def _send(
        self, method: str, path: str, body: Json, good: set[int], **headers: str
    ) -> httpx.Response:
        headers["X-Annolog-User"] = self._name
        first = True
        while True:
            url = self._processes[0].url + path
            try:
                answer = await self._client.request(
                    method, url, json=body, headers=headers
                )
            except httpx.TransportError:
                # Perhaps another process is well; it must know what this one did.
                self._random.shuffle(self._processes)
                answer = None
            if answer is not None and answer.status_code not in {429, 503}:
                assert answer.status_code in good, f"{answer.status_code} {answer.text}"
                return answer
            self._told.again += first
            first = False
            await asyncio.sleep(0.1 + 0.2 * self._random.random())

    def _id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


async def read_on(
    process: ServiceProcess, limit: int, ended: Callable[[], int | None]
) -> list[tuple[int, str]]:
    """Page the log of one process by number until its end, whatever befalls it."""
    seen: list[tuple[int, str]] = []
    after = 0
    async with httpx.AsyncClient(base_url=process.url, timeout=5.0) as client:
        while (end := ended()) is None or after < end:
            query: dict[str, float] = {"after": after, "limit": limit, "wait": 0.5}
            try:
                answer = await client.get(CHANGES, params=query)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == 503:
                await asyncio.sleep(0.1)
                continue
            assert answer.status_code == 200, answer.text
            page = answer.json()
            seen += [(int(one["sequence"]), one["id"]) for one in page["items"]]
            after = page["next_after"]
    return seen


async def harm(
    processes: Sequence[ServiceProcess], dice: random.Random, seconds: float
) -> list[str]:
    """Kill, freeze and restart, some while apart; say what was done."""
    faults = ["kill 0", "freeze 1", "kill 1", "kill 0", "kill 1"]
    dice.shuffle(faults)
    done = []
    each = (seconds - 3.0) / len(faults)
    loop = asyncio.get_running_loop()
    for fault in faults:
        await asyncio.sleep(dice.uniform(0.3, 0.9) * each)
        what, _, which = fault.partition(" ")
        process = processes[int(which)]
        done.append(f"{loop.time():.2f} {fault}")
        if what == "kill":
            process.kill()
            await asyncio.to_thread(process.start)
        else:
            process.freeze()
            await asyncio.sleep(3.0)
            process.thaw()
    return done


async def test_two_processes_of_writers_under_kills_and_freezes_make_one_log(
    database_url: str,
    template_database: str,
    running_postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    seed = os.environ.get("LANE_SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"LANE_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    told = Told()
    head: list[int] = []
    loop = asyncio.get_running_loop()
    with (
        ServiceProcess(database_url, tmp_path) as one,
        ServiceProcess(database_url, tmp_path) as two,
    ):
        processes = (one, two)
        writers = [
            Writer(f"writer{n}", order, f"{seed}/{n}", told)
            for n in range(2 * WRITERS)
            for order in [processes if n % 2 else processes[::-1]]
        ]
        async with asyncio.TaskGroup() as group:
            readers = [
                group.create_task(read_on(p, limit, lambda: next(iter(head), None)))
                for p in processes
                for limit in (23, 60)
            ]
            faults = group.create_task(harm(processes, random.Random(seed), SECONDS))
            async with asyncio.TaskGroup() as writing:
                for writer in writers:
                    writing.create_task(writer.run(loop.time() + SECONDS))
            async with connected(database_url) as conn:
                head.append(await conn.fetchval("select max(number) from change"))
        print(*faults.result(), f"answered {told.answered}, again {told.again}")  # noqa: T201
        logs = one.told() + two.told()

    async with connected(database_url) as conn:
        log = [
            (row["number"], str(row["record_id"]))
            for row in await conn.fetch(
                "select number, record_id from change order by number"
            )
        ]
        assert [number for number, _ in log] == list(range(1, head[0] + 1))
        for reader in readers:
            assert [number for number, _ in reader.result()] == list(
                range(1, head[0] + 1)
            )
            assert reader.result() == readers[0].result()
        await all_answered_is_there_once(conn, told)
        await nothing_is_half_done(conn)
        records = await all_records(conn)
        found = await views(conn)
    again = running_postgres.create(template=template_database)
    try:
        assert found == await views_of(records, again)
    finally:
        running_postgres.drop(again)
    assert told.answered > 100
    assert told.again > 0
    assert '"fault"' not in logs
    assert "Traceback" not in logs


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


async def all_answered_is_there_once(conn: asyncpg.Connection, told: Told) -> None:
    created = await conn.fetch(
        "select annotation_id::text, revision_id::text, number from revision"
        " where operation = 'create'"
    )
    by_id = {row["annotation_id"]: row for row in created}
    assert len(by_id) == len(created), "an annotation was created twice"
    for key, answer in told.creates.items():
        assert answer is not None, f"{key} was given up"
        assert by_id[key]["revision_id"] == answer["revision_id"]
        assert by_id[key]["number"] == answer["number"]
    assert set(by_id) == set(told.creates)

    edits = await conn.fetch(
        "select revision_id::text, parent_id::text from revision"
        " where operation = 'edit'"
    )
    assert {row["revision_id"] for row in edits} == set(told.edits)
    parents = [row["parent_id"] for row in edits]
    assert len(parents) == len(set(parents)), "an edit was lost by another"

    reviews = await conn.fetch("select review_id::text from review")
    assert {row["review_id"] for row in reviews} == set(told.reviews)


async def nothing_is_half_done(conn: asyncpg.Connection) -> None:
    for words, query in {
        "a change has no record": """
            select c.number from change c
              left join record r on r.record_id = c.record_id
             where r.record_id is null""",
        "a record has not one change": """
            select r.record_id from record r
              left join change c on c.record_id = r.record_id
             group by r.record_id having count(c.number) <> 1""",
        "a record was numbered otherwise": """
            select c.number from change c join record r on r.record_id = c.record_id
             where r.origin_number <> c.number or r.kind <> c.kind""",
        "a record has other bytes than its hash says": """
            select record_id from record where hash <> sha256(body)""",
        "a change has no view": """
            select c.number from change c
              left join revision v on v.revision_id = c.record_id
              left join review w on w.review_id = c.record_id
              left join target_list l on l.list_id = c.record_id
             where (c.kind = 'revision' and v.number is distinct from c.number)
                or (c.kind = 'review' and w.number is distinct from c.number)
                or (c.kind = 'target_list' and l.list_id is null)""",
        "a list is not there": """
            select list_id from revision where list_id is not null
            except select list_id from target_list""",
        "an annotation has not one current revision": """
            select annotation_id from revision group by annotation_id
            having count(*) filter (where current_to is null
                                      and current_from is not null) <> 1""",
        "something is said of a target more or less often than it was": """
            select v.annotation_id from revision v
             where v.current_to is null
               and not exists (select from review w
                                where w.annotation_id = v.annotation_id)
               and v.target_count <> (select count(*) from said s
                                       where s.source_id = v.annotation_id
                                         and s.to_number is null)""",
        "what is said was never numbered": """
            select source_id from said
             where from_number > (select max(number) from change)""",
        "a state is older than what is said": """
            select s.target_id from said s
              left join target_state t on t.target_id = s.target_id
             where s.to_number is null
               and (t.target_id is null or t.number > (select max(number) from change))
            """,
        "a target has two rows": """
            select key from target group by key having count(*) > 1""",
    }.items():
        assert not await conn.fetch(query), words


async def all_records(conn: asyncpg.Connection) -> list[Record]:
    rows = await conn.fetch(
        "select record_id, kind, clock, site_id, incarnation, origin_number, hash, body"
        " from record order by record_id"
    )
    return [Record(**dict(row)) for row in rows]


async def views_of(records: Sequence[Record], url: str) -> Json:
    """Give the views that records amount to where they arrive in another order."""
    async with AsyncExitStack() as stack:
        runtime = await stack.enter_async_context(opened(url, "elsewhere"))
        await receive.records(runtime.lane, runtime.work, records)
        conn = await stack.enter_async_context(connected(url))
        return await views(conn)


async def views(conn: asyncpg.Connection) -> Json:
    """Give all that is shown, without numbers, as they are a site's own."""
    said = await conn.fetch(
        """
        select t.key, s.source_id, s.revision_id, s.ordinal, s.author, s.voter, s.rank,
               s.flag, s.vote_id, s.vote_clock, s.contested, s.tags
          from said s join target t on t.target_id = s.target_id
         where s.to_number is null order by t.key, s.source_id
        """
    )
    states = await conn.fetch(
        """
        select t.key, s.flag, s.decided_by, s.outvoted, s.disputed, s.bots_differ,
               s.follow_ups, s.tags, s.notes, s.empty
          from target_state s join target t on t.target_id = s.target_id
         order by t.key
        """
    )
    revisions = await conn.fetch(
        """
        select revision_id, counted, current_from is not null and current_to is null
          from revision order by revision_id
        """
    )
    return {
        "said": [tuple(row) for row in said],
        "states": [tuple(row) for row in states],
        "revisions": [tuple(row) for row in revisions],
    }
