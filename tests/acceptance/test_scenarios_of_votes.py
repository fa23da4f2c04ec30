"""Scenarios 1, 2 and 12 to 14 of the design: people and bots judge the same exposures.

Each is exact: every target's state, votes and tags, and every event of the log.
"""

from typing import Any

import pytest

from annolog.domain.entries import Policy
from tests.support.night import key
from tests.support.seen import (
    NOTHING,
    Event,
    Heard,
    a_list,
    all_seen,
    held,
    scene,
    seen,
    vote,
)
from tests.support.service import Service


def keys(first: int, last: int) -> list[str]:
    return [key(n) for n in range(first, last + 1)]


# ------------------------------------------------------------------ scenario 1


async def test_a_scientist_confirms_38_of_a_bots_40_and_rejects_2(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        looked, rest, wrong = keys(1, 3), keys(4, 38), keys(39, 40)

        good = await annolog.say(*looked, by="observer", flag="good")
        found = await annolog.say(
            *looked,
            *rest,
            *wrong,
            by="bot:iq-bot",
            check="donuts",
            flag="junk",
            tags=["donuts"],
        )
        by_bot, by_observer = vote(found), vote(good)
        assert by_bot.voter == "iq-bot#donuts"
        donuts = {"donuts": ["iq-bot"]}
        # At noon: a bot never overrides a person.
        assert await all_seen(annolog, looked) == 3 * [
            held("good", decided=[by_observer], outvoted=[by_bot], tags=donuts, notes=2)
        ]
        assert await all_seen(annolog, [*rest, *wrong]) == 37 * [
            held("junk", decided=[by_bot], tags=donuts, notes=1)
        ]

        confirmed = await annolog.review(
            found, "confirm", by="scientist", targets=[*looked, *rest]
        )
        await annolog.review(
            found, "reject", by="scientist", targets=wrong, reason="In focus."
        )
        by_scientist = vote(confirmed, "junk")

        assert await all_seen(annolog, rest) == 35 * [
            held("junk", decided=[by_scientist], agrees=[by_bot], tags=donuts, notes=1)
        ]
        assert await all_seen(annolog, looked) == 3 * [
            held(
                "junk",
                decided=[by_scientist],
                agrees=[by_bot],
                outvoted=[by_observer],
                disputed=True,
                tags=donuts,
                notes=2,
            )
        ]
        assert await all_seen(annolog, wrong) == 2 * [NOTHING]

        everything = (*looked, *rest, *wrong)
        assert await heard.news() == [
            Event("revision", "create", "observer", tuple(looked), count=3),
            a_list(),
            Event("revision", "create", "iq-bot", everything, count=40),
            a_list(),
            Event("review", "confirm", "scientist", count=38),
            Event("review", "reject", "scientist", count=2, reason="In focus."),
        ]
        assert heard.bodies[3]["after"]["keys"] == [*looked, *rest]
        assert heard.bodies[5]["after"]["targets"] == wrong
        assert await flags_told(annolog, looked[0]) == [
            ("vote", "observer", "good", False),
            ("vote", "iq-bot", "good", False),
            ("review", "scientist", "junk", True),
        ]
        assert await flags_told(annolog, wrong[0]) == [
            ("vote", "iq-bot", "junk", False),
            ("review", "scientist", None, False),
        ]


# ------------------------------------------------------------------ scenario 2


async def test_of_58_junk_the_author_clears_2_and_another_person_objects_to_1(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        everything = keys(101, 158)
        cleared, doubted, kept = everything[:2], everything[2], everything[3:]

        junk = await annolog.say(*everything, by="observer", flag="junk")
        by_observer = vote(junk)
        fewer = await annolog.edit(junk, targets={"remove": cleared})
        good = await annolog.say(doubted, by="colleague", flag="good")
        by_colleague = vote(good)

        assert fewer["clock"] > junk["clock"]
        # The vote has its old time: the edit was about others.
        untouched = held("junk", decided=[by_observer], notes=1)
        assert await all_seen(annolog, cleared) == 2 * [NOTHING]
        assert await seen(annolog, doubted) == held(
            "junk",
            decided=[by_observer],
            outvoted=[by_colleague],
            disputed=True,
            notes=2,
        )
        assert await all_seen(annolog, kept) == 55 * [untouched]
        assert await heard.news() == [
            a_list(),
            Event("revision", "create", "observer", tuple(everything), count=58),
            a_list(),
            Event("revision", "edit", "observer", (), tuple(cleared), count=56),
            Event("revision", "create", "colleague", (doubted,), count=1),
        ]

        # It lasts until one of the two changes the vote ...
        agreed = await annolog.edit(good, flag="junk")
        assert await seen(annolog, doubted) == held(
            "junk", decided=[by_observer, vote(agreed)], notes=2
        )
        # ... and is there again with a vote of now, when that is changed back,
        back = await annolog.edit(agreed, flag="good")
        by_colleague = vote(back)
        assert await seen(annolog, doubted) == held(
            "junk",
            decided=[by_observer],
            outvoted=[by_colleague],
            disputed=True,
            notes=2,
        )
        # or until a curator settles.
        settled = await annolog.say(doubted, by="curator", flag="good", settle=True)
        assert await seen(annolog, doubted) == held(
            "good",
            decided=[vote(settled)],
            agrees=[by_colleague],
            outvoted=[by_observer],
            notes=3,
        )
        assert await all_seen(annolog, kept) == 55 * [untouched]
        assert await heard.news() == [
            Event("revision", "edit", "colleague", count=1, before={"flag": "good"}),
            Event("revision", "edit", "colleague", count=1, before={"flag": "junk"}),
            Event("revision", "create", "curator", (doubted,), count=1),
        ]
        assert await flags_told(annolog, doubted) == [
            ("vote", "observer", "junk", False),
            ("edit", "observer", "junk", False),
            ("vote", "colleague", "junk", True),
            ("edit", "colleague", "junk", False),
            ("edit", "colleague", "junk", True),
            ("vote", "curator", "good", False),
        ]


# ------------------------------------------------------------------ scenario 12


async def test_a_bots_new_version_takes_12_of_its_40_back_and_28_stay(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        everything = keys(201, 240)
        taken_back, stay = everything[:12], everything[12:]
        # One annotation a check and night: the bot finds it again by the id it chose.
        mine = "7b1f4c7e-6f0e-5d8e-9a51-1d2c3b4a5f60"

        first = await annolog.say(
            *everything,
            by="bot:iq-bot",
            annotation_id=mine,
            check="psf",
            agent={"name": "iq-bot", "version": "2.3", "run": "a"},
            flag="questionable",
            tags=["messy_psf"],
        )
        known = (await annolog.get(f"/annotations/{mine}")).json()
        again: dict[str, Any] = {
            "agent": {"name": "iq-bot", "version": "2.4", "run": "b"},
            "targets": {"remove": taken_back},
        }
        second = await annolog.edit(known, **again)

        by_bot = vote(first)
        assert by_bot.voter == "iq-bot#psf"
        assert await all_seen(annolog, stay) == 28 * [
            held(
                "questionable",
                decided=[by_bot],
                tags={"messy_psf": ["iq-bot"]},
                notes=1,
            )
        ]
        assert await all_seen(annolog, taken_back) == 12 * [NOTHING]
        assert (second["annotation_id"], second["targets"]) == (mine, stay)

        # A run that is sent twice says nothing new.
        assert (await annolog.edit(known, **again))["revision_id"] == second[
            "revision_id"
        ]
        assert await heard.news() == [
            a_list(),
            Event("revision", "create", "iq-bot", tuple(everything), count=40),
            a_list(),
            Event(
                "revision",
                "edit",
                "iq-bot",
                (),
                tuple(taken_back),
                count=28,
                before={"agent": {"name": "iq-bot", "version": "2.3", "run": "a"}},
            ),
        ]


# ------------------------------------------------------------------ scenario 13


@pytest.mark.parametrize("way", ["in the same annotation", "in another one"])
async def test_a_curators_casual_good_settles_nothing_and_a_settling_one_does(
    database_url: str, way: str
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        one = key(301)
        junk = await annolog.say(one, by="observer", flag="junk")
        casual = await annolog.say(one, by="curator", flag="good")

        assert (casual["rank"], vote(casual).rank) == ("human", "human")
        assert await seen(annolog, one) == held(
            "junk",
            decided=[vote(junk)],
            outvoted=[vote(casual)],
            disputed=True,
            notes=2,
        )
        again = way == "in the same annotation"
        if again:
            settled = await annolog.edit(casual, settle=True)
            told = Event("revision", "edit", "curator", count=1)
        else:
            settled = await annolog.say(one, by="curator", flag="good", settle=True)
            told = Event("revision", "create", "curator", (one,), count=1)

        assert settled["rank"] == "curator"
        assert await seen(annolog, one) == held(
            "good",
            decided=[vote(settled)],
            outvoted=[vote(junk)],
            notes=2 if again else 3,
        )
        # What is settled stays so when its words are mended, without settling again.
        await annolog.edit(settled, text="Looked at it twice.")
        assert await seen(annolog, one) == held(
            "good",
            decided=[vote(settled)],
            outvoted=[vote(junk)],
            notes=2 if again else 3,
        )
        assert await heard.news() == [
            Event("revision", "create", "observer", (one,), count=1),
            Event("revision", "create", "curator", (one,), count=1),
            told,
            Event("revision", "edit", "curator", count=1, before={"text": ""}),
        ]


# ------------------------------------------------------------------ scenario 14


async def test_mending_a_typing_error_in_the_morning_renews_no_vote(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        # Where the latest vote rules, a renewed one would turn the flag round.
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="latest"))
        heard = await Heard.of(annolog)
        one = key(401)
        at_night = await annolog.say(
            one, by="observer", flag="junk", text="Trialed.", tags=["trailed"]
        )
        later = await annolog.say(one, by="colleague", flag="good")
        before = await annolog.state(one)

        mended = await annolog.edit(at_night, text="Trailed.")

        assert mended["clock"] > later["clock"]
        assert await seen(annolog, one) == held(
            "good",
            decided=[vote(later)],
            outvoted=[vote(at_night)],
            tags={"trailed": ["observer"]},
            notes=2,
        )
        # Nothing changed for whoever follows states, not even a number.
        assert await annolog.state(one) == before
        assert await heard.news() == [
            Event("revision", "create", "observer", (one,), count=1),
            Event("revision", "create", "colleague", (one,), count=1),
            Event("revision", "edit", "observer", count=1, before={"text": "Trialed."}),
        ]


async def flags_told(
    annolog: Service, of: str
) -> list[tuple[str, str, str | None, bool]]:
    """Give a target's flag history: what, by whom, the flag after it, disputed."""
    answer = await annolog.get("/target/flag-history", key=of)
    return [
        (one["what"], one["by"], one["flag"], one["disputed"])
        for one in answer.json()["items"]
    ]
