"""However much is said at once, an event stays small and leads to the rest."""

from collections.abc import Sequence
from typing import Any

from annolog.domain.annotations import MAX_TARGETS, MAX_TEXT_BYTES
from annolog.domain.events import MAX_EVENT_BYTES, Event
from tests.support.published import Published, publishing
from tests.support.service import Service, Shown

TEXT = "é" * (MAX_TEXT_BYTES // 2)
SOME = 1_000
"""Targets of which an event, beside a long text, has no room for the keys."""


def long_key(number: int) -> str:
    """Give a long key; ten thousand are well above the size of an event."""
    start = f"collection:main/{number:05}"
    return start + "x" * (200 - len(start))


def newest(published: Published, kind: str) -> tuple[Event, Shown]:
    """Give the last event of a kind with its body."""
    for event in reversed(published.changes):
        body = event.body()
        assert body is not None
        if body["kind"] == kind:
            return event, body
    raise AssertionError(kind)


def demand_small(published: Published) -> None:
    for event in (*published.changes, *published.states):
        assert event.size < MAX_EVENT_BYTES, (event.type, event.size)


async def followed(annolog: Service, link: str) -> Any:  # noqa: ANN401 - an answer
    answer = await annolog.client.get(link)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def demand_the_rest(
    annolog: Service, body: Shown, added: Sequence[str], removed: Sequence[str]
) -> None:
    """See that an event lists the first keys, and that its link leads to the others."""
    targets = body["targets"]
    assert not targets["complete"]
    for name, keys in (("added", added), ("removed", removed)):
        shown = targets[name]
        assert targets[f"{name}_count"] == len(keys)
        assert 0 < len(shown) < len(keys) if keys else shown == []
        assert set(shown) < set(keys) if keys else True
    revisions = {
        one["revision_id"]: set(one["targets"])
        for one in (await followed(annolog, targets["link"]))["items"]
    }
    now = revisions[body["revision_id"]]
    was = revisions.get(body["parent_id"], set())
    assert (now - was, was - now) == (set(added), set(removed))


async def test_ten_thousand_long_keys_and_64_kib_of_text(database_url: str) -> None:
    keys = [long_key(n) for n in range(MAX_TARGETS)]
    async with publishing(database_url) as (annolog, published, _):
        said = await annolog.say(*keys, text=TEXT, tags=["donuts"])
        await published.go_on()
        _, body = newest(published, "revision")
        assert body["after"]["text"] == TEXT
        await demand_the_rest(annolog, body, keys, [])
        _, listed = newest(published, "target_list")
        assert listed["after"] is None
        (whole,) = (await followed(annolog, listed["after_link"]))["items"]
        assert whole["data"]["after"]["keys"] == keys

        path = f"/annotations/{said['annotation_id']}/redact"
        done = await annolog.post(path, {"reason": TEXT}, by="carla")
        assert done.status_code == 201, done.text
        await published.go_on()
        event, body = newest(published, "redaction")
        # Why stands in the event and in the record.
        assert body["reason"] == body["after"]["reason"] == TEXT
        assert event.size > 2 * MAX_TEXT_BYTES
        demand_small(published)
        assert len(published.states) == MAX_TARGETS
        await demand_small_again(published)


async def test_edits_that_exchange_thousands_of_targets(database_url: str) -> None:
    first, kept, more = (
        [long_key(part * SOME + n) for n in range(SOME)] for part in range(3)
    )
    async with publishing(database_url) as (annolog, published, _):
        said = await annolog.say(*first, *kept, text=TEXT, flag="junk")
        said = await annolog.edit(
            said, targets={"add": more, "remove": first}, text="never mind"
        )
        await published.go_on()
        _, body = newest(published, "revision")
        assert body["before"]["text"] == TEXT
        await demand_the_rest(annolog, body, more, first)

        await annolog.review(said, "reject", by="ann", targets=more, reason=TEXT)
        await published.go_on()
        event, body = newest(published, "review")
        assert body["reason"] == body["after"]["reason"] == TEXT
        assert event.size > 2 * MAX_TEXT_BYTES

        await annolog.retract(said)
        path = f"/annotations/{said['annotation_id']}/redact"
        done = await annolog.post(path, {"reason": "a password"}, by="carla")
        assert done.status_code == 201, done.text
        await published.go_on()
        _, body = newest(published, "redaction")
        assert len(body["after"]["revisions"]) == 3
        demand_small(published)
        await demand_small_again(published)


async def demand_small_again(published: Published) -> None:
    """Look at the log from its beginning, now that words are gone from it."""
    again = Published(published.conn)
    await again.go_on()
    assert len(again.changes) > len(published.changes)
    demand_small(again)


async def test_a_target_of_which_hundreds_speak(database_url: str) -> None:
    key = "exposure:LSSTCam/2026111900123"
    async with publishing(database_url) as (annolog, published, _):
        for person in range(200):
            flag = ("junk", "questionable")[person % 2]
            await annolog.say(key, by=f"person{person}", flag=flag)
        await published.go_on()
        (state,) = published.states
        body = state.body()
        assert body is not None
        assert (len(body["decided_by"]), len(body["outvoted"])) == (100, 100)
        assert (body["disputed"], body["notes"], body["complete"]) == (True, 200, True)
        demand_small(published)


async def test_a_target_of_which_too_much_is_said_for_one_event(
    database_url: str,
) -> None:
    key = "exposure:LSSTCam/2026111900123"
    async with publishing(database_url) as (annolog, published, _):
        for number in range(70):
            tags = [f"t{number:02}_{n:02}_" + "x" * 57 for n in range(64)]
            await annolog.say(key, tags=tags)
        await published.go_on()
        (state,) = published.states
        body = state.body()
        assert body is not None
        assert (body["complete"], body["notes"]) == (False, 70)
        assert len(body["tags"]) == 200
        demand_small(published)
        # The service has all of it.
        whole = await annolog.state(body["key"])
        assert len(whole["tags"]) == 70 * 64
        assert set(body["tags"]) < set(whole["tags"])
