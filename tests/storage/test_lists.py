"""Lists on a real PostgreSQL, page by page in every order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from annolog.domain.orders import Key
from annolog.domain.queries import AnnotationFilter, TargetFilter
from annolog.storage import history_lists, lists, paging, state_lists
from annolog.storage.database import READS, Connection, connect
from tests.support.rows import Rows, moment


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database_url)
    made = Rows(connection)
    await made.begin()
    yield made
    await connection.close()


@pytest.fixture
async def reader(database_url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_url, READS)
    yield connection
    await connection.close()


async def listed(reader: Connection, page: int = 1000, **asked: object) -> list[UUID]:
    """Read a whole list of annotations, page by page."""
    wanted = AnnotationFilter.model_validate(asked)
    found: list[UUID] = []
    after: Key | None = None
    while True:
        got = await lists.annotations(reader, wanted, after, page)
        found += [row.annotation_id for row in got.rows]
        after = got.next
        if after is None:
            return found


async def stated(reader: Connection, page: int = 1000, **asked: object) -> list[str]:
    """Read a whole list of targets, page by page."""
    wanted = TargetFilter.model_validate(asked)
    found: list[str] = []
    after: Key | None = None
    while True:
        got = await state_lists.targets(reader, wanted, after, page)
        found += [row.key for row in got.rows]
        after = got.next
        if after is None:
            return found


@pytest.fixture(params=["gathered", "walked"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in both ways: their answers must be the same."""
    if request.param == "walked":
        monkeypatch.setattr(paging, "FEW", -1)
        monkeypatch.setattr(paging, "MANY", -1)


async def some(rows: Rows) -> Sequence[UUID]:
    """Make annotations with ties and without a place."""
    keys = [
        await rows.target(n, day_obs=d) for d in (20261119, 20261120) for n in (1, 2)
    ]
    night = await rows.target(None, key="night:LSSTCam/20261119")
    dataset = await rows.target(
        None, day_obs=None, instrument=None, key=f"dataset:{UUID(int=5)}"
    )
    return [
        await rows.annotation(*named, at=moment(at))
        for at, named in [
            (1, keys[:1]),
            (1, keys[:1]),
            (3, keys[3:]),
            (2, keys[1:3]),
            (5, [night]),
            (4, [dataset]),
            (6, [keys[1]]),
            (7, [dataset]),
        ]
    ]


async def test_pages_of_every_order_are_the_whole_list(
    rows: Rows, reader: Connection
) -> None:
    ids = await some(rows)
    for order, places in {
        "night": [0, 1, 3, 6, 4, 2, 5, 7],
        "-night": [2, 4, 6, 3, 1, 0, 7, 5],  # what has no night is last in both
        "created": [0, 1, 3, 2, 5, 4, 6, 7],
        "-created": [7, 6, 4, 5, 2, 3, 1, 0],
        "changed": [0, 1, 3, 2, 5, 4, 6, 7],
        "id": [0, 1, 2, 3, 4, 5, 6, 7],
        "-id": [7, 6, 5, 4, 3, 2, 1, 0],
    }.items():
        expected = [ids[place] for place in places]
        for page in (1, 2, 3, 100):
            assert await listed(reader, page, order=order) == expected, order


async def test_an_edit_moves_an_annotation_only_in_the_order_of_changes(
    rows: Rows, reader: Connection
) -> None:
    key = await rows.target()
    first = await rows.annotation(key, at=moment(1))
    second = await rows.annotation(key, at=moment(2))
    await rows.annotation(key, at=moment(3), annotation_id=first, operation="edit")
    assert await listed(reader, order="created") == [first, second]
    assert await listed(reader, order="changed") == [second, first]
    assert await listed(reader, revisions="all", order="changed") == [
        first,
        second,
        first,
    ]
    assert await listed(reader, 1, revisions="all", order="id") == [
        first,
        first,
        second,
    ]


@pytest.mark.usefixtures("way")
async def test_every_target_of_an_annotation_brings_it_into_a_night(
    rows: Rows, reader: Connection
) -> None:
    early, late = [await rows.target(n, day_obs=20261118 + n) for n in (1, 2)]
    both = await rows.annotation(early, late)
    one = await rows.annotation(late)
    for order in ("night", "-night", "created", "id"):
        found = await listed(reader, 1, order=order, day_obs=20261120)
        assert found == ([one, both] if order == "-night" else [both, one])
        assert await listed(reader, 1, order=order, day_obs=20261119) == [both]
        assert await listed(reader, order=order, day_obs=20261121) == []
        assert await listed(reader, order=order, instrument="LATISS") == []
    assert await listed(reader, day_obs=20261120, seq_nums="1,3-9") == []
    assert await listed(reader, day_obs=20261120, seq_nums="1-2", order="id") == [
        both,
        one,
    ]


@pytest.mark.usefixtures("way")
async def test_only_counted_ones_are_listed_unless_all_are_asked_for(
    rows: Rows, reader: Connection
) -> None:
    key, other = await rows.target(1), await rows.target(2)
    retracted = await rows.annotation(key)
    await rows.annotation(key, annotation_id=retracted, operation="retract")
    partly = await rows.annotation(key, other, rejected=[key])
    reply = await rows.annotation(reply_to=partly)
    assert await listed(reader, order="id") == [partly, reply]
    assert await listed(reader, order="id", counted="all") == [retracted, partly, reply]
    assert await listed(reader, order="id", target=key) == []
    assert await listed(reader, order="id", target=key, counted="all") == [retracted]
    assert await listed(reader, order="id", seq_nums="2", instrument="LSSTCam") == [
        partly
    ]
    assert await listed(reader, replies="only") == [reply]
    assert await listed(reader, replies="none", operation="create") == [partly]
    assert await listed(reader, reply_to=partly) == [reply]
    page = await lists.annotations(
        reader, AnnotationFilter(counted="all", order="id"), None, 9
    )
    assert [row.counted for row in page.rows] == [False, True, True]


@pytest.mark.usefixtures("way")
async def test_statements_are_found_by_what_they_say(
    rows: Rows, reader: Connection
) -> None:
    key = await rows.target()
    a = await rows.annotation(
        key, text="Wind gust at 03:12", flag="junk", tags=["wind", "donuts"], level=30
    )
    b = await rows.annotation(
        key, text="gust of wind; 50% \\ 'quoted'", tags=["wind"], author="bob"
    )
    c = await rows.annotation(
        key, flag="good", author="cp", author_kind="bot", check="psf"
    )
    cases: list[tuple[dict[str, Any], list[UUID]]] = [
        ({"words": "wind gust"}, [a, b]),
        ({"words": "gust -quoted"}, [a]),
        ({"phrase": "wind gust"}, [a]),
        ({"words": "..."}, []),
        ({"contains": "WIND g"}, [a]),
        ({"contains": "50% \\ '"}, [b]),
        ({"contains": "annotation_id"}, []),
        ({"flag": "junk"}, [a]),
        ({"flag": ["junk", "none"]}, [a, b]),
        ({"flag": "none"}, [b]),
        ({"tags_any": ["donuts", "x"]}, [a]),
        ({"tags_all": ["wind", "donuts"]}, [a]),
        ({"tags_none": "donuts"}, [b, c]),
        ({"author": ["bob", "cp"]}, [b, c]),
        ({"author_kind": "bot"}, [c]),
        ({"check": "psf"}, [c]),
        ({"level_min": 25}, [a]),
        ({"level_max": 25}, [b, c]),
        ({"created_from": moment(2), "created_to": moment(3)}, [b]),
        ({"changed_from": moment(3)}, [c]),
        ({"target_kind": "exposure"}, [a, b, c]),
        ({"target_kind": "gap"}, []),
    ]
    for asked, expected in cases:
        for order in ("id", "created", "night", "changed"):
            assert await listed(reader, 1, order=order, **asked) == expected, asked
        wanted = AnnotationFilter.model_validate(asked)
        count = await lists.count_annotations(reader, wanted)
        assert count == len(expected) or "contains" in asked, asked


async def test_spans_and_moments_are_half_open(rows: Rows, reader: Connection) -> None:
    key = await rows.target()
    span = await rows.annotation(key, observed=(moment(10), moment(20)))
    instant = await rows.annotation(key, observed=(moment(20), moment(20)))
    still = await rows.annotation(key, observed=(moment(30), None))
    await rows.annotation(key)

    async def about(begin: float | None, end: float | None) -> list[UUID]:
        return await listed(
            reader,
            order="id",
            observed_from=moment(begin) if begin else None,
            observed_to=moment(end) if end else None,
        )

    assert await about(15, 20) == [span]
    assert await about(20, 30) == [instant]
    assert await about(20, 31) == [instant, still]
    assert await about(1000, None) == [still]
    assert await about(None, 10) == []


@pytest.mark.usefixtures("way")
async def test_effective_flags_and_disputes_are_those_of_the_targets(
    rows: Rows, reader: Connection
) -> None:
    key, other, plain = [await rows.target(n) for n in (1, 2, 3)]
    alias = await rows.target(9, same_as=key)
    await rows.state(key, flag="junk", disputed=True, tags=["wind"])
    await rows.state(other, flag="good")
    await rows.state(plain)
    on_both = await rows.annotation(key, other)
    on_alias = await rows.annotation(alias)
    on_plain = await rows.annotation(plain)
    assert await listed(reader, order="id", effective_flag="junk") == [
        on_both,
        on_alias,
    ]
    assert await listed(reader, order="id", effective_flag=["good"]) == [on_both]
    assert await listed(reader, order="id", effective_flag="none") == [on_plain]
    assert await listed(reader, order="id", disputed=True) == [on_both, on_alias]
    # It must be one and the same target that has all that is asked for.
    assert await listed(reader, effective_flag="good", disputed=True) == []
    assert await listed(reader, order="id", target=key) == [on_both, on_alias]


async def test_a_search_that_stops_says_so_and_goes_on(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="rare" if n % 10 == 0 else "dull", level=n)
        for n in range(40)
    ]
    monkeypatch.setattr(paging, "SHORT_WALK", 3)
    monkeypatch.setattr(paging, "LONG_WALK", 4)
    asked = AnnotationFilter(level_min=39, order="id")
    page = await lists.annotations(reader, asked, None, 5)
    assert page.rows == ()
    assert page.scan_stopped
    assert page.next is not None
    assert await listed(reader, 5, level_min=39, order="id") == [ids[39]]
    monkeypatch.setattr(lists, "MAX_TEXTS", 10)
    monkeypatch.setattr(lists, "TEXTS_AT_ONCE", 3)
    assert await listed(reader, 3, contains="rare", order="id") == ids[::10]


async def test_frequent_words_are_found_far_from_the_newest(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="shutter" if n < 10 else "dull")
        for n in range(40)
    ]
    for name in ("SHORT_WALK", "LONG_WALK", "FEW", "MANY"):
        monkeypatch.setattr(paging, name, 4)
    asked = AnnotationFilter(words="shutter")
    page = await lists.annotations(reader, asked, None, 5)
    assert [row.annotation_id for row in page.rows] == ids[9:4:-1]
    assert not page.scan_stopped
    assert await listed(reader, 5, words="shutter") == ids[9::-1]
    monkeypatch.setattr(paging, "MOST", 4)
    page = await lists.annotations(reader, asked, None, 5)
    assert page.rows == ()
    assert page.scan_stopped


async def test_candidates_that_take_too_long_to_count_end_the_page_and_not_the_request(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="stars lost" if n < 2 else "lost stars")
        for n in range(40)
    ]
    monkeypatch.setattr(paging, "SHORT_WALK", 3)
    monkeypatch.setattr(paging, "LONG_WALK", 4)
    monkeypatch.setattr(paging, "GLANCE", 0.01)
    monkeypatch.setattr(paging, "PATIENCE", 0.01)
    slow = "select count(*) from (select pg_sleep(10) {source} limit {limit}) few"
    monkeypatch.setattr(paging, "_PROBE", slow)
    asked = AnnotationFilter(phrase="stars lost")
    page = await lists.annotations(reader, asked, None, 5)
    assert page.rows == ()
    assert page.scan_stopped
    assert await listed(reader, 5, phrase="stars lost") == ids[1::-1]


async def test_nothing_is_counted_where_a_walk_finds_much_of_a_page(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="stars lost" if n % 3 == 0 else "lost stars")
        for n in range(40)
    ]
    await rows.connection.execute("analyze revision")
    monkeypatch.setattr(paging, "SHORT_WALK", 15)
    monkeypatch.setattr(paging, "LONG_WALK", 40)
    said = await statements(reader, phrase="stars lost")
    assert not any("count(*) from" in one for one in said)
    assert await listed(reader, phrase="stars lost") == ids[39::-3]


async def test_frequent_words_are_met_without_their_index(
    rows: Rows, reader: Connection
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="shutter" if n % 2 else f"x{n}")
        for n in range(40)
    ]
    await rows.connection.execute("analyze revision")
    often = await statements(reader, words="shutter")
    assert not any("count(*)" in one for one in often)
    assert await listed(reader, words="shutter") == ids[39::-2]
    seldom = await statements(reader, words="x8")
    assert sum("count(*)" in one for one in seldom) == 1
    assert await listed(reader, words="x8") == [ids[8]]


async def test_a_word_that_no_walk_would_meet_is_looked_up_however_many_have_it(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    ids = [
        await rows.annotation(key, text="shutter" if n < 8 else f"x{n}")
        for n in range(40)
    ]
    await rows.connection.execute("analyze revision")
    monkeypatch.setattr(paging, "FEW", 4)
    monkeypatch.setattr(paging, "LONG_WALK", 10)
    said = await statements(reader, words="shutter")
    assert "count(*) from" in said[2]
    assert await listed(reader, words="shutter") == ids[7::-1]


async def statements(reader: Connection, **asked: object) -> list[str]:
    """Give the statements that read the first page of a list, five rows of it."""
    said: list[str] = []
    with reader.query_logger(lambda query: said.append(query.query)):
        wanted = AnnotationFilter.model_validate(asked)
        await lists.annotations(reader, wanted, wanted.after(), 5)
        await asyncio.sleep(0)  # it is told in the next turn of the loop
    # The driver itself asks for types that it meets for the first time.
    return [one for one in said if "pg_catalog" not in one and "'jit'" not in one]


async def test_a_page_at_any_depth_is_read_by_one_statement(
    rows: Rows, reader: Connection
) -> None:
    for day in (20261119, 20261120):
        for number in (1, 2, 3):
            await rows.annotation(await rows.target(number, day_obs=day))
        night = await rows.target(None, day_obs=day, key=f"night:LSSTCam/{day}")
        for _ in range(6):
            await rows.annotation(night)
    for order in ("night", "-night"):
        asked = AnnotationFilter.model_validate({"order": order})
        for seq_num in (2, None):
            place = (20261119 + asked.ordering.descending, seq_num, UUID(int=1))
            cursor = asked.cursor_after(place)
            said = await statements(reader, order=order, cursor=cursor)
            assert len(said) == 1, (order, seq_num)


async def test_rows_that_arrive_meanwhile_repeat_none(
    rows: Rows, reader: Connection
) -> None:
    key = await rows.target()
    before = [await rows.annotation(key) for _ in range(6)]
    for order in ("created", "-created", "night", "-night", "id", "-changed"):
        asked = AnnotationFilter.model_validate({"order": order})
        seen: list[UUID] = []
        after: Key | None = None
        for _ in range(50):
            page = await lists.annotations(reader, asked, after, 2)
            seen += [row.annotation_id for row in page.rows]
            after = page.next
            if after is None:
                break
            if len(seen) < 8:
                await rows.annotation(key)
        assert len(set(seen)) == len(seen)
        assert set(before) <= set(seen)


async def test_long_lists_of_targets_come_beside_the_body(
    rows: Rows, reader: Connection
) -> None:
    keys = [await rows.target(n) for n in range(1, 18)]
    await rows.annotation(*keys)
    page = await lists.annotations(reader, AnnotationFilter(), None, 1)
    assert page.rows[0].keys is not None
    assert page.rows[0].keys.startswith(b'["exposure:LSSTCam/2026111900001",')
    assert page.next is None


async def test_counts_stop_at_their_limit_but_for_a_night(
    rows: Rows, reader: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await rows.target()
    for _ in range(5):
        await rows.annotation(key, author="ada")
    monkeypatch.setattr(paging, "EXACT_COUNT", 3)
    count = lists.count_annotations
    assert await count(reader, AnnotationFilter()) == "3+"
    assert await count(reader, AnnotationFilter(author=("ada",))) == "3+"
    assert await count(reader, AnnotationFilter(author=("bob",))) == 0
    assert await count(reader, AnnotationFilter(day_obs=20261119)) == 5
    assert await count(reader, AnnotationFilter(day_obs_min=20261119)) == "3+"


async def test_the_history_of_an_annotation_is_listed_oldest_first(
    rows: Rows, reader: Connection
) -> None:
    key = await rows.target()
    one = await rows.annotation(key, text="a")
    await rows.annotation(key, text="b", annotation_id=one, operation="edit")
    first, second = await rows.review(one), await rows.review(one, verdict="confirm")
    page = await history_lists.revisions(reader, one, None, 1)
    assert [(row.current, row.number) for row in page.rows] == [(False, 1)]
    page = await history_lists.revisions(reader, one, page.next, 1)
    assert [(row.current, row.counted, row.number) for row in page.rows] == [
        (True, True, 2)
    ]
    assert page.next is None
    got = await history_lists.reviews(reader, one, None, 1)
    assert str(first).encode() in got.rows[0].body
    got = await history_lists.reviews(reader, one, got.next, 1)
    assert str(second).encode() in got.rows[0].body
    assert await history_lists.exists(reader, one)
    assert not await history_lists.exists(reader, UUID(int=9))


@pytest.mark.usefixtures("way")
async def test_targets_are_listed_by_instrument_and_night(
    rows: Rows, reader: Connection
) -> None:
    a = await rows.target(5, day_obs=20261119)
    b = await rows.target(1, day_obs=20261120)
    night = await rows.target(None, key="night:LSSTCam/20261119")
    latiss = await rows.target(7, instrument="LATISS")
    dataset = await rows.target(
        None, day_obs=None, instrument=None, key=f"dataset:{UUID(int=5)}"
    )
    gone = await rows.target(9)
    await rows.state(b, flag="junk", disputed=True, tags=["wind", "donuts"])
    for key in (dataset, a, night):
        await rows.state(key, flag="good" if key == a else None)
    await rows.state(latiss, flag="junk", follow_ups=[UUID(int=1)], tags=["wind"])
    await rows.state(gone, empty=True)
    everything = [latiss, a, night, b, dataset]
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, everything),
        ({"order": "-night"}, [b, night, a, latiss, dataset]),
        ({"order": "number"}, [b, dataset, a, night, latiss]),
        ({"order": "-number"}, [latiss, night, a, dataset, b]),
        (
            {"empty": True, "day_obs": 20261119, "instrument": "LSSTCam"},
            [a, gone, night],
        ),
        ({"instrument": ["LSSTCam", "LATISS"]}, [latiss, a, night, b]),
        ({"day_obs": 20261119}, [latiss, a, night]),
        ({"day_obs": 20261119, "order": "-night"}, [night, a, latiss]),
        ({"day_obs_min": 20261120}, [b]),
        ({"day_obs_max": 20261119, "order": "number"}, [a, night, latiss]),
        ({"instrument": "LSSTCam", "seq_nums": "5-6"}, [a]),
        ({"flag": "junk"}, [latiss, b]),
        ({"flag": ["good", "none"]}, [a, night, dataset]),
        ({"disputed": True}, [b]),
        ({"disputed": False, "flag": "junk"}, [latiss]),
        ({"follow_up": True}, [latiss]),
        ({"tags_any": "wind", "tags_none": "donuts"}, [latiss]),
        ({"tags_all": ["wind", "donuts"]}, [b]),
        ({"target_kind": ["night", "dataset"]}, [night, dataset]),
        ({"target": dataset}, [dataset]),
    ]
    for asked, expected in cases:
        for page in (1, 2, 100):
            assert await stated(reader, page, **asked) == expected, asked
        count = await state_lists.count_targets(
            reader, TargetFilter.model_validate(asked)
        )
        assert count == len(expected), asked


async def test_a_state_names_its_site(rows: Rows, reader: Connection) -> None:
    await rows.state(await rows.target())
    page = await state_lists.targets(reader, TargetFilter(), None, 1)
    assert page.rows[0].site_id == "summit"
