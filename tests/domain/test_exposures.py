"""Facts about exposures, and what they amount to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from annolog.domain.errors import InvalidError
from annolog.domain.exposures import (
    FACT_FIELDS,
    Event,
    ExposureFact,
    ExposureFactDraft,
    ExposureState,
    ExposureView,
    Source,
    end_unknown,
    fact_from_record,
    merge,
)
from annolog.domain.instruments import SHIPPED, Instrument, Instruments
from annolog.domain.names import Named, ObsIdName, SeqName

KEY = "exposure:LSSTCam/2026111900123"
_clocks = count(1_800_000_000_000_000)


def a_fact(
    event: str = "announce",
    source: str = "camera",
    *,
    clock: int | None = None,
    key: str = KEY,
    **fields: Any,  # noqa: ANN401 - JSON values
) -> ExposureFact:
    made = next(_clocks) if clock is None else clock
    number = next(_clocks) if clock is None else clock
    return ExposureFact(
        key, UUID(int=number), made, Source(source), Event(event), fields
    )


def merged(*facts: ExposureFact) -> ExposureView:
    return merge(facts, SHIPPED)


def test_first_source_gives_each_field_and_the_latest_within_it() -> None:
    view = merged(
        a_fact("record", "butler", target_name="M31", band="r"),
        a_fact("start", "camera", target_name="M33", exposure_time=30.0),
        a_fact("end", "camera", exposure_time=30.5, band=None),
        a_fact("record", "bulk", science_program="BLOCK-1", band="g"),
    )
    assert view.fields["target_name"] == "M31"
    assert view.fields["band"] == "r"
    assert view.exposure_time == 30.5
    assert view.fields["science_program"] == "BLOCK-1"
    assert view.sources["exposure_time"] is Source.CAMERA
    assert view.sources["day_obs"] is Source.DERIVED
    assert (view.day_obs, view.seq_num, view.exposure_id) == (
        20261119,
        123,
        2026111900123,
    )


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([("record", "derived")], "named"),
        ([("announce", "camera")], "announced"),
        ([("announce", "camera"), ("start", "camera")], "in_progress"),
        ([("end", "camera"), ("start", "camera")], "ended"),
        ([("start", "camera"), ("end", "camera"), ("record", "butler")], "ingested"),
        ([("record", "butler"), ("announce", "camera")], "ingested"),
        ([("record", "butler"), ("remove", "butler")], "removed"),
        ([("remove", "butler"), ("record", "butler")], "ingested"),
        ([("announce", "camera"), ("cancel", "camera")], "cancelled"),
        ([("cancel", "camera"), ("start", "camera")], "in_progress"),
        ([("end", "camera"), ("announce", "bulk")], "ended"),
        ([("record", "bulk")], "announced"),
        ([("record", "bulk"), ("remove", "bulk")], "removed"),
    ],
)
def test_state_follows_the_facts(events: list[tuple[str, str]], state: str) -> None:
    assert merged(*(a_fact(*one) for one in events)).state is ExposureState(state)


def test_record_with_an_end_has_ended() -> None:
    view = merged(a_fact("record", "bulk", end="2026-11-20T03:00:00.000000Z"))
    assert view.state is ExposureState.ENDED
    started = a_fact("start", "camera")
    other = a_fact("announce", "bulk", end="2026-11-20T03:00:00.000000Z")
    assert merged(started, other).state is ExposureState.ENDED


def test_missing_end_is_unknown_after_exposure_time_and_five_minutes() -> None:
    begin = datetime(2026, 11, 20, 3, tzinfo=UTC)
    view = merged(a_fact("start", begin="2026-11-20T03:00:00Z", exposure_time=30.0))
    limit = begin + timedelta(seconds=330)
    assert not end_unknown(view, limit)
    assert end_unknown(view, limit + timedelta(microseconds=1))
    ended = merged(a_fact("end", begin="2026-11-20T03:00:00Z"))
    assert not end_unknown(ended, limit + timedelta(days=1))


def test_start_without_a_time_began_when_it_was_reported() -> None:
    fact = a_fact("start")
    view = merged(fact)
    assert view.begin is None
    assert view.started is not None
    assert not end_unknown(view, view.started + timedelta(minutes=5))
    assert end_unknown(view, view.started + timedelta(minutes=6))


def test_sources_that_differ_are_listed_with_what_each_says() -> None:
    butler = a_fact("record", "butler", physical_filter="r_57", exposure_time=30.2)
    camera = a_fact("end", "camera", physical_filter="i_39", exposure_time=30.0)
    view = merged(camera, butler)
    assert view.contradictions_as_dict() == {
        "physical_filter": [
            {
                "source": "butler",
                "value": "r_57",
                "record_id": str(butler.record_id),
            },
            {
                "source": "camera",
                "value": "i_39",
                "record_id": str(camera.record_id),
            },
        ]
    }


def test_correction_by_the_same_source_is_no_contradiction() -> None:
    view = merged(a_fact("start", band="r"), a_fact("end", band="g"))
    assert view.contradictions == {}
    assert view.fields["band"] == "g"


@pytest.mark.parametrize(
    ("name", "one", "other", "differ"),
    [
        ("begin", "2026-11-20T03:00:00Z", "2026-11-20T03:00:05Z", False),
        ("begin", "2026-11-20T03:00:00Z", "2026-11-20T03:00:06Z", True),
        ("tracking_ra", 359.99, 0.01, False),
        ("tracking_ra", 359.0, 0.01, True),
        ("tracking_dec", -30.0, -30.05, False),
        ("day_obs", 20261119, 20261118, True),
        ("own_field", "a", "b", True),
    ],
)
def test_small_differences_of_measured_values_do_not_matter(
    name: str, one: str | float, other: str | float, *, differ: bool
) -> None:
    view = merged(
        replace(a_fact("record", "butler"), fields={name: one}),
        replace(a_fact("end", "camera"), fields={name: other}),
    )
    assert (name in view.contradictions) == differ


def test_two_obs_ids_of_one_id_contradict_each_other() -> None:
    view = merged(
        a_fact("announce", "camera", obs_id="MC_O_20261119_000123"),
        a_fact("announce", "camera", obs_id="MC_C_20261119_000123"),
    )
    assert [one.value for one in view.contradictions["obs_id"]] == [
        "MC_C_20261119_000123",
        "MC_O_20261119_000123",
    ]
    assert view.obs_id == "MC_C_20261119_000123"


def test_obs_id_that_means_another_id_is_listed() -> None:
    fact = a_fact("announce", "bulk", obs_id="MC_O_20261119_000124")
    claims = merged(fact).contradictions["exposure_id"]
    assert [(one.source, one.value) for one in claims] == [
        (Source.BULK, 2026111900124),
        (Source.DERIVED, 2026111900123),
    ]


def test_cancelled_exposure_in_the_butler_is_listed() -> None:
    view = merged(a_fact("record", "butler"), a_fact("cancel", "camera"))
    assert view.state is ExposureState.INGESTED
    assert [one.value for one in view.contradictions["state"]] == [
        "ingested",
        "cancelled",
    ]


def test_annotated_while_taken_then_completed() -> None:
    # By obs_id first, completed by the butler record.
    named = a_fact("announce", "camera", obs_id="MC_O_20261119_000123")
    record = a_fact(
        "record",
        "butler",
        obs_id="MC_O_20261119_000123",
        begin="2026-11-20T03:00:00Z",
        end="2026-11-20T03:00:30Z",
        observation_type="science",
    )
    view = merged(named, a_fact("start", "camera"), record)
    assert view.state is ExposureState.INGESTED
    assert view.obs_id == "MC_O_20261119_000123"
    assert view.observation_type == "science"
    assert view.end == datetime(2026, 11, 20, 3, 0, 30, tzinfo=UTC)
    assert view.contradictions == {}


def test_exposure_named_by_obs_id_alone_has_it() -> None:
    view = merged(a_fact("announce", "bulk", key="exposure:HSC/obs_id=HSCA01"))
    assert (view.obs_id, view.exposure_id) == ("HSCA01", None)


def test_no_facts_have_no_view() -> None:
    with pytest.raises(ValueError, match="without facts"):
        merge([])


times_ = st.integers(0, 59).map(lambda s: f"2026-11-20T03:00:{s:02}Z")
facts = st.lists(
    st.builds(
        lambda event, source, clock, fields: a_fact(
            event, source, clock=clock, **fields
        ),
        st.sampled_from([one.value for one in Event]),
        st.sampled_from([one.value for one in Source]),
        st.integers(1, 10**15),
        st.fixed_dictionaries(
            {},
            optional={
                "obs_id": st.sampled_from(
                    ["MC_O_20261119_000123", "MC_C_20261119_000123", "odd"]
                ),
                "begin": times_,
                "end": times_ | st.none(),
                "exposure_time": st.floats(0, 60),
                "band": st.sampled_from(["g", "r", None]),
                "tracking_ra": st.floats(0, 360),
                "own": st.integers(0, 2) | st.text(max_size=2),
            },
        ),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.clock,
)


@given(facts, st.randoms(use_true_random=False))
def test_view_depends_on_the_set_of_facts_alone(
    known: list[ExposureFact], random: Random
) -> None:
    view = merged(*known)
    again = [*random.sample(known, len(known)), random.choice(known)]
    assert merged(*again) == view
    for name, claims in view.contradictions.items():
        assert len(claims) > 1, name


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
odd_values = scalars | st.lists(scalars, max_size=2)


@given(
    st.lists(
        st.dictionaries(st.sampled_from([*FACT_FIELDS, "own"]), odd_values, max_size=6),
        min_size=1,
        max_size=4,
    )
)
def test_fields_of_any_form_are_shown_as_they_came(said: list[dict[str, Any]]) -> None:
    sources = [one.value for one in Source]
    view = merged(
        *(
            a_fact("end", source, clock=clock, **fields)
            for clock, (source, fields) in enumerate(
                zip(sources, said, strict=False), start=1
            )
        )
    )
    assert view.day_obs is None or isinstance(view.day_obs, int)
    assert not end_unknown(view, datetime(2026, 11, 20, tzinfo=UTC))


def test_record_body_gives_the_fact_back() -> None:
    fact = a_fact("end", "camera", band="r", obs_id="MC_O_20261119_000123")
    body = {
        "record_id": str(fact.record_id),
        "clock": fact.clock,
        "key": fact.key,
        "source": "camera",
        "event": "end",
        "fields": dict(fact.fields),
        "author": "jdoe",
    }
    assert fact_from_record(body) == fact
    assert fact.obs_id == "MC_O_20261119_000123"


# ------------------------------------------------------------------------- API input

KNOWN = Instruments([*SHIPPED.values(), Instrument(name="HSC")])


def a_draft(**fields: Any) -> ExposureFactDraft:  # noqa: ANN401 - JSON values
    return ExposureFactDraft.model_validate(
        {"instrument": "LSSTCam", "exposure_id": 2026111900123, **fields}
    )


def test_draft_says_its_fields_as_records_hold_them() -> None:
    draft = a_draft(
        obs_id="MC_O_20261119_000123",
        event="start",
        source="camera",
        begin="2026-11-20T00:00:00-03:00",
        exposure_time=30,
        fields={"azimuth": 12.5, "note": None},
    )
    assert draft.said() == {
        "exposure_id": 2026111900123,
        "obs_id": "MC_O_20261119_000123",
        "begin": "2026-11-20T03:00:00.000000Z",
        "exposure_time": 30.0,
        "azimuth": 12.5,
    }
    assert set(draft.said()) <= {*FACT_FIELDS, "azimuth"}


def test_draft_names_its_exposure() -> None:
    both = a_draft(obs_id="MC_O_20261119_000123").name(KNOWN)
    assert isinstance(both, Named)
    assert (both.target.key, both.obs_id) == (KEY, "MC_O_20261119_000123")
    odd = a_draft(instrument="HSC", exposure_id=None, obs_id="a/b c").name(KNOWN)
    assert odd == ObsIdName("exposure", "HSC", "a/b c")
    number = a_draft(exposure_id=None, day_obs=20261119, seq_num=5).name(KNOWN)
    assert number == SeqName("exposure", "LSSTCam", 20261119, 5)


def test_draft_that_does_not_fit_its_instrument_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        a_draft(exposure_id=5).name(KNOWN, "/0")
    assert caught.value.problems[0].pointer == "/0/exposure_id"
    with pytest.raises(InvalidError) as caught:
        a_draft(instrument="LSSTCan").name(KNOWN, "/0")
    assert caught.value.problems[0].pointer == "/0/instrument"


@pytest.mark.parametrize(
    "wrong",
    [
        {"exposure_id": None},
        {"exposure_id": None, "day_obs": 20261119},
        {"exposure_id": -1},
        {"day_obs": 20260230},
        {"seq_num": 100_000},
        {"obs_id": "a\nb"},
        {"obs_id": "x" * 200},
        {"event": "explode"},
        {"source": "derived"},
        {"begin": "2026-11-20T03:00:00Z", "end": "2026-11-20T02:00:00Z"},
        {"begin": "yesterday"},
        {"exposure_time": -1},
        {"exposure_time": float("nan")},
        {"tracking_ra": 361},
        {"tracking_dec": 91},
        {"fields": {"band": "r"}},
        {"fields": {"state": "ended"}},
        {"fields": {"Azimuth": 1}},
        {"fields": {"a": [1]}},
        {"fields": {"a": "x" * 2000}},
        {"fields": {"a": "\x00"}},
        {"fields": {"a": "\ud800"}},
        {"fields": {"a": float("inf")}},
        {"fields": {"a": 2**70}},
        {"fields": {f"a{n}": n for n in range(65)}},
        {"unknown": 1},
    ],
)
def test_draft_with_a_wrong_field_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_draft(**wrong)
