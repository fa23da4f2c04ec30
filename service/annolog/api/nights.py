"""Nights over HTTP: summary, gaps, and who looked at what.

What depends on the present moment is computed when read: open gaps, ends that nobody
reported. Each answer is made of one snapshot, so its numbers agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from annolog.actions import coverage as actions
from annolog.actions.coverage import CheckedDraft
from annolog.actions.desk import Work
from annolog.api import formats
from annolog.api.contract import ANY, contract
from annolog.api.parameters import read_query
from annolog.api.requests import (
    parse_json,
    read_body,
    request_of,
)
from annolog.domain import tags, times
from annolog.domain.errors import NotFoundError
from annolog.domain.gaps import TimeLost
from annolog.domain.instruments import Instrument
from annolog.domain.nights import NightEdges
from annolog.domain.nightviews import (
    ExposureFilter,
    GapStatement,
    GapView,
    Listed,
    NightFilter,
    counts_of,
    gaps_of,
)
from annolog.domain.roles import Actor
from annolog.domain.targets import NightTarget
from annolog.runtime import Runtime
from annolog.storage import exposures, nights
from annolog.storage.database import Connection, reading, snapshot
from annolog.storage.lists import AnnotationRow
from annolog.storage.nights import Mark


@get(
    "/annolog/v1/exposures/gaps",
    summary="List the gaps of a night",
    description="The times of a night without on-sky exposures, between its edges "
    "(sun at -12 degrees): for each its key, the exposures inside, the annotations "
    "that overlap it, and where its time went. The open one has no end.",
    **contract(asks=NightFilter, gives={200: ANY}),
)
async def list_gaps(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a night's gaps."""
    asked = read_query(request, NightFilter)
    home = runtime.instruments.require(asked.instrument, "?instrument")
    async with snapshot(runtime.reads) as connection:
        night = await _read(connection, runtime, home, asked.day_obs)
    found = gaps_of(
        home, asked.day_obs, night.listed, night.statements, runtime.clock()
    )
    return _json(
        {
            "instrument": home.name,
            "day_obs": asked.day_obs,
            "edges": _edges(found.edges),
            "gap_minimum": home.gap_minimum,
            "gaps": [_gap(one, night.annotations) for one in found.gaps],
            "elsewhere": _annotations(found.elsewhere, night.annotations),
            "time_lost": _lost(found.lost),
        }
    )


@get(
    "/annolog/v1/nights/{day_obs:int}",
    summary="Sum up a night",
    description="What the exposures of a night amount to, by state, effective flag, "
    "tag and type; what nobody looked at; disputes and requests; gaps and time lost by "
    "cause; the notes on the night; who checked what. All counts are exact.",
    **contract(asks=NightFilter, gives={200: ANY}),
)
async def show_night(
    request: Request[Any, Any, Any],
    day_obs: FromPath[int],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a night's summary."""
    asked = read_query(request, NightFilter, day_obs=day_obs)
    home = runtime.instruments.require(asked.instrument, "?instrument")
    parts = (home.name, *home.night_parts)
    keys = [NightTarget(part, day_obs).key for part in parts]
    async with snapshot(runtime.reads) as connection:
        night = await _read(connection, runtime, home, day_obs)
        notes = await nights.on_targets(connection, keys)
        others = await nights.others(connection, home.name, day_obs)
        marks = await nights.marks(connection, home.name, day_obs)
        number = await nights.head(connection)
    now = runtime.clock()
    found = gaps_of(home, day_obs, night.listed, night.statements, now)
    return _json(
        {
            "instrument": home.name,
            "day_obs": day_obs,
            "key": keys[0],
            "number": number,
            "edges": _edges(found.edges),
            "exposures": asdict(counts_of(night.listed, now)),
            "others": [asdict(one) for one in others],
            "gaps": [_gap(one, night.annotations) for one in found.gaps],
            "elsewhere": _annotations(found.elsewhere, night.annotations),
            "time_lost": _lost(found.lost),
            "notes": [_annotation(one) for one in notes],
            "checked": [_mark(one) for one in marks if not one.revoked],
        }
    )


# ---------------------------------------------------------------- coverage


@post(
    "/annolog/v1/checked",
    summary="Mark a night as checked",
    description="Say that you looked at a night or a range of it, for some tags or for "
    "all: it is neither vote nor flag. 201; 200 if you have said so already.",
    status_code=201,
    **contract(takes=CheckedDraft, gives={201: ANY, 200: ANY}),
)
async def mark(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take a mark."""
    body = await read_body(request)
    draft = parse_json(CheckedDraft, body)
    home = runtime.instruments.require(draft.instrument, "/instrument").name
    words = sorted(tags.accept_tags(draft.tags, runtime.vocabulary, [home]))
    asked = request_of(request, actor, body)
    decide = actions.check(asked, draft, home, words)
    async with reading(runtime.reads) as connection:
        for one in await nights.marks(connection, home, draft.day_obs):
            if actions.is_same_mark(one, asked, draft, words):
                return _json(_mark(one), 200)
    done = await runtime.lane.submit(Work(decide))
    async with reading(runtime.reads) as connection:
        made = await nights.mark(connection, done)
    return _json(_mark(_found(made, done)), 201)


@get(
    "/annolog/v1/checked",
    summary="List what was checked",
    description="Who looked at which part of a night, oldest first, marks that were "
    "taken back too.",
    **contract(asks=NightFilter, gives={200: ANY}),
)
async def list_marks(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with a night's marks."""
    asked = read_query(request, NightFilter)
    home = runtime.instruments.require(asked.instrument, "?instrument").name
    async with reading(runtime.reads) as connection:
        found = await nights.marks(connection, home, asked.day_obs)
    return _json({"items": [_mark(one) for one in found], "next": None})


@post(
    "/annolog/v1/checked/{record_id:uuid}/revoke",
    summary="Take a mark back",
    description="By whoever made it, or a curator. 200 also if it was taken back "
    "before.",
    status_code=200,
    **contract(gives={200: ANY}, missing=True),
)
async def revoke(
    request: Request[Any, Any, Any],
    record_id: FromPath[UUID],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Take a mark back."""
    async with reading(runtime.reads) as connection:
        known = _found(await nights.mark(connection, record_id), record_id)
    decide = actions.revoke(request_of(request, actor, b"null"), known)
    if not known.revoked:
        await runtime.lane.submit(Work(decide))
        async with reading(runtime.reads) as connection:
            known = _found(await nights.mark(connection, record_id), record_id)
    return _json(_mark(known))


def _found(known: Mark | None, record_id: UUID) -> Mark:
    if known is None:
        msg = f"there is no mark {record_id}"
        raise NotFoundError(msg)
    return known


# ---------------------------------------------------------------- what is read


@dataclass(frozen=True, slots=True)
class _Night:
    """What gaps and counts are made of."""

    listed: Sequence[Listed]
    statements: Sequence[GapStatement]
    annotations: Mapping[UUID, AnnotationRow]


async def _read(
    connection: Connection, runtime: Runtime, home: Instrument, day_obs: int
) -> _Night:
    listed, _ = await exposures.of_night(
        connection,
        ExposureFilter(instrument=home.name, day_obs=day_obs),
        runtime.instruments,
        runtime.vocabulary.asking,
    )
    statements, rows = await nights.on_gaps(connection, home.name, day_obs)
    return _Night(listed, statements, rows)


# ---------------------------------------------------------------- what is shown


def _gap(view: GapView, rows: Mapping[UUID, AnnotationRow]) -> dict[str, Any]:
    gap, after = view.gap, view.gap.target.exposure
    return {
        "key": gap.target.key,
        "begin": times.format(gap.begin),
        "end": None if gap.end is None else times.format(gap.end),
        "open": gap.end is None,
        "after": None if after is None else after.key,
        "inside": list(gap.inside),
        "annotations": _annotations(view.annotations, rows),
        "time_lost": _lost(view.lost),
    }


def _annotations(
    ids: Sequence[UUID], rows: Mapping[UUID, AnnotationRow]
) -> list[msgspec.Raw]:
    return [_annotation(rows[one]) for one in ids]


def _annotation(row: AnnotationRow) -> msgspec.Raw:
    return msgspec.Raw(formats.annotation_json(row))


def _lost(lost: TimeLost) -> dict[str, Any]:
    return {
        "by_cause": dict(lost.by_cause),
        "unexplained": lost.unexplained,
        "total": lost.total,
    }


def _edges(edges: NightEdges | None) -> dict[str, str] | None:
    if edges is None:
        return None
    return {
        "evening": times.format(edges.evening),
        "morning": times.format(edges.morning),
    }


def _mark(one: Mark) -> dict[str, Any]:
    return asdict(one)


def _json(value: object, status: int = 200) -> Response[bytes]:
    return Response(
        msgspec.json.encode(value), status_code=status, media_type="application/json"
    )


HANDLERS = (list_gaps, show_night, mark, list_marks, revoke)
"""All routes of this module."""
