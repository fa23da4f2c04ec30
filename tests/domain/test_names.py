"""Names of targets, against a table of real ones."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED, Instrument, Instruments
from annolog.domain.names import (
    Named,
    ObsIdName,
    SeqName,
    SetName,
    key_of_path,
    parse_name,
    path_of_key,
)
from annolog.domain.targets import ExposureTarget, parse_key
from tests.domain.test_targets import as_served

GOLDEN: dict[str, list[Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "names.json").read_text(encoding="utf-8")
)
KNOWN = Instruments([*SHIPPED.values(), Instrument(name="HSC", detector_max=112)])


def key_named(text: str, default: str) -> str:
    found = parse_name(text, KNOWN, default=default)
    assert isinstance(found, Named)
    return found.target.key


@pytest.mark.parametrize("case", GOLDEN["obs_ids"], ids=lambda c: c["obs_id"])
def test_obs_id_gives_night_number_and_id(case: dict[str, Any]) -> None:
    parts = KNOWN[case["instrument"]].parse_obs_id(case["obs_id"])
    assert parts is not None
    assert (parts.day_obs, parts.seq_num) == (case["day_obs"], case["seq_num"])
    assert parts.exposure_id == case["exposure_id"]
    assert parts.obs_id == case["obs_id"]


@pytest.mark.parametrize("case", GOLDEN["obs_ids"], ids=lambda c: c["obs_id"])
def test_bare_obs_id_names_its_exposure_and_is_kept(case: dict[str, Any]) -> None:
    target = ExposureTarget(case["instrument"], case["exposure_id"])
    assert parse_name(case["obs_id"], KNOWN) == Named(target, case["obs_id"])


@pytest.mark.parametrize(
    "case",
    [*GOLDEN["obs_ids"], *GOLDEN["ids_of_unknown_obs_id"]],
    ids=lambda c: f"{c['instrument']}-{c['exposure_id']}",
)
def test_id_gives_night_and_number_but_no_obs_id(case: dict[str, Any]) -> None:
    located = KNOWN[case["instrument"]].locate(case["exposure_id"])
    expected = (case["day_obs"], case["seq_num"])
    assert located == (None if case["day_obs"] is None else expected)
    text = str(case["exposure_id"])
    named = parse_name(text, KNOWN, default=case["instrument"])
    assert named == Named(ExposureTarget(case["instrument"], case["exposure_id"]))


@pytest.mark.parametrize("case", GOLDEN["names"], ids=lambda c: c["name"].strip())
def test_name_gives_the_key(case: dict[str, Any]) -> None:
    assert parse_name(case["name"], KNOWN) == Named(
        parse_key(case["key"]), case.get("obs_id")
    )


@pytest.mark.parametrize("case", GOLDEN["look_ups"], ids=lambda c: c["name"])
def test_name_that_needs_a_look_up_says_which(case: dict[str, Any]) -> None:
    found = parse_name(case["name"], KNOWN)
    if "seq" in case:
        assert found == SeqName(*case["seq"])
        return
    if "obs_id" in case:
        assert found == ObsIdName(*case["obs_id"])
    else:
        assert found == SetName(*case["set"])
    assert isinstance(found, ObsIdName | SetName)
    unseen = found.unseen
    assert (unseen and unseen.key) == case["unseen"]


@pytest.mark.parametrize("case", GOLDEN["misfits"], ids=lambda c: c["why"])
def test_name_that_names_nothing_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_name(case["name"], KNOWN, pointer="/targets/3")
    (problem,) = caught.value.problems
    assert caught.value.reason_code == problem.code == "invalid_target"
    assert (problem.pointer, problem.value) == ("/targets/3", case["name"])


@pytest.mark.parametrize("key", GOLDEN["keys"])
def test_every_key_comes_back_from_a_page_path(key: str) -> None:
    assert parse_key(key).key == key
    assert key_of_path(as_served(path_of_key(key))) == key


@pytest.mark.parametrize(
    "key", [one for one in GOLDEN["keys"] if "%2F%2F" not in one and one[-3:] != "%2F"]
)
def test_key_pasted_into_an_address_as_it_is_comes_back(key: str) -> None:
    assert key_of_path("/" + as_served(key)) == key


@pytest.mark.parametrize("path", ["", "/", "MC_O_20261119_000123", "a:b", "gap:x/y"])
def test_path_that_holds_no_key_is_refused(path: str) -> None:
    with pytest.raises(InvalidError):
        key_of_path(path)


def test_found_exposure_completes_a_name() -> None:
    exposure = ExposureTarget("LSSTCam", 2026111900123)
    detector = parse_name("detector:LSSTCam/20261119/123/94", KNOWN)
    gap = parse_name("gap:LSSTCam/20261119/123", KNOWN)
    assert isinstance(detector, SeqName)
    assert isinstance(gap, SeqName)
    assert detector.target_of(exposure).key == "detector:LSSTCam/2026111900123/94"
    assert gap.target_of(exposure).key == "gap:LSSTCam/20261119/after=2026111900123"


def test_bare_numbers_need_an_instrument() -> None:
    for text in ("2026111900123", "20261119/123"):
        with pytest.raises(InvalidError) as caught:
            parse_name(text, KNOWN)
        assert caught.value.reason_code == "instrument_needed"
    assert key_named("2026111900123", default="LSSTCam").endswith("/2026111900123")
    assert parse_name("20261119/123", KNOWN, default="lsstcam") == SeqName(
        "exposure", "LSSTCam", 20261119, 123
    )


def test_bare_night_is_told_how_to_write_it() -> None:
    with pytest.raises(InvalidError, match="night:LSSTCam/20261119"):
        parse_name("20261119", KNOWN, default="LSSTCam")


def test_bare_obs_id_of_an_instrument_without_rule_is_looked_up_there() -> None:
    assert parse_name("HSCA01", KNOWN, default="HSC") == ObsIdName(
        "exposure", "HSC", "HSCA01"
    )


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("exposure:LSSTCan/2026111900123", "LSSTCam"),
        ("exposure:ComCan/2024110500234", "LSSTComCam"),
        ("night:LATIS/20261119", "LATISS"),
        ("record:visit/instrument=lsst-cam/visit=1", "LSSTCam"),
    ],
)
def test_unknown_instrument_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InvalidError, match=near) as caught:
        parse_name(name, KNOWN)
    assert caught.value.reason_code == "unknown_instrument"
    assert caught.value.extra["nearest"][0] == near


def test_instrument_unlike_any_other_is_answered_without_names() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_name("exposure:xqzw/1", KNOWN)
    assert caught.value.extra["nearest"] == []


def test_controller_that_is_not_taken_is_refused() -> None:
    stand = KNOWN["LSSTCam"].model_copy(update={"taken_controllers": "OC"})
    known = Instruments([stand])
    assert isinstance(parse_name("MC_C_20261119_000001", known), Named)
    with pytest.raises(InvalidError) as caught:
        parse_name("MC_S_20261119_000001", known)
    assert caught.value.reason_code == "controller_not_taken"


def test_obs_id_of_two_instruments_needs_one() -> None:
    twin = KNOWN["LSSTCam"].model_copy(update={"name": "LSSTCamTwin", "aliases": ()})
    known = Instruments([KNOWN["LSSTCam"], twin])
    with pytest.raises(InvalidError, match="exposure:LSSTCamTwin/MC_O") as caught:
        parse_name("MC_O_20261119_000123", known)
    assert caught.value.reason_code == "instrument_needed"
    found = parse_name("MC_O_20261119_000123", known, default="LSSTCamTwin")
    assert isinstance(found, Named)
    assert found.target.key == "exposure:LSSTCamTwin/2026111900123"


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    # Whatever else it raised would be a fault of ours, not of the text.
    with suppress(InvalidError):
        parse_name(text, KNOWN, default="LSSTCam")


@given(
    st.sampled_from(["exposure", "detector", "gap", "night", "record", "set"]),
    st.sampled_from(["LSSTCam", "HSC", "visit", "a@1"]),
    st.text("0123456789/=@%-OMC_ .", max_size=30),
)
def test_any_text_like_a_name_is_read_or_refused(
    kind: str, first: str, rest: str
) -> None:
    with suppress(InvalidError):
        parse_name(f"{kind}:{first}/{rest}", KNOWN)


def test_entries_replace_and_add_instruments() -> None:
    known = Instruments.from_entries(
        {
            "LSSTCam": {"detector_max": 10},
            "HSC": {},
            "Odd": {"detector_max": "a later version's"},
        }
    )
    assert sorted(known) == ["HSC", "LATISS", "LSSTCam", "LSSTComCam"]
    assert known["LSSTCam"].detector_max == 10
    assert known["LSSTCam"].obs_id_rule is None
    assert known.find("latiss") is known["LATISS"]
    assert known.of_part("AuxTel") == (known["LATISS"],)
