"""Scenarios 4 and 5 of the design: gaps, and exposures that come about or do not.

Each is exact: every target's state, votes and tags, and every event of the log.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.night import NIGHT, fact, facts, key, stamp
from tests.support.seen import Event, Heard, held, scene, seen, vote
from tests.support.service import Service, Shown

MINUTE = 60.0


# ------------------------------------------------------------------ scenario 4


async def test_a_fault_with_test_images_inside_then_clouds_until_dawn(
    database_url: str,
) -> None:
    async with scene(database_url) as annolog:
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
        assert night["time_lost"]["by_cause"] == lost
        assert night["time_lost"]["unexplained"] == 0
        assert night["time_lost"]["total"] == pytest.approx(sum(lost.values()))
        summed = await annolog.get(f"/nights/{NIGHT}", instrument="LSSTCam")
        assert summed.json()["time_lost"] == night["time_lost"]

        # One span, one cause, one link; and words alone: a gap has no flag.
        said = night["gaps"][0]["annotations"][0]
        assert (said["observed_at"], said["cause"]) == (at_night, "fault")
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
    async with scene(database_url) as annolog:
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
