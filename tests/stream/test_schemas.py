"""Schemas, messages and readers of all versions, each held against the others."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from pydantic import BaseModel

import annolog
from annolog.cli.consume import line
from annolog.domain import schemas
from annolog.domain.bodies import RECORDS, Change
from annolog.domain.events import Event
from annolog.domain.schemas import CHANGE_FILE, FILES, STATE_FILE
from annolog.domain.states import TargetState
from tests.support import released
from tests.support.compatible import breaks
from tests.support.postgres import PostgresServer, run_apart
from tests.support.published import Published, everything
from tests.support.released import TOPICS, messages, versions
from tests.support.service import service

FILE_OF = {"changes": CHANGE_FILE, "targets": STATE_FILE}
HELP = "run: python -m tests.golden"


@pytest.fixture(scope="module")
def published(
    running_postgres: PostgresServer, template_database: str
) -> Iterator[Published]:
    """Give what is published today of everything that can be done."""
    url = running_postgres.create(template=template_database)
    yield run_apart(everything(url))
    running_postgres.drop(url)


def today(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(schemas.make(name))
    return found


def faults(schema: dict[str, Any], body: Any) -> list[str]:  # noqa: ANN401 - of JSON
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator.iter_errors(body)
    ]


def events_of(published: Published, topic: str) -> list[Event]:
    return published.changes if topic == "changes" else published.states


def bodies_of(published: Published, topic: str) -> list[dict[str, Any]]:
    return [
        body for one in events_of(published, topic) if (body := one.body()) is not None
    ]


def members(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


# ------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_models_say(name: str) -> None:
    assert schemas.shipped(name) == schemas.make(name), HELP
    assert schemas.shipped(FILES[name]) == schemas.shipped(name)
    assert today(name)["$id"] == FILES[name]
    jsonschema_rs.meta.validate(today(name))


def test_no_other_file_pretends_to_be_a_schema() -> None:
    folder = Path(annolog.__file__).parent / "schemas"
    assert {one.name for one in folder.iterdir()} == set(FILES)
    assert schemas.shipped("../settings.py") is None


def test_this_version_has_its_set_of_messages() -> None:
    assert annolog.__version__ in versions(), HELP


async def test_the_service_gives_each_schema_by_what_events_call_it(
    database_url: str,
) -> None:
    async with service(database_url) as running:
        client = running.client
        listed = (await client.get("/annolog/v1/schemas")).json()["items"]
        assert {one["name"]: one["uri"] for one in listed} == FILES
        for one in listed:
            for path in (one["link"], f"/annolog/v1/schemas/{one['uri']}"):
                answer = await client.get(path)
                assert answer.status_code == 200
                assert answer.headers["content-type"] == "application/schema+json"
                assert answer.content == schemas.shipped(one["name"])
        missing = await client.get("/annolog/v1/schemas/change.v9.json")
        assert missing.status_code == httpx.codes.NOT_FOUND
        assert "change.v1.json" in missing.json()["detail"]


# --------------------------------------------------------------- what is declared


def test_every_member_that_is_written_is_declared_and_the_reverse(
    published: Published,
) -> None:
    for body in bodies_of(published, "changes"):
        assert set(body) == members(Change)
        record = RECORDS[body["kind"]]
        assert set(body["after"]) <= members(record), body["kind"]
        assert Change.model_validate(body).model_dump(mode="json") == body
    for body in bodies_of(published, "targets"):
        assert set(body) == members(TargetState)
        assert TargetState.model_validate(body).model_dump(mode="json") == body


def test_every_kind_of_record_and_no_other_was_published(published: Published) -> None:
    assert {body["kind"] for body in bodies_of(published, "changes")} == set(RECORDS)
    assert {one.type.rpartition(".target.")[2] for one in published.states} == {
        "changed.v1",
        "emptied.v1",
    }


# ------------------------------------------------------------------ through time


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("name", FILES)
def test_schemas_only_grow(version: str, name: str) -> None:
    assert breaks(released.schema(version, name), today(name)) == []


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("topic", TOPICS)
def test_a_released_schema_takes_what_is_published_today(
    published: Published, version: str, topic: str
) -> None:
    schema = released.schema(version, FILE_OF[topic])
    for body in bodies_of(published, topic):
        assert faults(schema, body) == []


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("topic", TOPICS)
def test_what_was_published_is_read_today(version: str, topic: str) -> None:
    schema = today(FILE_OF[topic])
    for message in messages(version, topic):
        event = message.event
        assert event.key == message.key
        assert event.attributes["dataschema"] == FILES[FILE_OF[topic]]
        assert len(line(event).splitlines()) == 1
        body = event.body()
        if body is None:
            assert event.type.endswith(".emptied.v1")
            continue
        assert faults(schema, body) == []
        if topic == "targets":
            state = TargetState.model_validate(body)
            assert (state.key, state.number) == (event.key, event.number)
            continue
        change = Change.model_validate(body)
        assert (change.subject, change.number) == (event.key, event.number)
        # Reading it whole fails where the record is not what its kind says.
        assert change.after is not None
        RECORDS[change.kind].model_validate(change.after)


@pytest.mark.parametrize("version", versions())
def test_no_sort_of_message_is_lost(published: Published, version: str) -> None:
    sorts = {one.type for one in (*published.changes, *published.states)}
    assert {
        one.event.type for topic in TOPICS for one in messages(version, topic)
    } <= sorts


# ------------------------------------------------------------- the rule itself


def test_a_new_optional_member_breaks_nothing() -> None:
    grown = copy.deepcopy(today(CHANGE_FILE))
    grown["properties"]["weather"] = {"type": "string"}
    grown["properties"]["subject"]["description"] = "other words"
    grown["$defs"]["Weather"] = {"type": "object"}
    grown["allOf"].append({"if": {}, "then": {}})
    assert breaks(today(CHANGE_FILE), grown) == []


def test_whatever_else_changes_is_told() -> None:
    old = today(CHANGE_FILE)
    for change in ("gone", "type", "required", "free", "closed", "kind"):
        new = copy.deepcopy(old)
        match change:
            case "gone":
                del new["properties"]["reason"]
            case "type":
                new["$defs"]["EventTargets"]["properties"]["count"]["type"] = "string"
            case "required":
                new["required"].append("weather")
            case "free":
                new["required"].remove("number")
            case "closed":
                new["$defs"]["EventActor"]["additionalProperties"] = False
            case _:
                new["allOf"].pop()
        (told,) = breaks(old, new)
        assert told.startswith("#/")


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "20"},
        {"targets": None},
        {"after": {"kind": "revision"}},
        {"annotation_id": "not an id"},
    ],
)
def test_a_schema_refuses_what_is_no_change(
    published: Published, wrong: dict[str, Any]
) -> None:
    body = bodies_of(published, "changes")[0]
    assert body["kind"] == "revision"
    assert faults(today(CHANGE_FILE), body | wrong)
    assert not faults(today(CHANGE_FILE), body | {"kind": "dream", "after": {"a": 1}})
