"""The log: every logger of a process, libraries' too, writes lines of one form.

Access lines have a way of their own. There is one for each request, and the usual chain
of processors costs a fifth of what answering a small one does.
"""

import contextlib
import json
import logging
import sys
from contextvars import ContextVar
from datetime import datetime
from typing import TextIO

import msgspec
import structlog
from structlog.types import EventDict, Processor

from annolog.domain import times

ACCESS = "annolog.access"
"""The logger by whose name and level access lines are written."""


REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request that is served; every line of the log then has it."""


class AskedFor(msgspec.Struct, rename="camel", gc=False):
    """A request, as log explorers know one."""

    request_method: str
    request_url: str
    status: int
    response_size: int
    latency: str
    remote_ip: str | None
    user_agent: str


class AccessLine(msgspec.Struct, gc=False):
    """One line of the access log."""

    http_request: AskedFor = msgspec.field(name="httpRequest")
    request_id: str
    timestamp: datetime
    event: str = "request"
    logger: str = ACCESS
    severity: str = "INFO"


def configure_logs(
    form: str = "json", *, stream: TextIO | None = None, level: str = "INFO"
) -> None:
    """Make every logger of the process, libraries' too, write lines of one form.

    Parameters
    ----------
    form
        "json": one object a line with `severity`, `event`, `logger` and `timestamp`,
        as log explorers read it; "text": for people.
    stream
        Where to; None means standard output.
    level
        The least severity that is written.
    """
    shared: list[Processor] = [
        _of_request,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    ending: list[Processor]
    if form == "json":
        # Frames' variables may hold secrets, and are never worth their size.
        traceback = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ending = [
            structlog.processors.ExceptionRenderer(traceback),
            _severity,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    else:
        ending = [
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    handler = _Handler(stream or sys.stdout, json_lines=form == "json")
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *ending,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # No line shows which thread or process wrote it, and finding out costs more than
    # the rest of making a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    # Ours has the access lines; its own would say everything twice, queries included.
    logging.getLogger("uvicorn.access").disabled = True
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


_OURS = (AccessLine, AskedFor)
_UNWRITABLE = (OSError, ValueError)


class _Handler(logging.StreamHandler[TextIO]):
    """Writes all lines; access lines straight away.

    Parameters
    ----------
    stream
        Where to.
    json_lines
        Whether lines are JSON, or for people.
    """

    def __init__(self, stream: TextIO, *, json_lines: bool) -> None:
        super().__init__(stream)
        self._write = _to_json if json_lines else _for_people

    def access(self, line: AccessLine) -> None:
        """Write an access line, without the record that other lines come as."""
        text = self._write(line) + self.terminator
        # A log that nobody takes any more is no reason not to answer.
        with self.lock or contextlib.nullcontext(), contextlib.suppress(*_UNWRITABLE):
            self.stream.write(text)
            self.flush()


def write_access(line: AccessLine) -> None:
    """Write an access line as `configure_logs` said; nowhere if it was not called.

    Parameters
    ----------
    line
        The line.
    """
    for handler in logging.root.handlers:
        if isinstance(handler, _Handler):
            handler.access(line)


def _for_people(line: AccessLine) -> str:
    asked, moment = line.http_request, times.format(line.timestamp)
    return (
        f"{moment} [info     ] {asked.status} {asked.request_method} "
        f"{asked.request_url} {asked.response_size} B {asked.latency} "
        f"{asked.remote_ip} {asked.user_agent!r} request_id={line.request_id}"
    )


def _of_request(_: object, __: str, event: EventDict) -> EventDict:
    request_id = REQUEST.get()
    if request_id is not None:
        event["request_id"] = request_id
    return event


def _severity(_: object, __: str, event: EventDict) -> EventDict:
    event["severity"] = str(event.pop("level", "info")).upper()
    return event


def _to_json(event: object, **_: object) -> str:
    try:
        return msgspec.json.encode(event, enc_hook=repr).decode()
    except (TypeError, ValueError, OverflowError):
        # Lone surrogates and huge integers: a line of the log is never lost for them.
        return json.dumps(event, default=_loosely)


def _loosely(value: object) -> object:
    return msgspec.structs.asdict(value) if isinstance(value, _OURS) else repr(value)
