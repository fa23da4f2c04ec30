"""What clients of exposurelog send to say or change something.

They send numbers and booleans as strings, one string for a list, and back all that
they were shown: what is not known here is passed over, and null means "not given".
"""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from annolog.domain.annotations import (
    MAX_TAGS,
    MAX_TEXT_BYTES,
    MAX_URL_CHARACTERS,
    MAX_URLS,
)
from annolog.domain.entries import ExposureFlag
from annolog.domain.roles import MAX_USER_CHARACTERS
from annolog.exposurelog.problems import fault_at, refused

MAX_OBS_ID_CHARACTERS = 256
"""Characters of an obs_id or of an instrument's name."""

MAX_AGENT_CHARACTERS = 1_024
"""Characters of a program's name for itself; browsers tell long stories."""

MAX_TAG_CHARACTERS = 128
"""Characters of one tag."""

MAX_LEVEL = 2**31 - 1
"""The greatest level, and the least one below zero: a signed 32-bit column."""

_CONTROL = re.compile(r"[\x00-\x1f]")

_M = TypeVar("_M", bound=BaseModel)


def _storable(text: str) -> str:
    # What PostgreSQL cannot hold; a lone surrogate never comes this far.
    if "\x00" in text:
        msg = "contains the character NUL (U+0000); leave it out"
        raise ValueError(msg)
    return text


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        msg = "contains control characters; write one line of plain text"
        raise ValueError(msg)
    return text


def _short(text: str) -> str:
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        msg = f"has {size} bytes of UTF-8; at most {MAX_TEXT_BYTES} are taken"
        raise ValueError(msg)
    return _storable(text)


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(_short)]
"""A message's text: any, up to 64 KiB of UTF-8."""
User = Annotated[str, Field(max_length=MAX_USER_CHARACTERS), AfterValidator(_one_line)]
"""A user's name: one line of any characters."""
Agent = Annotated[
    str, Field(max_length=MAX_AGENT_CHARACTERS), AfterValidator(_one_line)
]
"""A program's name for itself."""
Name = Annotated[
    str, Field(max_length=MAX_OBS_ID_CHARACTERS), AfterValidator(_storable)
]
"""An obs_id or an instrument's name: looked for, whatever it is."""
Level = Annotated[int, Field(ge=-MAX_LEVEL - 1, le=MAX_LEVEL)]
"""A level of Python's logging, or any other number."""
Tags = Annotated[
    list[Annotated[str, Field(max_length=MAX_TAG_CHARACTERS)]],
    BeforeValidator(_listed),
    Field(max_length=MAX_TAGS),
]
"""Tags as sent; their form is judged later."""
Urls = Annotated[
    list[
        Annotated[str, Field(max_length=MAX_URL_CHARACTERS), AfterValidator(_one_line)]
    ],
    BeforeValidator(_listed),
    Field(max_length=MAX_URLS),
]
"""Links as sent: old messages hold all sorts of them, and are sent back whole."""


class _Sent(BaseModel):
    """What all bodies share."""

    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _given(cls, sent: object) -> object:
        if not isinstance(sent, dict) or None not in sent.values():
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class MessageDraft(_Sent):
    """A new message."""

    obs_id: Name = Field(description="Observation ID of the exposure.")
    instrument: Name = Field(description="Short name of the instrument, e.g. LSSTCam.")
    message_text: Text = Field(description="What is said; may be empty.")
    user_id: User = Field(description="Who says it.")
    user_agent: Agent = Field(description="The program that sends it.")
    is_human: bool = Field(description="Whether a person says it.")
    is_new: bool = Field(
        description="Whether the exposure may be too new for the butler. Of no meaning "
        "here: announce exposures that no butler has yet."
    )
    level: Level = Field(
        20, description="Python logging level: 20 info, 30 warning, 40 error, ..."
    )
    tags: Tags = Field(
        [],
        description="Words: an ASCII letter, then letters, digits and underscores. "
        "They are made lower case.",
    )
    urls: Urls = Field([], description="Links to issues, pictures and so on.")
    exposure_flag: ExposureFlag = Field(
        "none",
        description="Whether the exposure may have a problem; none: no opinion.",
    )


class MessagePatch(_Sent):
    """What of a message shall be otherwise; what is not given stays."""

    message_text: Text | None = Field(None, description="What is said.")
    user_id: User | None = Field(None, description="Who says it now.")
    user_agent: Agent | None = Field(None, description="The program that sends it.")
    is_human: bool | None = Field(None, description="Whether a person says it.")
    level: Level | None = Field(None, description="Python logging level.")
    tags: Tags | None = Field(None, description="Tags; they replace those that it has.")
    urls: Urls | None = Field(
        None, description="Links; they replace those that it has."
    )
    exposure_flag: ExposureFlag | None = Field(
        None, description="Whether the exposure may have a problem; none: no opinion."
    )


def parsed(model: type[_M], body: bytes) -> tuple[_M, Any]:
    """Read a body, whatever its content type says.

    Parameters
    ----------
    model
        What it should be.
    body
        JSON in UTF-8; nothing at all is an object without members.

    Returns
    -------
    tuple
        The model's instance, and the JSON as sent.

    Raises
    ------
    RefusedError
        It is no JSON, or not what the model wants.
    """
    try:
        sent = msgspec.json.decode(body) if body else {}
    except (msgspec.DecodeError, RecursionError) as error:
        words = f"The body is not JSON in UTF-8: {error}"
        raise fault_at(("body",), words, "json_invalid") from None
    try:
        return model.model_validate({} if sent is None else sent), sent
    except ValidationError as error:
        raise refused(error, "body") from None
