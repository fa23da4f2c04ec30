from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from litestar import Litestar, Request, Response
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Stream
from litestar.testing import TestClient, create_test_client

from annolog.api.direct import DirectRoute
from annolog.api.problems import HANDLERS
from annolog.auth.callers import CallerMiddleware, NamedCallers, provide_actor
from annolog.domain.errors import ConflictError
from annolog.domain.roles import Actor

JSON = "application/json"


@DirectRoute(
    "/count/{number:int}",
    http_method="POST",
    status_code=201,
    request_max_body_size=100,
)
async def say(
    request: Request[Any, Any, Any],
    number: FromPath[int],
    runtime: NamedDependency[str],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await request.body()
    said = b'["%b",%d,"%b","%b"]' % (
        body,
        number,
        runtime.encode(),
        actor.user.encode(),
    )
    return Response(said, media_type=JSON, headers={"ETag": '"e"'})


@DirectRoute("/said/{name:uuid}", http_method="GET")
async def read(name: FromPath[UUID]) -> Response[bytes]:
    return Response(b"{}", status_code=203 + (name.int == 1), media_type=JSON)


@DirectRoute("/said/{name:uuid}", http_method="DELETE", status_code=204)
async def forget(name: FromPath[UUID]) -> None:
    del name


@DirectRoute("/pieces", http_method="GET")
async def pieces() -> Response[Any]:
    async def some() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    return Stream(some(), media_type="text/plain", headers={"X-Of": "pieces"})


@DirectRoute("/text", http_method="GET", status_code=202)
async def text() -> Response[str]:
    return Response("words", media_type="text/plain")


@DirectRoute("/taken", http_method="GET")
async def taken() -> Response[bytes]:
    msg = "it is taken"
    raise ConflictError(msg)


@DirectRoute(
    "/own",
    http_method="GET",
    exception_handlers={HTTPException: lambda _, __: Response(b"own", status_code=418)},
)
async def own() -> Response[bytes]:
    raise HTTPException


@pytest.fixture
def client() -> Iterator[TestClient[Litestar]]:
    with create_test_client(
        [say, read, forget, pieces, text, taken, own],
        middleware=[CallerMiddleware(NamedCallers)],
        dependencies={
            "runtime": Provide(lambda: "here", sync_to_thread=False),
            "actor": Provide(provide_actor, sync_to_thread=False),
        },
        exception_handlers=HANDLERS,
    ) as client:
        yield client


def test_a_function_is_given_what_it_takes(client: TestClient[Litestar]) -> None:
    answer = client.post(
        "/count/7", content=b"hello", headers={"X-Annolog-User": "ada"}
    )
    assert answer.status_code == 201
    assert answer.json() == ["hello", 7, "here", "ada"]
    assert answer.headers["content-type"] == JSON
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers.raw[0] == (b"etag", b'"e"')


def test_the_answer_may_say_its_status(client: TestClient[Litestar]) -> None:
    assert client.get(f"/said/{UUID(int=1)}").status_code == 204
    assert client.get(f"/said/{UUID(int=2)}").status_code == 203


def test_no_answer_is_one_without_a_body(client: TestClient[Litestar]) -> None:
    answer = client.delete(f"/said/{UUID(int=1)}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-type" not in answer.headers


def test_other_answers_are_sent_their_own_way(client: TestClient[Litestar]) -> None:
    answer = client.get("/pieces")
    assert (answer.text, answer.headers["x-of"]) == ("one two", "pieces")
    answer = client.get("/text")
    assert (answer.status_code, answer.text) == (202, "words")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_errors_are_answered_as_everywhere(client: TestClient[Litestar]) -> None:
    answer = client.get("/taken")
    assert (answer.status_code, answer.json()["detail"]) == (409, "it is taken")
    assert client.get("/own").content == b"own"
    assert client.post("/count/7", content=b"x" * 101).status_code == 413
    assert client.get("/count/7").status_code == 405


def test_who_calls_is_found_out_first(client: TestClient[Litestar]) -> None:
    answer = client.get("/taken", headers={"X-Annolog-Kind": "cat"})
    assert (answer.status_code, answer.json()["code"]) == (422, "author_kind")


def test_which_methods_there_are_can_be_asked(client: TestClient[Litestar]) -> None:
    answer = client.options("/taken")
    assert (answer.status_code, answer.headers["allow"]) == (204, "GET, OPTIONS")
