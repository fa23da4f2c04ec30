"""Scenarios 6, 7 and 11 of the design: one exposure's names, parts and wholes.

Each is exact: every target's state, votes and tags, and every event of the log.
"""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import pytest

from annolog.domain.instruments import Instrument
from tests.support.night import NIGHT, fact, facts, key, stamp
from tests.support.seen import NOTHING, Event, Heard, all_seen, held, scene, seen, vote
from tests.support.service import Service

Reach: TypeAlias = tuple[str | None, list[str], dict[str, list[tuple[str, str, str]]]]
"""Worst flag, tags, and by source the steps (from, relation, direction)."""


async def inherits(annolog: Service, of: str, **query: str | int) -> Reach:
    """Give all that a target inherits, and on which ways."""
    answer = await annolog.get("/target/inherited", key=of, **query)
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown["complete"]
    # The short form that stands beside a target's own state says the same.
    short = (await annolog.target(of, **query))["inherited"]
    assert short["flag"] == shown["flag"]
    assert short["tags"] == shown["tags"]
    assert short["sources"] == len(shown["sources"])
    ways = {
        one["source"]: [
            (step["source"], step["relation"], step["direction"])
            for step in one["path"]
        ]
        for one in shown["sources"]
    }
    return shown["flag"], shown["tags"], ways


NOT_INHERITED: Reach = (None, [], {})


# ------------------------------------------------------------------ scenario 6


@pytest.mark.parametrize(
    ("exposure_id", "day_obs"),
    [
        # The last night on which the letter C added a thousand years, and the next.
        pytest.param(3023100400448, 20231004, id="with-offset"),
        pytest.param(2023100500448, 20231005, id="without"),
    ],
)
async def test_named_by_its_id_first_and_by_an_mc_c_obs_id_later_it_is_one_target(
    database_url: str, exposure_id: int, day_obs: int
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        one, obs_id = f"exposure:LSSTCam/{exposure_id}", f"MC_C_{day_obs}_000448"

        junk = await annolog.say(one, by="observer", flag="junk")
        # The id alone does not tell which controller took it.
        assert (await annolog.target(one))["names"] == []

        good = await annolog.say(
            f"exposure:LSSTCam/{obs_id}", by="colleague", flag="good"
        )

        assert good["targets"] == junk["targets"] == [one]
        state = await annolog.state(obs_id)
        assert (state["key"], state["names"]) == (one, [obs_id])
        assert (state["day_obs"], state["seq_num"]) == (day_obs, 448)
        for name in (one, obs_id, f"exposure:LSSTCam/{day_obs}/448"):
            assert await seen(annolog, name) == held(
                "junk",
                decided=[vote(junk)],
                outvoted=[vote(good)],
                disputed=True,
                notes=2,
            )
        listed = await annolog.get("/exposures", instrument="LSSTCam", day_obs=day_obs)
        assert [
            (found["key"], found["obs_id"]) for found in listed.json()["items"]
        ] == [(one, obs_id)]
        assert await heard.news() == [
            Event("revision", "create", "observer", (one,), count=1),
            Event("revision", "create", "colleague", (one,), count=1),
        ]


async def test_known_by_its_obs_id_alone_it_is_one_with_its_id_when_that_turns_up(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        await annolog.set_entry(Instrument(name="HSC", short_name="HSC"))
        heard = await Heard.of(annolog)
        by_id, by_obs_id = "exposure:HSC/1228", "exposure:HSC/obs_id=HSCA00122800"

        good = await annolog.say(by_id, by="colleague", flag="good")
        junk = await annolog.say(
            "exposure:HSC/HSCA00122800", by="observer", flag="junk", tags=["slew"]
        )
        assert junk["targets"] == [by_obs_id]
        assert await seen(annolog, by_id) == held("good", decided=[vote(good)], notes=1)

        await fact(
            annolog,
            instrument="HSC",
            source="butler",
            event="record",
            exposure_id=1228,
            obs_id="HSCA00122800",
        )

        both = held(
            "junk",
            decided=[vote(junk)],
            outvoted=[vote(good)],
            disputed=True,
            tags={"slew": ["observer"]},
            notes=2,
        )
        assert await all_seen(annolog, [by_id, by_obs_id]) == [both, both]
        assert (await annolog.target(by_obs_id))["joined"] == [by_id, by_obs_id]
        assert await heard.news() == [
            Event("revision", "create", "colleague", (by_id,), count=1),
            Event("revision", "create", "observer", (by_obs_id,), count=1),
            *facts("record", by="butler"),
        ]


# ------------------------------------------------------------------ scenario 7


async def test_a_bad_detector_is_inherited_from_the_1st_until_its_repair_on_the_30th(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        before, between, new, later = 20250530, 20250610, 20250620, 20250705
        for day_obs in (before, between):
            await one_exposure(annolog, day_obs)
        since = {"begin": "2025-06-01T15:00:00.000000Z", "end": None}
        record = "record:detector/detector=94/instrument=LSSTCam"

        bad = await annolog.say(
            record,
            by="scientist",
            flag="junk",
            tags=["messy_psf"],
            observed_at=since,
        )
        for day_obs in (new, later):
            await one_exposure(annolog, day_obs)

        (key_of_record,) = bad["targets"]
        told = (
            "junk",
            ["messy_psf"],
            {key_of_record: [(key_of_record, "detector", "down")]},
        )
        assert [await inherits(annolog, detector(94, of)) for of in (between, new)] == [
            told,
            told,
        ]
        assert await inherits(annolog, detector(94, later)) == told
        assert await inherits(annolog, detector(94, before)) == NOT_INHERITED
        assert await inherits(annolog, detector(93, between)) == NOT_INHERITED

        until = {**since, "end": "2025-06-30T15:00:00.000000Z"}
        repaired = await annolog.edit(bad, observed_at=until)

        assert [await inherits(annolog, detector(94, of)) for of in (between, new)] == [
            told,
            told,
        ]
        assert await inherits(annolog, detector(94, later)) == NOT_INHERITED
        # What was known here before the repair was reported.
        then = repaired["origin_number"] - 1
        assert await inherits(annolog, detector(94, later), as_of=then) == told
        # Inherited is no vote; the one statement keeps its own, and its time.
        mine = [detector(94, of) for of in (before, between, new, later)]
        assert await all_seen(annolog, mine) == 4 * [NOTHING]
        assert await seen(annolog, record) == held(
            "junk", decided=[vote(bad)], tags={"messy_psf": ["scientist"]}, notes=1
        )
        assert await heard.news() == [
            *facts("end", 2),
            Event("revision", "create", "scientist", (key_of_record,), count=1),
            *facts("end", 2),
            Event(
                "revision",
                "edit",
                "scientist",
                count=1,
                before={"observed_at": since},
            ),
        ]


async def one_exposure(annolog: Service, day_obs: int) -> None:
    """Report an exposure of half a minute, 3 hours after UTC midnight of a night."""
    night = datetime.strptime(str(day_obs), "%Y%m%d").replace(tzinfo=UTC)
    begin = night + timedelta(hours=27)
    await fact(
        annolog,
        event="end",
        obs_id=f"MC_O_{day_obs}_000001",
        begin=stamp(begin),
        end=stamp(begin + timedelta(seconds=30)),
        observation_type="science",
    )


def detector(number: int, day_obs: int) -> str:
    return f"detector:LSSTCam/{day_obs}00001/{number}"


# ------------------------------------------------------------------ scenario 11


async def test_a_visit_inherits_of_its_trailed_snap_and_the_other_snap_stays_clean(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
        heard = await Heard.of(annolog)
        clean, trailed = key(501), key(502)
        visit = f"record:visit/instrument=LSSTCam/visit={NIGHT}00501"
        definition = {
            "instrument": "LSSTCam",
            "visit": int(f"{NIGHT}00501"),
            "exposures": [int(f"{NIGHT}00501"), int(f"{NIGHT}00502")],
            "source": "butler",
        }
        await fact(annolog, event="end", obs_id=f"MC_O_{NIGHT}_000501")
        await fact(annolog, event="end", obs_id=f"MC_O_{NIGHT}_000502")
        assert (
            await annolog.post("/visits", definition, by="bot:butler")
        ).status_code == 201

        junk = await annolog.say(trailed, by="observer", flag="junk", tags=["trailed"])

        up = {trailed: [(trailed, "visit", "up")]}
        assert await inherits(annolog, visit) == ("junk", ["trailed"], up)
        assert await inherits(annolog, clean) == NOT_INHERITED
        assert await inherits(annolog, trailed) == NOT_INHERITED

        doubt = await annolog.say(
            visit,
            by="bot:iq-bot",
            check="psf",
            flag="questionable",
            tags=["elongated_psf"],
        )

        down = {visit: [(visit, "visit", "down")]}
        says = ("questionable", ["elongated_psf"], down)
        assert await inherits(annolog, clean) == says
        assert await inherits(annolog, trailed) == says
        assert await inherits(annolog, visit) == ("junk", ["trailed"], up)
        # Down and down again: what is bad of the second snap is so in its detectors.
        chip, other = f"detector:LSSTCam/{NIGHT}00502/9", "exposure"
        assert await inherits(annolog, chip) == (
            "junk",
            ["elongated_psf", "trailed"],
            {
                trailed: [(trailed, other, "down")],
                visit: [(visit, "visit", "down"), (trailed, other, "down")],
            },
        )
        assert await seen(annolog, clean) == NOTHING
        assert await seen(annolog, trailed) == held(
            "junk", decided=[vote(junk)], tags={"trailed": ["observer"]}, notes=1
        )
        assert await seen(annolog, visit) == held(
            "questionable",
            decided=[vote(doubt)],
            tags={"elongated_psf": ["iq-bot"]},
            notes=1,
        )
        assert await heard.news() == [
            *facts("end", 2),
            Event("visit", "define", "butler"),
            Event("revision", "create", "observer", (trailed,), count=1),
            Event("revision", "create", "iq-bot", (visit,), count=1),
        ]
