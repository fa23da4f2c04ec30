import json
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import pytest
from litestar import Litestar, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.testing import TestClient, create_test_client
from pydantic import BaseModel, Field, ValidationError, field_validator

from annolog.api import problems
from annolog.api.metrics import Metrics
from annolog.api.observe import install
from annolog.domain import errors
from annolog.domain.errors import AnnologError, InvalidError, Problem

SECRET = "select secret from token"


class Draft(BaseModel):
    level: int = Field(ge=0)
    words: dict[str, list[int]] = Field(default_factory=dict)

    @field_validator("level")
    @classmethod
    def even(cls, value: int) -> int:
        if value % 2:
            msg = "is odd; write an even number"
            raise ValueError(msg)
        return value


@get("/error/{name:str}", sync_to_thread=False)
def raises(name: FromPath[str]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, AnnologError)
    raise error("what was wrong", extra={"retry_after": 7})


@get("/fault", sync_to_thread=False)
def fault() -> None:
    raise ZeroDivisionError(SECRET)


@get("/model", sync_to_thread=False)
def model() -> None:
    Draft.model_validate_json(b'{"level": 3, "words": {"a/b~": ["x"]}}')


@get("/msgspec", sync_to_thread=False)
def decode() -> None:
    msgspec.json.decode(b"{")


@get("/number", sync_to_thread=False)
def number(limit: Annotated[int, QueryParameter(ge=1)]) -> int:
    return limit


@post("/small", request_max_body_size=10)
async def small(data: JSONBody[dict[str, Any]]) -> dict[str, Any]:
    return data


@pytest.fixture
def client() -> Iterator[TestClient[Litestar]]:
    with create_test_client(
        [raises, fault, model, decode, number, small],
        exception_handlers=problems.HANDLERS,
        raise_server_exceptions=False,
        logging_config=None,
    ) as client:
        install(client.app, Metrics())
        yield client


STATUSES = {
    "InvalidError": 422,
    "MalformedError": 400,
    "TooLargeError": 413,
    "MediaTypeError": 415,
    "NotFoundError": 404,
    "ConflictError": 409,
    "StaleError": 412,
    "UnconditionalError": 428,
    "UnauthenticatedError": 401,
    "ForbiddenError": 403,
    "UnavailableError": 503,
    "OverloadedError": 429,
    "AnnologError": 500,
}


def test_every_category_has_its_status(client: TestClient[Litestar]) -> None:
    declared = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, AnnologError)
    }
    assert declared == set(STATUSES)
    for name, status in STATUSES.items():
        answer = client.get(f"/error/{name}")
        problem = answer.json()
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        assert problem["type"] == "about:blank"
        assert problem["title"] == HTTPStatus(status).phrase
        assert problem["status"] == status
        assert problem["detail"] == "what was wrong"
        assert problem["code"] == getattr(errors, name).code
        assert problem["request_id"] == answer.headers["x-request-id"]
        assert "retry_after" not in problem
        assert answer.headers.get("retry-after") == (
            "7" if status in {429, 503} else None
        )
        assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_leaf_has_the_status_of_its_category() -> None:
    class OddError(errors.StaleError):
        pass

    assert problems.status_of(OddError("x")) == 412


def test_a_fault_says_nothing_of_our_insides(client: TestClient[Litestar]) -> None:
    answer = client.get("/fault", headers={"X-Request-ID": "night-7"})
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.json()["code"] == "internal"
    assert "night-7" in answer.json()["detail"]


def test_a_models_errors_have_pointers(client: TestClient[Litestar]) -> None:
    answer = client.get("/model")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [
        "/level",
        "/words/a~1b~0/0",
    ]
    assert answer.json()["errors"][0] == {
        "pointer": "/level",
        "value": 3,
        "reason": "is odd; write an even number",
        "code": "value_error",
    }


def test_bytes_that_are_no_json_are_malformed(client: TestClient[Litestar]) -> None:
    answer = client.get("/msgspec")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_the_frameworks_own_refusals_are_problems_too(
    client: TestClient[Litestar],
) -> None:
    missing = client.get("/nowhere")
    assert (missing.status_code, missing.json()["code"]) == (404, "no_such_page")
    assert "/nowhere" in missing.json()["detail"]

    method = client.delete("/fault")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in method.headers["allow"]

    large = client.post("/small", json={"text": "x" * 100})
    assert (large.status_code, large.json()["code"]) == (413, "too_large")

    paths = ("/number?limit=many", "/number?limit=0", "/number")
    wrong = [client.get(path) for path in paths]
    for answer in wrong:
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "?limit"
    for answer in (missing, method, large, *wrong):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["request_id"]


def test_only_small_values_are_sent_back() -> None:
    values: list[Any] = ["x" * 1000, [1] * 1000, 10**30, float("nan"), "\ud800", None]
    error = InvalidError(
        "x", problems=[Problem(f"/{i}", v, "r", "c") for i, v in enumerate(values)]
    )
    body = problems.answer(error).content
    shown = [problem["value"] for problem in json.loads(body)["errors"]]
    assert len(shown[0]) == 201
    assert shown[1:] == [None, str(10**30), "nan", "\ud800", None]


def test_a_thousand_faults_are_not_all_listed() -> None:
    error = InvalidError("x", problems=[Problem("/a", 1, "r", "c")] * 1000)
    members = problems.members_of(error)
    assert len(members["errors"]) == 100
    assert members["errors_left_out"] == 900


def test_an_item_of_a_batch_points_into_the_batch() -> None:
    with pytest.raises(ValidationError) as refused:
        Draft.model_validate({})
    (problem,) = problems.invalid(refused.value, "/17").problems
    assert (problem.pointer, problem.value, problem.code) == (
        "/17/level",
        None,
        "missing",
    )
