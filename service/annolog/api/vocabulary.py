"""Flags, tags, instruments, policies, aliases and joins over HTTP.

Each is an entry: a PUT says what holds from now on, with a reason, and the history
stays. Nothing is deleted: a tag is archived, an alias led nowhere (`leads_to: null`),
a join revoked, by putting that.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Request, Response, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from annolog.actions import entries as actions
from annolog.actions.desk import Work
from annolog.actions.requests import Request as Asked
from annolog.api.contract import ANY, contract
from annolog.api.problems import invalid
from annolog.api.requests import (
    parse_json,
    read_body,
    request_of,
)
from annolog.domain.entries import (
    Alias,
    AnyEntry,
    Description,
    Entry,
    FlagEntry,
    Policy,
    SameAs,
    TagEntry,
    TagVocabulary,
)
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.instruments import Instrument
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor
from annolog.domain.vocabulary import nearest
from annolog.runtime import Runtime

E = TypeVar("E", bound=BaseModel)

PREFIX = "/annolog/v1"
"""Where the native API lives."""

Reason = Annotated[Description, Field("", description="Why, for the history.")]


def _body(name: str, model: type[BaseModel], *without: str) -> type[BaseModel]:
    """Make the body of a PUT: what the entry says, but what the path says, and why."""
    fields: dict[str, Any] = {
        field: (info.annotation, info)
        for field, info in model.model_fields.items()
        if field not in without
    }
    made: type[BaseModel] = create_model(
        name,
        __config__=ConfigDict(extra="forbid", frozen=True),
        __doc__=model.__doc__,
        __module__=__name__,
        **fields,
        reason=(Reason, ""),
    )
    return made


FlagPut = _body("FlagPut", FlagEntry, "name")
TagPut = _body("TagPut", TagEntry, "name", "instrument")
TagVocabularyPut = _body("TagVocabularyPut", TagVocabulary)
InstrumentPut = _body("InstrumentPut", Instrument, "name")
PolicyPut = _body("PolicyPut", Policy)
AliasPut = _body("AliasPut", Alias)


class SameAsPut(BaseModel):
    """Two targets are one thing, by any of their names; or are not, after all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key_a: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Any name of the one target."
    )
    key_b: Annotated[str, Field(min_length=1, max_length=512)] = Field(
        description="Any name of the other target."
    )
    revoked: bool = Field(default=False, description="They are two things after all.")
    reason: Reason = ""


# ------------------------------------------------------------------ flags


@get(
    PREFIX + "/flags",
    summary="List the flags",
    description="All flags, by name.",
    **contract(gives={200: ANY}),
)
async def list_flags(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("flag"))


@get(
    PREFIX + "/flags/{name:str}",
    summary="Read a flag",
    description="What it means, and what follows from it.",
    **contract(gives={200: ANY}, missing=True),
)
async def read_flag(
    name: FromPath[str], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    return _one(runtime, "flag", name, "flag", runtime.vocabulary.flags)


@put(
    PREFIX + "/flags/{name:str}",
    summary="Define a flag",
    description="A new flag, or another description, colour or shape of a known one: "
    "severity, excludes and asks never change. 201 if it was written, 200 if it said "
    "so already. For curators.",
    **contract(takes=FlagPut, gives={201: ANY, 200: ANY}, conflict=True),
)
async def put_flag(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(FlagPut, body)
    entry = _entry(FlagEntry, {**said, "name": name})
    for index, one in enumerate(entry.instruments or ()):
        runtime.instruments.require(one, f"/instruments/{index}")
    return await _put(runtime, request_of(request, actor, body), entry, reason)


# ------------------------------------------------------------------ tags


@get(
    PREFIX + "/tags",
    summary="List the tags",
    description="Tags for all, with `instrument` its own too; archived ones say so.",
    **contract(gives={200: ANY}),
)
async def list_tags(
    runtime: NamedDependency[Runtime], instrument: FromQuery[str | None] = None
) -> Response[bytes]:
    home = _home(runtime, instrument)
    vocabulary = runtime.vocabulary
    found = (vocabulary.entry("tag", one.key) for one in vocabulary.known_tags(home))
    return _listed(one for one in found if one is not None)


@get(
    PREFIX + "/tags/{name:str}",
    summary="Read a tag",
    description="The instrument's own, else that for all; by an alias, too.",
    **contract(gives={200: ANY}, missing=True),
)
async def read_tag(
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    instrument: FromQuery[str | None] = None,
) -> Response[bytes]:
    home = _home(runtime, instrument)
    vocabulary = runtime.vocabulary
    tag = vocabulary.tag(vocabulary.tag_name(name, home), home)
    key = name if tag is None else tag.key
    known = (one.name for one in vocabulary.known_tags(home))
    return _one(runtime, "tag", key, "tag", known)


@put(
    PREFIX + "/tags/{name:str}",
    summary="Define a tag",
    description="A known word for a condition, for all or for one instrument. "
    "`archived: true` keeps it in history and refuses it in new statements. 201 if it "
    "was written, 200 if it said so already. For curators.",
    **contract(takes=TagPut, gives={201: ANY, 200: ANY}, conflict=True),
)
async def put_tag(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
    instrument: FromQuery[str | None] = None,
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(TagPut, body)
    home = _home(runtime, instrument)
    entry = _entry(TagEntry, {**said, "name": name, "instrument": home})
    return await _put(runtime, request_of(request, actor, body), entry, reason)


@get(
    PREFIX + "/tag-vocabularies",
    summary="List the tag vocabularies",
    description="Which instruments take known tags only; where none is, any is taken.",
    **contract(gives={200: ANY}),
)
async def list_tag_vocabularies(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("tag_vocabulary"))


@put(
    PREFIX + "/tag-vocabularies",
    summary="Open or close a tag vocabulary",
    description="For one instrument, or for all others. For curators.",
    **contract(takes=TagVocabularyPut, gives={201: ANY, 200: ANY}),
)
async def put_tag_vocabulary(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(TagVocabularyPut, body)
    entry = _entry(TagVocabulary, _at_home(runtime, said))
    return await _put(runtime, request_of(request, actor, body), entry, reason)


# ------------------------------------------------------------------ instruments


@get(
    PREFIX + "/instruments",
    summary="List the instruments",
    description="All known instruments, by name.",
    **contract(gives={200: ANY}),
)
async def list_instruments(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("instrument"))


@get(
    PREFIX + "/instruments/{name:str}",
    summary="Read an instrument",
    description="By its name or an alias.",
    **contract(gives={200: ANY}, missing=True),
)
async def read_instrument(
    name: FromPath[str], runtime: NamedDependency[Runtime]
) -> Response[bytes]:
    found = runtime.instruments.find(name)
    key = name if found is None else found.name
    known = runtime.vocabulary.instruments
    return _one(runtime, "instrument", key, "instrument", known)


@put(
    PREFIX + "/instruments/{name:str}",
    summary="Define an instrument",
    description="How its exposures are named, where it stands, what counts as on-sky. "
    "For admins.",
    **contract(takes=InstrumentPut, gives={201: ANY, 200: ANY}, conflict=True),
)
async def put_instrument(
    request: Request[Any, Any, Any],
    name: FromPath[str],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(InstrumentPut, body)
    entry = _entry(Instrument, {**said, "name": name})
    return await _put(runtime, request_of(request, actor, body), entry, reason)


# ------------------------------------------------------------------ policies, aliases


@get(
    PREFIX + "/policies",
    summary="List the policies",
    description="Which of differing votes stands, where not the most severe one.",
    **contract(gives={200: ANY}),
)
async def list_policies(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("policy"))


@put(
    PREFIX + "/policies",
    summary="Choose a policy",
    description="For one instrument, or for all others. States follow in pieces; until "
    "then they are worked out when read. For admins.",
    **contract(takes=PolicyPut, gives={201: ANY, 200: ANY}),
)
async def put_policy(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(PolicyPut, body)
    entry = _entry(Policy, _at_home(runtime, said))
    return await _put(runtime, request_of(request, actor, body), entry, reason)


@get(
    PREFIX + "/aliases",
    summary="List the aliases of people",
    description="Which names lead to which author; ended ones lead to null.",
    **contract(gives={200: ANY}),
)
async def list_aliases(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("alias"))


@put(
    PREFIX + "/aliases",
    summary="Lead a name to an author",
    description="Both have one vote from then on; `leads_to: null` ends it. For "
    "admins.",
    **contract(takes=AliasPut, gives={201: ANY, 200: ANY}, conflict=True),
)
async def put_alias(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said, reason = _said(AliasPut, body)
    return await _put(
        runtime, request_of(request, actor, body), _entry(Alias, said), reason
    )


# ------------------------------------------------------------------ joins


@get(
    PREFIX + "/same-as",
    summary="List joined targets",
    description="Pairs that were said to be one thing; revoked ones say so.",
    **contract(gives={200: ANY}),
)
async def list_same_as(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    return _listed(runtime.vocabulary.entries("same_as"))


@put(
    PREFIX + "/same-as",
    summary="Join two targets, or part them",
    description="They are shown as one from then on, under the lesser key; "
    "`revoked: true` parts them again. For curators.",
    **contract(takes=SameAsPut, gives={201: ANY, 200: ANY}),
)
async def put_same_as(
    request: Request[Any, Any, Any],
    runtime: NamedDependency[Runtime],
    actor: NamedDependency[Actor],
) -> Response[bytes]:
    body = await read_body(request)
    said = parse_json(SameAsPut, body)
    keys = []
    for pointer, name in (("/key_a", said.key_a), ("/key_b", said.key_b)):
        found = await runtime.resolver.resolve([name], runtime.instruments)
        for problem in found.problems:
            raise InvalidError.at(pointer, name, problem.reason, problem.code)
        await runtime.resolver.ensure(found, runtime.instruments)
        keys += found.keys
    fields = {"key_a": keys[0], "key_b": keys[1], "revoked": said.revoked}
    entry = _entry(SameAs, fields)
    return await _put(
        runtime,
        request_of(request, actor, body),
        entry,
        said.reason,
        frozenset(keys),
    )


# ------------------------------------------------------------------ shared ways


def _said(model: type[BaseModel], body: bytes) -> tuple[dict[str, Any], str]:
    """Read what an entry should say, and why."""
    said = parse_json(model, body).model_dump(mode="python", exclude_unset=True)
    reason = said.pop("reason", "")
    return said, reason


def _entry(model: type[E], said: Mapping[str, Any]) -> E:
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise invalid(error) from None


def _home(runtime: Runtime, instrument: str | None) -> str | None:
    if instrument is None:
        return None
    return runtime.instruments.require(instrument, "?instrument").name


def _at_home(runtime: Runtime, said: dict[str, Any]) -> dict[str, Any]:
    if said.get("instrument") is not None:
        home = runtime.instruments.require(said["instrument"], "/instrument")
        said["instrument"] = home.name
    return said


async def _put(
    runtime: Runtime,
    asked: Asked,
    entry: AnyEntry | Instrument,
    reason: str,
    keys: frozenset[str] = frozenset(),
) -> Response[bytes]:
    decide = actions.put(asked, entry, reason)
    done = await runtime.lane.submit(Work(decide, Wants(keys=keys)))
    shown = {**done.fields, "record_id": done.record_id}
    return _json(shown, 201 if done.created else 200)


def _listed(found: Iterable[Entry]) -> Response[bytes]:
    return _json({"items": [_shown(one) for one in found]})


def _one(
    runtime: Runtime, kind: str, key: str, word: str, known: Iterable[str]
) -> Response[bytes]:
    found = runtime.vocabulary.entry(kind, key)
    if found is None:
        names = sorted(known)
        near = nearest(key, names)
        hint = f"did you mean {' or '.join(near)}?" if near else "see the list"
        raise NotFoundError(
            f"there is no {word} {key[:64]!r}; {hint}",
            code=f"unknown_{kind}",
            extra={"nearest": list(near)},
        )
    return _json(_shown(found))


def _shown(entry: Entry) -> dict[str, Any]:
    return {
        **entry.fields,
        "record_id": entry.record_id,
        "number": entry.number,
    }


def _json(value: object, status: int = 200) -> Response[bytes]:
    return Response(
        msgspec.json.encode(value, order="deterministic"),
        status_code=status,
        media_type="application/json",
    )


HANDLERS = (
    list_flags,
    read_flag,
    put_flag,
    list_tags,
    read_tag,
    put_tag,
    list_tag_vocabularies,
    put_tag_vocabulary,
    list_instruments,
    read_instrument,
    put_instrument,
    list_policies,
    put_policy,
    list_aliases,
    put_alias,
    list_same_as,
    put_same_as,
)
"""All routes of this module."""
