"""Whatever is asked, the messages found are those that plain Python would find."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from annolog.exposurelog.models import FIELDS
from tests.support.message_log import Log, message_log
from tests.support.messages import AMessage, Shown, found
from tests.support.postgres import PostgresServer

NIGHT = datetime(2026, 11, 20, 3, 0)  # noqa: DTZ001 - TAI


def _drawn() -> list[AMessage]:
    dice = random.Random(20261119)
    return [
        AMessage(
            number=100 + i,
            site_id=dice.choice(["summit", "base"]),
            obs_id=dice.choice(
                ["MC_O_20261119_000123", "MC_O_20261119_000124", "CC%_1", "CC_%_12"]
            ),
            instrument=dice.choice(["LSSTCam", "LATISS"]),
            day_obs=dice.choice([20261119, 20261120, 20261121, None]),
            seq_num=dice.choice([1, 2, 30, None]),
            message_text=dice.choice(["wind", 'a "gust" of wind', "50%", "5", ""]),
            level=dice.choice([10, 20, 30]),
            tags=tuple(dice.sample(["streak", "ghost", "wind"], dice.randrange(3))),
            urls=tuple(dice.sample(["https://a/b", "https://c"], dice.randrange(3))),
            user_id=dice.choice(["jdoe", "ann", "Bob"]),
            user_agent=dice.choice(["LOVE", "nb", None]),
            is_human=dice.choice([True, False]),
            flag=dice.choice([None, "junk", "questionable", "follow_up", "good"]),
            date_added=NIGHT + timedelta(hours=dice.randrange(5)),
            date_invalidated=dice.choice([None, NIGHT + timedelta(hours=9)]),
            parent=dice.choice([None, 100 + dice.randrange(100)]),
        )
        for i in range(100)
    ]


KNOWN = _drawn()


@pytest.fixture(scope="module")
def log(
    running_postgres: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Log]:
    home = tmp_path_factory.mktemp("home")
    with message_log(running_postgres, template_database, home, KNOWN) as started:
        yield started


def test_fifty_messages_are_given_unless_asked(log: Log) -> None:
    assert len(log.find(is_valid="either")) == 50
    assert len(log.find(is_valid="either", limit=50_000)) == 100


_hours = some.integers(-1, 6).map(lambda hour: NIGHT + timedelta(hours=hour))
_numbers = some.sampled_from([0, 1, 2, 29, 30, 31, 20261119, 20261120, 20261122])
_tristate = some.sampled_from(["either", "true", "false"])


def _any_of(*values: str) -> some.SearchStrategy[list[str]]:
    return some.lists(some.sampled_from(values), min_size=1, max_size=2)


_FILTERS: dict[str, some.SearchStrategy[Any]] = {
    "site_ids": _any_of("summit", "base", "x"),
    "instruments": _any_of("LSSTCam", "LATISS"),
    "user_ids": _any_of("jdoe", "ann", "Bob", "bob"),
    "user_agents": _any_of("LOVE", "nb", ""),
    "exposure_flags": _any_of("none", "junk", "questionable"),
    "tags": _any_of("streak", "ghost", "wind"),
    "exclude_tags": _any_of("streak", "ghost", "wind"),
    "urls": _any_of("https://a/b", "https://c", "https://a"),
    "obs_id": some.sampled_from(
        ["MC_O_20261119_000123", "MC_O_20261119_00012", "%_1", "_%_", "c", ""]
    ),
    "message_text": some.sampled_from(["wind", '"', "%", "5", "W", ""]),
    "is_human": _tristate,
    "is_valid": _tristate,
    "has_parent_id": some.booleans(),
    "has_date_invalidated": some.booleans(),
    **{
        f"{end}_{name}": values
        for end in ("min", "max")
        for name, values in (
            ("day_obs", _numbers),
            ("seq_num", _numbers),
            ("level", _numbers),
            ("date_added", _hours),
            ("date_invalidated", _hours.map(lambda one: one + timedelta(hours=6))),
        )
    },
    "order_by": some.lists(
        some.sampled_from([way + name for name in FIELDS for way in ("", "-")]),
        min_size=1,
        max_size=3,
    ),
    "offset": some.integers(0, 20),
    "limit": some.integers(1, 120),
}

_AT_ONCE = some.sampled_from(sorted(_FILTERS))


@some.composite
def _questions(draw: some.DrawFn) -> dict[str, Any]:
    names = draw(some.lists(_AT_ONCE, max_size=5, unique=True))
    return {name: draw(_FILTERS[name]) for name in names}


@settings(
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(asked=_questions())
def test_any_question_is_answered_as_plain_python_would(
    log: Log, asked: dict[str, Any]
) -> None:
    sent = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asked.items()
    }
    assert log.find(**sent) == found(log.shown, asked)


@pytest.mark.parametrize(
    "asked",
    [
        {
            "order_by": ["-date_added"],
            "limit": 1000,
            "min_day_obs": 20261119,
            "max_day_obs": 20261121,
        },
        {"obs_id": "MC_O_20261119_000123", "order_by": ["-date_added"]},
        {
            "is_human": "either",
            "is_valid": "true",
            "order_by": ["-day_obs"],
            "offset": 5,
            "limit": 10,
            "min_day_obs": 20261119,
            "max_day_obs": 20261122,
        },
        {
            "is_human": "either",
            "is_valid": "true",
            "min_date_added": NIGHT + timedelta(hours=1),
            "max_date_added": NIGHT + timedelta(hours=3),
            "limit": 50_000,
        },
        {
            "min_day_obs": 20261120,
            "max_day_obs": 20261121,
            "is_human": "either",
            "is_valid": "true",
            "offset": 0,
            "limit": 10_000,
        },
    ],
    ids=["LOVE nights", "LOVE exposure", "nightly digest", "rubin_nights", "rubintv"],
)
def test_clients_get_what_they_ask_every_minute(
    log: Log, asked: dict[str, Any]
) -> None:
    sent = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asked.items()
    }
    shown = log.find(**sent)
    assert shown == found(log.shown, asked)
    assert shown


def test_a_digest_pages_until_a_page_is_short(log: Log) -> None:
    asked = {"order_by": "-day_obs", "limit": 7, "is_valid": "either"}
    pages: list[list[Shown]] = []
    while not pages or len(pages[-1]) == 7:
        pages.append(log.find(offset=7 * len(pages), **asked))
    ids = [one["id"] for page in pages for one in page]
    assert len(ids) == len(set(ids)) == 100
