"""Adding, changing and deleting messages over HTTP."""

import contextlib
from typing import Any, NamedTuple
from uuid import UUID

from litestar import Request
from litestar.di import NamedDependency
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import FromPath

from annolog.actions.desk import Work
from annolog.actions.requests import Request as Asked
from annolog.api.contract import contract
from annolog.api.direct import DirectRoute
from annolog.api.requests import BODY_BYTES, MAX_USER_AGENT, whole_body
from annolog.auth import headers
from annolog.domain import records, roles
from annolog.domain.errors import MediaTypeError, NotFoundError, TooLargeError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action, Actor
from annolog.domain.targets import ExposureTarget, TargetColumns, columns
from annolog.exposurelog import decisions, models, problems, queries
from annolog.exposurelog import queries_writing as look_up
from annolog.exposurelog.continuations import Place
from annolog.exposurelog.drafts import MessageDraft, MessagePatch, parsed
from annolog.exposurelog.flags import ShownFlags
from annolog.exposurelog.messages import PATH
from annolog.exposurelog.parameters import read_id
from annolog.runtime import Runtime
from annolog.storage.database import reading


@DirectRoute(
    PATH,
    http_method="POST",
    operation_id="ExposurelogAddMessage",
    summary="Add a message",
    description="Say something about an exposure that a butler has or that was "
    "announced; of any other: 404. Numbers and truth may be sent as strings, a list of "
    "one as a string. What is not known here is passed over.",
    status_code=200,
    exception_handlers=problems.HANDLERS,
    **contract(
        takes=MessageDraft,
        gives={200: models.Message},
        errors=problems.Detail,
        missing=True,
    ),
)
async def add_message(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> bytes:
    """Add a message and answer with it."""
    _permit(actor)
    draft, sent = parsed(MessageDraft, await _body(request))
    asked = _asked(request, actor, sent)
    name = _named(runtime, draft)
    if name.key is not None:
        # Most exposures are known by now, and the lane sees that by the way.
        decide = decisions.post(asked, draft, name.key, told_as=name.obs_id)
        work = Work(decide, _wants(name.key))
        with contextlib.suppress(decisions.UnseenError):
            return await _shown(runtime, work, await runtime.lane.submit(work))
    key, rows = await _exposure(runtime, name, _Name(draft.instrument, draft.obs_id))
    work = Work(decisions.post(asked, draft, key), _wants(key), rows=rows)
    return await _shown(runtime, work, await runtime.lane.submit(work))


@DirectRoute(
    PATH + "/{message_id:str}",
    http_method="PATCH",
    operation_id="ExposurelogEditMessage",
    summary="Change a message",
    description="Add a message that has this one as its parent and says the same but "
    "for what is given; this one is no longer valid then. A whole message may be sent "
    "back. A message whose flag a curator settled stays valid beside the new one.",
    exception_handlers=problems.HANDLERS,
    **contract(
        takes=MessagePatch,
        optional=True,
        gives={200: models.Message},
        errors=problems.Detail,
        missing=True,
    ),
)
async def edit_message(
    request: Request[Any, Any, Any],
    message_id: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> bytes:
    """Change a message and answer with the one that continues it."""
    _permit(actor)
    wanted = read_id(message_id)
    change, sent = parsed(MessagePatch, await _body(request))
    place = await _place(runtime, wanted)
    decide = decisions.patch(_asked(request, actor, sent), place, change)
    # All that the annotation names is looked at where one exposure leaves it.
    work = Work(decide, place.wants, size=place.target_count + 1)
    return await _shown(runtime, work, await runtime.lane.submit(work))


@DirectRoute(
    PATH + "/{message_id:str}",
    http_method="DELETE",
    operation_id="ExposurelogDeleteMessage",
    summary="Delete a message",
    description="It is no longer valid from now on; one that is invalid already stays "
    "as it is. A message whose flag a curator settled is not deleted here: 403.",
    status_code=204,
    exception_handlers=problems.HANDLERS,
    **contract(gives={204: None}, errors=problems.Detail, missing=True),
)
async def delete_message(
    request: Request[Any, Any, Any],
    message_id: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> None:
    """Delete a message; a body is not looked at."""
    _permit(actor)
    place = await _place(runtime, read_id(message_id))
    decide = decisions.delete(_asked(request, actor, None), place)
    await runtime.lane.submit(Work(decide, place.wants, size=place.target_count))


# -------------------------------------------------------------------- details

_OF_BROWSERS = ("origin", "sec-fetch-site")
"""Headers with which a browser says that a page of somebody sends a request."""


async def _body(request: Request[Any, Any, Any]) -> bytes:
    """Read a body, which is JSON whatever it is called.

    Raises
    ------
    MediaTypeError
        A browser sends it and does not call it JSON. Pages of anybody may send such
        requests, and where callers are let in by their address, with success.
    """
    sent = headers.first_of(request, "content-type") or ""
    kind = sent.partition(";")[0].strip().lower()
    is_json = kind == "application/json" or kind.endswith("+json")
    if not is_json and any(headers.all_of(request, name) for name in _OF_BROWSERS):
        raise MediaTypeError("From a browser, send Content-Type: application/json.")
    try:
        return await whole_body(request, BODY_BYTES)
    except TooLargeError:
        # In the words of the framework, as always.
        raise RequestEntityTooLarge from None


def _permit(actor: Actor) -> None:
    """Refuse who may only read before anything is looked up."""
    if actor.named:
        roles.require(actor, Action.CREATE)


def _asked(
    request: Request[Any, Any, Any],
    actor: Actor,
    sent: Any,  # noqa: ANN401 - JSON
) -> Asked:
    agent = headers.first_of(request, "user-agent")
    return Asked(actor, records.digest(sent), agent[:MAX_USER_AGENT] if agent else None)


async def _place(runtime: Runtime, message_id: UUID) -> Place:
    async with reading(runtime.reads) as connection:
        place = await look_up.place_of(connection, message_id)
    if place is None:
        raise NotFoundError(f"There is no message with the id {message_id}.")
    return place


async def _shown(runtime: Runtime, work: Work[UUID], message_id: UUID) -> bytes:
    """Answer with a message, as its turn stored it."""
    row = work.messages.get(message_id)
    if row is not None:
        return models.as_json(row, ShownFlags.of(runtime.vocabulary))
    async with reading(runtime.messages) as connection:
        found = await queries.read_message(connection, runtime.vocabulary, message_id)
    if found is None:
        raise NotFoundError(f"There is no message with the id {message_id}.")
    return found


class _Name(NamedTuple):
    """An exposure as it is named: what is looked for.

    Attributes
    ----------
    instrument, obs_id
        Names, in the form of the instrument where one of that name is known.
    key
        The key that follows from them; None where none does.
    """

    instrument: str
    obs_id: str
    key: str | None = None


def _named(runtime: Runtime, draft: MessageDraft) -> _Name:
    """Read the name of an exposure.

    Raises
    ------
    NotFoundError
        It is of a controller whose exposures are not taken here.
    """
    home = runtime.instruments.find(draft.instrument)
    if home is None:
        return _Name(draft.instrument, draft.obs_id)
    parts = home.parse_obs_id(draft.obs_id)
    if parts is None:
        return _Name(home.name, draft.obs_id)
    if not home.takes(parts.controller):
        raise _unknown(draft.instrument, parts.obs_id)
    key = ExposureTarget(home.name, parts.exposure_id).key
    return _Name(home.name, parts.obs_id, key)


def _wants(key: str) -> Wants:
    return Wants(keys=frozenset({key}))


async def _exposure(
    runtime: Runtime, name: _Name, as_sent: _Name
) -> tuple[str, list[tuple[str, TargetColumns]]]:
    """Find an exposure: one that somebody told of, or that a butler has.

    Parameters
    ----------
    runtime
        This process.
    name
        Its name in the instrument's form.
    as_sent
        Its name as it was sent, which a butler may have in another form.

    Returns
    -------
    tuple
        Its key, and the row that it may need.

    Raises
    ------
    NotFoundError
        Nobody knows it.
    UnavailableError
        Nobody here knows it, and a butler that may is away.
    """
    names = [name]
    if (name.instrument, name.obs_id) != (as_sent.instrument, as_sent.obs_id):
        names.append(as_sent)
    async with reading(runtime.reads) as connection:
        for one in names:
            known = await look_up.known_exposure(connection, *one)
            if known is not None:
                return known, []
    for one in names:
        found = await runtime.registries.find(one.instrument, one.obs_id)
        if found is not None:
            target = ExposureTarget(found.instrument, found.exposure_id)
            return target.key, [(target.key, columns(target, runtime.instruments))]
    raise _unknown(name.instrument, name.obs_id)


def _unknown(instrument: str, obs_id: str) -> NotFoundError:
    return NotFoundError(
        f"Nobody knows an exposure {obs_id[:100]!r} of {instrument[:64]!r}: no butler "
        "has it, and it was not announced.",
        code="unknown_exposure",
    )


HANDLERS = (add_message, edit_message, delete_message)
"""All routes of this module."""
