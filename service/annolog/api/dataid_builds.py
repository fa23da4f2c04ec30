"""Recipes over HTTP: build, why a row is in, drift, and what leads to now."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from pydantic import Field

from annolog.actions import dataid_builds, dataid_uploads
from annolog.actions import dataids as actions
from annolog.actions.dataid_builds import Outcome
from annolog.actions.dataids import Proposal, Reason
from annolog.api import dataid_views as shown
from annolog.api.contract import ANY, contract
from annolog.api.dataid_finding import (
    PREFIX,
    Asks,
    asked_of,
    find,
    json_answer,
    table_of,
)
from annolog.api.dataid_uploads import publish
from annolog.api.dataid_views import Version
from annolog.api.parameters import read_query
from annolog.api.requests import BATCH_BYTES, json_body
from annolog.domain import dataids
from annolog.domain.annotations import Part
from annolog.domain.dataid_builds import Exempt, Why
from annolog.domain.dataid_recipes import Recipe, names_in, settle
from annolog.domain.dataid_words import check_flags, check_tags
from annolog.domain.dataids import DataIdTable
from annolog.domain.errors import ConflictError, InvalidError
from annolog.domain.roles import Actor
from annolog.domain.setrecords import member_key, set_name
from annolog.runtime import Runtime
from annolog.storage import dataid_redactions
from annolog.storage import dataids as stored
from annolog.storage.database import reading, snapshot
from annolog.storage.large import worked_out

MAX_REDACTIONS = 100
"""Redactions that an answer lists."""

MAX_SINCE = 1_000
"""Statements that an answer about drift lists."""


class BuildDraft(Part):
    """A recipe, and why a version is made of it."""

    recipe: Recipe | None = Field(
        None, description="The recipe; null: that of the newest version."
    )
    reason: Reason = Field("", description="Why this version is made.")


class BuildQuery(Asks):
    """What shall become of what a recipe gives."""

    dry_run: bool = Field(
        default=False, description="Only tell what the version would add and drop."
    )
    as_of: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Change number of this site; without it now."
    )
    parent: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="The version that you take for the newest (0: none); if another "
        "one is, nothing is written (412).",
    )


class AsOfQuery(Asks):
    """As of when a recipe is built."""

    as_of: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Change number of this site; without it now."
    )


class DiffQuery(Asks):
    """What a version is compared with."""

    to: str = Field(
        "newest",
        description="A version, as a number, number-DIGEST, a label or `newest`, or "
        "one of another set as `NAME@3`; or `now`: what its recipe gives now.",
    )


@post(
    PREFIX + "/{name:str}/build",
    summary="Build a version of a data-ID set",
    description="From a recipe, or from that of the newest version, as of now or of a "
    "change. The answer says what changes, which rows were left out and why, and which "
    "rows to keep or drop a flag contradicts; `notes` has tags that no statement has. "
    "201; 200 where nothing is written: the newest version says the same, or it is a "
    "dry run.",
    status_code=201,
    **contract(
        takes=BuildDraft,
        asks=BuildQuery,
        gives={201: ANY, 200: ANY},
        missing=True,
        conflict=True,
        conditional=True,
    ),
)
async def build(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    """Build a version."""
    query = read_query(request, BuildQuery)
    draft = await json_body(request, BuildDraft, BATCH_BYTES)
    own = set_name(name)
    recipe = await _recipe(runtime, own, draft)
    async with snapshot(runtime.reads) as conn:
        unsaid = await dataid_builds.unsaid_tags(conn, recipe, runtime.vocabulary)
        if draft.recipe is not None:
            check_tags(unsaid)
        outcome = await dataid_builds.build(conn, recipe, query.as_of)
    table = outcome.built.table
    content = await worked_out(len(table.rows), actions.content_of, table)
    proposal = Proposal(
        own, content, draft.reason, recipe.as_json(), outcome.as_of, query.parent
    )
    asked = asked_of(request, actor, draft.model_dump(mode="json"))
    notes = [one.told for one in unsaid]
    said = {"as_of": outcome.as_of, "notes": notes, **_about(outcome)}
    return await publish(runtime, asked, proposal, said, dry_run=query.dry_run)


async def _recipe(runtime: Runtime, name: str, draft: BuildDraft) -> Recipe:
    """Give the recipe to build: as sent, with primary keys, or the newest version's."""
    if draft.recipe is None:
        return _recipe_of(await find(runtime, name, "newest"))
    check_flags(draft.recipe, runtime.vocabulary)
    names = names_in(draft.recipe, runtime.instruments)
    known = await dataid_uploads.looked_up(runtime.resolver, names, runtime.instruments)
    size = sum(len(part.rows or ()) for part in draft.recipe.parts)
    return await worked_out(size, settle, draft.recipe, runtime.instruments, known)


def _recipe_of(version: Version) -> Recipe:
    if version.recipe is None:
        msg = f"{version.key} was uploaded: it has no recipe"
        raise ConflictError(msg, code="no_recipe")
    return Recipe.model_validate(version.recipe)


@get(
    PREFIX + "/{name:str}/versions/{version:str}/why",
    summary="Why rows are in a version of a data-ID set",
    description="Each row with the parts of the recipe that gave it, the flag, tags, "
    "statements and targets behind it; and what was left out. The recipe is built "
    "again, as of the change of then; `agrees` says that it gave the same rows (words "
    "that were taken out of the version do not count). `redactions` are those of the "
    "version, of versions that it was made of and of the statements behind its rows: "
    "where there are any, they may be why it does not agree, or has another digest.",
    **contract(gives={200: ANY}, missing=True, conflict=True),
)
async def show_why(
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with the reasons of each row."""
    found = await find(runtime, set_name(name), version)
    outcome = await _again(runtime, found)
    table = outcome.built.table
    items = [
        {
            "data_id": data_id,
            "why": [_why(one) for one in outcome.built.whys[row.data_id]],
        }
        for data_id, row in zip(table.data_ids(), table.rows, strict=True)
    ]
    digest = await worked_out(len(table.rows), dataids.digest, table)
    agrees = digest.hex() == found.digest
    if not agrees and found.row.rows_redacted_by is not None:
        old = await table_of(runtime, found)
        async with reading(runtime.reads) as conn:
            agrees = not await dataid_builds.told_apart(conn, found.list_id, old, table)
    return json_answer(
        {
            "key": found.key,
            "as_of": outcome.as_of,
            "agrees": agrees,
            "digest": digest.hex(),
            "redactions": await _redactions(runtime, found, outcome),
            "items": items,
            **_about(outcome),
        }
    )


@get(
    PREFIX + "/{name:str}/versions/{version:str}/drift",
    summary="How far a version of a data-ID set has drifted",
    description="What its recipe would give now, or as of a change, beside its own "
    "rows; and what was said since about the rows that differ.",
    **contract(asks=AsOfQuery, gives={200: ANY}, missing=True, conflict=True),
)
async def show_drift(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with a version's drift."""
    asked = read_query(request, AsOfQuery)
    found = await find(runtime, set_name(name), version)
    old = await table_of(runtime, found)
    async with snapshot(runtime.reads) as conn:
        outcome = await dataid_builds.build(conn, _recipe_of(found), asked.as_of)
        new = outcome.built.table
        changes = await dataid_builds.told_apart(conn, found.list_id, old, new)
    moved = [one.data_id for one in (*changes.added, *changes.dropped)]
    moved += [one.data_id for one in changes.changed]
    whys = [why for many in outcome.built.whys.values() for why in many]
    if changes.dropped and _is_here(runtime, found):
        before = await _again(runtime, found)
        whys += [why for many in before.built.whys.values() for why in many]
    keys = {member_key(one) for one in moved}
    if moved:
        keys.update(key for why in whys for key in why.inherited_from)
    async with reading(runtime.reads) as conn:
        since = await stored.spoken_since(conn, sorted(keys), found.since, MAX_SINCE)
    return json_answer(
        {
            "key": found.key,
            "label": found.label,
            "as_of": outcome.as_of,
            "since": found.since,
            "redactions": await _redactions(runtime, found, outcome),
            **shown.difference(changes),
            "statements": [one._asdict() for one in since],
            **_about(outcome),
        }
    )


@get(
    PREFIX + "/{name:str}/versions/{version:str}/diff",
    summary="Compare a version of a data-ID set",
    description="What leads from it to another version, of this set or of another one "
    "with rows of such a kind, or to what its recipe gives now.",
    **contract(asks=DiffQuery, gives={200: ANY}, missing=True, conflict=True),
)
async def show_diff(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    version: FromPath[str],
    runtime: NamedDependency[Runtime],
) -> Response[bytes]:
    """Answer with what leads from a version to another."""
    asked = read_query(request, DiffQuery)
    own = set_name(name)
    found = await find(runtime, own, version)
    old = await table_of(runtime, found)
    as_of: int | None = None
    if asked.to == "now":
        async with snapshot(runtime.reads) as conn:
            outcome = await dataid_builds.build(conn, _recipe_of(found), None)
            new = outcome.built.table
            changes = await dataid_builds.told_apart(conn, found.list_id, old, new)
        key, as_of = "now", outcome.as_of
    else:
        there, _, wanted = asked.to.removeprefix("set:").rpartition("@")
        other = await find(runtime, set_name(there) if there else own, wanted)
        new, key = await table_of(runtime, other), other.key
        _check_comparable(found, old, other, new)
        changes = await worked_out(len(new.rows), dataids.difference, old, new)
    return json_answer(
        {"from": found.key, "to": key, "as_of": as_of, **shown.difference(changes)}
    )


# ------------------------------------------------------------------ inner works


async def _again(runtime: Runtime, version: Version) -> Outcome:
    """Build a version again as of its own change."""
    recipe = _recipe_of(version)
    if not _is_here(runtime, version):
        msg = (
            f"{version.key} was built at {version.site_id}, by the numbers of its log: "
            "ask there"
        )
        raise ConflictError(msg, code="built_elsewhere")
    async with snapshot(runtime.reads) as conn:
        return await dataid_builds.build(conn, recipe, version.as_of)


async def _redactions(
    runtime: Runtime, version: Version, outcome: Outcome
) -> list[UUID]:
    """List redactions that may be why a recipe does not give what it gave."""
    whys = [why for many in outcome.built.whys.values() for why in many]
    annotations = {UUID(one) for why in whys for one in why.annotations}
    async with reading(runtime.reads) as conn:
        return await dataid_redactions.redactions_behind(
            conn,
            [version.record_id, version.list_id, *outcome.lists],
            sorted(annotations),
            MAX_REDACTIONS,
        )


def _check_comparable(
    found: Version, old: DataIdTable, other: Version, new: DataIdTable
) -> None:
    """Refuse to compare tables of things that have nothing to do with each other.

    Exposures may be compared with detectors of exposures, as within a set.
    """
    mine, theirs = set(old.dimensions), set(new.dimensions)
    if not mine or not theirs or mine <= theirs or theirs <= mine:
        return
    reason = (
        f"{found.key} has rows of {', '.join(old.dimensions)}, {other.key} of "
        f"{', '.join(new.dimensions)}: these cannot be compared"
    )
    raise InvalidError.at("?to", other.key, reason, "other_dimensions")


def _is_here(runtime: Runtime, version: Version) -> bool:
    return version.site_id == runtime.site.site_id


def _why(one: Why) -> dict[str, Any]:
    return {
        "part": one.part,
        "flag": one.flag,
        "tags": one.tags,
        "comments": one.comments,
        "annotations": one.annotations,
        "inherited_from": one.inherited_from,
        "reason": one.reason,
    }


def _about(outcome: Outcome) -> dict[str, Any]:
    """Say what a build left out, and which exceptions are contradicted or idle."""
    return {
        "left_out": [
            {
                "data_id": one.data_id,
                "part": one.part,
                "reason": one.reason,
                "why": [_why(why) for why in one.whys],
            }
            for one in outcome.built.left_out[: shown.MAX_LISTED]
        ],
        "contradictions": [_exempt(one) for one in outcome.contradicted],
        "idle": [_exempt(one) for one in outcome.built.idle],
    }


def _exempt(one: Exempt) -> dict[str, Any]:
    return {
        "action": one.action,
        "data_id": one.data_id,
        "reason": one.reason,
        "flag": one.flag,
    }


HANDLERS = (build, show_why, show_drift, show_diff)
"""All routes of this module."""
