"""Words are taken out of versions of data-ID sets; the fact and the rows remain."""

import hashlib
from typing import Any

import asyncpg
import httpx
import pytest

from annolog.actions import check, dataid_drift, receive
from annolog.storage.database import snapshot
from tests.support.histories import Step, history
from tests.support.nights import held
from tests.support.service import Service

SETS = "/data-id-sets"
NIGHT = 2026111900000
SECRET = "swordfish"

running = pytest.fixture(held, name="annolog")


def a_row(number: int, comment: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    row = {"instrument": "LSSTCam", "exposure": NIGHT + number, **more}
    return row if comment is None else {**row, "comment": comment}


def without_words(row: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in row.items() if name != "comment"} | {
        "comment": None
    }


ROWS = [a_row(1, f"it is {SECRET}", weight=0.5), a_row(2, "harmless", weight=1.5)]


async def uploaded(
    annolog: Service, rows: list[dict[str, Any]], name: str = "bad", reason: str = "x"
) -> dict[str, Any]:
    answer = await annolog.post(f"{SETS}/{name}/versions?reason={reason}", rows)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()["version"]
    return found


async def built(annolog: Service, recipe: dict[str, Any] | None) -> dict[str, Any]:
    answer = await annolog.post(f"{SETS}/bad/build", {"recipe": recipe, "reason": "x"})
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def redact(
    annolog: Service,
    version: str = "1",
    *rows: dict[str, Any],
    name: str = "bad",
    by: str = "carla",
    query: str = "",
) -> httpx.Response:
    body = {"reason": "a password", "data_ids": list(rows) or None}
    path = f"{SETS}/{name}/versions/{version}/redact{query}"
    return await annolog.post(path, body, by=by)


async def redacted(
    annolog: Service, version: str = "1", *rows: dict[str, Any], name: str = "bad"
) -> dict[str, Any]:
    answer = await redact(annolog, version, *rows, name=name)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows_of(annolog: Service, version: str = "1", name: str = "bad") -> Any:  # noqa: ANN401 - JSON
    return (await annolog.get(f"{SETS}/{name}/versions/{version}/rows")).json()


async def agrees(annolog: Service) -> None:
    async with snapshot(annolog.runtime.reads) as connection:
        assert (await check.check_all(connection)).faults == []


async def test_words_of_a_version_are_gone_from_every_answer_and_row(
    annolog: Service, database_url: str
) -> None:
    before = await uploaded(annolog, ROWS, reason=f"the{SECRET}")
    connection = await asyncpg.connect(database_url)
    hashes = "select record_id, hash from record order by record_id"
    known = {tuple(row) for row in await connection.fetch(hashes)}
    done = await redacted(annolog)
    path = f"{SETS}/bad/versions/1"
    answers = [
        await annolog.get(f"{SETS}/bad"),
        await annolog.get(path),
        *[
            await annolog.get(f"{path}/rows", format=one)
            for one in ("json", "csv", "ecsv")
        ],
        await annolog.get(f"{path}/diff", to="1"),
        await annolog.get("/snapshot", sets="*"),
        await annolog.get("/changes", limit=1000),
    ]
    assert [one.status_code for one in answers] == [200] * len(answers)
    assert not any(SECRET in one.text for one in answers)
    assert await rows_of(annolog) == [without_words(one) for one in ROWS]
    after = done["version"]
    for name in ("key", "digest", "row_count", "version", "list_id", "record_id"):
        assert after[name] == before[name]
    assert after["reason"] == ""
    assert after["redacted_by"] == after["rows_redacted_by"] == done["redaction"]
    for query in (
        "select body from record where position($1::bytea in body) > 0",
        "select detail from change where position($1::bytea in detail) > 0",
    ):
        assert await connection.fetch(query, SECRET.encode()) == []
    assert known <= {tuple(row) for row in await connection.fetch(hashes)}
    await connection.close()
    await agrees(annolog)


async def test_only_the_rows_named_lose_their_words(annolog: Service) -> None:
    await uploaded(annolog, ROWS, reason="first")
    done = await redacted(annolog, "1", a_row(1))
    assert [one["comment"] for one in await rows_of(annolog)] == [None, "harmless"]
    assert done["version"]["reason"] == "first"
    await agrees(annolog)
    again = await redact(annolog, "1", a_row(1))
    assert (again.status_code, again.json()["redaction"]) == (200, None)
    more = await redacted(annolog)
    assert [one["comment"] for one in await rows_of(annolog)] == [None, None]
    assert more["version"]["reason"] == ""
    await agrees(annolog)


async def test_only_an_admin_redacts_and_what_is_not_there_is_named(
    annolog: Service,
) -> None:
    await uploaded(annolog, ROWS)
    assert (await redact(annolog, by="bot:sweeper")).status_code == 403
    assert (await redact(annolog, "7")).status_code == 404
    wrong = await redact(annolog, "1", a_row(1), a_row(9))
    assert wrong.status_code == 422
    assert "exposure 2026111900009" in wrong.text
    empty = {"reason": "", "data_ids": None}
    path = f"{SETS}/bad/versions/1/redact"
    assert (await annolog.post(path, empty, by="carla")).status_code == 422
    tried = await redact(annolog, query="?dry_run=true")
    assert (tried.status_code, tried.json()["redaction"]) == (200, None)
    assert SECRET in str(await rows_of(annolog))


async def test_versions_that_share_or_repeat_the_words_are_told(
    annolog: Service,
) -> None:
    await uploaded(annolog, ROWS)
    other = await uploaded(annolog, ROWS, name="other")
    copy = await uploaded(
        annolog, [a_row(1, f"{ROWS[0]['comment']}; again"), a_row(3, "new")], reason="y"
    )
    await uploaded(annolog, [a_row(3, "new")], reason="z")
    done = await redacted(annolog)
    assert done["same_rows"] == [other["key"]]
    assert done["copies"] == [{"key": copy["key"], "rows": 1, "said": False}]
    assert done["copies_complete"]
    assert SECRET not in str(await rows_of(annolog, name="other"))
    assert SECRET in str(await rows_of(annolog, "2"))
    shown = (await annolog.get(f"{SETS}/other/versions/1")).json()
    assert (shown["redacted_by"], shown["rows_redacted_by"]) == (
        None,
        done["redaction"],
    )
    await redacted(annolog, "2", a_row(1))
    assert SECRET not in str(await rows_of(annolog, "2"))
    await agrees(annolog)


async def test_an_upload_of_a_redacted_download_makes_a_version_of_what_is_left(
    annolog: Service,
) -> None:
    first = await uploaded(annolog, ROWS)
    await redacted(annolog)
    answer = await annolog.get(f"{SETS}/bad/versions/1/rows", format="csv")
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    second = await uploaded(annolog, answer_rows := await rows_of(annolog))
    assert (second["version"], second["row_count"]) == (2, 2)
    assert second["digest"] != first["digest"]
    assert await rows_of(annolog, "2") == answer_rows
    # The same words once more are the same list, and stay gone.
    await uploaded(annolog, ROWS)
    assert SECRET not in str(await rows_of(annolog, "3"))
    await agrees(annolog)


async def test_a_recipe_loses_its_words_and_can_be_built_again(
    annolog: Service,
) -> None:
    await annolog.say(f"exposure:LSSTCam/{NIGHT + 1}", flag="junk", text=SECRET)
    given = {"name": "by hand", "rows": [a_row(2, f"{SECRET} too", band="r")]}
    recipe = {
        "instrument": "LSSTCam",
        "parts": [{"name": "bad", "query": {"flags": ["junk"]}}, given],
        "keep": [
            {
                "data_id": {"exposure": NIGHT + 3},
                "reason": f"{SECRET} keeps",
                "values": {"comment": SECRET},
            }
        ],
        "drop": [{"data_id": {"exposure": NIGHT + 4}, "reason": f"{SECRET} drops"}],
    }
    first = (await built(annolog, recipe))["version"]
    path = f"{SETS}/bad/versions/1"
    await annolog.post(f"{path}/release", {"label": "DRP1"})
    part = await redacted(annolog, "1", a_row(2))
    left = part["version"]["recipe"]
    assert left["parts"][1]["rows"] == [without_words(a_row(2, band=None))]
    assert left["drop"][0]["reason"] == f"{SECRET} drops"
    await redacted(annolog)
    shown = await annolog.get(path)
    assert SECRET not in shown.text
    recipe_left = shown.json()["recipe"]
    assert recipe_left["keep"][0]["values"] == {"comment": None}
    assert recipe_left["drop"][0]["reason"] == "redacted"
    assert recipe_left["keep"][0]["data_id"]["exposure"] == NIGHT + 3
    # The statement still has its word: the recipe gives it, and that is no drift.
    why = (await annolog.get(f"{path}/why")).json()
    assert why["agrees"]
    assert why["digest"] != first["digest"]
    assert sorted(why["redactions"])
    drift = (await annolog.get(f"{path}/drift")).json()
    assert not drift["changed"]
    assert len(drift["redactions"]) == 2
    site = annolog.runtime.site.site_id
    assert (
        await dataid_drift.look(annolog.runtime.lane, annolog.runtime.reads, site) == []
    )
    second = await built(annolog, None)
    assert (second["written"], second["version"]["version"]) == (True, 2)
    assert [one["comment"] for one in await rows_of(annolog, "2")] == [
        SECRET,
        None,
        None,
    ]
    await agrees(annolog)


async def test_a_rebuild_after_a_statement_was_redacted_says_why_it_differs(
    annolog: Service,
) -> None:
    said = await annolog.say(f"exposure:LSSTCam/{NIGHT + 1}", flag="junk", text=SECRET)
    other = await annolog.say(f"exposure:LSSTCam/{NIGHT + 2}", flag="junk", text="x")
    recipe = {
        "instrument": "LSSTCam",
        "parts": [{"name": "bad", "query": {"flags": ["junk"]}}],
    }
    made = (await built(annolog, recipe))["version"]
    await uploaded(annolog, [a_row(2)], name="unrelated")
    path = f"/annotations/{said['annotation_id']}/redact"
    order = (await annolog.post(path, {"reason": "a secret"}, by="carla")).json()
    found = await annolog.get(f"{SETS}/containing", annotation=said["annotation_id"])
    assert [one["key"] for one in found.json()["items"]] == [made["key"]]
    both = await annolog.get(f"{SETS}/containing", annotation=other["annotation_id"])
    assert len(both.json()["items"]) == 2
    assert (await annolog.get(f"{SETS}/containing")).status_code == 422
    nobody = await annolog.get(f"{SETS}/containing", annotation=made["record_id"])
    assert nobody.status_code == 404
    why = (await annolog.get(f"{SETS}/bad/versions/1/why")).json()
    assert (why["agrees"], why["redactions"]) == (False, [order["record_id"]])
    drift = (await annolog.get(f"{SETS}/bad/versions/1/drift")).json()
    assert (drift["changed"], drift["redactions"]) == (True, [order["record_id"]])
    done = await redacted(annolog, "1", a_row(1))
    why = (await annolog.get(f"{SETS}/bad/versions/1/why")).json()
    assert why["agrees"]
    assert sorted(why["redactions"]) == sorted([order["record_id"], done["redaction"]])
    assert not (await annolog.get(f"{SETS}/bad/versions/1/drift")).json()["changed"]
    await agrees(annolog)


async def test_words_are_gone_before_the_rows_come_from_their_site(
    annolog: Service,
) -> None:
    rows, version = history([Step("set", 0, 1, 3, 1)])
    lane, work = annolog.runtime.lane, annolog.runtime.work
    await receive.records(lane, work, [version])
    named = await redact(annolog, "2", a_row(1))
    assert (named.status_code, named.json()["code"]) == (404, "rows_not_here")
    done = await redacted(annolog, "2")
    await receive.records(lane, work, [rows])
    found = await rows_of(annolog, "2")
    assert [one["comment"] for one in found] == [None, None, None]
    shown = (await annolog.get(f"{SETS}/bad/versions/2")).json()
    assert shown["rows_redacted_by"] == done["redaction"]
    await agrees(annolog)


async def test_followers_hear_of_it_without_the_words(annolog: Service) -> None:
    await uploaded(annolog, ROWS)
    await redacted(annolog, "1", a_row(1))
    items = (await annolog.get("/changes", limit=1000)).json()["items"]
    (event,) = [one for one in items if ".set_redaction." in one["type"]]
    assert event["type"] == "org.lsst.annolog.set_redaction.redacted.v1"
    after = event["data"]["after"]
    assert (after["name"], after["version"], after["data_ids"]) == (
        "bad",
        1,
        [a_row(1)],
    )
    assert SECRET not in str(items)
