"""What is found afterwards: all that was acknowledged, once, everywhere alike."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import msgspec

from annolog.storage import changes
from annolog.stream.consume import Received, Until, follow
from annolog.stream.topics import Access
from tests.faults.ledger import Ledger, Said
from tests.faults.stage import Stage
from tests.support.relay import is_open

CAUGHT_UP_WITHIN = 120.0
"""Seconds that the relay may take for what waits in the log."""

CHECKED_WITHIN = 240.0
"""Seconds that `annologd check` may take."""

MOST = 8
"""Findings of one sort that are told."""

ASKED = 24
"""Targets whose state is asked for over HTTP too."""

Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class Findings:
    """What is wrong, and how much was looked at.

    Attributes
    ----------
    wrong
        A sentence for each finding; empty if all is as it must be.
    looked_at
        Counts by what was compared.
    """

    wrong: list[str] = field(default_factory=list)
    looked_at: dict[str, int | str] = field(default_factory=dict)

    def add(self, what: str, found: Iterator[str] | Sequence[str]) -> None:
        """Note findings of one sort: the first few, and how many there are."""
        all_found = list(found)
        self.wrong += [f"{what}: {one}" for one in islice(all_found, MOST)]
        if len(all_found) > MOST:
            self.wrong.append(f"{what}: ... and {len(all_found) - MOST} more")


@dataclass(frozen=True, slots=True)
class Log:
    """The log as HTTP gives it, and the states of the targets."""

    first: int
    head: int
    items: list[Json]
    states: dict[str, Json | None]

    @property
    def revisions(self) -> dict[str, Json]:
        """The bodies of revisions by id."""
        return {
            one["data"]["after"]["revision_id"]: one["data"]
            for one in self.items
            if one["data"]["kind"] == "revision"
        }


def look(stage: Stage, ledger: Ledger) -> Findings:
    """Compare everything with everything; all parts must be of use."""
    found = Findings()
    found.add("answer", ledger.wrong)
    log = asyncio.run(_read(stage, found))
    of_log(log, found)
    of_ledger(log, ledger, found)
    _of_topics(stage, log, found)
    _of_states(stage, log, found)
    _of_records(stage, found)
    _of_logs(stage, found)
    return found


async def _read(stage: Stage, found: Findings) -> Log:
    connection = await asyncpg.connect(stage.site.database_url)
    try:
        head = await changes.head(connection)
        await _caught_up(connection, stage, head, found)
        first = await changes.first_number(connection)
        states = await changes.states_between(connection, first - 1, head)
    finally:
        await connection.close()
    items: list[Json] = []
    after = 0
    async with httpx.AsyncClient(base_url=stage.services[0].url, timeout=60) as client:
        while after < head:
            query = {"after": after, "limit": 1000}
            answer = await client.get("/annolog/v1/changes", params=query)
            page = msgspec.json.decode(answer.raise_for_status().content)
            items += page["items"]
            after = page["next_after"]
    return Log(
        first,
        head,
        items,
        {
            one.state.key: None if one.empty else one.state.model_dump(mode="json")
            for one in states
        },
    )


async def _caught_up(
    connection: "asyncpg.Connection[asyncpg.Record]",
    stage: Stage,
    head: int,
    found: Findings,
) -> None:
    began = time.monotonic()
    while (await changes.floor(connection, stage.topics.changes) or 0) < head:
        if time.monotonic() - began > CAUGHT_UP_WITHIN:
            found.add("relay", [f"did not come to {head} in {CAUGHT_UP_WITHIN:g} s"])
            break
        # The relays are looked after, should they end once more.
        stage.watch()
        await asyncio.sleep(0.1)
    # The last transaction may not have ended yet, and for ever if nobody mends it.
    for topic in (stage.topics.changes, stage.topics.targets):
        while await asyncio.to_thread(is_open, stage.site.brokers.bootstrap, topic):
            if time.monotonic() - began > CAUGHT_UP_WITHIN:
                found.add("relay", [f"left a transaction open in {topic}"])
                break
            stage.watch()
            await asyncio.sleep(0.1)
    found.looked_at["seconds until the topics had all"] = (
        f"{time.monotonic() - began:.1f}"
    )


def of_log(log: Log, found: Findings) -> None:
    numbers = [int(one["sequence"]) for one in log.items]
    found.looked_at["changes in the log"] = len(numbers)
    if numbers != list(range(log.first, log.head + 1)):
        wanted = set(range(log.first, log.head + 1))
        found.add("log", [f"lacks {n}" for n in sorted(wanted - set(numbers))])
        found.add("log", [f"has {n} twice" for n in _twice(numbers)])
        if numbers != sorted(numbers):
            found.add("log", ["is not in order"])
    found.add("log", [f"has {one} twice" for one in _twice(o["id"] for o in log.items)])
    created = [
        data["annotation_id"]
        for data in log.revisions.values()
        if data["operation"] == "create"
    ]
    found.add("log", [f"creates {one} twice" for one in _twice(created)])


def of_ledger(log: Log, ledger: Ledger, found: Findings) -> None:
    found.looked_at["acknowledged"] = len(ledger.said)
    revisions = log.revisions
    lists = {
        one["data"]["after"]["list_id"]: one["data"]["after"]["keys"]
        for one in log.items
        if one["data"]["kind"] == "target_list"
    }
    found.add(
        "acknowledged", [w for s in ledger.said for w in _of(s, revisions, lists)]
    )
    ids = [said.revision_id for said in ledger.said]
    found.add("acknowledged", [f"{one} was, twice" for one in _twice(ids)])
    # What nobody was told of may be there only where nobody asked again.
    told, given_up = set(ids), set(ledger.given_up)
    unasked = [
        (data["operation"], data["annotation_id"])
        for revision_id, data in revisions.items()
        if revision_id not in told
    ]
    found.looked_at["given up"] = len(ledger.given_up)
    found.looked_at["given up, and stored"] = len(unasked)
    strange = [one for one in unasked if one not in given_up]
    found.add("log", [f"has a {what} of {of} that nobody said" for what, of in strange])
    found.add("log", [f"has the {one} twice" for one in _twice(unasked)])


def _of(
    said: Said, revisions: Mapping[str, Json], lists: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Compare what was acknowledged with what the log has."""
    name = f"{said.operation} {said.number} of {said.annotation_id}"
    data = revisions.get(said.revision_id)
    if data is None:
        yield f"{name} is lost"
        return
    after = data["after"]
    keys = lists[after["list_id"]] if after["list_id"] else after["targets"]
    pairs = {
        "operation": (said.operation, data["operation"]),
        "number": (said.number, data["number"]),
        "annotation": (said.annotation_id, after["annotation_id"]),
        "targets": (said.keys, frozenset(keys)),
        **{name: (value, after[name]) for name, value in said.content.items()},
    }
    for what, (wanted, there) in pairs.items():
        if wanted != there:
            yield f"{name}: {what} is {there!r} and not {wanted!r}"


def _of_topics(stage: Stage, log: Log, found: Findings) -> None:
    received = _published(stage, stage.topics.changes)
    found.looked_at["events in the topic of changes"] = len(received)
    wanted = {int(one["sequence"]): one for one in log.items}
    numbers = [one.event.number for one in received]
    name = "topic of changes"
    found.add(name, [f"lacks {n}" for n in sorted(wanted.keys() - set(numbers))])
    # Whether the first of them was in an aborted transaction its place may tell.
    places: dict[int, list[str]] = {}
    for one in received:
        at = f"partition {one.partition} offset {one.offset}"
        places.setdefault(one.event.number, []).append(at)
    twice = [f"has {n} at {', '.join(places[n])}" for n in _twice(numbers)]
    found.add(name, twice)
    found.add(name, [f"has {n}" for n in sorted(set(numbers) - wanted.keys())])
    found.add(
        name,
        [
            f"{one.event.number} is not as in the log"
            for one in received
            if not _is_same(one, wanted.get(one.event.number))
        ],
    )
    last: dict[int, int] = {}
    for one in received:
        if one.event.number <= last.get(one.partition, 0):
            found.add(name, [f"{one.event.number} is out of order"])
        last[one.partition] = one.event.number


def _is_same(received: Received, item: Json | None) -> bool:
    event = received.event
    return (
        item is None  # told already
        or (
            all(item[name] == value for name, value in event.attributes.items())
            and event.body() == item["data"]
        )
    )


def _of_states(stage: Stage, log: Log, found: Findings) -> None:
    received = _published(stage, stage.topics.targets)
    found.looked_at["events in the topic of targets"] = len(received)
    found.looked_at["targets"] = len(log.states)
    folded = {one.event.key: one.event.body() for one in received}
    name = "topic of targets"
    found.add(name, [f"lacks {k}" for k in sorted(log.states.keys() - folded.keys())])
    found.add(name, [f"has {k}" for k in sorted(folded.keys() - log.states.keys())])
    found.add(
        name,
        [
            f"{key} is {folded[key]} and not {state}"
            for key, state in log.states.items()
            if key in folded and folded[key] != state
        ],
    )
    seen: dict[str, int] = {}
    for one in received:
        if one.event.number <= seen.get(one.event.key, 0):
            found.add(name, [f"{one.event.number} of {one.event.key} comes again"])
        seen[one.event.key] = one.event.number
    for service in stage.services:
        with httpx.Client(base_url=service.url, timeout=30) as client:
            for key, state in sorted(log.states.items())[:: len(log.states) // ASKED]:
                answer = client.get("/annolog/v1/target", params={"key": key})
                shown = answer.raise_for_status().json()["state"]
                if state is not None and shown != state:
                    found.add("target", [f"{key} is shown as {shown}, not {state}"])


def _of_records(stage: Stage, found: Findings) -> None:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "annolog.cli", "check", "--json"],
        env=stage.command_environment(),
        capture_output=True,
        text=True,
        timeout=CHECKED_WITHIN,
        check=False,
    )
    found.looked_at["seconds of annologd check"] = f"{time.monotonic() - began:.1f}"
    if done.returncode:
        words = done.stdout[:2000] + done.stderr[-500:]
        found.add("annologd check", [f"exit code {done.returncode}: {words}"])
    else:
        found.looked_at["records"] = msgspec.json.decode(done.stdout)["records"]


def _of_logs(stage: Stage, found: Findings) -> None:
    """See that no process stumbled over what it should have known of."""
    for path in sorted((stage.site.home / "log").glob("*.log*")):
        if not path.name.startswith(("serve", "relay")):
            continue
        with path.open(encoding="utf-8", errors="replace") as lines:
            odd = [line.strip() for line in lines if _is_odd(line)]
        found.add(path.name, [line[:600] for line in odd])
    for relay in stage.relays:
        # 1 says: start me again. Else a person is called for.
        stopped = [one for one in relay.endings if "exit code 1:" not in one]
        found.add(relay.name, [f"ended: {one}" for one in stopped])


def _is_odd(line: str) -> bool:
    # A service that finds no database at its start says so, and is started again.
    known = "UnavailableError" in line
    return ("Traceback" in line and not known) or '"fault"' in line


def _published(stage: Stage, topic: str) -> list[Received]:
    access = Access(stage.site.brokers.bootstrap)
    return list(follow(access, topic, until=Until(end=True), dedupe=False))


def _twice(all_of_them: Iterable[T]) -> list[T]:
    return [one for one, count in Counter(all_of_them).items() if count > 1]


def left_over(home: Path) -> list[str]:
    """Name the processes that still work in a home."""
    place = str(home).encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Others end while we look, and belong to others.
        with contextlib.suppress(OSError):
            if int(entry.name) == os.getpid():
                continue
            words = (entry / "cmdline").read_bytes()
            where = os.fsencode((entry / "cwd").readlink())
            if words and any(
                place in one for one in (words, where, (entry / "environ").read_bytes())
            ):
                found.append(words.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found
