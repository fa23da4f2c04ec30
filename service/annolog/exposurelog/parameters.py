"""Query parameters as exposurelog takes them.

What is not known is passed over; a parameter that takes one value and was given twice
has the last one; numbers and truth come as words in any case.
"""

import re
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

from litestar import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)

from annolog.api import parameters
from annolog.domain import tai
from annolog.domain.entries import ExposureFlag
from annolog.domain.errors import MalformedError
from annolog.exposurelog import problems
from annolog.exposurelog.models import FIELDS, TaiMoment

M = TypeVar("M", bound=BaseModel)

REMEMBERED = 256
"""Questions that are kept as they were read: pages ask theirs every few seconds."""

MOST = 2**63 - 1
"""Greatest number that the database compares with; beyond it nothing changes."""

_TAG = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")


def _text(words: str) -> str:
    if "\x00" in words:
        msg = "no text here has the character NUL (U+0000)"
        raise ValueError(msg)
    return words


def _bounded(number: int) -> int:
    return max(-MOST, min(MOST, number))


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _moment(value: object) -> object:
    return tai.parse(value) if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_text)]
"""Any text that the database can hold."""

Texts = tuple[Text, ...] | None
"""Texts, by repeating the parameter."""

Integer = Annotated[int, AfterValidator(_bounded)]
"""Any integer."""

Moment = Annotated[TaiMoment, BeforeValidator(_moment)]
"""A moment in TAI: ISO 8601 with `T` or a blank, without a zone."""

TriState = Annotated[Literal["either", "true", "false"], BeforeValidator(_lower)]
"""Whether something is so, is not so, or may be either; in any case."""

_UUID = TypeAdapter(UUID)


class MessageQuery(BaseModel):
    """What messages are asked for, in which order, and which of them."""

    model_config = ConfigDict(frozen=True)

    site_ids: Texts = Field(None, description="Sites: any of them.")
    obs_id: Text | None = Field(None, description="The observation ID contains this.")
    instruments: Texts = Field(None, description="Instruments: any of them.")
    min_day_obs: Integer | None = Field(None, description="First night, YYYYMMDD.")
    max_day_obs: Integer | None = Field(
        None, description="Night after the last one; any integer, also 20261132."
    )
    min_seq_num: Integer | None = Field(None, description="Least sequence number.")
    max_seq_num: Integer | None = Field(
        None, description="One more than the greatest sequence number."
    )
    message_text: Text | None = Field(
        None, description="The text contains this; case matters."
    )
    min_level: Integer | None = Field(None, description="Least level.")
    max_level: Integer | None = Field(
        None, description="One more than the greatest level."
    )
    tags: Texts = Field(None, description="Tags: at least one of them is there.")
    urls: Texts = Field(None, description="Links: at least one of them is there.")
    exclude_tags: Texts = Field(None, description="Tags: none of them is there.")
    user_ids: Texts = Field(None, description="Who said it: any of them.")
    user_agents: Texts = Field(None, description="What sent it: any of them.")
    is_human: TriState = Field("either", description="Whether a person said it.")
    is_valid: TriState = Field(
        "true", description="Whether it was neither edited nor deleted."
    )
    exposure_flags: tuple[ExposureFlag, ...] | None = Field(
        None, description="Values of `exposure_flag`: any of them."
    )
    min_date_added: Moment | None = Field(
        None, description="Added then or later; TAI, without a zone."
    )
    max_date_added: Moment | None = Field(
        None, description="Added before; TAI, without a zone."
    )
    has_date_invalidated: bool | None = Field(
        None, description="Whether it was edited or deleted."
    )
    min_date_invalidated: Moment | None = Field(
        None, description="Edited or deleted then or later; TAI, without a zone."
    )
    max_date_invalidated: Moment | None = Field(
        None, description="Edited or deleted before; TAI, without a zone."
    )
    has_parent_id: bool | None = Field(
        None, description="Whether it is an edited version of another message."
    )
    order_by: Texts = Field(
        None,
        description="Fields to sort by, `-` before a name for descending. `id` is "
        "added as the last one unless it is there.",
    )
    offset: Annotated[int, Field(ge=0), AfterValidator(_bounded)] = Field(
        0, description="How many messages to skip."
    )
    limit: Annotated[int, Field(ge=1), AfterValidator(_bounded)] = Field(
        50, description="How many messages to give at most."
    )

    @cached_property
    def order(self) -> tuple[tuple[str, bool], ...]:
        """The fields to sort by and whether descending; `id` is among them."""
        ways: dict[str, bool] = {}
        for name in (*(self.order_by or ()), "id"):
            # Once sorted by, a field says no more.
            ways.setdefault(name.removeprefix("-"), name.startswith("-"))
        return tuple(ways.items())


def read_messages(request: Request[Any, Any, Any]) -> MessageQuery:
    """Read which messages a request asks for.

    Parameters
    ----------
    request
        The request.

    Returns
    -------
    MessageQuery
        With tags in lower case.

    Raises
    ------
    RefusedError
        A parameter has a value that it cannot have (422).
    MalformedError
        A tag or a field to sort by is none (400).
    """
    return _messages(request.scope["query_string"])


@lru_cache(maxsize=REMEMBERED)
def _messages(query: bytes) -> MessageQuery:
    asked = _read(query, MessageQuery)
    check_order(asked.order_by or (), FIELDS)
    tags = {
        name: lower_tags(words)
        for name in ("tags", "exclude_tags")
        if (words := getattr(asked, name)) is not None
    }
    return asked.model_copy(update=tags) if tags else asked


def read_query(request: Request[Any, Any, Any], model: type[M]) -> M:
    """Read the query parameters of a request.

    Parameters
    ----------
    request
        The request.
    model
        The model whose fields are the parameters.

    Returns
    -------
    BaseModel
        The model's instance.

    Raises
    ------
    RefusedError
        A parameter has a value that it cannot have, or is missing (422).
    """
    return _read(request.scope["query_string"], model)


def _read(query: bytes, model: type[M]) -> M:
    known = parameters.schemas(model)
    sent: dict[str, list[str]] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in known:
            sent.setdefault(name, []).append(value)
    given = {
        name: tuple(values) if known[name].get("type") == "array" else values[-1]
        for name, values in sent.items()
    }
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise problems.refused(error, "query") from error


def check_order(names: Iterable[str], fields: Iterable[str]) -> None:
    """Check that all fields to sort by are there.

    Parameters
    ----------
    names
        As sent, with or without `-`.
    fields
        What may be sorted by.

    Raises
    ------
    MalformedError
        Some are not (400).
    """
    known = list(fields)
    wrong = sorted({name for name in names if name.removeprefix("-") not in known})
    if wrong:
        raise MalformedError(
            f"order_by cannot be {wrong}; known are {known}, each also with a - before"
        )


def lower_tags(words: Iterable[str]) -> tuple[str, ...]:
    """Give tags as they are stored: in lower case, in their order.

    Parameters
    ----------
    words
        As sent.

    Raises
    ------
    MalformedError
        Some have not the form of a tag (400).
    """
    given = tuple(words)
    wrong = sorted({word for word in given if not _TAG.fullmatch(word)})
    if wrong:
        raise MalformedError(
            f"These are no tags: {wrong}; a tag has two or more ASCII letters, digits "
            "and _, and begins with a letter"
        )
    return tuple(word.lower() for word in given)


def read_id(text: str) -> UUID:
    """Read the id of a message out of a path.

    Parameters
    ----------
    text
        The part of the path.

    Raises
    ------
    RefusedError
        It is no UUID (422).
    """
    try:
        return _UUID.validate_python(text)
    except ValidationError as error:
        raise problems.refused(error, "path", "id") from error
