import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from litestar import Litestar, Request, post
from litestar.testing import TestClient, create_test_client
from pydantic import BaseModel, ConfigDict

from annolog.api import requests
from annolog.api.problems import HANDLERS
from annolog.domain.errors import AnnologError


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str = ""
    more: Any = None


@post("/note")
async def note(request: Request[Any, Any, Any]) -> dict[str, Any]:
    body = await requests.json_body(request, Note, 2000)
    return {"text": body.text}


@post("/patch")
async def patch(request: Request[Any, Any, Any]) -> dict[str, Any]:
    body = await requests.json_body(
        request, Note, 2000, types=requests.MERGE_PATCH, empty=True
    )
    return {"text": body.text}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Litestar]]:
    with create_test_client([note, patch], exception_handlers=HANDLERS) as client:
        yield client


def send(
    client: TestClient[Litestar],
    body: bytes,
    kind: str | None = "application/json",
    path: str = "/note",
    **headers: str,
) -> tuple[int, dict[str, Any]]:
    if kind is not None:
        headers["Content-Type"] = kind
    answer = client.post(path, content=body, headers=headers)
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON; charset="UTF-8"',
    ],
)
def test_json_is_taken(client: TestClient[Litestar], kind: str) -> None:
    assert send(client, b'{"text": "hi"}', kind) == (201, {"text": "hi"})


def test_a_byte_order_mark_is_passed_over(client: TestClient[Litestar]) -> None:
    assert send(client, b'\xef\xbb\xbf{"text": "hi"}') == (201, {"text": "hi"})


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("text/plain", "media_type"),
        ("application/x-www-form-urlencoded", "media_type"),
        ("application/jsonp", "media_type"),
        ("", "media_type"),
        (None, "media_type"),
        ("application/json; charset=latin-1", "charset"),
    ],
)
def test_other_content_types_are_refused(
    client: TestClient[Litestar], kind: str | None, code: str
) -> None:
    status, problem = send(client, b"{}", kind)
    assert (status, problem["code"]) == (415, code)


def test_a_compressed_body_is_refused(client: TestClient[Litestar]) -> None:
    status, problem = send(client, b"{}", **{"Content-Encoding": "gzip"})
    assert (status, problem["code"]) == (415, "content_encoding")


def test_a_body_may_be_left_out_where_nothing_is_needed(
    client: TestClient[Litestar],
) -> None:
    assert send(client, b"", None, "/patch") == (201, {"text": ""})
    assert send(client, b"", path="/patch") == (201, {"text": ""})
    assert send(client, b"{}", "text/plain", "/patch")[0] == 415
    assert send(client, b"{}", None, "/patch")[0] == 415
    assert send(client, b"{}", "application/merge-patch+json", "/patch")[0] == 201
    assert send(client, b"")[0] == 400


def test_size_is_limited_whether_announced_or_not(
    client: TestClient[Litestar],
) -> None:
    exact = json.dumps({"text": "x" * 1988}).encode()
    assert len(exact) == 2000
    assert send(client, exact)[0] == 201
    status, problem = send(client, exact + b" ")
    assert (status, problem["code"], problem["limit"]) == (413, "too_large", 2000)

    def parts() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    streamed = client.post(
        "/note", content=parts(), headers={"Content-Type": "application/json"}
    )
    assert streamed.status_code == 413


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed"),
        (b"{", 400, "malformed"),
        (b"{} {}", 400, "malformed"),
        (b"\xff\xfe{\x00}\x00", 400, "malformed"),
        (b'{"text": "\xff"}', 400, "malformed"),
        (b'{"text": "\xed\xa0\x80"}', 400, "malformed"),
        (b'{"text": "\\ud800"}', 400, "malformed"),
        (b'{"text": "a\x00"}', 400, "malformed"),
        (b'{"more": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "too_deep"),
        (b'{"more": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", 400, "too_deep"),
        (b"[]", 422, "model_type"),
        (b"null", 422, "model_type"),
        (b'{"text": 1}', 422, "string_type"),
        (b'{"txt": ""}', 422, "extra_forbidden"),
        (b'{"text": "a\\u0000"}', 422, "nul"),
        (b'{"more": [{"a\\u0000": 1}]}', 422, "nul"),
        (b'{"text": "a\\u0000', 400, "malformed"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(
    client: TestClient[Litestar], body: bytes, status: int, code: str
) -> None:
    found, problem = send(client, body)
    codes = {problem["code"]} | {error["code"] for error in problem.get("errors", [])}
    assert found == status
    assert code in codes


def test_nul_is_found_by_its_place(client: TestClient[Litestar]) -> None:
    _, problem = send(client, b'{"text": "", "more": [1, {"a/b": "\\u0000"}]}')
    assert problem["errors"][0]["pointer"] == "/more/1/a~1b"


def test_words_about_nul_are_no_nul(client: TestClient[Litestar]) -> None:
    assert send(client, rb'{"text": "\\u0000"}') == (201, {"text": r"\u0000"})
    assert send(client, rb'{"text": "\\\u0000"}')[0] == 422


@given(text=some.text().filter(lambda text: "\0" not in text))
def test_odd_unicode_is_kept_as_it_came(text: str) -> None:
    for body in (
        json.dumps({"text": text}),
        json.dumps({"text": text}, ensure_ascii=False),
    ):
        assert requests.parse_json(Note, body.encode()).text == text


@given(body=some.binary())
def test_any_bytes_are_an_answer_and_never_a_fault(body: bytes) -> None:
    for whole in (body, b'{"text": "' + body + b'"}', b'{"more": ' + body + b"}"):
        try:
            requests.parse_json(Note, whole)
        except AnnologError as error:
            assert error.detail  # noqa: PT017 - any other error fails the test
