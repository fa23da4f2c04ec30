"""Odd, broken and hostile requests: refused by name or kept verbatim, never a fault."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from uuid import UUID, uuid5

import httpx
import pytest
import pytest_asyncio

from annolog.runtime import Runtime
from annolog.storage import changes as log
from annolog.storage.database import reading
from tests.support.postgres import PostgresServer
from tests.support.service import V1, Service, Shown, caller, service

TARGET = "exposure:LSSTCam/2026111900123"
ANNOTATIONS = "/annotations"
PROBLEM = "application/problem+json"
ID = str(UUID(int=0x1234))
OTHER = str(UUID(int=0x5678))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def module_database(
    running_postgres: PostgresServer, template_database: str
) -> Iterator[str]:
    """Give one database to all tests here: each looks at what it wrote itself."""
    running_postgres.start()
    url = running_postgres.create(template=template_database)
    yield url
    running_postgres.drop(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def annolog(module_database: str) -> AsyncIterator[Service]:
    started: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    async def run() -> None:
        async with service(module_database) as running:
            started.set_result(running)
            await ended.wait()

    # In a task of its own, as a fixture begins and ends in two different ones.
    task = asyncio.create_task(run())
    task.add_done_callback(lambda _: started.cancel())
    yield await started
    ended.set()
    await task


async def send(
    annolog: Service,
    body: bytes,
    *,
    kind: str | None = "application/json",
    path: str = ANNOTATIONS,
    headers: Mapping[str, str] | None = None,
    method: str = "POST",
    by: str = "jdoe",
) -> httpx.Response:
    sent = caller(by) | dict(headers or {})
    if kind is not None:
        sent["Content-Type"] = kind
    return await annolog.client.request(method, V1 + path, content=body, headers=sent)


def refused(answer: httpx.Response, status: int, code: str | None = None) -> Shown:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    problem: Shown = answer.json()
    assert problem["status"] == status
    codes = {problem["code"], *(one["code"] for one in problem.get("errors", ()))}
    assert code is None or code in codes, answer.text
    return problem


async def head(runtime: Runtime) -> int:
    async with reading(runtime.reads) as connection:
        return await log.head(connection)


# ------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"text": "\xed\xa0\x80"}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "a\x00b"}', 400),
        (b'{"text": "a\\u0000b"}', 422),
        (b'{"targets": ["a\\u0000b"]}', 422),
        (b'{"\\u0000": 1}', 422),
        (b"[" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (b'{"text": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (b'{"level": ' + b"9" * 5000 + b"}", 400),
        (b'{"level": 1e400}', 422),
        (b'{"level": 20.5}', 422),
        (b'{"level": -1}', 422),
        (b'{"targets": {"instrument": "LSSTCam", "ids": [' + b"9" * 30 + b"]}}", 422),
        (b'{"targets": {"instrument": "LSSTCam", "ids": [-1]}}', 422),
        (b'{"targets": {"instrument": "LSSTCam", "day_obs": 99999999999}}', 422),
        (b'{"targets": {"query": {"instrument": "LSSTCam", "day_obs": %d}}}'
         % 10**30, 422),
        (b'{"targets": {"query": {"instrument": "LSSTCam", "day_obs_min": -1}}}', 422),
        (b'{"targets": {"query": {"instrument": "X", "seq_nums": "1-9999999"}}}', 422),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"text": 1}', 422),
        (b'{"txt": ""}', 422),
        (b'{"targets": ["exposure:LSSTCam/%s"]}' % (b"9" * 400), 422),
        (b'{"targets": ["exposure:LSSTCam/2026111900123%00"]}', 422),
        (b'{"targets": ["exposure:LSSTCam/%2e%2e%2f%zz"]}', 422),
        (b'{"targets": ["record:visit/%s=1"]}' % (b"a" * 500), 422),
        (b'{"targets": ["x%s"]}' % (b"y" * 600), 422),
        (b'{"targets": ["\\u2028"]}', 422),
        (b'{"targets": []}', 422),
    ],
)  # fmt: skip
async def test_a_bad_body_is_refused_by_name(
    annolog: Service, body: bytes, status: int
) -> None:
    before = await head(annolog.runtime)
    refused(await send(annolog, body), status)
    assert await head(annolog.runtime) == before


async def test_a_number_that_json_does_not_have_is_refused(annolog: Service) -> None:
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        body = b'{"targets": ["gap:LSSTCam/20261119/after=start"], "seconds_lost": %s}'
        answer = await send(annolog, body % word)
        assert answer.status_code in {400, 422}, answer.text
        assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    "text",
    [
        "e\u0301 is not \u00e9",
        "\u202eright to left\u202c \u0627\u0644\u0639",
        "\U0001f52d\u200d\U0001f468\ufe0f",
        "lines\u2028and\u2029more\x85\r\n\t end ",
        "\ufeff\ufffe\uffff\U0010ffff\ue000",
        "\x01\x1f\x7f",
        "</script><img src=x onerror=alert(1)>",
        "'; drop table record; --",
        "\\u0000 ${jndi:ldap://x} %00 {{7*7}}",
        "a" * 65_536,
        "\u20ac" * 21_845 + "a",
    ],
)
async def test_odd_text_is_kept_verbatim(annolog: Service, text: str) -> None:
    said = await annolog.say(TARGET, text=text, urls=["https://x.org/\u00e9\U0001f52d"])
    assert said["text"] == text
    path = f"{ANNOTATIONS}/{said['annotation_id']}"
    read = (await annolog.get(path)).json()
    assert (read["text"], read["urls"]) == (text, said["urls"])
    listed = (await annolog.get(ANNOTATIONS, author="jdoe", order="-changed")).json()
    assert text in [one["text"] for one in listed["items"]]
    edited = await annolog.edit(said, level=30)
    assert edited["text"] == text


@pytest.mark.parametrize(
    "text", ["a" * 65_537, "\u20ac" * 21_846, "\U0001f52d" * 16_385]
)
async def test_text_is_limited_by_its_bytes(annolog: Service, text: str) -> None:
    answer = await annolog.post(ANNOTATIONS, {"targets": [TARGET], "text": text})
    problem = refused(answer, 422)
    assert problem["errors"][0]["pointer"] == "/text"
    assert "65536" in problem["errors"][0]["reason"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "text/json", None]
)
async def test_json_under_another_content_type_is_refused(
    annolog: Service, kind: str | None
) -> None:
    body = json.dumps({"targets": [TARGET]}).encode()
    refused(await send(annolog, body, kind=kind), 415)


async def test_of_doubled_members_the_last_one_is_the_request(annolog: Service) -> None:
    body = b'{"annotation_id": "%s", "targets": ["%s"], "text": "a", "text": "b"}'
    whole = body % (str(UUID(int=4096)).encode(), TARGET.encode())
    assert (await send(annolog, whole)).json()["text"] == "b"
    again = {"annotation_id": str(UUID(int=4096)), "targets": [TARGET], "text": "b"}
    assert (await annolog.post(ANNOTATIONS, again)).status_code == 200


async def test_a_target_under_three_names_is_one(annolog: Service) -> None:
    said = await annolog.say(
        TARGET,
        "exposure:LSSTCam/MC_O_20261119_000123",
        "exposure:LSSTCam/obs_id=MC_O_20261119_000123",
        flag="junk",
    )
    assert (said["targets"], said["target_count"]) == ([TARGET], 1)


async def test_ten_thousand_targets_are_taken_and_one_more_is_not(
    annolog: Service,
) -> None:
    ids = list(range(2026111900001, 2026111900001 + 10_001))
    names = [f"exposure:LSSTCam/{one}" for one in ids]
    for wanted in (names, {"instrument": "LSSTCam", "ids": ids}):
        refused(await annolog.post(ANNOTATIONS, {"targets": wanted}), 422)
    said = await annolog.say(*names[:-1], flag="junk")
    assert said["target_count"] == 10_000
    more = {"targets": {"add": [names[-1]]}}
    path = f"{ANNOTATIONS}/{said['annotation_id']}"
    headers = {"If-Match": said["revision_id"]}
    answer = await send(
        annolog, json.dumps(more).encode(), path=path, method="PATCH", headers=headers
    )
    refused(answer, 422, "too_many_targets")


# ------------------------------------------------------------------ headers


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("X-Annolog-User", "\xff\xfe", 422),
        ("X-Annolog-User", "a" * 5000, 422),
        ("X-Annolog-User", "\x01", 422),
        ("X-Annolog-Kind", "robot", 422),
        ("X-Annolog-Settle", "perhaps", 422),
        ("Content-Encoding", "gzip", 415),
        ("Content-Type", "application/json; charset=utf-16", 415),
        ("X-Request-ID", "a\tb<script>" * 30, 201),
        ("User-Agent", "\xe9" * 900, 201),
        ("Accept", "image/*;q=\xff", 201),
        ("Cookie", "=" * 3000, 201),
        ("Content-Length", "-5", 201),
    ],
)
async def test_hostile_headers_do_no_harm(
    annolog: Service, header: str, value: str, status: int
) -> None:
    body = json.dumps({"targets": [TARGET]}).encode()
    sent = caller("jdoe") | {"Content-Type": "application/json"} | {header: value}
    raw = [(name.encode(), text.encode("latin-1")) for name, text in sent.items()]
    answer = await annolog.client.post(V1 + ANNOTATIONS, content=body, headers=raw)
    assert answer.status_code == status, answer.text
    assert not any("\n" in one or "\r" in one for one in answer.headers.values())
    assert "<script>" not in answer.headers.get("x-request-id", "")


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ('"{}"', 200),
        ("{}", 200),
        (' "{}" ', 200),
        ('W/"{}"', 200),
        ("*", 422),
        ("", 422),
        ('"', 422),
        ("null", 422),
        ("'; drop table record", 422),
        ('"{}", "{}"', 422),
        ("\xff", 422),
        ("9" * 4000, 422),
    ],
)
async def test_if_match_takes_the_etag_and_refuses_garbage(
    annolog: Service, form: str, status: int
) -> None:
    said = await annolog.say(TARGET, text="a")
    etag = form.replace("{}", said["revision_id"])
    sent = caller("jdoe") | {"If-Match": etag, "Content-Type": "application/json"}
    raw = [(name.encode(), text.encode("latin-1")) for name, text in sent.items()]
    path = f"{V1}{ANNOTATIONS}/{said['annotation_id']}"
    answer = await annolog.client.patch(path, content=b'{"text": "b"}', headers=raw)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.headers["etag"] == f'"{answer.json()["revision_id"]}"'
    else:
        assert refused(answer, 422)["errors"][0]["pointer"] == "#If-Match"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/annotations/no-uuid", 404),
        ("GET", f"/annotations/{OTHER}", 404),
        ("GET", f"/annotations/{OTHER}/revisions", 404),
        ("DELETE", f"/annotations/{OTHER}", 405),
        ("PUT", "/annotations", 405),
        ("GET", "/annotations/%00", 404),
        ("GET", "/annotations/..%2f..%2fetc", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/annotations?limit=99999999999999999999", 422),
        ("GET", "/annotations?day_obs=%00", 422),
        ("GET", "/annotations?author=%00", 422),
        ("GET", "/annotations?author=%ED%A0%80", 200),
        ("GET", "/annotations?cursor=AAAA", 422),
        ("GET", "/annotations?target=%00", 422),
        ("GET", "/annotations?author=a&words=" + "%22" * 999, 422),
        ("GET", "/changes?after=-1", 422),
        ("GET", "/changes?after=1e3", 422),
        ("GET", "/changes?kind=%00", 422),
        ("GET", "/changes?instrument=%ED%A0%80", 200),
        ("POST", "/annotations/batch?atomic=perhaps", 415),
    ],
)
async def test_hostile_addresses_are_answered_with_a_problem(
    annolog: Service, method: str, path: str, status: int
) -> None:
    answer = await annolog.client.request(method, V1 + path, headers=caller("jdoe"))
    assert answer.status_code == status, answer.text
    if status != 200:
        refused(answer, status)


# ------------------------------------------------------------------ batches


async def test_a_batch_has_a_status_for_each_item_in_order(annolog: Service) -> None:
    good = {"targets": [TARGET], "text": "a", "annotation_id": ID}
    items = [
        good,
        {"targets": ["nonsense"], "text": "b"},
        good,
        {**good, "text": "other"},
        {"txt": 1},
        {"targets": [TARGET], "text": "c\x00"},
        {"targets": [TARGET], "text": "d"},
    ]
    found = (await annolog.post("/annotations/batch", items)).json()["items"]
    assert [one["status"] for one in found][1::2] == [422, 409, 422]
    assert sorted(one["status"] for one in (found[0], found[2])) == [200, 201]
    assert [one["status"] for one in (found[4], found[6])] == [422, 201]
    assert found[1]["problem"]["errors"][0]["pointer"] == "/1/targets/0"
    assert found[6]["annotation"]["text"] == "d"


async def test_an_atomic_batch_is_taken_whole_or_not_at_all(annolog: Service) -> None:
    items: list[dict[str, Any]] = [
        {
            "targets": [TARGET],
            "text": str(n),
            "annotation_id": str(uuid5(UUID(ID), str(n))),
        }
        for n in range(20)
    ]
    before = await head(annolog.runtime)
    flawed = [*items, {"targets": [TARGET], "flag": "no_such_flag"}]
    answer = await annolog.post("/annotations/batch?atomic=true", flawed)
    refused(answer, 422)
    assert await head(annolog.runtime) == before

    answer = await annolog.post("/annotations/batch?atomic=true", items)
    assert [one["status"] for one in answer.json()["items"]] == [201] * 20
    assert await head(annolog.runtime) == before + 20
    answer = await annolog.post("/annotations/batch?atomic=true", items)
    assert [one["status"] for one in answer.json()["items"]] == [200] * 20
    assert await head(annolog.runtime) == before + 20


async def test_batches_are_limited(annolog: Service) -> None:
    batch = "/annotations/batch"
    item = json.dumps({"targets": [TARGET]})
    thousand = f"[{','.join([item] * 1000)}]".encode()
    answer = await send(annolog, thousand, path=batch)
    assert [one["status"] for one in answer.json()["items"]] == [201] * 1000
    more = f"[{','.join([item] * 1001)}]".encode()
    refused(await send(annolog, more, path=batch), 413)
    lines = "\n".join([item] * 1001).encode()
    refused(await send(annolog, lines, path=batch, kind="application/x-ndjson"), 413)
    huge = b"[" + b" " * (16 * 1024 * 1024 - 2) + b"]"
    assert (await send(annolog, huge, path=batch)).json() == {"items": []}
    refused(await send(annolog, huge + b" ", path=batch), 413)
    for wrong in (b"[" * 100_000, b"{}", b"[1", b"null", b'"x"', b"[{}]]"):
        refused(await send(annolog, wrong, path=batch), 400)


# -------------------------------------------------------------- idempotency


async def test_a_create_is_bound_to_its_id_its_author_and_its_words(
    annolog: Service,
) -> None:
    draft = {
        "annotation_id": str(UUID(int=4099)),
        "targets": [TARGET],
        "text": "a",
        "flag": "junk",
    }
    first = await annolog.post(ANNOTATIONS, draft)
    assert first.status_code == 201
    edited = await annolog.edit(first.json(), text="b")
    before = await head(annolog.runtime)

    repeat = await annolog.post(ANNOTATIONS, dict(reversed(draft.items())))
    assert repeat.status_code == 200
    assert repeat.json()["revision_id"] == first.json()["revision_id"]
    other = await annolog.post(ANNOTATIONS, {**draft, "text": "b"})
    refused(other, 409, "id_taken")
    refused(await annolog.post(ANNOTATIONS, draft, by="ann"), 409, "id_taken")
    assert await head(annolog.runtime) == before
    assert edited["revision_id"] != first.json()["revision_id"]


async def test_no_update_is_lost(annolog: Service) -> None:
    said = await annolog.say(TARGET, text="a")
    path = f"{ANNOTATIONS}/{said['annotation_id']}"
    body = b'{"text": "b"}'
    refused(await send(annolog, body, path=path, method="PATCH"), 428)
    newer = await annolog.edit(said, text="c")
    old = {"If-Match": said["revision_id"]}
    stale = await send(annolog, body, path=path, method="PATCH", headers=old)
    problem = refused(stale, 412)
    assert problem["current"]["revision_id"] == newer["revision_id"]
    assert problem["current"]["text"] == "c"
    before = await head(annolog.runtime)
    # The same edit again, as after a lost answer; and one that changes nothing.
    assert (await annolog.edit(said, text="c"))["revision_id"] == newer["revision_id"]
    assert (await annolog.edit(newer, text="c"))["revision_id"] == newer["revision_id"]
    assert await head(annolog.runtime) == before


async def test_a_chunked_body_is_read_as_any_other(annolog: Service) -> None:
    said = await annolog.say(TARGET, text="a")
    newer = await annolog.edit(said, text="b")

    async def parts() -> AsyncIterator[bytes]:
        yield json.dumps({"revision_id": said["revision_id"]}).encode()

    headers = caller("jdoe") | {
        "Content-Type": "application/json",
        "If-Match": newer["revision_id"],
    }
    path = f"{V1}{ANNOTATIONS}/{said['annotation_id']}/restore"
    answer = await annolog.client.post(path, content=parts(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == "a"


async def test_the_same_review_again_is_the_first_one(annolog: Service) -> None:
    said = await annolog.say(TARGET, flag="junk")
    path = f"{ANNOTATIONS}/{said['annotation_id']}/reviews"
    first = await annolog.post(path, {"verdict": "reject", "reason": "no"}, by="ann")
    again = await annolog.post(path, {"verdict": "reject", "reason": "no"}, by="ann")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["record_id"] == again.json()["record_id"]
    refused(await annolog.post(path, {"verdict": "confirm"}), 403)
    refused(await annolog.post(path, {"verdict": "maybe"}, by="ann"), 422)


# --------------------------------------------------------------- permission


async def patch(
    annolog: Service, said: Mapping[str, Any], by: str, **change: object
) -> httpx.Response:
    return await send(
        annolog,
        json.dumps(change).encode(),
        path=f"{ANNOTATIONS}/{said['annotation_id']}",
        method="PATCH",
        headers={"If-Match": said["revision_id"]},
        by=by,
    )


async def test_nobody_puts_words_into_anothers_mouth(annolog: Service) -> None:
    said = await annolog.say(TARGET, text="a", flag="junk")
    for change in ({"text": "b"}, {"flag": "good"}, {"level": 40}):
        refused(await patch(annolog, said, "ann", **change), 403)
    mended = await patch(annolog, said, "ann", tags=["vignetting"])
    assert mended.status_code == 200, mended.text
    body = mended.json()
    assert (body["author"], body["actor"]) == ("jdoe", "ann")
    assert (body["text"], body["flag"]) == ("a", "junk")


async def test_a_bot_never_touches_a_persons_statement(annolog: Service) -> None:
    said = await annolog.say(TARGET, text="a", flag="junk")
    path = f"{ANNOTATIONS}/{said['annotation_id']}"
    changes: list[Shown] = [
        {"tags": ["vignetting"]},
        {"text": "b"},
        {"targets": {"add": []}},
    ]
    for change in changes:
        answer = await patch(annolog, said, "bot:checker", **change)
        if answer.status_code == 200:  # it changed nothing
            assert answer.json()["revision_id"] == said["revision_id"]
        else:
            refused(answer, 403)
    tag = said["revision_id"]
    for step in ("retract", "restore"):
        answer = await annolog.post(f"{path}/{step}", by="bot:checker", if_match=tag)
        refused(answer, 403)
    review = await annolog.post(
        f"{path}/reviews", {"verdict": "reject"}, by="bot:checker"
    )
    refused(review, 403)
    refused(await annolog.post(f"{path}/redact", {"reason": "x"}, by="bot:c"), 403)
