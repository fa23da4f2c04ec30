"""What a scenario compares: states, votes and events as short values, all of them.

    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        junk = await annolog.say(key, flag="junk", tags=["donuts"])
        assert await seen(annolog, key) == held(
            "junk", decided=[vote(junk)], tags={"donuts": ["jdoe"]}, notes=1
        )
        assert await heard.news() == [
            Event("revision", "create", "jdoe", (key,), count=1)
        ]

A target that is compared is compared whole, and of the log everything is.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from annolog.actions import check
from annolog.domain import times
from annolog.storage import database
from tests.support.service import Service, Shown, service


@asynccontextmanager
async def scene(database_url: str) -> AsyncIterator[Service]:
    """Run the service; in the end every view must be what the records give."""
    async with service(database_url) as annolog:
        yield annolog
        async with database.snapshot(annolog.runtime.reads) as connection:
            report = await check.check_all(connection)
        assert report.faults == []


@dataclass(frozen=True, slots=True)
class Vote:
    """A voter's one vote on a target.

    Attributes
    ----------
    at
        Clock of the revision or review that gave it.
    vote_id
        That revision or review.
    """

    voter: str
    rank: str
    flag: str
    at: str
    vote_id: str
    contested: bool = False


def vote(said: Shown, flag: str | None = None, *, contested: bool = False) -> Vote:
    """Give the vote of a revision; of a review with the flag that it confirms."""
    return Vote(
        said["voter"],
        said["rank"],
        flag or said["flag"],
        times.format(times.from_clock(said["clock"])),
        said["record_id"] if said["kind"] == "review" else said["revision_id"],
        contested,
    )


@dataclass(frozen=True, slots=True)
class Held:
    """All that holds for a target, and because of whom.

    Attributes
    ----------
    votes
        (vote, part that it played), the latest first.
    tags
        Who says each, in the order of saying.
    """

    flag: str | None
    decided_by: Sequence[str]
    outvoted: Sequence[str]
    disputed: bool
    bots_differ: bool
    follow_ups: Sequence[str]
    votes: Sequence[tuple[Vote, str]]
    tags: Mapping[str, Sequence[str]]
    notes: int


def held(
    flag: str | None = None,
    *,
    decided: Sequence[Vote] = (),
    agrees: Sequence[Vote] = (),
    outvoted: Sequence[Vote] = (),
    disputed: bool = False,
    tags: Mapping[str, Sequence[str]] | None = None,
    notes: int = 0,
) -> Held:
    """Say what should hold; nothing else may."""
    parts = {"decided": decided, "agrees": agrees, "outvoted": outvoted}
    votes = [(one, part) for part, found in parts.items() for one in found]
    return Held(
        flag=flag,
        decided_by=sorted(one.vote_id for one in decided),
        outvoted=sorted(one.vote_id for one in outvoted),
        disputed=disputed,
        bots_differ=False,
        follow_ups=[],
        votes=sorted(votes, key=lambda v: (v[0].at, v[0].vote_id), reverse=True),
        tags=tags or {},
        notes=notes,
    )


NOTHING = held()
"""Nobody says anything."""


async def seen(annolog: Service, key: str, **query: str | int) -> Held:
    """Look at a target."""
    answer = await annolog.target(key, **query)
    state = answer["state"]
    said_by = {
        one["tag"]: [by["author"] for by in one["said_by"]] for one in answer["tags"]
    }
    assert state["tags"] == list(said_by)
    return Held(
        flag=state["flag"],
        decided_by=state["decided_by"],
        outvoted=state["outvoted"],
        disputed=state["disputed"],
        bots_differ=state["bots_differ"],
        follow_ups=state["follow_ups"],
        votes=[
            (
                Vote(
                    one["voter"],
                    one["rank"],
                    one["flag"],
                    one["at"],
                    one["vote_id"],
                    one["contested"],
                ),
                one["part"],
            )
            for one in answer["votes"]
        ],
        tags=said_by,
        notes=state["notes"],
    )


async def all_seen(
    annolog: Service, keys: Sequence[str], **query: str | int
) -> list[Held]:
    """Look at targets, in their order."""
    return [await seen(annolog, key, **query) for key in keys]


@dataclass(frozen=True, slots=True)
class Event:
    """What consumers are told of a change.

    Attributes
    ----------
    by
        Who did it; None where nobody acts (a list of targets).
    added, removed
        Keys that the annotation names from now on, or no longer.
    count
        Targets that it has now.
    before
        Fields that changed, as they were; None where none did.
    """

    kind: str
    operation: str
    by: str | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()
    count: int = 0
    before: Mapping[str, Any] | None = None
    reason: str | None = None


def a_list() -> Event:
    """Give the event of a list of more than 16 targets, which comes before its use."""
    return Event("target_list", "create")


@dataclass(slots=True)
class Heard:
    """Follows the log from the present moment on."""

    annolog: Service
    after: int = 0
    bodies: list[Shown] = field(default_factory=list)
    """Bodies of the events that came last."""

    @classmethod
    async def of(cls, annolog: Service) -> "Heard":
        """Begin behind what is there already (the shipped vocabulary)."""
        head = (await annolog.get("/changes", limit=1)).json()["head"]
        return cls(annolog, head)

    async def news(self) -> list[Event]:
        """Give all events since the last time, in order; none may be left out."""
        self.bodies = []
        head = self.after + 1
        while self.after < head:
            page = await self.annolog.get("/changes", after=self.after, limit=1000)
            content = page.json()
            head, first = content["head"], self.after + 1
            numbers = [one["data"]["number"] for one in content["items"]]
            assert numbers == list(range(first, first + len(numbers)))
            self.bodies += [one["data"] for one in content["items"]]
            self.after = content["next_after"]
        return [_event(one) for one in self.bodies]


def _event(body: Shown) -> Event:
    targets, actor = body["targets"], body["actor"]
    if targets["complete"]:
        assert targets["added_count"] == len(targets["added"])
        assert targets["removed_count"] == len(targets["removed"])
    assert body["before_complete"]
    return Event(
        body["kind"],
        body["operation"],
        actor and actor["id"],
        tuple(targets["added"]),
        tuple(targets["removed"]),
        targets["count"],
        body["before"],
        body["reason"],
    )
