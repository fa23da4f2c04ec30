"""One target over HTTP: what holds, what was said and when, what it inherits."""

from typing import Annotated, Any, Self

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from pydantic import Field, model_validator

from annolog.actions import preview
from annolog.actions.preview import Pasted
from annolog.api import (
    target_history,
    target_inherited,
    target_moments,
    target_preview,
    target_views,
)
from annolog.api.contract import ANY, contract
from annolog.api.requests import json_body
from annolog.domain.annotations import (
    MAX_TARGETS,
    Ids,
    Name,
    Part,
    Query,
    QueryTargets,
    SeqNums,
    Targets,
    Word,
)
from annolog.domain.pasted import MAX_PASTED_CHARACTERS
from annolog.domain.roles import Actor
from annolog.runtime import Runtime
from annolog.storage import entries
from annolog.storage.database import snapshot

PREFIX = "/annolog/v1"
"""Where the native API lives."""


class ResolveDraft(Part):
    """What should be resolved, in one of five ways.

    `names`; or `text`; or `instrument`, `day_obs` and `seq_nums`; or `instrument` and
    `ids`; or `query`. `instrument` also says whose bare numbers are in names and text,
    and `day_obs` whose bare ranges are in a text.
    """

    names: Annotated[list[Name], Field(max_length=MAX_TARGETS)] | None = Field(
        None, description="Names of targets, as a create takes them."
    )
    text: Annotated[str, Field(max_length=MAX_PASTED_CHARACTERS)] | None = Field(
        None, description="A pasted list: ids, names, ranges, a table with a header."
    )
    instrument: Word | None = Field(None, description="Instrument, as LSSTCam.")
    day_obs: int | None = Field(
        None, ge=19_000_101, le=29_991_231, description="Night as YYYYMMDD."
    )
    seq_nums: Annotated[str, Field(max_length=100_000)] | None = Field(
        None, description='Closed ranges, as "100-140,150".'
    )
    ids: (
        Annotated[
            list[Annotated[int, Field(ge=0, lt=2**63)]],
            Field(min_length=1, max_length=MAX_TARGETS),
        ]
        | None
    ) = Field(None, description="Exposure ids of the instrument.")
    query: Query | None = Field(None, description="What must hold for the targets.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("names", "text", "seq_nums", "ids", "query")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            msg = f"give one of {', '.join(ways)}; here are {len(given)}"
            raise ValueError(msg)
        needs = {"seq_nums": ("instrument", "day_obs"), "ids": ("instrument",)}
        for name in needs.get(given[0], ()):
            if getattr(self, name) is None:
                msg = f"{given[0]} needs {name} too"
                raise ValueError(msg)
        return self

    @property
    def targets(self) -> Targets:
        """The same as a create would say it; not for `text`."""
        if self.query is not None:
            return QueryTargets(query=self.query)
        if self.ids is not None:
            return Ids(instrument=self.instrument or "", ids=self.ids)
        if self.seq_nums is not None:
            return SeqNums(
                instrument=self.instrument or "",
                day_obs=self.day_obs or 0,
                seq_nums=self.seq_nums,
            )
        return self.names or []

    @property
    def pointer(self) -> str:
        """Where in the body problems stand."""
        return "/names" if self.names is not None else ""


@get(
    PREFIX + "/target",
    summary="What holds for a target",
    description="Effective flag and the votes behind it, tags and who says them, all "
    "annotations, what is known of an exposure, what is inherited, and what the caller "
    "may do. `key` takes any name of the target. `as_of` takes a change number of this "
    "site, or a time, meaning the last change that this site had then.",
    **contract(gives={200: ANY}, missing=True),
)
async def show_target(
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
    key: FromQuery[str],
    as_of: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Answer with all that is known of a target."""
    home = runtime.instruments
    caller = target_views.Caller(actor, runtime.site.site_id, home, runtime.clock())
    wanted = await runtime.resolver.one(key, home, "?key")
    async with snapshot(runtime.reads) as conn:
        moment = await target_moments.moment_of(conn, as_of)
        known = await target_moments.known_at(conn, moment, runtime.lane.known)
        found = await target_moments.find(conn, wanted, moment, known, home)
        await target_moments.require_known(conn, found, home)
        answer = await target_views.target_shown(conn, found, moment, known, caller)
    return Response(
        target_views.worded(answer),
        media_type="application/json",
        headers={"ETag": f'"{answer["number"]}"'},
    )


@get(
    PREFIX + "/target/inherited",
    summary="What is said of other targets and holds for this one",
    description="Statements on a visit, a night, an exposure or a detector's record "
    "that reach this target, with the way they came and the worst flag among them. "
    "Shown, never counted as votes.",
    **contract(gives={200: ANY}, missing=True),
)
async def show_inherited(
    runtime: NamedDependency[Runtime],
    key: FromQuery[str],
    as_of: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Answer with what a target inherits."""
    home = runtime.instruments
    wanted = await runtime.resolver.one(key, home, "?key")
    async with snapshot(runtime.reads) as conn:
        moment = await target_moments.moment_of(conn, as_of)
        known = await target_moments.known_at(conn, moment, runtime.lane.known)
        found = await target_moments.find(conn, wanted, moment, known, home)
        await target_moments.require_known(conn, found, home)
        answer = await target_inherited.inherited_shown(
            conn, found, moment, known, home
        )
    return Response(target_views.worded(answer), media_type="application/json")


@get(
    PREFIX + "/target/flag-history",
    summary="How a target's flag came about",
    description="Every vote, edit, retraction, restoring and review of what stands or "
    "stood on the target, every change of policies, flags, aliases or joins that "
    "changed its state, and the effective flag after each; oldest first.",
    **contract(gives={200: ANY}, missing=True),
)
async def show_flag_history(
    runtime: NamedDependency[Runtime],
    key: FromQuery[str],
    limit: Annotated[int, QueryParameter(ge=1, le=1_000)] = 100,
    cursor: FromQuery[str | None] = None,
) -> Response[bytes]:
    """Answer with a page of a target's flag history."""
    home = runtime.instruments
    after = target_history.place_of(cursor)
    wanted = await runtime.resolver.one(key, home, "?key")
    async with snapshot(runtime.reads) as conn:
        moment = await target_moments.moment_of(conn, None)
        known = await target_moments.known_at(conn, moment, runtime.lane.known)
        found = await target_moments.find(conn, wanted, moment, known, home)
        await target_moments.require_known(conn, found, home)
        answer = await target_history.history_shown(conn, wanted, after, limit)
    return Response(
        target_views.worded(answer),
        media_type="application/json",
        headers=target_history.links(
            f"{PREFIX}/target/flag-history", key, limit, answer
        ),
    )


@post(
    PREFIX + "/targets/resolve",
    summary="See what a write would touch",
    description="Names, a pasted text, a range of a night, ids or a query: which "
    "targets these come to, what now holds for them, and what is unknown, ambiguous or "
    "doubled. Nothing is written. Up to 10,000 targets.",
    status_code=200,
    **contract(takes=ResolveDraft, gives={200: ANY}),
)
async def resolve(
    request: Request[Any, Any, Any], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    """Answer with the targets that were meant."""
    draft = await json_body(request, ResolveDraft)
    wanted = await _meant(runtime, draft)
    async with snapshot(runtime.reads) as conn:
        known = await entries.catch_up(conn, runtime.lane.known)
        shown = await preview.look(conn, wanted.found.keys, known)
    answer = target_preview.preview_shown(
        wanted, shown, runtime.site.site_id, _range_of(draft)
    )
    return Response(target_views.worded(answer), media_type="application/json")


def _range_of(draft: ResolveDraft) -> tuple[str, int] | None:
    """Say whose night the holes of a range lie in."""
    if draft.seq_nums is None or draft.instrument is None or draft.day_obs is None:
        return None
    return draft.instrument, draft.day_obs


async def _meant(runtime: Runtime, draft: ResolveDraft) -> Pasted:
    home, resolver = runtime.instruments, runtime.resolver
    if draft.text is not None:
        return await preview.pasted(
            resolver,
            draft.text,
            home,
            default=draft.instrument,
            day_obs=draft.day_obs,
        )
    return Pasted(
        await resolver.resolve(
            draft.targets, home, pointer=draft.pointer, default=draft.instrument
        )
    )


HANDLERS = (show_target, show_inherited, show_flag_history, resolve)
"""All routes of this module."""
