"""Query parameters are taken as exposurelog takes them."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from litestar import Request
from litestar.testing import RequestFactory

from annolog.domain.errors import MalformedError
from annolog.exposurelog.models import FIELDS
from annolog.exposurelog.parameters import (
    MOST,
    MessageQuery,
    lower_tags,
    read_id,
    read_messages,
)
from annolog.exposurelog.plans import plan_of
from annolog.exposurelog.problems import RefusedError


def a_request(query: str) -> Request[Any, Any, Any]:
    request = RequestFactory().get("/exposurelog/messages")
    request.scope["query_string"] = query.encode()
    return request


def read(query: str = "", **given: Any) -> MessageQuery:  # noqa: ANN401 - any value
    return read_messages(a_request(query or urlencode(given, doseq=True)))


def refused(query: str) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(RefusedError) as error:
        read(query)
    return [(tuple(fault.loc), fault.type) for fault in error.value.faults]


def test_without_parameters_the_first_fifty_valid_messages_are_asked_for() -> None:
    asked = read()
    assert asked == MessageQuery()
    assert (asked.is_human, asked.is_valid) == ("either", "true")
    assert (asked.offset, asked.limit, asked.order) == (0, 50, (("id", False),))


def test_words_are_taken_for_numbers() -> None:
    asked = read("min_day_obs=20261119&max_seq_num=7&limit=50000&offset=10")
    assert (asked.min_day_obs, asked.max_seq_num) == (20261119, 7)
    assert (asked.limit, asked.offset) == (50_000, 10)


def test_a_night_is_any_integer() -> None:
    assert read("max_day_obs=20250732").max_day_obs == 20250732
    assert read("max_day_obs=-1").max_day_obs == -1


def test_numbers_that_the_database_does_not_have_are_beyond_all_others() -> None:
    asked = read(f"max_day_obs=1{'0' * 30}&min_seq_num=-1{'0' * 30}&limit=1{'0' * 30}")
    assert (asked.max_day_obs, asked.min_seq_num, asked.limit) == (MOST, -MOST, MOST)


@pytest.mark.parametrize("word", ["true", "True", "TRUE"])
def test_truth_is_taken_in_any_case(word: str) -> None:
    asked = read(f"is_human={word}&is_valid={word}&has_parent_id={word}")
    assert (asked.is_human, asked.is_valid) == ("true", "true")
    assert asked.has_parent_id is True


@pytest.mark.parametrize("word", ["false", "False", "FALSE"])
def test_untruth_is_taken_in_any_case(word: str) -> None:
    asked = read(f"is_human={word}&is_valid={word}&has_date_invalidated={word}")
    assert (asked.is_human, asked.is_valid) == ("false", "false")
    assert asked.has_date_invalidated is False


@pytest.mark.parametrize("blank", ["T", "+", "%20"])
def test_dates_are_taken_with_a_t_or_a_blank(blank: str) -> None:
    asked = read(f"min_date_added=2026-11-19{blank}03:12:37.123")
    assert asked.min_date_added == datetime(2026, 11, 19, 3, 12, 37, 123_000)  # noqa: DTZ001 - TAI


def test_a_date_with_a_zone_is_refused_since_tai_has_none() -> None:
    assert refused("max_date_added=2026-11-19T03:12:37Z") == [
        (("query", "max_date_added"), "value_error")
    ]


def test_one_value_is_a_list_of_one() -> None:
    assert read("instruments=LSSTCam").instruments == ("LSSTCam",)
    assert read("tags=streak&tags=ghost").tags == ("streak", "ghost")


def test_of_a_parameter_given_twice_the_last_one_counts() -> None:
    assert read("limit=3&limit=7&obs_id=a&obs_id=b").limit == 7
    assert read("obs_id=a&obs_id=b").obs_id == "b"


def test_what_is_not_known_is_passed_over() -> None:
    assert read("obs_ids=MC_O_20261119_000123&jira=1") == MessageQuery()


def test_an_empty_value_is_a_value() -> None:
    assert read("instruments=&obs_id=").instruments == ("",)
    assert refused("min_day_obs=") == [(("query", "min_day_obs"), "int_parsing")]


@pytest.mark.parametrize(
    ("query", "place", "kind"),
    [
        ("limit=0", ("query", "limit"), "greater_than_equal"),
        ("limit=many", ("query", "limit"), "int_parsing"),
        ("offset=-1", ("query", "offset"), "greater_than_equal"),
        ("min_level=x", ("query", "min_level"), "int_parsing"),
        ("is_human=maybe", ("query", "is_human"), "literal_error"),
        ("is_valid=1", ("query", "is_valid"), "literal_error"),
        ("has_parent_id=perhaps", ("query", "has_parent_id"), "bool_parsing"),
        ("exposure_flags=good", ("query", "exposure_flags", 0), "literal_error"),
        ("min_date_added=yesterday", ("query", "min_date_added"), "value_error"),
        ("obs_id=%00", ("query", "obs_id"), "value_error"),
        ("user_ids=a&user_ids=%00", ("query", "user_ids", 1), "value_error"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(
    query: str, place: tuple[str | int, ...], kind: str
) -> None:
    assert refused(query) == [(place, kind)]


def test_all_wrong_values_are_named_at_once() -> None:
    assert refused("limit=0&offset=-1&min_day_obs=x") == [
        (("query", "min_day_obs"), "int_parsing"),
        (("query", "offset"), "greater_than_equal"),
        (("query", "limit"), "greater_than_equal"),
    ]


def test_id_is_the_last_field_to_sort_by_unless_it_is_there() -> None:
    assert read("order_by=-day_obs&order_by=seq_num").order == (
        ("day_obs", True),
        ("seq_num", False),
        ("id", False),
    )
    assert read("order_by=-id&order_by=seq_num").order == (
        ("id", True),
        ("seq_num", False),
    )


def test_a_field_to_sort_by_counts_where_it_is_named_first() -> None:
    asked = read("&".join(["order_by=-level", "order_by=level"] * 2000))
    assert asked.order == (("level", True), ("id", False))


def test_every_field_of_a_message_can_be_sorted_by() -> None:
    for name in FIELDS:
        assert read(order_by=[name]).order[0] == (name, False)
        assert read(order_by=["-" + name]).order[0] == (name, True)


@pytest.mark.parametrize("name", ["nothing", "", "-", "--id", "ID", "id desc"])
def test_an_unknown_field_to_sort_by_is_malformed(name: str) -> None:
    with pytest.raises(MalformedError, match="order_by"):
        read(order_by=["id", name])


def test_tags_are_made_lower_case_in_their_order() -> None:
    asked = read("tags=Streak&tags=GHOST&exclude_tags=Bad_Focus")
    assert (asked.tags, asked.exclude_tags) == (("streak", "ghost"), ("bad_focus",))


@pytest.mark.parametrize(
    "word", ["", "a", "1a", "_a", "bad-focus", "bad focus", "é1", "ok\n"]
)
def test_what_is_no_tag_is_malformed(word: str) -> None:
    with pytest.raises(MalformedError, match="no tags"):
        lower_tags(["ok", word])
    with pytest.raises(MalformedError, match="no tags"):
        read(exclude_tags=[word])


def test_an_id_is_a_uuid() -> None:
    text = "01a1fc8f-e3e9-70f5-90d5-542411388000"
    assert str(read_id(text)) == text
    assert str(read_id(text.upper())) == text
    with pytest.raises(RefusedError) as error:
        read_id("17")
    assert error.value.faults[0].loc == ["path", "id"]


# ------------------------------------------------------------------ which are quick

CLIENTS = {
    "LOVE, a span of nights": (
        "order_by=-date_added&limit=1000&min_day_obs=20261119&max_day_obs=20261121"
    ),
    "LOVE, an exposure": "obs_id=MC_O_20261119_000123&order_by=-date_added",
    "nightly digest": (
        "is_human=either&is_valid=true&order_by=-day_obs&offset=2500&limit=2500"
        "&min_day_obs=20261119&max_day_obs=20261120&instruments=LSSTCam"
    ),
    "rubin_nights": (
        "is_human=either&is_valid=true&min_date_added=2026-11-19T12:00:00"
        "&max_date_added=2026-11-20T12:00:00&limit=50000"
    ),
    "rubintv": (
        "min_day_obs=20261119&max_day_obs=20261120&is_human=either&is_valid=true"
        "&offset=0&limit=10000"
    ),
}


@pytest.mark.parametrize("query", CLIENTS.values(), ids=CLIENTS)
def test_what_clients_ask_every_minute_is_quick(query: str) -> None:
    assert plan_of(read(query)).quick


@pytest.mark.parametrize("query", ["", "order_by=-date_added", "order_by=-id&limit=9"])
def test_the_beginning_of_an_index_is_quick(query: str) -> None:
    assert plan_of(read(query)).quick


@pytest.mark.parametrize(
    "query",
    [
        "min_day_obs=20261119",
        "max_date_added=2026-11-19T00:00:00",
        "obs_id=123",
        "order_by=instrument",
        "order_by=-date_added&order_by=seq_num",
        "is_valid=false",
        "site_ids=summit",
        "has_parent_id=true",
        "min_day_obs=20261119&max_day_obs=20261120&message_text=wind",
        "min_day_obs=20261119&max_day_obs=20261120&order_by=user_agent",
        "min_day_obs=20261119&max_day_obs=20261120&tags=wind",
        "min_day_obs=20261119&max_day_obs=20261120&is_human=true",
        "min_day_obs=20261119&max_day_obs=20261120&order_by=exposure_flag",
    ],
)
def test_what_nobody_asks_every_minute_is_kept_apart(query: str) -> None:
    assert not plan_of(read(query)).quick
