"""Whatever is sent, the service answers as its contract says, and never with a fault.

Requests are made up from the document, right ones and wrong ones, hostile headers and
bodies among them, and sent to a real process. What an answer may be is the document's
to say: its statuses, content types and schemas.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from annolog.api.openapi import document
from annolog.app import create_app
from annolog.settings import Settings
from tests.support.postgres import PostgresServer
from tests.support.served import ServiceProcess

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
"""Requests of each operation and kind; more of them on a long evening."""

SEED = int(os.environ.get("SCHEMATHESIS_SEED", "20261119"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
DOCUMENT = document(create_app(Settings()))
OPERATIONS = [
    (method, path)
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method in {"get", "post", "patch", "put", "delete"}
    # It has no end, so its answers cannot be awaited.
    and path != "/annolog/v1/stream"
]


@pytest.fixture(scope="module")
def process(
    running_postgres: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServiceProcess]:
    running_postgres.start()
    url = running_postgres.create(template=template_database)
    with ServiceProcess(url, tmp_path_factory.mktemp("home")) as running:
        yield running
    assert '"fault"' not in running.told()
    running_postgres.drop(url)


@pytest.fixture(scope="module")
def known(process: ServiceProcess) -> str:
    """Give the id of an annotation that is there, as made-up ids never are."""
    answer = httpx.post(
        f"{process.url}/annolog/v1/annotations",
        json={"targets": ["exposure:LSSTCam/2026111900123"], "flag": "junk"},
        headers={"X-Annolog-User": "jdoe"},
    )
    assert answer.status_code == 201
    return str(answer.json()["annotation_id"])


@pytest.fixture(scope="module")
def schema() -> Any:  # noqa: ANN401 - a class that schemathesis does not name
    return schemathesis.openapi.from_dict(DOCUMENT)


AnyCase = Case[Any]
HOSTILE = some.sampled_from(
    [
        {},
        {},
        {"X-Annolog-User": "jdoe"},
        {"X-Annolog-User": "jdoe", "X-Annolog-Kind": "bot"},
        {"X-Annolog-User": "jdoe", "X-Annolog-Settle": "true"},
        {"X-Annolog-User": "\xff"},
        {"X-Annolog-User": "x" * 3000},
        {"X-Annolog-Kind": "robot"},
        {"X-Annolog-User": "jdoe", "Accept": "image/png"},
        {"X-Annolog-User": "jdoe", "Accept": "text/csv;q=x,,;"},
        {"X-Annolog-User": "jdoe", "Content-Encoding": "gzip"},
        {"X-Annolog-User": "jdoe", "If-Match": '"'},
        {"X-Annolog-User": "jdoe", "X-Request-ID": "<script>"},
        {"Authorization": "Bearer al_\xff"},
        {"Cookie": "a" * 2000},
    ]
)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_documented(
    process: ServiceProcess,
    schema: Any,  # noqa: ANN401 - as above
    known: str,
    method: str,
    path: str,
    mode: GenerationMode,
) -> None:
    operation = schema[path][method.upper()]

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=operation.as_strategy(generation_mode=mode),
        headers=HOSTILE,
        there=some.booleans(),
    )
    def answered(case: AnyCase, headers: dict[str, str], there: bool) -> None:  # noqa: FBT001 - drawn
        if there and "annotation_id" in (case.path_parameters or {}):
            case.path_parameters["annotation_id"] = known
        if case.query and "wait" in case.query:
            case.query["wait"] = min(case.query["wait"], 0.1, key=_seconds)
        encoded = {name: text.encode("latin-1") for name, text in headers.items()}
        answer = case.call(base_url=process.url, headers=encoded, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    # There are operations of which nothing wrong can be said.
    with contextlib.suppress(Unsatisfiable):
        answered()


def _seconds(wait: object) -> float:
    """Give what may be waited for; what is no number is sent as it is."""
    try:
        seconds = float(str(wait))
    except ValueError:
        return -1.0
    return seconds if seconds == seconds else -1.0  # noqa: PLR0124 - NaN


def test_what_is_no_http_is_answered_with_a_problem(process: ServiceProcess) -> None:
    with socket.create_connection(("127.0.0.1", process.port), timeout=5) as wire:
        wire.sendall(
            b"GET /annolog/v1/changes?kind=%s HTTP/1.1\r\n\r\n" % (b"a" * 70_000)
        )
        answer = b""
        while piece := wire.recv(65_536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "not_http"
