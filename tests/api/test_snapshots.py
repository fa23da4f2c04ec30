"""`GET /annolog/v1/snapshot`: all that holds, of one moment."""

import asyncio
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from annolog.domain.entries import Policy, SameAs
from annolog.domain.errors import MalformedError
from annolog.domain.snapshots import (
    End,
    Gone,
    Head,
    Line,
    Other,
    SetVersion,
    Stands,
    State,
    Statement,
    Weighing,
    read,
)
from tests.support.service import Service, service
from tests.support.uvicorned import serving

EXPOSURE = "exposure:LSSTCam/{}"
FIRST, SECOND = EXPOSURE.format(2026111900001), EXPOSURE.format(2026111900002)
LATER = EXPOSURE.format(2026112000001)
DATASET = "dataset:019a5c00-0000-7000-8000-000000000001"
CHIP = "record:detector/instrument=LSSTCam/detector={}"
MANY = [EXPOSURE.format(2026111900000 + n) for n in range(1, 5000)]


async def taken(annolog: Service, **query: str | int) -> list[Line]:
    answer = await annolog.get("/snapshot", **query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    found = [read(line) for line in answer.text.splitlines()]
    assert found[-1] == End(len(found) - 2)
    return found


def head(found: list[Line]) -> Head:
    assert isinstance(found[0], Head)
    return found[0]


def states(found: list[Line]) -> dict[str, State]:
    return {one.key: one for one in found if isinstance(one, State)}


def statements(found: list[Line]) -> list[Statement]:
    return [one for one in found if isinstance(one, Statement)]


async def test_a_snapshot_has_states_and_statements_of_one_number(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(
            FIRST, SECOND, flag="junk", tags=["vignetting"], text="dome"
        )
        await annolog.say(DATASET, tags=["bad_focus"])
        found = await taken(annolog)
        first = head(found)
        assert (first.site_id, first.schema_version) == ("summit", 1)
        assert first.number == (await annolog.get("/changes")).json()["head"]
        assert states(found)[FIRST] == State(
            key=FIRST,
            kind="exposure",
            number=said["number"],
            flag="junk",
            tags=("vignetting",),
            notes=1,
        )
        assert set(states(found)) == {FIRST, SECOND, DATASET}
        one = next(s for s in statements(found) if s.text)
        assert str(one.revision_id) == said["revision_id"]
        assert one.counted_for == (FIRST, SECOND)
        assert (one.author, one.rank, one.flag) == ("jdoe", "human", "junk")


async def test_what_does_not_count_is_left_out(database_url: str) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(FIRST, SECOND, flag="junk")
        await annolog.review(said, "reject", by="curator", targets=[FIRST])
        gone = await annolog.say(LATER, flag="junk")
        await annolog.retract(gone)
        await annolog.post(
            "/annotations", {"reply_to": said["annotation_id"], "text": "indeed"}
        )
        found = await taken(annolog)
        assert LATER not in states(found)
        assert len(statements(found)) == 1


async def test_targets_that_are_one_share_a_state(database_url: str) -> None:
    other = "exposure:LSSTCam/2026111900009"
    async with service(database_url) as annolog:
        await annolog.say(FIRST, flag="junk")
        await annolog.say(other, tags=["donuts"])
        await annolog.set_entry(SameAs(key_a=FIRST, key_b=other))
        found = await taken(annolog)
        assert states(found)[FIRST].joined == (other,)
        assert states(found)[FIRST].tags == ("donuts",)
        assert other not in states(found)
        assert all(set(s.counted_for) == {FIRST, other} for s in statements(found))


async def test_filters_keep_what_has_no_instrument_and_no_night(
    database_url: str,
) -> None:
    comcam = "exposure:LSSTComCam/2026111900001"
    async with service(database_url) as annolog:
        await annolog.say(FIRST, LATER, comcam, DATASET, flag="junk")
        found = await taken(annolog, instrument="LSSTCam", day_obs_max=20261119)
        assert set(states(found)) == {FIRST, DATASET}
        assert set(statements(found)[0].counted_for) == {FIRST, DATASET}
        assert head(found).instrument == ("LSSTCam",)
        late = await taken(annolog, day_obs_min=20261120)
        assert set(states(late)) == {LATER, DATASET}
        wrong = await annolog.get(
            "/snapshot", day_obs_min=20261121, day_obs_max=20261120
        )
        assert wrong.status_code == 422


async def test_after_a_number_only_what_changed_is_given(database_url: str) -> None:
    async with service(database_url) as annolog:
        first = await annolog.say(FIRST, flag="junk", text="a")
        second = await annolog.say(SECOND, flag="junk", text="b")
        third = await annolog.say(SECOND, text="c")
        before = head(await taken(annolog)).number
        assert [*states(await taken(annolog, after=before))] == []
        await annolog.retract(first)
        await annolog.edit(third, text="d")
        rejected = await annolog.review(second, "reject", by="bob")
        assert rejected
        found = await taken(annolog, after=before)
        assert states(found)[FIRST].empty
        gone = [one.annotation_id for one in found if isinstance(one, Gone)]
        assert [str(one) for one in gone] == [first["annotation_id"]]
        assert {s.text for s in statements(found)} >= {"d"}
        assert head(found).after == before


async def test_a_word_that_was_redacted_is_not_given(database_url: str) -> None:
    async with service(database_url) as annolog:
        said = await annolog.say(FIRST, text="a secret")
        before = head(await taken(annolog)).number
        path = f"/annotations/{said['annotation_id']}/redact"
        answer = await annolog.post(path, {"reason": "private"}, by="admin")
        assert answer.status_code == 201, answer.text
        for query in ({}, {"after": before}):
            found = await taken(annolog, **query)
            assert [one.text for one in statements(found)] == [""]


def test_later_types_of_lines_are_passed_over_and_nonsense_is_not() -> None:
    assert read(json.dumps({"type": "edge", "name": "a"})) == Other("edge")
    for line in ("[]", "{}", '{"type": "state"}', "", '{"type":'):
        with pytest.raises(MalformedError):
            read(line)


async def test_a_large_snapshot_is_sent_in_pieces(database_url: str) -> None:
    async with service(database_url) as annolog:
        names: list[Any] = [EXPOSURE.format(2026111900000 + n) for n in range(1, 1500)]
        await annolog.say(*names, flag="junk")
        found = await taken(annolog)
        assert len(states(found)) == 1499
        assert len(statements(found)[0].counted_for) == 1499


async def test_a_snapshot_shows_one_moment_while_others_write(
    database_url: str,
) -> None:
    async with serving(database_url) as annolog:
        body = {"targets": MANY, "flag": "junk"}
        made = await annolog.client.post("/annolog/v1/annotations", json=body)
        assert made.status_code == 201, made.text
        found = b""
        async with annolog.client.stream("GET", "/annolog/v1/snapshot") as answer:
            pieces = answer.aiter_raw()
            found += await anext(pieces)
            number = await annolog.say(1, flag="questionable")
            async for piece in pieces:
                found += piece
        lines = [read(line) for line in found.split(b"\n") if line]
        assert head(lines).number < number
        assert {one.flag for one in states(lines).values()} == {"junk"}


async def test_who_leaves_early_holds_no_connection(database_url: str) -> None:
    async with serving(database_url) as annolog:
        body = {"targets": MANY, "flag": "junk"}
        await annolog.client.post("/annolog/v1/annotations", json=body)
        pool = annolog.runtime.streams
        for _ in range(2 * pool.get_max_size()):
            async with annolog.client.stream("GET", "/annolog/v1/snapshot") as answer:
                await anext(answer.aiter_raw())
        deadline = time.monotonic() + 10
        while pool.get_size() != pool.get_idle_size():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_versions_of_sets_come_where_they_are_asked_for(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        recipe = {
            "instrument": "LSSTCam",
            "parts": [{"name": "junk", "query": {"flags": ["junk"]}}],
        }
        body = {"recipe": recipe, "reason": "for DRP1"}
        await annolog.say(FIRST, flag="junk", text="trailed")
        assert (await annolog.post("/data-id-sets/bad/build", body)).is_success
        before = head(await taken(annolog)).number
        assert not sets(await taken(annolog))
        assert not sets(await taken(annolog, sets="other"))
        (first,) = sets(await taken(annolog, sets="bad"))
        assert (first.name, first.version, first.reason) == ("bad", 1, "for DRP1")
        assert first.key == f"set:bad@1-{first.content[:8].upper()}"
        assert [row[: len(first.dimensions)] for row in first.rows] == [
            ("LSSTCam", 2026111900001)
        ]
        assert first.dimensions == ("instrument", "exposure")
        # A release changes a version; a build adds one.
        path = "/data-id-sets/bad/versions/1/release"
        done = await annolog.post(path, {"label": "DRP1"}, by="curator")
        assert done.status_code == 201, done.text
        await annolog.say(SECOND, flag="junk")
        (released,) = sets(await taken(annolog, sets="*", after=before))
        assert released.labels == ("DRP1",)
        assert (await annolog.post("/data-id-sets/bad/build", body)).is_success
        assert [one.version for one in sets(await taken(annolog, sets="*"))] == [1, 2]
        before = head(await taken(annolog)).number
        path = "/data-id-sets/bad/versions/1/redact"
        done = await annolog.post(path, {"reason": "a password"}, by="carla")
        assert done.status_code == 201
        (blank,) = sets(await taken(annolog, sets="*", after=before))
        assert (blank.version, blank.reason, blank.content) == (1, "", first.content)
        assert {row[-1] for row in blank.rows} == {None}


def sets(found: list[Line]) -> list[SetVersion]:
    return [one for one in found if isinstance(one, SetVersion)]


def standing(found: list[Line]) -> list[Stands]:
    return [one for one in found if isinstance(one, Stands)]


async def test_what_stands_on_detectors_comes_with_its_time(database_url: str) -> None:
    chip, twin = CHIP.format(94), CHIP.format(95)
    begin, end = (f"2026-11-{day}T00:00:00.000000Z" for day in ("01", "30"))
    async with service(database_url) as annolog:
        said = await annolog.say(
            chip, FIRST, flag="junk", tags=["glow"], observed_at={"begin": begin}
        )
        await annolog.say(FIRST, flag="good", by="alice")
        (one,) = standing(await taken(annolog))
        assert (one.keys, one.flag, one.tags) == ((chip,), "junk", ("glow",))
        assert (one.voter, one.rank) == ("jdoe", "human")
        assert str(one.vote_id) == said["revision_id"]
        assert one.observed_begin is not None
        assert one.observed_begin.isoformat() == "2026-11-01T00:00:00+00:00"
        assert one.observed_end is None
        assert standing(await taken(annolog, instrument="LATISS")) == []
        # Who confirms it votes, for the same time; two detectors may be one.
        await annolog.review(said, "confirm", by="bob", targets=[chip])
        await annolog.set_entry(SameAs(key_a=chip, key_b=twin))
        found = standing(await taken(annolog))
        assert {one.voter for one in found} == {"jdoe", "bob"}
        assert {one.keys for one in found} == {(chip, twin)}
        assert len({one.observed_begin for one in found}) == 1
        # It ends by an edit, and the vote is the same one.
        before = head(await taken(annolog)).number
        assert standing(await taken(annolog, after=before)) == []
        said = await annolog.edit(said, observed_at={"begin": begin, "end": end})
        found = standing(await taken(annolog, after=before))
        assert found
        assert {one.observed_end for one in found} == {
            datetime(2026, 11, 30, tzinfo=UTC)
        }
        assert {o.vote_id for o in found} >= {one.vote_id}
        before = head(await taken(annolog)).number
        await annolog.retract(said)
        lines = await taken(annolog, after=before)
        assert standing(lines) == []
        gone = [one.annotation_id for one in lines if isinstance(one, Gone)]
        assert [str(one) for one in gone] == [said["annotation_id"]]
        assert standing(await taken(annolog)) == []


async def test_the_entries_that_weigh_votes_come_with_it(database_url: str) -> None:
    def entries(found: list[Line]) -> dict[tuple[str, str], Weighing]:
        return {(e.kind, e.key): e for e in found if isinstance(e, Weighing)}

    async with service(database_url) as annolog:
        found = await taken(annolog)
        known = entries(found)
        assert ("flag", "junk") in known
        assert {kind for kind, _ in known} == {"flag"}
        await annolog.set_entry(Policy(instrument="LATISS", rule="latest"))
        later = entries(await taken(annolog, after=head(found).number))
        assert [one.fields["rule"] for one in later.values()] == ["latest"]
        assert entries(await taken(annolog)) == known | later
