"""Where the database may have gone back nothing is written, and all is read."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from annolog.storage import incarnations
from tests.support.service import Service, Shown, service

CONTRACT = Path(__file__).parents[2] / "openapi.yaml"
V1 = "/annolog/v1"
EXPOSURE = "exposure:LSSTCam/2026111900123"
OTHER = "exposure:LSSTCam/2026111900124"
NIGHT = {"instrument": "LSSTCam", "day_obs": 20261119}
SETS = f"{V1}/data-id-sets/{{name}}"

NO_RECORDS = {
    ("post", f"{V1}/targets/resolve"),  # a preview
    ("post", f"{V1}/tokens"),  # local, without a number: operators need them
    ("delete", f"{V1}/tokens/{{token_id}}"),
}
"""What is no GET and yet writes no record."""

WRITES: dict[tuple[str, str], Any] = {
    ("post", f"{V1}/annotations"): {"targets": [EXPOSURE], "text": "new"},
    ("patch", f"{V1}/annotations/{{annotation_id}}"): {"text": "edited"},
    ("post", f"{V1}/annotations/{{annotation_id}}/retract"): None,
    ("post", f"{V1}/annotations/{{annotation_id}}/restore"): None,
    ("post", f"{V1}/annotations/{{annotation_id}}/redact"): {"reason": "a secret"},
    ("post", f"{V1}/annotations/{{annotation_id}}/reviews"): {"verdict": "confirm"},
    ("post", f"{V1}/checked"): {**NIGHT, "seq_first": 1, "seq_last": 9},
    ("post", f"{V1}/checked/{{record_id}}/revoke"): None,
    ("post", f"{V1}/exposures"): {**NIGHT, "obs_id": "MC_O_20261119_000150"},
    ("post", f"{V1}/visits"): {
        "instrument": "LSSTCam",
        "visit": 2026111900123,
        "exposures": [2026111900123],
    },
    ("put", f"{V1}/flags/{{name}}"): {"severity": 25, "description": "odd"},
    ("put", f"{V1}/tags/{{name}}"): {"description": "a new one"},
    ("put", f"{V1}/instruments/{{name}}"): {"gap_minimum": 60},
    ("put", f"{V1}/policies"): {"rule": "latest"},
    ("put", f"{V1}/tag-vocabularies"): {"mode": "curated"},
    ("put", f"{V1}/aliases"): {"name": "jd", "leads_to": "jdoe"},
    ("put", f"{V1}/same-as"): {"key_a": EXPOSURE, "key_b": OTHER},
    ("post", f"{SETS}/versions"): [
        {"instrument": "LSSTCam", "exposure": 2026111900124}
    ],
    ("post", f"{SETS}/build"): {
        "recipe": {
            "instrument": "LSSTCam",
            "parts": [{"name": "junk", "query": {"flags": ["questionable"]}}],
        },
        "reason": "anew",
    },
    ("post", f"{SETS}/versions/{{version}}/release"): {"label": "DRP2"},
    ("post", f"{SETS}/versions/{{version}}/withdraw"): {"reason": "too early"},
    ("post", f"{SETS}/versions/{{version}}/redact"): {"reason": "a secret"},
    ("put", f"{SETS}/access"): {"owner": "jdoe"},
    ("post", "/exposurelog/messages"): {
        "obs_id": "MC_O_20261119_000123",
        "instrument": "LSSTCam",
        "message_text": "new",
        "user_id": "jdoe",
        "user_agent": "LOVE",
        "is_human": True,
        "is_new": False,
    },
    ("patch", "/exposurelog/messages/{message_id}"): {"message_text": "edited"},
    ("delete", "/exposurelog/messages/{message_id}"): None,
}
"""A request for each way to write a record, which would succeed at other times."""


@pytest.fixture
async def conn(
    database_url: str,
) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_every_way_to_write_is_refused_and_reading_goes_on(
    database_url: str, conn: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with service(database_url) as annolog:
        known = await _said(annolog)
        before = await _counts(conn)
        await incarnations.close(conn, incarnations.WENT_BACK, "ask an operator")

        for (method, path), body in WRITES.items():
            answer = await _send(annolog, method, path, body, known)
            assert answer.status_code == 503, f"{method} {path}: {answer.text}"
            assert int(answer.headers["retry-after"]) > 0
            assert "ask an operator" in answer.text
            if path.startswith(V1):
                assert answer.json()["code"] == "log_went_back"
        batch = await annolog.post(
            "/annotations/batch", [{"targets": [EXPOSURE], "text": "one of many"}]
        )
        assert [one["status"] for one in batch.json()["items"]] == [503]

        assert await _counts(conn) == before
        assert (await annolog.state(EXPOSURE))["flag"] == "junk"
        assert (await annolog.get("/changes")).status_code == 200
        # The same requests are good once a new life has begun.
        await incarnations.begin(conn)
        first = ("post", f"{V1}/annotations")
        assert (await _send(annolog, *first, WRITES[first], known)).status_code == 201
    await conn.close()


def test_every_way_to_write_is_among_them() -> None:
    paths = yaml.safe_load(CONTRACT.read_text())["paths"]
    writing = {
        (method, path)
        for path, operations in paths.items()
        for method in operations
        if method in {"post", "put", "patch", "delete"}
    }
    assert writing == {*WRITES, *NO_RECORDS, ("post", f"{V1}/annotations/batch")}


async def test_a_service_starts_on_a_closed_database_and_answers_readers(
    database_url: str,
    conn: "asyncpg.Connection[asyncpg.Record]",
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
    await conn.execute("update site set place = '1'")
    async with service(database_url) as annolog:
        assert (await annolog.state(EXPOSURE))["flag"] == "junk"
        refused = await annolog.post("/annotations", {"targets": [OTHER], "text": "x"})
        assert refused.status_code == 503
        assert refused.json()["code"] == "log_restored"
        assert "nothing can be written now" in caplog.text
        await incarnations.keep(conn)
        said = await annolog.say(OTHER, text="moved, nothing lost")
        assert said["site_id"] == "summit"
    lives = await incarnations.lives(conn)
    assert [life.first_number for life in lives] == [1]


async def _said(annolog: Service) -> dict[str, str]:
    """Say what the requests speak of; give the ids by their names in the paths."""
    said = await annolog.say(EXPOSURE, flag="junk", by="ann")
    marked = await annolog.post("/checked", {**NIGHT, "seq_first": 20, "seq_last": 21})
    fact = {**NIGHT, "obs_id": "MC_O_20261119_000123"}
    announced = await annolog.post("/exposures", fact)
    assert announced.status_code == 201, announced.text
    made = await annolog.client.post(
        "/exposurelog/messages", json=WRITES["post", "/exposurelog/messages"]
    )
    assert made.status_code in {200, 201}, made.text
    rows = [{"instrument": "LSSTCam", "exposure": 2026111900123}]
    first = await annolog.post("/data-id-sets/bad/versions", rows)
    assert first.status_code == 201, first.text
    label = {"label": "DRP1"}
    released = await annolog.post("/data-id-sets/bad/versions/1/release", label)
    assert released.is_success, released.text
    return {
        "annotation_id": said["annotation_id"],
        "revision_id": said["revision_id"],
        "record_id": marked.json()["record_id"],
        "message_id": made.json()["id"],
        "name": "LSSTCam",
        "version": "1",
    }


async def _send(
    annolog: Service, method: str, path: str, body: Shown | None, known: dict[str, str]
) -> Any:  # noqa: ANN401 - an answer
    kinds = {"tags": "newtag", "flags": "newflag", "data-id-sets": "bad"}
    name = next(
        (word for part, word in kinds.items() if f"/{part}/" in path), "LSSTCam"
    )
    author = "jdoe" if path.endswith(("reviews", "revoke", "redact")) else "ann"
    return await annolog.client.request(
        method.upper(),
        path.format(**{**known, "name": name}),
        json=body,
        headers={
            "X-Annolog-User": author,
            "X-Annolog-Kind": "human",
            "If-Match": f'"{known["revision_id"]}"',
        },
    )


async def _counts(conn: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    return [
        await conn.fetchval(f"select count(*) from {table}")
        for table in ("record", "change", "revision", "message", "entry")
    ]
