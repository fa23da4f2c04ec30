"""Scenarios 4 to 7 and 11 of the design: what happens to a night's exposures and gaps.

Each is exact: every target's state, votes and tags, and every event of the log.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest

from annolog.domain.instruments import Instrument
from tests.support.seen import NOTHING, Event, Heard, all_seen, held, seen, vote
from tests.support.service import Service, Shown, service

NIGHT = 20250610
"""A night that is over wherever the tests run."""

MINUTE = 60.0


def key(seq_num: int, day_obs: int = NIGHT) -> str:
    return f"exposure:LSSTCam/{day_obs}{seq_num:05d}"


async def fact(annolog: Service, **fields: object) -> Shown:
    """Say a fact about an exposure as the camera would, and give the exposure."""
    body = {"instrument": "LSSTCam", "source": "camera", **fields}
    by = "bot:butler" if body["source"] == "butler" else "bot:camera"
    answer = await annolog.post("/exposures", body, by=by)
    assert answer.status_code == 201, answer.text
    shown: Shown = answer.json()
    return shown


def facts(event: str, count: int = 1, by: str = "camera") -> list[Event]:
    return count * [Event("exposure", event, by, count=1)]


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


# ------------------------------------------------------------------ scenario 4


async def test_a_fault_with_test_images_inside_then_clouds_until_dawn(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        heard = await Heard.of(annolog)
        evening = datetime(2025, 6, 10, 22, 40, tzinfo=UTC)
        fault = datetime(2025, 6, 11, 3, 10, tzinfo=UTC)
        again = datetime(2025, 6, 11, 5, 0, tzinfo=UTC)
        clouds = datetime(2025, 6, 11, 7, 0, tzinfo=UTC)
        await take(annolog, 1, 9, evening, timedelta(minutes=30))
        await take(
            annolog,
            10,
            12,
            fault + timedelta(minutes=40),
            timedelta(minutes=5),
            observation_type="dark",
        )
        await take(annolog, 13, 16, again, timedelta(minutes=30))
        link = "https://jira.example.org/browse/OBS-1190"
        at_night = {"begin": stamp(fault), "end": stamp(again)}

        broken = await annolog.say(
            f"gap:LSSTCam/{NIGHT}/after=MC_O_{NIGHT}_000009",
            by="observer",
            text="Azimuth drive.",
            tags=["mount_fault"],
            cause="fault",
            observed_at=at_night,
            urls=[link],
        )
        # The same half hour again, by somebody else: no second is lost twice.
        halved = await annolog.say(
            f"gap:LSSTCam/{NIGHT}/after={NIGHT}00009",
            by="engineer",
            text="Still down.",
            cause="fault",
            observed_at={
                "begin": stamp(again - timedelta(minutes=30)),
                "end": stamp(again),
            },
        )
        cloudy = await annolog.say(
            f"gap:LSSTCam/{NIGHT}/after={NIGHT}/16",
            by="observer",
            text="Clouds until dawn.",
            cause="weather",
        )

        shown = await annolog.get(
            "/exposures/gaps", instrument="LSSTCam", day_obs=NIGHT
        )
        night = shown.json()
        dawn = datetime.fromisoformat(night["edges"]["morning"])
        assert dawn.date() == clouds.date()
        to_dawn = (dawn - clouds).total_seconds()
        assert 215 * MINUTE < to_dawn < 225 * MINUTE

        first = f"gap:LSSTCam/{NIGHT}/after={NIGHT}00009"
        second = f"gap:LSSTCam/{NIGHT}/after={NIGHT}00016"
        assert [gap_shown(one) for one in night["gaps"]] == [
            {
                "key": first,
                "begin": fault,
                "end": again,
                "after": key(9),
                "inside": [key(10), key(11), key(12)],
                "annotations": [broken["annotation_id"], halved["annotation_id"]],
                "lost": ({"fault": 110 * MINUTE}, 0.0, 110 * MINUTE),
            },
            {
                "key": second,
                "begin": clouds,
                "end": dawn,
                "after": key(16),
                "inside": [],
                "annotations": [cloudy["annotation_id"]],
                "lost": ({"weather": to_dawn}, 0.0, to_dawn),
            },
        ]
        assert night["elsewhere"] == []
        lost = {"fault": 110 * MINUTE, "weather": to_dawn}
        total = 110 * MINUTE + to_dawn
        assert lost_shown(night) == (lost, 0.0, pytest.approx(total))
        summed = await annolog.get(f"/nights/{NIGHT}", instrument="LSSTCam")
        assert lost_shown(summed.json()) == lost_shown(night)

        # One span, one cause, one link; and words alone: a gap has no flag.
        said = night["gaps"][0]["annotations"][0]
        whole = {
            "begin": stamp(fault, "000000Z"),
            "end": stamp(again, "000000Z"),
        }
        assert (said["observed_at"], said["cause"]) == (whole, "fault")
        assert said["urls"] == [link]
        assert await seen(annolog, first) == held(
            tags={"mount_fault": ["observer"]}, notes=2
        )
        assert await seen(annolog, second) == held(notes=1)
        assert await heard.news() == [
            *facts("end", 9 + 3 + 4),
            Event("revision", "create", "observer", (first,), count=1),
            Event("revision", "create", "engineer", (first,), count=1),
            Event("revision", "create", "observer", (second,), count=1),
        ]


async def take(
    annolog: Service,
    first: int,
    last: int,
    begin: datetime,
    duration: timedelta,
    observation_type: str = "science",
) -> None:
    """Report exposures that follow each other without a pause."""
    for seq_num in range(first, last + 1):
        await fact(
            annolog,
            event="end",
            obs_id=f"MC_O_{NIGHT}_{seq_num:06d}",
            begin=stamp(begin),
            end=stamp(begin + duration),
            observation_type=observation_type,
        )
        begin += duration


def stamp(moment: datetime, fraction: str | None = None) -> str:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}Z" if fraction is None else f"{text}.{fraction}"


def gap_shown(gap: Shown) -> Shown:
    return {
        "key": gap["key"],
        "begin": datetime.fromisoformat(gap["begin"]),
        "end": datetime.fromisoformat(gap["end"]),
        "after": gap["after"],
        "inside": gap["inside"],
        "annotations": [one["annotation_id"] for one in gap["annotations"]],
        "lost": lost_shown(gap),
    }


def lost_shown(shown: Shown) -> tuple[dict[str, float], float, float]:
    lost = shown["time_lost"]
    return lost["by_cause"], lost["unexplained"], lost["total"]


# ------------------------------------------------------------------ scenario 5


async def test_words_said_while_it_is_taken_stay_when_it_is_completed_or_cancelled(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        heard = await Heard.of(annolog)
        taken, lost = f"MC_O_{NIGHT}_000200", f"MC_O_{NIGHT}_000201"

        # Nobody has announced either of them yet.
        gust = await annolog.say(taken, by="observer", text="Gust.", tags=["trailed"])
        dark = await annolog.say(
            lost, by="observer", flag="questionable", tags=["lights_on"]
        )
        assert [gust["targets"], dark["targets"]] == [[key(200)], [key(201)]]
        assert await night_shown(annolog) == {
            key(200): ("named", taken, None, ["trailed"]),
            key(201): ("named", lost, "questionable", ["lights_on"]),
        }

        begun = {"observation_type": "science", "exposure_time": 30.0}
        at = {"begin": "2025-06-11T03:10:00Z", "end": "2025-06-11T03:10:30Z"}
        await fact(annolog, event="start", obs_id=taken, begin=at["begin"], **begun)
        await fact(annolog, event="start", obs_id=lost, **begun)
        assert [one[0] for one in (await night_shown(annolog)).values()] == [
            "in_progress",
            "in_progress",
        ]
        await fact(annolog, event="end", obs_id=taken, end=at["end"])
        await fact(annolog, event="cancel", obs_id=lost)
        ingested = await fact(
            annolog,
            source="butler",
            event="record",
            exposure_id=2025061000200,
            obs_id=taken,
            band="r",
            **at,
            **begun,
        )

        assert (ingested["key"], ingested["fields"]["band"]) == (key(200), "r")
        assert await night_shown(annolog) == {
            key(200): ("ingested", taken, None, ["trailed"]),
            key(201): ("cancelled", lost, "questionable", ["lights_on"]),
        }
        # The words are kept, under every name.
        for name in (taken, key(200), f"exposure:LSSTCam/{NIGHT}/200"):
            assert await seen(annolog, name) == held(
                tags={"trailed": ["observer"]}, notes=1
            )
        assert await seen(annolog, lost) == held(
            "questionable",
            decided=[vote(dark)],
            tags={"lights_on": ["observer"]},
            notes=1,
        )
        # What was cancelled and has words is listed, for somebody to look at.
        summed = (await annolog.get(f"/nights/{NIGHT}", instrument="LSSTCam")).json()
        assert summed["exposures"]["states"] == {"cancelled": 1, "ingested": 1}
        assert summed["exposures"]["lost_keys"] == [key(201)]
        assert summed["exposures"]["contradicted_keys"] == []
        assert await heard.news() == [
            Event("revision", "create", "observer", (key(200),), count=1),
            Event("revision", "create", "observer", (key(201),), count=1),
            *facts("start", 2),
            *facts("end"),
            *facts("cancel"),
            *facts("record", by="butler"),
        ]


async def night_shown(annolog: Service) -> dict[str, tuple[Any, ...]]:
    """Give state, obs_id, flag and tags of all exposures of the night, by key."""
    answer = await annolog.get("/exposures", instrument="LSSTCam", day_obs=NIGHT)
    return {
        one["key"]: (one["state"], one["obs_id"], one["flag"], one["tags"])
        for one in answer.json()["items"]
    }


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
    async with service(database_url) as annolog:
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
    async with service(database_url) as annolog:
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
    async with service(database_url) as annolog:
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
    async with service(database_url) as annolog:
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
