"""What exposurelog's API tells of butlers, and what it takes from them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.butlers import CAMERA, NIGHT, MadeButler
from tests.support.door import Door, a_message, at_the_door, decoded

FIELDS = [
    "obs_id",
    "id",
    "instrument",
    "observation_type",
    "observation_reason",
    "day_obs",
    "seq_num",
    "group_name",
    "target_name",
    "science_program",
    "tracking_ra",
    "tracking_dec",
    "sky_angle",
    "timespan_begin",
    "timespan_end",
]
ODD = "OddCam"


@pytest.fixture(scope="module")
def butlers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give two butlers, today's and an old one, the second and third place."""
    folder = tmp_path_factory.mktemp("butlers")
    today = MadeButler.create(folder / "today", instruments=(CAMERA, ODD))
    today.take(range(1, 7))
    today.take(
        range(1, 4),
        day_obs=NIGHT + 1,
        observation_type="bias",
        observation_reason="calib",
        tracking_ra=None,
        tracking_dec=None,
        sky_angle=None,
    )
    today.add_exposures(
        [
            {
                "instrument": ODD,
                "id": 17,
                "obs_id": "odd-17",
                "physical_filter": "r_57",
                "day_obs": NIGHT,
                "seq_num": 17,
                "group": "g",
                "observation_type": "science",
                "observation_reason": "",
                "target_name": "",
                "science_program": "",
                "exposure_time": 1.0,
            }
        ]
    )
    old = MadeButler.create(folder / "old", universe=0)
    old.take(range(8, 10))
    return ["", today.uri, old.uri]


async def exposures(door: Door, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - as httpx
    asked = {"instrument": CAMERA, "registry": 2, **query}
    answer = await door.send("GET", "/exposures", **asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


# Starting butlers takes seconds: each test asks them many things.

FOUND: Sequence[tuple[dict[str, Any], Sequence[int]]] = (
    ({}, [*range(1501, 1507), *range(1601, 1604)]),
    ({"min_day_obs": NIGHT, "max_day_obs": str(NIGHT + 1)}, range(1501, 1507)),
    ({"min_day_obs": NIGHT + 1, "max_day_obs": 20260132}, range(1601, 1604)),
    ({"min_seq_num": 2, "max_seq_num": 3}, [1502, 1602]),
    ({"group_names": [f"{NIGHT}g1", f"{NIGHT}g3"]}, [1502, 1503, 1506]),
    ({"observation_reasons": "calib"}, range(1601, 1604)),
    ({"observation_types": ["bias", "dark"]}, range(1601, 1604)),
    (
        {"min_date": "2026-01-15T23:01:00", "max_date": "2026-01-15 23:02:16"},
        [1501, 1502, 1503],
    ),
    ({"order_by": "-obs_id", "limit": 2}, [1603, 1602]),
    ({"order_by": ["seq_num", "-id"], "limit": 3}, [1601, 1501, 1602]),
    ({"order_by": "-timespan_end", "offset": 1, "limit": 1}, [1602]),
    ({"offset": "8"}, [1603]),
    ({"instrument": "na"}, []),
    ({"unknown": "is passed over", "limit": 1}, [1501]),
    ({"registry": "3"}, [1508, 1509]),
)
"""What is asked for, and night and number of what is found."""


async def test_exposures_are_shown_and_found_as_the_butler_has_them(
    database_url: str, butlers: list[str]
) -> None:
    async with at_the_door(database_url, butlers) as door:
        first, *_ = await exposures(door)
        assert list(first) == FIELDS
        assert first == {
            "obs_id": f"MC_O_{NIGHT}_000001",
            "id": NIGHT * 100_000 + 1,
            "instrument": CAMERA,
            "observation_type": "science",
            "observation_reason": "survey",
            "day_obs": NIGHT,
            "seq_num": 1,
            "group_name": f"{NIGHT}g0",
            "target_name": "lowdust",
            "science_program": "BLOCK-365",
            "tracking_ra": 187.25,
            "tracking_dec": -5.5,
            "sky_angle": 12.0,
            "timespan_begin": "2026-01-15T23:00:34",
            "timespan_end": "2026-01-15T23:01:04",
        }
        assert (await exposures(door, registry=3))[0]["group_name"] == f"{NIGHT}g4"
        places = [
            (one["tracking_ra"], one["tracking_dec"], one["sky_angle"])
            for one in await exposures(door, observation_types="bias")
        ]
        assert places == [(None, None, None)] * 3
        for query, wanted in FOUND:
            found = [
                one["day_obs"] % 100 * 100 + one["seq_num"]
                for one in await exposures(door, **query)
            ]
            assert found == list(wanted), query


WRONG: Sequence[tuple[dict[str, Any], int]] = (
    ({"registry": 1}, 404),
    ({"registry": 0}, 422),
    ({"registry": 4}, 422),
    ({"registry": "x"}, 422),
    ({"limit": 0}, 422),
    ({"offset": -1}, 422),
    ({"min_day_obs": "x"}, 422),
    ({"min_date": "yesterday"}, 422),
    ({"min_date": "2026-01-15T23:00:00Z"}, 422),
    ({"order_by": "instrument"}, 400),
    ({"order_by": ["id", "-nothing"]}, 400),
)
"""What cannot be asked for, and the status."""


async def test_wrong_questions_are_told_apart(
    database_url: str, butlers: list[str]
) -> None:
    async with at_the_door(database_url, butlers) as door:
        for query, status in WRONG:
            asked = {"instrument": CAMERA, "registry": 2, **query}
            answer = await door.send("GET", "/exposures", **asked)
            assert decoded(answer, status)["detail"], query
        refused = decoded(await door.send("GET", "/exposures", registry=2), 422)
        assert refused["detail"][0]["loc"] == ["query", "instrument"]


async def test_instruments_and_configuration_name_each_butlers(
    database_url: str, butlers: list[str]
) -> None:
    async with at_the_door(database_url, butlers) as door:
        told = decoded(await door.send("GET", "/instruments/"))
        assert list(told.items()) == [
            ("butler_instruments_1", []),
            ("butler_instruments_2", [CAMERA, ODD]),
            ("butler_instruments_3", [CAMERA]),
        ]
        told = decoded(await door.send("GET", "/configuration"))
        assert list(told.items()) == [
            ("site_id", "summit"),
            ("butler_uri_1", ""),
            ("butler_uri_2", butlers[1]),
            ("butler_uri_3", butlers[2]),
        ]
    secret = ["https://me:pw@butler.example.org/repo", "label"]
    async with at_the_door(database_url, secret) as door:
        told = decoded(await door.send("GET", "/configuration"))
    assert told["butler_uri_1"] == "https://me@butler.example.org/repo"
    assert (told["butler_uri_2"], told["butler_uri_3"]) == ("label", "")


async def test_without_butlers_there_are_no_instruments_and_no_registry(
    database_url: str,
) -> None:
    async with at_the_door(database_url, []) as door:
        told = decoded(await door.send("GET", "/instruments"))
        assert list(told.values()) == [[], [], []]
        refused = await door.send("GET", "/exposures", instrument=CAMERA)
        assert isinstance(decoded(refused, 404)["detail"], str)


# -------------------------------------------------------------- POST with butlers


async def test_an_exposure_that_only_a_butler_has_is_taken(
    database_url: str, butlers: list[str]
) -> None:
    async with at_the_door(database_url, butlers) as door:
        for seq in (3, 9):
            body = a_message(obs_id=f"MC_O_{NIGHT}_{seq:06d}", instrument=CAMERA)
            said = decoded(await door.send("POST", "/messages", body))
            assert (said["day_obs"], said["seq_num"]) == (NIGHT, seq)
        refused = a_message(obs_id=f"MC_O_{NIGHT}_000099", instrument=CAMERA)
        assert (await door.send("POST", "/messages", refused)).status_code == 404
        # An instrument that annolog was told nothing of.
        odd = a_message(obs_id="odd-17", instrument=ODD)
        for _ in range(2):
            said = decoded(await door.send("POST", "/messages", odd))
            assert (said["instrument"], said["obs_id"]) == (ODD, "odd-17")
            assert (said["day_obs"], said["seq_num"]) == (NIGHT, 17)
        refused = odd | {"obs_id": "odd-18"}
        assert (await door.send("POST", "/messages", refused)).status_code == 404


async def test_an_exposure_is_found_by_the_name_that_its_butler_has(
    database_url: str, tmp_path: Path
) -> None:
    butler = MadeButler.create(tmp_path)
    (exposure_id,) = butler.take([58], obs_id=f"MC_O_{NIGHT}_58")
    short = a_message(obs_id=f"MC_O_{NIGHT}_58", instrument=CAMERA)
    async with at_the_door(database_url, [butler.uri]) as door:
        for _ in range(2):
            said = decoded(await door.send("POST", "/messages", short))
            # Shown as the instrument writes it, as everywhere.
            shown_as = (f"MC_O_{NIGHT}_000058", 58)
            assert (said["obs_id"], said["seq_num"]) == shown_as
        (shown,) = await exposures(door, registry=1)
    assert shown["id"] == exposure_id


async def test_a_butler_that_is_away_takes_with_it_only_what_it_knew(
    database_url: str, butlers: list[str], tmp_path: Path
) -> None:
    known = a_message(obs_id=f"MC_O_{NIGHT}_000001", instrument=CAMERA)
    async with at_the_door(database_url, butlers) as door:
        decoded(await door.send("POST", "/messages", known))
    away = str(tmp_path / "no-repo")
    async with at_the_door(database_url, [away]) as door:
        said = decoded(await door.send("POST", "/messages", known))
        assert said["seq_num"] == 1
        unknown = known | {"obs_id": f"MC_O_{NIGHT}_000002"}
        answer = await door.send("POST", "/messages", unknown)
        assert isinstance(decoded(answer, 503)["detail"], str)
        assert int(answer.headers["retry-after"]) >= 1
        told = decoded(await door.send("GET", "/instruments"))
        assert told["butler_instruments_1"] == []
        lost = await door.send("GET", "/exposures", instrument=CAMERA, registry=1)
        assert isinstance(decoded(lost, 503)["detail"], str)
