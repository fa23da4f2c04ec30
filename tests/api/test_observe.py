import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog
from litestar import Litestar, Response, get
from litestar.params import FromPath
from litestar.testing import TestClient, create_test_client

from annolog.api.logs import configure_logs
from annolog.api.metrics import Metrics, metrics_route
from annolog.api.observe import HEADERS, install
from annolog.api.problems import HANDLERS
from annolog.domain.errors import UnavailableError
from annolog.storage.changes import Lag

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)


@get("/target/{name:str}", sync_to_thread=False)
def target(name: FromPath[str]) -> str:
    structlog.stdlib.get_logger("annolog.test").info("looked up", name=name)
    return name


@get("/page", sync_to_thread=False)
def page() -> Response[str]:
    return Response("x", headers={"Content-Security-Policy": "default-src 'none'"})


@get("/fault", sync_to_thread=False)
def fault() -> None:
    secret = "al_0123456789abcdef.secret"
    raise ZeroDivisionError(secret[:3])


class Log:
    """The head and the lag, while the database is there."""

    def __init__(self) -> None:
        self.away = False

    async def __call__(self) -> tuple[int, Lag]:
        if self.away:
            raise UnavailableError("away")
        return 17, Lag(12, NOON, 5, 2.5)


@pytest.fixture
def restored_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def written(restored_logs: None) -> io.StringIO:
    del restored_logs
    stream = io.StringIO()
    configure_logs("json", stream=stream)
    return stream


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def client(log: Log) -> Iterator[TestClient[Litestar]]:
    metrics = Metrics()
    metrics.watch_queue(lambda: 3)
    metrics.watch_streams(lambda: (2, 40, 1))
    metrics.turn(40, 0.004)
    with create_test_client(
        [target, page, fault, metrics_route(metrics, log)],
        exception_handlers=HANDLERS,
        raise_server_exceptions=False,
        # The application's own logging would take the place of ours.
        logging_config=None,
    ) as client:
        install(client.app, metrics)
        yield client


def lines(stream: io.StringIO, logger: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in found if logger in {None, line["logger"]}]


def test_a_sane_request_id_is_taken_over(client: TestClient[Litestar]) -> None:
    answer = client.get("/target/a", headers={"X-Request-ID": "night-7.a:b_c"})
    assert answer.headers["x-request-id"] == "night-7.a:b_c"


@pytest.mark.parametrize("wanted", ["", "a b", "x" * 129, '{"a":1}', "é"])
def test_any_other_gets_one_of_ours(client: TestClient[Litestar], wanted: str) -> None:
    answer = client.get("/target/a", headers={b"X-Request-ID": wanted.encode()})
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] != wanted


def test_every_answer_has_the_headers_that_keep_browsers_safe(
    client: TestClient[Litestar],
) -> None:
    for path in ("/target/a", "/nowhere", "/fault"):
        headers = client.get(path).headers
        assert {name: headers[name] for name in HEADERS} == dict(HEADERS)
        assert headers["x-request-id"]
    assert client.get("/page").headers.get_list("content-security-policy") == [
        "default-src 'none'"
    ]


def test_requests_are_counted_by_the_template_of_their_route(
    client: TestClient[Litestar],
) -> None:
    for path in ("/target/a", "/target/b", "/nowhere/1", "/nowhere/2", "/fault"):
        client.get(path)
    client.post("/target/a")
    text = client.get("/metrics").text
    route = "/target/{name}"
    for line in (
        f'annolog_requests_total{{method="GET",route="{route}",status="200"}} 2.0',
        'annolog_requests_total{method="GET",route="(none)",status="404"} 2.0',
        'annolog_requests_total{method="GET",route="/fault",status="500"} 1.0',
        'annolog_requests_total{method="POST",route="(none)",status="405"} 1.0',
        f'annolog_request_seconds_count{{method="GET",route="{route}"}} 2.0',
    ):
        assert line in text.splitlines(), line


def test_the_log_and_the_lane_are_measured(
    client: TestClient[Litestar], log: Log
) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    for line in (
        "annolog_turn_size_sum 40.0",
        "annolog_turn_seconds_sum 0.004",
        "annolog_queue_length 3.0",
        "annolog_database_up 1.0",
        "annolog_log_head 17.0",
        "annolog_relay_lag_changes 5.0",
        "annolog_relay_lag_seconds 2.5",
        "annolog_streams_open 2.0",
        "annolog_stream_events_total 40.0",
        "annolog_streams_dropped_total 1.0",
    ):
        assert line in answer.text.splitlines(), line
    log.away = True
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "annolog_database_up 0.0" in answer.text.splitlines()
    assert "annolog_log_head 17.0" in answer.text.splitlines()


def test_every_line_of_a_request_carries_its_id(
    client: TestClient[Litestar], written: io.StringIO
) -> None:
    client.get(
        "/target/a?secret=1",
        headers={"X-Request-ID": "night-7", "Authorization": "Bearer al_1.secret"},
    )
    (said,) = lines(written, "annolog.test")
    (access,) = lines(written, "annolog.access")
    assert said["event"] == "looked up"
    assert said["severity"] == access["severity"] == "INFO"
    assert said["request_id"] == access["request_id"] == "night-7"
    request = access["httpRequest"]
    assert (request["requestMethod"], request["requestUrl"], request["status"]) == (
        "GET",
        "/target/a",
        200,
    )
    assert request["responseSize"] == 1
    assert float(request["latency"].removesuffix("s")) > 0
    assert "secret" not in str([said, access])


def test_a_fault_is_logged_with_its_traceback_and_no_variables(
    client: TestClient[Litestar], written: io.StringIO
) -> None:
    answer = client.get("/fault")
    (line,) = lines(written, "annolog.api")
    assert line["severity"] == "ERROR"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "0123456789abcdef" not in written.getvalue()


def test_a_log_that_nobody_takes_any_more_costs_no_answer(
    client: TestClient[Litestar], written: io.StringIO
) -> None:
    written.close()
    assert client.get("/target/a").status_code == 200


def test_probes_do_not_fill_the_log(
    client: TestClient[Litestar], written: io.StringIO
) -> None:
    client.get("/metrics")
    assert lines(written, "annolog.access") == []


def test_libraries_write_lines_of_the_same_form(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").warning("port %d", 80)
    (line,) = lines(written, "uvicorn.error")
    assert (line["event"], line["severity"]) == ("port 80", "WARNING")


def test_a_line_is_never_lost_for_an_odd_value(written: io.StringIO) -> None:
    logger = structlog.stdlib.get_logger("odd")
    logger.info("odd", value="\ud800", number=10**40, thing=object())
    assert lines(written, "odd")[0]["value"] == "\ud800"


def test_people_may_have_plain_text(restored_logs: None) -> None:
    del restored_logs
    stream = io.StringIO()
    configure_logs("text", stream=stream)
    structlog.stdlib.get_logger("annolog").info("started", port=8080)
    assert "started" in stream.getvalue()
    assert "port=8080" in stream.getvalue()


def test_a_request_is_one_line_for_people_too(
    client: TestClient[Litestar], restored_logs: None
) -> None:
    del restored_logs
    stream = io.StringIO()
    configure_logs("text", stream=stream)
    client.get("/target/a?secret=1", headers={"X-Request-ID": "night-7"})
    (line,) = [one for one in stream.getvalue().splitlines() if "200 GET" in one]
    assert "200 GET /target/a" in line
    assert "request_id=night-7" in line
    assert "secret" not in line
