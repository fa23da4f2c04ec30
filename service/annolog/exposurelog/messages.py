"""Finding and reading messages over HTTP."""

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.api.contract import ListOf, contract
from annolog.api.direct import DirectRoute
from annolog.domain.errors import NotFoundError
from annolog.exposurelog import answers, models, parameters, problems, queries
from annolog.exposurelog.flags import ShownFlags
from annolog.exposurelog.parameters import MessageQuery
from annolog.exposurelog.plans import Plan, plan_of
from annolog.runtime import Runtime
from annolog.storage.database import reading, snapshot

PATH = problems.PREFIX + "/messages"
"""Where messages live."""

AT_ONCE = 2_500
"""Messages up to which an answer is read at once: a page of those who read by pages."""

PATIENCE = 30.0
"""Seconds that a search waits for its turn, as few run at a time."""


@DirectRoute(
    PATH,
    http_method="GET",
    summary="Find messages",
    description="Messages by what they say, of which exposure, by whom and when. "
    "Spans of nights or of time, whole observation IDs, and the latest messages are "
    "quick; any other search is ended after half a minute, with a 503.",
    exception_handlers=problems.HANDLERS,
    **contract(
        asks=MessageQuery, gives={200: ListOf(models.Message)}, errors=problems.Detail
    ),
)
async def find_messages(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> bytes | Response[Any]:
    """Answer with messages."""
    asked = parameters.read_messages(request)
    plan = plan_of(asked)
    flags = ShownFlags.of(runtime.vocabulary)
    if plan.quick:
        async with reading(runtime.messages) as connection:
            rows = await queries.find(connection, asked, plan, AT_ONCE + 1)
        if len(rows) <= AT_ONCE:
            return models.list_as_json(rows, flags)
    return await answers.answer(_pieces(runtime, asked, plan, flags))


async def _pieces(
    runtime: Runtime, asked: MessageQuery, plan: Plan, flags: ShownFlags
) -> AsyncGenerator[bytes, None]:
    pool = runtime.streams if plan.quick else runtime.searches
    before = b"["
    async with snapshot(pool, wait=PATIENCE) as connection:
        async for rows in queries.pieces(connection, asked, plan, flags):
            yield before + models.list_as_json(rows, flags)[1:-1]
            before = b","
    yield b"]" if before == b"," else b"[]"


@DirectRoute(
    PATH + "/{message_id:str}",
    http_method="GET",
    summary="Read a message",
    description="One message, valid or not.",
    exception_handlers=problems.HANDLERS,
    **contract(gives={200: models.Message}, errors=problems.Detail, missing=True),
)
async def get_message(
    message_id: FromPath[str], runtime: NamedDependency[Runtime]
) -> bytes:
    """Answer with one message."""
    wanted = parameters.read_id(message_id)
    async with reading(runtime.messages) as connection:
        found = await queries.read_message(connection, runtime.vocabulary, wanted)
    if found is None:
        raise NotFoundError(f"There is no message with the id {wanted}.")
    return found


HANDLERS = (find_messages, get_message)
"""All routes of this module."""
