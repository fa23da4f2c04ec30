"""What exposurelog's API shows: its message, declared once.

`Message` says which fields there are, in which order, and what they mean. Answers are
written with its fields, `order_by` takes their names, and the contract shows it.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import BaseModel, Field, WithJsonSchema

from annolog.domain.entries import ExposureFlag
from annolog.exposurelog.flags import UNKNOWN, ShownFlags

TaiMoment = Annotated[
    datetime,
    WithJsonSchema({"type": "string", "examples": ["2026-11-19T03:12:37.123456"]}),
]
"""A moment in TAI. To OpenAPI it is any text: its `date-time` has a zone."""


class Message(BaseModel):
    """A message of exposurelog's API: what somebody said about one exposure."""

    id: UUID = Field(description="The message's name.")
    site_id: str = Field(description="Site at which it was added.")
    obs_id: str = Field(description="Observation ID of the exposure.")
    instrument: str = Field(description="Short name of the instrument, e.g. LSSTCam.")
    day_obs: int | None = Field(
        description="Night of the exposure as YYYYMMDD; null while nobody knows it."
    )
    seq_num: int | None = Field(
        description="Number of the exposure in its night; null while nobody knows it."
    )
    message_text: str = Field(description="What was said.")
    level: int = Field(description="Python logging level: 20 info, 30 warning, ...")
    tags: list[str] = Field(description="Words that can be searched for.")
    urls: list[str] = Field(description="Links to issues, pictures and so on.")
    user_id: str = Field(description="Who said it.")
    user_agent: str = Field(description="The program that sent it; may be empty.")
    is_human: bool = Field(description="Whether a person said it.")
    is_valid: bool = Field(description="False once it was edited or deleted.")
    exposure_flag: ExposureFlag = Field(
        description="Whether the exposure may have a problem."
    )
    date_added: TaiMoment = Field(
        description="When it was added: TAI, ISO 8601 without a zone."
    )
    date_invalidated: TaiMoment | None = Field(
        description="When it was edited or deleted (TAI); null while it is valid."
    )
    parent_id: UUID | None = Field(
        description="The message that it is an edited version of; null for none."
    )


FIELDS = tuple(Message.model_fields)
"""Names of a message's fields, in the order of answers."""


Row = Iterable[Any]
"""A message as the database gives it: `turn_messages.shown`, then the body."""


class _Said(msgspec.Struct, gc=False):
    """What of a body is shown; most of it as the JSON that it is."""

    text: msgspec.Raw
    level: int
    tags: msgspec.Raw
    urls: msgspec.Raw
    author: msgspec.Raw
    author_kind: str
    flag: str | None = None
    user_agent: str | None = None


_read = msgspec.json.Decoder(_Said).decode
_encoder = msgspec.json.Encoder()
_Shown = msgspec.defstruct("_Shown", FIELDS, gc=False)


def as_json(row: Row, flags: ShownFlags) -> bytes:
    """Write a message as exposurelog's clients read it.

    Parameters
    ----------
    row
        The message.
    flags
        What flags are shown as.
    """
    return list_as_json([row], flags)[1:-1]


def list_as_json(rows: Iterable[Row], flags: ShownFlags) -> bytes:
    """Write messages as a JSON array.

    Parameters
    ----------
    rows
        The messages, in the order of the answer.
    flags
        What flags are shown as.
    """
    # No call of ours for each: a page has a hundred of them, a night a thousand.
    shown_as = flags.values.get
    found = []
    for (
        message_id,
        site_id,
        obs_id,
        instrument,
        day_obs,
        seq_num,
        date_added,
        date_invalidated,
        parent_id,
        body,
    ) in rows:
        said = _read(body)
        found.append(
            _Shown(
                message_id,
                site_id,
                obs_id,
                instrument,
                day_obs,
                seq_num,
                said.text,
                said.level,
                said.tags,
                said.urls,
                said.author,
                said.user_agent or "",
                said.author_kind == "human",
                date_invalidated is None,
                shown_as(said.flag, UNKNOWN),
                _moment(date_added),
                None if date_invalidated is None else _moment(date_invalidated),
                parent_id,
            )
        )
    return _encoder.encode(found)


def _moment(written: str) -> str:
    """Write a moment as `tai.format` does, from what the server writes.

    That has a blank for the `T`, and leaves zeros at the end out.
    """
    if len(written) != _ALL_DIGITS:  # it is a full second, or ends with zeros
        second, dot, rest = written.partition(".")
        written = f"{second}.{rest:0<6}" if dot else second
    return f"{written[:10]}T{written[11:]}"


_ALL_DIGITS = len("2026-11-19 03:12:37.123456")
