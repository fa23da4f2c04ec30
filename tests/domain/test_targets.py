"""Targets and their keys."""

from contextlib import suppress
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED, is_day_obs
from annolog.domain.names import Named, key_of_path, parse_name, path_of_key
from annolog.domain.targets import (
    KINDS,
    MAX_DETECTOR,
    MAX_KEY_BYTES,
    CollectionTarget,
    DatasetTarget,
    DetectorTarget,
    ExposureTarget,
    GapTarget,
    NightTarget,
    RecordTarget,
    SetTarget,
    Target,
    TargetColumns,
    columns,
    kind_of,
    parse_key,
    target_from_data_id,
)

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
ids = st.integers(0, MAX_INTEGER)
detectors = st.integers(0, MAX_DETECTOR)
nights = st.dates().map(lambda d: d.year * 10_000 + d.month * 100 + d.day)
nights = nights.filter(is_day_obs)


@st.composite
def records(draw: st.DrawFn) -> RecordTarget:
    element = draw(
        st.sampled_from(
            [one for one in UNIVERSE.names() if one not in {"exposure", "day_obs"}]
        )
    )
    required = UNIVERSE.required(element) or ()
    values: list[tuple[str, int | str]] = [
        (name, draw(ids) if UNIVERSE.is_integer(name) else draw(texts))
        for name in required
    ]
    return RecordTarget(element, tuple(values))


any_target: st.SearchStrategy[Target] = st.one_of(
    st.builds(ExposureTarget, texts, ids),
    st.builds(ExposureTarget, texts, st.none(), texts),
    st.builds(DetectorTarget, texts, ids, detectors),
    st.builds(DetectorTarget, texts, st.none(), detectors, texts),
    st.builds(DatasetTarget, st.uuids()),
    records(),
    st.builds(GapTarget, texts, nights, st.one_of(st.none(), ids, texts)),
    st.builds(NightTarget, texts, nights),
    st.builds(CollectionTarget, texts, texts),
    st.builds(
        SetTarget,
        texts,
        st.integers(1, 2**31 - 1),
        st.one_of(st.none(), st.from_regex(r"[0-9A-F]{8,64}", fullmatch=True)),
    ),
)


def as_served(path: str) -> str:
    """Do to a path what servers do: decode twice, merge `//`, cut `/` at the end."""
    plain = unquote(unquote(path))
    while "//" in plain:
        plain = plain.replace("//", "/")
    return plain.rstrip("/")


@given(any_target)
def test_key_and_target_are_inverse(target: Target) -> None:
    assert parse_key(target.key) == target
    assert parse_key(target.key).key == target.key


@given(any_target)
def test_key_is_plain_ascii_of_limited_size(target: Target) -> None:
    assert target.key.isascii()
    assert target.key.isprintable()
    assert " " not in target.key
    assert len(target.key) <= MAX_KEY_BYTES
    assert kind_of(target.key) in KINDS


@given(any_target, any_target)
def test_different_targets_have_different_keys(one: Target, other: Target) -> None:
    assert (one == other) == (one.key == other.key)


@given(any_target)
def test_key_survives_a_page_path(target: Target) -> None:
    assert key_of_path(as_served("/t/" + path_of_key(target.key))[3:]) == target.key


@given(st.text(max_size=60))
def test_parse_key_refuses_or_reads_any_text(text: str) -> None:
    with suppress(InvalidError):
        assert parse_key(text).key == text


@given(st.sampled_from(KINDS), st.text("0123456789/=@%-AZaz_.", max_size=40))
def test_parse_key_refuses_or_reads_any_text_of_a_kind(kind: str, rest: str) -> None:
    text = f"{kind}:{rest}"
    with suppress(InvalidError):
        assert parse_key(text).key == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "exposure",
        "exposure:",
        "exposure:LSSTCam",
        "exposure:LSSTCam/",
        "exposure:/2026111900123",
        "exposure:LSSTCam/02026111900123",
        "exposure:LSSTCam/+2026111900123",
        "exposure:LSSTCam/2026111900123/",
        "exposure:LSSTCam/2026111900123 ",
        "exposure:LSSTCam/9223372036854775808",
        "exposure:LSSTCam/" + "9" * 5000,
        "exposure:LSSTCam/\u0662",
        "exposure:LSST%43am/1",
        "exposure:a%2fb/1",
        "exposure:a%ff/1",
        "exposure:a%00/1",
        "exposure:HSC/obs_id=",
        "exposure:HSC/obs_id=a/b",
        "EXPOSURE:LSSTCam/2026111900123",
        "detector:LSSTCam/2026111900123",
        "detector:LSSTCam/2026111900123/094",
        "detector:LSSTCam/2026111900123/2147483648",
        "dataset:018F4C5E-1B7A-7C3D-9E2F-5A6B7C8D9E0F",
        "dataset:018f4c5e1b7a7c3d9e2f5a6b7c8d9e0f",
        "dataset:{018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f}",
        "record:visit",
        "record:visit/instrument=LSSTCam",
        "record:visit/visit=1/instrument=LSSTCam",
        "record:visit/instrument=LSSTCam/visit=x",
        "record:exposure/instrument=LSSTCam/exposure=1",
        "record:day_obs/instrument=LSSTCam/day_obs=20261119",
        "record:galaxy/galaxy=1",
        "record:htm07/htm07=1",
        "record:healpix18/healpix18=1",
        "gap:LSSTCam/20261119",
        "gap:LSSTCam/20261119/after=",
        "gap:LSSTCam/20261119/2026111900123",
        "gap:LSSTCam/20261319/after=start",
        "night:LSSTCam/2026111",
        "night:LSSTCam/20260230",
        "collection:main",
        "collection:main/LSSTCam/runs",
        "set:badlist",
        "set:badlist@",
        "set:badlist@0",
        "set:badlist@03",
        "set:badlist@3-",
        "set:badlist@3-1f0a77c2",
        "set:badlist@3-1F0A77C",
        "thing:a",
        "collection:main/" + "a" * 500,
    ],
)
def test_key_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_key(text)
    assert caught.value.reason_code == "invalid_target"


def test_key_may_have_512_bytes_and_no_more() -> None:
    name = "a" * (MAX_KEY_BYTES - len("collection:main/"))
    assert len(CollectionTarget("main", name).key) == MAX_KEY_BYTES
    with pytest.raises(InvalidError, match="512"):
        CollectionTarget("main", name + "a")


def test_key_keeps_case_and_code_points() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    keys = {
        CollectionTarget("main", name).key for name in (composed, decomposed, "CAFE")
    }
    assert keys == {
        "collection:main/caf%C3%A9",
        "collection:main/cafe%CC%81",
        "collection:main/CAFE",
    }


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "\x7f", "\ud800", ""])
def test_name_with_control_characters_is_refused(name: str) -> None:
    with pytest.raises(InvalidError):
        CollectionTarget("main", name)


@pytest.mark.parametrize(
    ("exposure_id", "obs_id"), [(None, None), (1, "a"), (-1, None), (True, None)]
)
def test_exposure_has_one_good_name(
    exposure_id: int | None, obs_id: str | None
) -> None:
    with pytest.raises(InvalidError):
        ExposureTarget("HSC", exposure_id, obs_id)


@pytest.mark.parametrize(
    ("data_id", "key"),
    [
        ({"exposure": 1, "instrument": "HSC"}, "exposure:HSC/1"),
        ({"exposure": 1, "instrument": "HSC", "detector": 5}, "detector:HSC/1/5"),
        ({"day_obs": 20261119, "instrument": "HSC"}, "night:HSC/20261119"),
        ({"visit": 1, "instrument": "HSC"}, "record:visit/instrument=HSC/visit=1"),
        (
            {"visit": 1, "instrument": "HSC", "detector": 5},
            "record:visit_detector_region/instrument=HSC/detector=5/visit=1",
        ),
        ({"htm7": 5}, "record:htm7/htm7=5"),
    ],
)
def test_data_id_gives_one_key(data_id: dict[str, Any], key: str) -> None:
    assert target_from_data_id(data_id).key == key


@pytest.mark.parametrize(
    "data_id",
    [
        {},
        {"instrument": "HSC", "exposure": "1"},
        {"instrument": 5, "exposure": 1},
        {"instrument": "HSC", "tract": 1},
        {"instrument": "HSC", "exposure": True},
    ],
)
def test_data_id_that_names_nothing_is_refused(data_id: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        target_from_data_id(data_id)


UUID_ = UUID("018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (
            "exposure:LSSTCam/3023060100017",
            TargetColumns("exposure", "LSSTCam", 20230601, 17, 3023060100017),
        ),
        ("exposure:HSC/903334", TargetColumns("exposure", "HSC", exposure_id=903334)),
        ("exposure:HSC/obs_id=HSCA01", TargetColumns("exposure", "HSC")),
        (
            "exposure:LSSTCam/obs_id=MC_O_20261119_000123",
            TargetColumns("exposure", "LSSTCam", 20261119, 123),
        ),
        (
            "detector:LSSTCam/2026111900123/94",
            TargetColumns("detector", "LSSTCam", 20261119, 123, 2026111900123, 94),
        ),
        (f"dataset:{UUID_}", TargetColumns("dataset", dataset_id=UUID_)),
        (
            "record:visit/instrument=LSSTCam/visit=2026111900123",
            TargetColumns("record", "LSSTCam"),
        ),
        (
            "record:detector/instrument=LSSTCam/detector=94",
            TargetColumns("record", "LSSTCam", detector=94),
        ),
        (
            "gap:LSSTCam/20261119/after=2026111900123",
            TargetColumns("gap", "LSSTCam", 20261119, 123),
        ),
        (
            "gap:LSSTCam/20261119/after=start",
            TargetColumns("gap", "LSSTCam", 20261119, 0),
        ),
        ("night:Simonyi/20261119", TargetColumns("night", "Simonyi", 20261119)),
        ("collection:main/a", TargetColumns("collection")),
        ("set:badlist@3", TargetColumns("set")),
    ],
)
def test_columns_say_what_lists_need(key: str, expected: TargetColumns) -> None:
    assert columns(parse_key(key), SHIPPED) == expected


@given(any_target)
def test_columns_are_known_for_every_target(target: Target) -> None:
    assert columns(target, SHIPPED).kind == kind_of(target.key)


def test_every_full_name_of_a_key_is_the_key_itself() -> None:
    for key in ("exposure:LSSTCam/2026111900123", "night:LATISS/20261119"):
        assert parse_name(key, SHIPPED) == Named(parse_key(key))
