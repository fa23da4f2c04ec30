"""Messages are shown, filtered and sorted as exposurelog's clients expect."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from annolog.exposurelog.models import FIELDS
from tests.support.message_log import MESSAGES, Log, message_log
from tests.support.messages import AMessage
from tests.support.postgres import PostgresServer

NIGHT = datetime(2026, 11, 20, 3, 0)  # noqa: DTZ001 - TAI

ODD = [
    "100% cloud",
    "100 cloud",
    "a_b",
    "aXb",
    'she said "wind" \\ "gusts"',
    "first line\nsecond line\ttab",
    "Größe 5″ 🔭",
    "",
]
"""Texts that SQL or JSON would write otherwise."""

KNOWN = [
    AMessage(number=1),
    AMessage(number=2, site_id="base", instrument="LATISS", user_id="ann"),
    AMessage(number=3, obs_id="AT_O_20261119_000123", instrument="LATISS", seq_num=7),
    AMessage(number=4, obs_id="MC_O_20261119_000123_r2", user_agent="nb", level=30),
    AMessage(number=5, obs_id="MC_O%20261119", user_agent=None, day_obs=20261120),
    AMessage(number=6, obs_id="mc_o_20261119_000123", day_obs=None, seq_num=None),
    AMessage(number=7, flag="junk", tags=("streak", "ghost"), is_human=False),
    AMessage(number=8, flag="questionable", tags=("ghost",), urls=("https://a.b/c",)),
    AMessage(number=9, flag="follow_up", urls=("https://a.b/c/d", "https://e.f")),
    AMessage(number=10, flag="good", tags=("bad_focus",)),
    AMessage(number=11, flag="not_known_here"),
    AMessage(number=12, date_invalidated=NIGHT + timedelta(hours=1), parent=1),
    AMessage(number=13, date_invalidated=NIGHT + timedelta(hours=2)),
    AMessage(number=14, parent=12, date_added=NIGHT + timedelta(microseconds=123456)),
    AMessage(number=15, date_added=NIGHT),
    *(AMessage(number=20 + i, message_text=text) for i, text in enumerate(ODD)),
]


@pytest.fixture(scope="module")
def log(
    running_postgres: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Log]:
    home = tmp_path_factory.mktemp("home")
    with message_log(running_postgres, template_database, home, KNOWN) as started:
        yield started


# ------------------------------------------------------------------ what is shown


def test_messages_are_a_bare_array_with_their_fields_in_order(log: Log) -> None:
    answer = log.get(limit=1000, is_valid="either")
    assert answer.headers["content-type"] == "application/json"
    assert sorted(answer.json(), key=lambda one: str(one["id"])) == sorted(
        log.shown, key=lambda one: str(one["id"])
    )
    assert all(tuple(one) == FIELDS for one in answer.json())


def test_dates_are_iso_8601_with_t_and_without_a_zone(log: Log) -> None:
    (one,) = log.find(has_parent_id=True)
    assert one["date_added"] == "2026-11-20T03:00:00.123456"
    (other,) = log.find(max_date_added="2026-11-20 03:00:00.000001")
    assert other["date_added"] == "2026-11-20T03:00:00"


@pytest.mark.parametrize("path", ["", "/"])
def test_a_collection_answers_with_and_without_a_slash(log: Log, path: str) -> None:
    answer = log.get(path, limit=1000)
    assert answer.status_code == 200
    assert not answer.history
    assert len(answer.json()) == len(KNOWN) - 2


def test_a_message_is_read_by_its_id_valid_or_not(log: Log) -> None:
    for one in log.shown:
        answer = log.get(f"/{one['id']}")
        assert answer.json() == one
        assert tuple(answer.json()) == FIELDS
        assert log.get(f"/{one['id']}/").json() == one


def test_an_unknown_message_is_told_by_404_and_a_detail(log: Log) -> None:
    answer = log.get("/018f0000-0000-7000-8000-000000000000")
    assert answer.status_code == 404
    assert isinstance(answer.json()["detail"], str)


def test_an_id_that_is_none_is_told_by_422_and_a_list(log: Log) -> None:
    answer = log.get("/17")
    assert answer.status_code == 422
    (fault,) = answer.json()["detail"]
    assert fault["loc"] == ["path", "id"]
    assert set(fault) == {"loc", "msg", "type"}


def test_a_wrong_parameter_is_told_by_422_and_a_list(log: Log) -> None:
    answer = log.get(limit=0)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "detail": [
            {
                "loc": ["query", "limit"],
                "msg": "Input should be greater than or equal to 1",
                "type": "greater_than_equal",
            }
        ]
    }


@pytest.mark.parametrize("asked", [{"order_by": "nothing"}, {"tags": "bad-focus"}])
def test_a_bad_order_or_tag_is_told_by_400_and_a_detail(
    log: Log, asked: dict[str, str]
) -> None:
    answer = log.get(**asked)
    assert answer.status_code == 400
    assert next(iter(asked.values())) in answer.json()["detail"]


def test_the_body_of_a_get_is_ignored(log: Log) -> None:
    body = {"limit": 1, "order_by": "nothing"}
    listed = log.client.request("GET", MESSAGES, json=body)
    assert len(listed.json()) == len(KNOWN) - 2
    one = log.shown[0]
    read = log.client.request("GET", f"{MESSAGES}/{one['id']}", content=b"{not json")
    assert read.json() == one


def test_unknown_parameters_are_ignored(log: Log) -> None:
    assert log.numbers(obs_ids="MC_O_20261119_000123", jira=1) == log.numbers()


# ------------------------------------------------------------------ filters


def test_only_valid_messages_are_found_unless_asked(log: Log) -> None:
    assert not log.numbers(limit=99) & {12, 13}
    assert log.numbers(is_valid="false") == {12, 13}
    assert log.numbers(is_valid="either", limit=99) == {one.number for one in KNOWN}


def test_people_and_programs_are_told_apart_only_when_asked(log: Log) -> None:
    assert log.numbers(is_human="False") == {7}
    assert 7 not in log.numbers(is_human="TRUE")
    assert 7 in log.numbers(is_human="either")


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"site_ids": "base"}, {2}),
        ({"instruments": ["LATISS", "HSC"]}, {2, 3}),
        ({"user_ids": ["ann", "bob"]}, {2}),
        ({"user_agents": ["nb"]}, {4}),
        ({"user_agents": ["", "nb"]}, {4, 5}),
        ({"exposure_flags": "junk"}, {7}),
        ({"exposure_flags": "questionable"}, {8, 9, 11}),
        ({"exposure_flags": ["junk", "questionable"]}, {7, 8, 9, 11}),
        ({"instruments": ["LATISS"], "site_ids": ["summit"]}, {3}),
        ({"instruments": ""}, set()),
    ],
)
def test_a_repeated_parameter_means_any_of_its_values(
    log: Log, asked: dict[str, Any], numbers: set[int]
) -> None:
    assert log.numbers(**asked) == numbers


def test_no_flag_and_good_are_shown_and_found_as_none(log: Log) -> None:
    numbers = log.numbers(exposure_flags="none")
    assert {1, 10} <= numbers
    assert not numbers & {7, 8, 9, 11}


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ("AT_O_20261119_000123", {3}),
        ("MC_O_20261119_000123_r2", {4}),
        ("000123_r", {4}),
        ("mc_o", {6}),
        ("O%2026", {5}),
        ("%", {5}),
        ("MC_O_20261119_000124", set()),
    ],
)
def test_an_obs_id_contains_what_is_asked_for_as_it_is_written(
    log: Log, words: str, numbers: set[int]
) -> None:
    assert log.numbers(obs_id=words) == numbers


def test_a_whole_obs_id_finds_itself_and_longer_ones(log: Log) -> None:
    numbers = log.numbers(obs_id="MC_O_20261119_000123", order_by="-date_added")
    assert {1, 4} <= numbers
    assert not numbers & {3, 5, 6}


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        ("100%", ["100% cloud"]),
        ("a_b", ["a_b"]),
        ('"wind" \\ "', ['she said "wind" \\ "gusts"']),
        ("line\nsecond line\t", ["first line\nsecond line\ttab"]),
        ("ße 5″ 🔭", ["Größe 5″ 🔭"]),
        ("Cloud", []),
        ("\\", ['she said "wind" \\ "gusts"']),
    ],
)
def test_a_text_contains_what_is_asked_for_as_it_is_written(
    log: Log, words: str, texts: list[str]
) -> None:
    shown = log.find(message_text=words)
    assert [one["message_text"] for one in shown] == texts


def test_a_text_is_not_found_by_the_other_words_of_a_statement(log: Log) -> None:
    assert log.find(message_text="text: ") == []
    assert log.find(message_text="LOVE") == []


def test_every_text_contains_nothing(log: Log) -> None:
    assert log.numbers(message_text="", limit=99) == log.numbers(limit=99)
    assert log.numbers(obs_id="", limit=99) == log.numbers(limit=99)


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"min_day_obs": 20261120}, {5}),
        ({"min_day_obs": 20261120, "max_day_obs": 20261132}, {5}),
        ({"min_day_obs": 20261119, "max_day_obs": 20261119}, set()),
        ({"max_seq_num": 123}, {3}),
        ({"min_seq_num": 7, "max_seq_num": 8}, {3}),
        ({"min_level": 30}, {4}),
        ({"max_level": 20}, set()),
        ({"max_date_added": "2026-11-20T03:00:00"}, set()),
        ({"max_date_added": "2026-11-20 03:00:00.123457"}, {14, 15}),
        (
            {
                "min_date_added": "2026-11-20T03:00:00.123456",
                "max_date_added": "2026-11-20T03:12:37",
            },
            {14},
        ),
        ({"min_date_invalidated": "2026-11-20T04:00:01", "is_valid": "either"}, {13}),
        ({"max_date_invalidated": "2026-11-20T05:00:00", "is_valid": "either"}, {12}),
        ({"min_date_invalidated": "2026-11-20T04:00:00"}, set()),
        ({"has_date_invalidated": "true", "is_valid": "either"}, {12, 13}),
        ({"has_parent_id": "True"}, {14}),
        ({"has_parent_id": 1, "is_valid": "either"}, {12, 14}),
        ({"max_day_obs": 10**30, "min_day_obs": 20261120}, {5}),
    ],
)
def test_a_span_has_its_least_and_not_its_greatest_value(
    log: Log, asked: dict[str, Any], numbers: set[int]
) -> None:
    assert log.numbers(**asked) == numbers


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"tags": "ghost"}, {7, 8}),
        ({"tags": ["Streak", "BAD_FOCUS"]}, {7, 10}),
        ({"tags": "ghost", "exclude_tags": "streak"}, {8}),
        ({"urls": "https://a.b/c"}, {8}),
        ({"urls": ["https://e.f", "https://x.y"]}, {9}),
        ({"urls": "https://a.b"}, set()),
    ],
)
def test_tags_and_links_are_any_of_and_excluded_tags_none_of(
    log: Log, asked: dict[str, Any], numbers: set[int]
) -> None:
    assert log.numbers(**asked) == numbers


def test_excluded_tags_leave_messages_without_tags(log: Log) -> None:
    assert not log.numbers(exclude_tags=["ghost", "bad_focus"]) & {7, 8, 10}
    assert 1 in log.numbers(exclude_tags=["ghost", "bad_focus"])


# ------------------------------------------------------------------ order and page


def test_messages_are_sorted_by_id_unless_asked(log: Log) -> None:
    ids = [one["id"] for one in log.find(limit=99)]
    assert ids == sorted(ids)


def test_nulls_are_last_ascending_and_first_descending(log: Log) -> None:
    nights = [one["day_obs"] for one in log.find(order_by="day_obs", limit=99)]
    assert nights[-2:] == [20261120, None]
    nights = [one["day_obs"] for one in log.find(order_by="-day_obs", limit=99)]
    assert nights[:2] == [None, 20261120]


def test_flags_are_sorted_none_junk_questionable(log: Log) -> None:
    flags = [one["exposure_flag"] for one in log.find(order_by="-exposure_flag")]
    assert flags[:5] == [*["questionable"] * 3, "junk", "none"]


def test_a_page_begins_after_the_offset_and_has_at_most_fifty(log: Log) -> None:
    every = log.find(limit=50_000)
    assert log.find(offset=3, limit=2) == every[3:5]
    assert log.find(offset=len(every)) == []
    assert log.find(offset=10**30) == []
