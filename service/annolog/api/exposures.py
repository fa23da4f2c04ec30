"""Exposures over HTTP: announce, upload, list; visits.

Handlers read the request, find what it names, call one action through the lane, and
show what came of it. The rules are in `actions.exposures`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency

from annolog.actions import exposures as actions
from annolog.actions import visits as visit_actions
from annolog.actions.desk import Work
from annolog.actions.exposures import Asked, Fact
from annolog.actions.requests import Request as Caller
from annolog.actions.resolution import Resolution
from annolog.actions.visits import Visit, VisitDraft
from annolog.api import formats, problems
from annolog.api.contract import ANY, PageOf, contract
from annolog.api.parameters import read_query
from annolog.api.requests import (
    BATCH_BYTES,
    JSON,
    MAX_BATCH,
    NDJSON,
    content_type,
    parse_json,
    read_body,
    request_of,
)
from annolog.domain import records, times
from annolog.domain.errors import AnnologError, MalformedError, TooLargeError
from annolog.domain.exposures import ExposureFactDraft, end_unknown
from annolog.domain.ledger import Wants
from annolog.domain.nightviews import ExposureFilter, Listed
from annolog.domain.roles import Actor
from annolog.runtime import Runtime
from annolog.storage import exposures
from annolog.storage.database import Connection, reading, snapshot

PREFIX = "/annolog/v1/exposures"
"""Where exposures live."""

COLUMNS = (
    "key",
    "instrument",
    "day_obs",
    "seq_num",
    "exposure_id",
    "obs_id",
    "state",
    "end_unknown",
    "begin",
    "end",
    "exposure_time",
    "observation_type",
    "flag",
    "disputed",
    "bots_differ",
    "tags",
    "notes",
    "follow_ups",
    "unlooked",
    "contradictions",
    "fields",
    "number",
)
"""Columns of exposures in CSV. New ones are only ever added at the end."""

EXACT_COUNT = 10_000
"""Greatest number that the count of several nights gives exactly."""

AT_ONCE = 200
"""Facts that pass the lane together: a fifth of a second at most."""


@post(
    PREFIX,
    summary="Announce exposures",
    description="Say that exposures were announced, started, ended, recorded, "
    "cancelled or removed: one fact, an array of up to 1000, or one a line (NDJSON). "
    "One fact is answered with its exposure: 201, or 200 where the same source has "
    "said the same before and nothing was written. Several are answered with 200 and a "
    "status for each, in order.",
    status_code=200,
    **contract(
        takes=ExposureFactDraft,
        types=JSON | NDJSON,
        many=True,
        gives={200: ANY, 201: ANY},
    ),
)
async def announce(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take facts and answer with their exposures."""
    body = await read_body(request, BATCH_BYTES, types=JSON | NDJSON)
    pieces, single = _pieces(body, content_type(request, JSON | NDJSON))
    caller = Caller(actor, b"", _agent(request, actor))
    items = await _announced(runtime, caller, pieces, single=single)
    return _answer(items, "exposure", single=single)


@get(
    PREFIX,
    summary="List exposures",
    description="Known exposures of nights in the night's order: what is known of each "
    "and what holds for it. Also those that statements alone have named.",
    **contract(asks=ExposureFilter, gives={200: PageOf(ANY, COLUMNS)}),
)
async def list_exposures(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a page of exposures."""
    asked = read_query(request, ExposureFilter)
    home = runtime.instruments.require(asked.instrument, "?instrument")
    asked = asked.model_copy(update={"instrument": home.name})
    after = asked.after()
    known, asking = runtime.instruments, runtime.vocabulary.asking
    async with snapshot(runtime.reads) as connection:
        rows, place = await exposures.of_night(
            connection, asked, known, asking, after=after, limit=asked.limit
        )
        count = await _count(connection, runtime, asked) if asked.count else None
    now = runtime.clock()
    cursor = None if place is None else asked.cursor_after(place)
    return _page(request, [shown(row, now) for row in rows], cursor, count)


async def _count(
    connection: Connection, runtime: Runtime, asked: ExposureFilter
) -> int | str:
    """Count a list: a night's exactly, for it is one with the night's summary."""
    one_night = asked.nights[0] is not None and asked.nights[0] == asked.nights[1]
    found, _ = await exposures.of_night(
        connection,
        asked,
        runtime.instruments,
        runtime.vocabulary.asking,
        limit=None if one_night else EXACT_COUNT + 1,
    )
    if one_night or len(found) <= EXACT_COUNT:
        return len(found)
    return f"{EXACT_COUNT}+"


def _page(
    request: Request[Any, Any, Any],
    items: Sequence[Mapping[str, Any]],
    cursor: str | None,
    count: int | str | None,
) -> Response[bytes]:
    wanted = formats.chosen(request)
    if wanted == "csv":
        content = formats.csv_bytes(COLUMNS, items)
        return formats.answer(request, content, wanted, cursor)
    written = [msgspec.json.encode(one) for one in items]
    if wanted == "ndjson":
        content = b"".join(one + b"\n" for one in written)
    else:
        content = formats.envelope(
            written, count=count, cursor=cursor, scan_stopped=False
        )
    return formats.answer(request, content, wanted, cursor)


@post(
    "/annolog/v1/visits",
    summary="Define visits",
    description="Say which exposures visits are made of: one visit, an array of up to "
    "1000, or one a line (NDJSON). The latest definition of a visit replaces those "
    "before. One is answered with its definition, 201, or 200 where it is so already; "
    "several with 200 and a status for each, in order.",
    status_code=200,
    **contract(
        takes=VisitDraft, types=JSON | NDJSON, many=True, gives={200: ANY, 201: ANY}
    ),
)
async def define(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take definitions of visits and answer with what holds."""
    body = await read_body(request, BATCH_BYTES, types=JSON | NDJSON)
    pieces, single = _pieces(body, content_type(request, JSON | NDJSON))
    caller = Caller(actor, b"", _agent(request, actor))
    items = await _defined(runtime, caller, pieces, single=single)
    return _answer(items, "visit", single=single)


# ---------------------------------------------------------------- visits


async def _defined(
    runtime: Runtime, caller: Caller, pieces: Sequence[bytes], *, single: bool
) -> "list[_Item]":
    """Pass definitions through the lane; give for each what holds or why not."""
    known = runtime.instruments
    outcomes: list[Visit | AnnologError] = []
    for index, piece in enumerate(pieces):
        pointer = "" if single else f"/{index}"
        try:
            draft = parse_json(VisitDraft, piece, pointer)
            home = known.require(draft.instrument, f"{pointer}/instrument").name
            visit_actions.permit(caller, draft, home)
            found = await runtime.resolver.resolve(
                [str(one) for one in draft.exposures],
                known,
                pointer=f"{pointer}/exposures",
                default=home,
            )
            digest = records.digest(msgspec.json.decode(piece))
            keys = found.accepted().keys
            outcomes.append(
                visit_actions.visit_of(draft, home, keys, digest, pointer, known)
            )
        except AnnologError as error:
            outcomes.append(error)
    visits = [one for one in outcomes if isinstance(one, Visit)]
    written: list[bool] = []
    for first in range(0, len(visits), AT_ONCE):
        piece_of = visits[first : first + AT_ONCE]
        wanted = {one.key for one in piece_of}
        async with reading(runtime.reads) as connection:
            held = await exposures.definitions(connection, wanted)
        work = Work(visit_actions.define(caller, piece_of, held), size=len(piece_of))
        done = await runtime.lane.submit(work)
        written += done
    fresh = iter(written)
    return [
        one if isinstance(one, AnnologError) else (next(fresh), _visit(one))
        for one in outcomes
    ]


def _visit(visit: Visit) -> dict[str, Any]:
    return {
        "key": visit.key,
        "instrument": visit.instrument,
        "visit": visit.number,
        "exposures": list(visit.exposures),
    }


# ---------------------------------------------------------------- facts


async def _announced(
    runtime: Runtime, caller: Caller, pieces: Sequence[bytes], *, single: bool
) -> "list[_Item]":
    """Pass facts through the lane; give for each its exposure or why not."""
    drafts: list[Asked | AnnologError] = []
    for index, piece in enumerate(pieces):
        pointer = "" if single else f"/{index}"
        try:
            draft = parse_json(ExposureFactDraft, piece, pointer)
            digest = records.digest(msgspec.json.decode(piece))
            drafts.append(Asked(draft, pointer, digest))
        except AnnologError as error:
            drafts.append(error)
    asked = [one for one in drafts if isinstance(one, Asked)]
    known = runtime.instruments
    async with reading(runtime.reads) as connection:
        found = iter(await actions.found(caller, asked, known, connection))
    outcomes: list[Fact | AnnologError] = [
        next(found) if isinstance(one, Asked) else one for one in drafts
    ]
    facts = [one for one in outcomes if isinstance(one, Fact)]
    written = iter(await _written(runtime, caller, facts))
    async with reading(runtime.reads) as connection:
        rows = await exposures.of_keys(
            connection,
            {one.key for one in facts},
            known,
            runtime.vocabulary.asking,
        )
    now = runtime.clock()
    return [
        one
        if isinstance(one, AnnologError)
        else (next(written), shown(rows[one.key], now))
        for one in outcomes
    ]


async def _written(
    runtime: Runtime, caller: Caller, facts: Sequence[Fact]
) -> list[bool]:
    if not facts:
        return []
    known = runtime.instruments
    keys = dict.fromkeys(key for fact in facts for key in sorted(fact.keys))
    await runtime.resolver.ensure(Resolution(keys=list(keys)), known)
    written: list[bool] = []
    for first in range(0, len(facts), AT_ONCE):
        piece = facts[first : first + AT_ONCE]
        wanted = frozenset(key for fact in piece for key in fact.keys)
        work = Work(
            actions.announce(caller, piece),
            Wants(keys=wanted, facts=wanted),
            size=len(piece),
        )
        done = await runtime.lane.submit(work)
        written += done
    return written


def shown(row: Listed, now: datetime) -> dict[str, Any]:
    """Give an exposure as the API shows it.

    Parameters
    ----------
    row
        The exposure, with what holds for it.
    now
        The present moment, which `end_unknown` depends on.
    """
    view = row.view
    return {
        "key": view.key,
        "instrument": view.instrument,
        "exposure_id": view.exposure_id,
        "obs_id": view.obs_id,
        "day_obs": view.day_obs,
        "seq_num": view.seq_num,
        "state": view.state.value,
        "end_unknown": end_unknown(view, now),
        "begin": _stamp(view.begin),
        "end": _stamp(view.end),
        "exposure_time": view.exposure_time,
        "observation_type": view.observation_type,
        "fields": view.fields,
        "contradictions": view.contradictions,
        "number": row.number,
        "flag": row.flag,
        "disputed": row.disputed,
        "bots_differ": row.bots_differ,
        "tags": list(row.tags),
        "notes": row.notes,
        "follow_ups": [str(one) for one in row.follow_ups],
        "unlooked": row.unlooked,
    }


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else times.format(moment)


# ---------------------------------------------------------------- many at once

_Item = tuple[bool, Mapping[str, Any]] | AnnologError
"""Whether it was written, and what is shown; or why it was refused."""


def _agent(request: Request[Any, Any, Any], actor: Actor) -> str | None:
    return request_of(request, actor, b"null").user_agent


def _pieces(body: bytes, kind: str) -> tuple[list[bytes], bool]:
    """Cut a body into its items, unread; a single object is no list."""
    if kind in NDJSON:
        pieces = [line for line in body.split(b"\n") if line.strip()]
    elif not body.lstrip().startswith(b"["):
        return [body], True
    else:
        try:
            raw = msgspec.json.decode(body, type=list[msgspec.Raw])
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            msg = f"the body is no JSON array: {error}"
            raise MalformedError(msg) from None
        pieces = [bytes(one) for one in raw]
    if len(pieces) > MAX_BATCH:
        msg = f"the body has {len(pieces)} items; at most {MAX_BATCH} are taken"
        raise TooLargeError(msg, extra={"limit": MAX_BATCH})
    return pieces, False


def _answer(items: Sequence[_Item], name: str, *, single: bool) -> Response[bytes]:
    """Answer with what came of each item; a single one's error is the answer."""
    if single:
        only = items[0]
        if isinstance(only, AnnologError):
            raise only
        fresh, thing = only
        return _json(thing, 201 if fresh else 200)
    return _json({"items": [_item(one, name) for one in items]}, 200)


def _item(item: _Item, name: str) -> dict[str, Any]:
    if isinstance(item, AnnologError):
        members = problems.members_of(item)
        return {"status": members["status"], "problem": members}
    fresh, thing = item
    return {"status": 201 if fresh else 200, name: thing}


def _json(value: object, status: int = 200) -> Response[bytes]:
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json"
    )


HANDLERS = (announce, list_exposures, define)
"""All routes of this module."""
