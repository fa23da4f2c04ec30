"""Lists over HTTP: parameters, formats, links, problems, documentation."""

import csv
import io
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
from litestar import Litestar
from litestar.di import Provide

from annolog.api import formats
from annolog.api.lists import HANDLERS
from annolog.api.openapi import document
from annolog.domain.entries import Alias, TagEntry
from annolog.domain.queries import AnnotationFilter, TargetFilter
from tests.support.handlers import handlers
from tests.support.rows import Rows
from tests.support.service import service

Client = httpx.AsyncClient
LIST = "/annolog/v1/annotations"


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    connection = await asyncpg.connect(database_url)
    made = Rows(connection)
    await made.begin()
    yield made
    await connection.close()


@pytest.fixture
async def client(database_url: str) -> AsyncIterator[Client]:
    async with handlers(HANDLERS, database_url) as opened:
        yield opened


async def test_an_item_is_the_stored_body_with_members_of_this_site(
    rows: Rows, client: Client
) -> None:
    key = await rows.target()
    await rows.annotation(key, text="é", flag="junk")
    answered = await client.get(LIST, params={"count": "true"})
    assert answered.status_code == 200
    page = answered.json()
    assert (page["count"], page["next"]) == (1, None)
    item = page["items"][0]
    assert (item["number"], item["current"], item["counted"]) == (1, True, True)
    assert (item["text"], item["targets"]) == ("é", [key])
    assert "link" not in answered.headers


async def test_the_link_leads_through_the_whole_list_with_the_same_filters(
    rows: Rows, client: Client
) -> None:
    key = await rows.target()
    made = [str(await rows.annotation(key, tags=["a", "b"])) for _ in range(5)]
    url: str | None = f"{LIST}?limit=2&order=id&tags_any=a&tags_any=b"
    seen = []
    while url:
        answered = await client.get(url)
        seen += [item["annotation_id"] for item in answered.json()["items"]]
        link = answered.headers.get("link")
        assert (link is None) == (answered.json()["next"] is None)
        url = link.partition(">")[0].lstrip("<") if link else None
    assert seen == made


async def test_long_target_lists_are_spliced_in(rows: Rows, client: Client) -> None:
    keys = [await rows.target(n) for n in range(1, 18)]
    await rows.annotation(*keys)
    item = (await client.get(LIST)).json()["items"][0]
    assert item["targets"] == keys


async def test_ndjson_has_an_item_a_line(rows: Rows, client: Client) -> None:
    key = await rows.target()
    for _ in range(3):
        await rows.annotation(key, text="two\nlines")
    for kwargs in (
        {"params": {"format": "ndjson"}},
        {"headers": {"Accept": "application/x-ndjson"}},
    ):
        answered = await client.get(LIST, **kwargs)  # type: ignore[arg-type]
        assert answered.status_code == 200
        assert answered.headers["content-type"].startswith("application/x-ndjson")
        items = [msgspec.json.decode(line) for line in answered.content.splitlines()]
        assert [item["number"] for item in items] == [3, 2, 1]


async def test_csv_has_fixed_columns_and_runs_no_formula(
    rows: Rows, client: Client
) -> None:
    keys = [await rows.target(1), await rows.target(2)]
    await rows.annotation(*keys, text='=HYPERLINK("x")\r\n"a",b', tags=["wind", "fog"])
    answered = await client.get(LIST, headers={"Accept": "text/csv"})
    assert answered.headers["content-type"] == "text/csv; charset=utf-8"
    read = list(csv.DictReader(io.StringIO(answered.text, newline="")))
    assert tuple(read[0]) == formats.ANNOTATION_COLUMNS
    assert read[0]["text"] == '\'=HYPERLINK("x")\r\n"a",b'
    assert read[0]["targets"] == " ".join(keys)
    assert read[0]["tags"] == "wind fog"
    assert answered.text.count("\r\n") == 3


@pytest.mark.parametrize(
    ("query", "pointer", "words"),
    [
        ("auhtor=ada", "?auhtor", "did you mean author"),
        ("limit=0", "?limit", "greater than"),
        ("limit=5&limit=6", "?limit", "one value"),
        ("order=sideways", "?order", "night"),
        ("created_from=yesterday", "?created_from", "2026-"),
        ("seq_nums=9-1", "?seq_nums", "backwards"),
        ("day_obs=tonight", "?day_obs", "integer"),
        ("reply_to=7", "?reply_to", "UUID"),
        ("format=xml", "?format", "ndjson"),
        ("count=maybe", "?count", "true or false"),
        ("contains=ab&count=true", "?contains", "leave out"),
        ("instrument=LSTCam", "?instrument", "LSSTCam"),
        ("cursor=abc", "?cursor", "start again"),
        ("words=%00", "?words", "NUL"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_would_be_right(
    client: Client, query: str, pointer: str, words: str
) -> None:
    answered = await client.get(f"{LIST}?{query}")
    assert answered.status_code == 422
    error = answered.json()["errors"][0]
    assert error["pointer"] == pointer
    assert words in error["reason"]


async def test_a_cursor_of_another_list_is_refused(rows: Rows, client: Client) -> None:
    key = await rows.target()
    for _ in range(2):
        await rows.annotation(key, flag="junk")
    cursor = (await client.get(f"{LIST}?limit=1")).json()["next"]
    answered = await client.get(LIST, params={"cursor": cursor, "flag": "junk"})
    assert answered.status_code == 422
    assert answered.json()["code"] == "cursor_filters"


async def test_history_reviews_and_replies_belong_to_one_annotation(
    rows: Rows, client: Client
) -> None:
    key = await rows.target()
    one = await rows.annotation(key)
    await rows.annotation(key, annotation_id=one, operation="edit")
    reply = await rows.annotation(reply_to=one)
    review = await rows.review(one)
    of = f"{LIST}/{one}"
    page = (await client.get(f"{of}/revisions?limit=1")).json()
    assert [item["operation"] for item in page["items"]] == ["create"]
    page = (await client.get(f"{of}/revisions?cursor={page['next']}")).json()
    assert [item["operation"] for item in page["items"]] == ["edit"]
    page = (await client.get(f"{of}/reviews")).json()
    assert [item["review_id"] for item in page["items"]] == [str(review)]
    page = (await client.get(f"{of}/replies")).json()
    assert [item["annotation_id"] for item in page["items"]] == [str(reply)]
    for what in ("revisions", "reviews", "replies"):
        answered = await client.get(f"{LIST}/{UUID(int=9)}/{what}")
        assert answered.status_code == 404


async def test_states_are_listed_with_every_member(rows: Rows, client: Client) -> None:
    key = await rows.state(await rows.target(), flag="junk")
    for name in (key, "LSSTCam/2026111900001"):
        page = (await client.get("/annolog/v1/targets", params={"target": name})).json()
        assert [(s["key"], s["flag"], s["site_id"]) for s in page["items"]] == [
            (key, "junk", "summit")
        ]
    answered = await client.get("/annolog/v1/targets?format=csv&count=true")
    assert answered.text.startswith("key,kind,instrument,")


async def test_aliases_of_tags_and_authors_are_found_under_each_name(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        key = "exposure:LSSTCam/2026111900123"
        plain = await annolog.say(key, tags=["shadow"], by="ada")
        await annolog.set_entry(TagEntry(name="vignetting", aliases=("shadow",)))
        await annolog.set_entry(Alias(name="ada", leads_to="alovelace"))
        later = await annolog.say(key, tags=["vignetting"], by="alovelace")
        both = [later["annotation_id"], plain["annotation_id"]]
        for query in (
            {"tags_any": "shadow"},
            {"tags_all": "Vignetting"},
            {"author": "ada"},
            {"author": "alovelace", "instrument": "lsstcam"},
        ):
            page = (await annolog.get("/annotations", **query)).json()
            assert [one["annotation_id"] for one in page["items"]] == both, query
        page = (await annolog.get("/annotations", tags_none="vignetting")).json()
        assert page["items"] == []


def test_every_parameter_is_documented() -> None:
    unused = Provide(lambda: None, sync_to_thread=False)
    found = document(Litestar(HANDLERS, dependencies={"runtime": unused}))
    paths, schemas = found["paths"], found["components"]["schemas"]
    for path, model, item in (
        (LIST, AnnotationFilter, "Annotation"),
        ("/annolog/v1/targets", TargetFilter, "TargetState"),
    ):
        said = {p["name"]: p for p in paths[path]["get"]["parameters"]}
        assert set(said) == set(model.model_fields) - {"tags_each"}
        assert all(p["description"] and p["schema"] for p in said.values())
        answer = paths[path]["get"]["responses"]["200"]["content"]
        page = answer["application/json"]["schema"]["$ref"].rpartition("/")[2]
        items = schemas[page]["properties"]["items"]["items"]
        assert items == {"$ref": f"#/components/schemas/{item}"}
        assert item in schemas
    limit = {p["name"]: p for p in paths[LIST]["get"]["parameters"]}["limit"]
    assert limit["schema"] == {
        "type": "integer",
        "default": 50,
        "minimum": 1,
        "maximum": 1000,
    }
