"""Scenario 15 of the design: 10,000 pasted ids, of which not all are good."""

from collections.abc import Collection
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.support.seen import Event, Heard, Vote, a_list, scene, vote
from tests.support.service import Service, Shown

ANNOUNCED, FLAGGED, DOUBLED = 3_000, 6_700, 200
"""Names of each sort, which together with those below are 10,000."""
NEVER_HEARD_OF, NO_SUCH_NUMBER, AMBIGUOUS = 60, 20, 20

TWICE = 20230101
"""A night in whose numbers two controllers counted."""


def key(day_obs: int, seq_num: int) -> str:
    return f"exposure:LSSTCam/{day_obs}{seq_num:05d}"


async def test_the_preview_of_10000_pasted_ids_says_which_are_good_and_they_become_one(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        announced = [key(20250610, n) for n in range(ANNOUNCED)]
        flagged = [key(20250611, n) for n in range(FLAGGED)]
        await announce(annolog, announced)
        await announce(annolog, [key(TWICE, n) for n in range(AMBIGUOUS)])
        await announce(annolog, [of_controller_c(n) for n in range(AMBIGUOUS)])
        doubt = await annolog.say(
            *flagged, by="bot:iq-bot", flag="questionable", tags=["donuts"]
        )
        heard = await Heard.of(annolog)

        pasted = Pasted.of(announced, flagged)
        assert len(pasted.lines) == 10_000

        shown = await preview(annolog, "\n".join(pasted.lines))

        good = {*announced, *flagged}
        before = dict.fromkeys(flagged, bots_alone(vote(doubt)))
        names = pasted.names
        assert shown["count"] == len(names) == len(good) + NEVER_HEARD_OF
        assert [
            (one["key"], one["name"], one["known"], state_of(one))
            for one in shown["targets"]
        ] == [
            (one, written[0], one in good, before.get(one))
            for one, written in names.items()
        ]
        assert_says_what_is_not_good(shown, pasted, good)
        # Looking wrote nothing, and what is not clear is not written either.
        refused = await annolog.post(
            "/annotations",
            {"targets": [f"LSSTCam/{line}" for line in pasted.lines], "flag": "junk"},
        )
        assert refused.status_code == 422
        assert refused.json()["problem_count"] == NO_SUCH_NUMBER + AMBIGUOUS
        assert await heard.news() == []

        picked = [one["key"] for one in shown["targets"] if one["known"]]
        junk = await annolog.say(*picked, by="scientist", flag="junk")

        everything = sorted(good)
        assert (junk["target_count"], junk["targets"]) == (9_700, everything)
        mine = await annolog.get("/annotations", author="scientist", count="true")
        assert (mine.json()["count"], len(mine.json()["items"])) == (1, 1)
        by_person, by_bot = vote(junk), vote(doubt)
        states = await preview(annolog, "\n".join(everything))
        assert {one["key"]: state_of(one) for one in states["targets"]} == {
            **dict.fromkeys(announced, person_alone(by_person)),
            **dict.fromkeys(flagged, person_over_bot(by_person, by_bot)),
        }
        assert states["accepted"] is True

        news = await heard.news()
        body = heard.bodies[-1]["targets"]
        listed = tuple(everything[: len(body["added"])])
        assert news == [
            a_list(),
            Event("revision", "create", "scientist", listed, count=9_700),
        ]
        # An event has a greatest size: it says how many there are, and where.
        assert (body["complete"], body["added_count"]) == (False, 9_700)
        assert len(listed) > 5_000
        link = f"/annolog/v1/annotations/{junk['annotation_id']}/revisions"
        assert body["link"] == link


@dataclass(frozen=True, slots=True)
class Pasted:
    """A list as people paste it.

    Attributes
    ----------
    lines
        All of it, in disorder.
    names
        What stands for each target, in the order of the list.
    wrong, unclear
        Lines that name no exposure, and those that may name two.
    """

    lines: list[str]
    names: dict[str, list[str]]
    wrong: list[str]
    unclear: list[str]

    @classmethod
    def of(cls, announced: list[str], flagged: list[str]) -> "Pasted":
        """Mix good names with some of each sort that is not."""
        never = [key(20250612, n) for n in range(NEVER_HEARD_OF)]
        means = {one.partition("/")[2]: one for one in (*announced, *flagged, *never)}
        # Once more by another name, as lists of several sources have it.
        means |= {f"MC_O_20250610_{n:06d}": announced[n] for n in range(DOUBLED)}
        wrong = [f"20250613/{n}" for n in range(NO_SUCH_NUMBER)]
        unclear = [f"{TWICE}/{n}" for n in range(AMBIGUOUS)]
        lines = [*means, *wrong, *unclear]
        Random(15).shuffle(lines)
        names: dict[str, list[str]] = {}
        for line in lines:
            if line in means:
                names.setdefault(means[line], []).append(line)
        return cls(lines, names, wrong, unclear)


def assert_says_what_is_not_good(
    shown: Shown, pasted: Pasted, good: Collection[str]
) -> None:
    lines, names = pasted.lines, pasted.names
    assert [(one["name"], one["key"]) for one in shown["unknown"]] == [
        *((line, None) for line in lines if line in pasted.wrong),
        *((written[0], one) for one, written in names.items() if one not in good),
    ]
    candidates = {
        line: [key(TWICE, number), of_controller_c(number)]
        for number, line in enumerate(pasted.unclear)
    }
    assert [(one["name"], one["candidates"]) for one in shown["ambiguous"]] == [
        (line, candidates[line]) for line in lines if line in candidates
    ]
    doubled = {one: written for one, written in names.items() if len(written) > 1}
    assert {one["key"]: one["names"] for one in shown["doubled"]} == doubled
    assert len(shown["doubled"]) == len(doubled) == DOUBLED
    assert [(one["value"], one["code"]) for one in shown["problems"]] == [
        (line, "unknown" if line in pasted.wrong else "ambiguous")
        for line in lines
        if line in pasted.wrong or line in pasted.unclear
    ]
    assert shown["holes"] == []
    assert shown["accepted"] is False


async def announce(annolog: Service, keys: list[str]) -> None:
    for first in range(0, len(keys), 1_000):
        facts = [
            {"instrument": "LSSTCam", "exposure_id": int(one.partition("/")[2])}
            for one in keys[first : first + 1_000]
        ]
        answer = await annolog.post("/exposures", facts, by="bot:camera")
        assert {one["status"] for one in answer.json()["items"]} == {201}


def of_controller_c(seq_num: int) -> str:
    """Give the exposure of the same night and number of another controller."""
    return key(TWICE + 10_000_000, seq_num)


async def preview(annolog: Service, text: str) -> Shown:
    answer = await annolog.post(
        "/targets/resolve", {"text": text, "instrument": "LSSTCam"}
    )
    assert answer.status_code == 200, answer.text[:1000]
    shown: Shown = answer.json()
    return shown


NO_STATE: dict[str, Any] = {
    "flag": None,
    "decided_by": [],
    "outvoted": [],
    "disputed": False,
    "bots_differ": False,
    "follow_ups": [],
    "tags": [],
    "notes": 0,
}


def state_of(previewed: Shown) -> Shown | None:
    state = previewed["state"]
    return state and {name: state[name] for name in NO_STATE}


def bots_alone(by_bot: Vote) -> Shown:
    return {
        **NO_STATE,
        "flag": "questionable",
        "decided_by": [by_bot.vote_id],
        "tags": ["donuts"],
        "notes": 1,
    }


def person_alone(by_person: Vote) -> Shown:
    return {
        **NO_STATE,
        "flag": "junk",
        "decided_by": [by_person.vote_id],
        "notes": 1,
    }


def person_over_bot(by_person: Vote, by_bot: Vote) -> Shown:
    return {
        **person_alone(by_person),
        "outvoted": [by_bot.vote_id],
        "tags": ["donuts"],
        "notes": 2,
    }
