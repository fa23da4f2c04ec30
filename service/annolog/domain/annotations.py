"""What an author writes, and what annolog makes of it.

Each field is declared here, once. `AnnotationDraft` is the author's part: the body
of a create. `Revision` extends it by what annolog adds: the record, the reply, the
event and the client's object. `AnnotationPatch` and `ReviewDraft` are the other
things that people send about annotations.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from annolog.domain import times

MAX_TARGETS = 10_000
"""Targets that one annotation may name."""
MAX_ORDINALS = 16_384
"""Different targets that one annotation may name over its life (14 bits)."""
MAX_TEXT_BYTES = 65_536
"""UTF-8 bytes of an annotation's text."""
MAX_TAGS = 64
"""Tags of one revision."""
MAX_URLS = 64
"""Links of one revision."""
MAX_URL_CHARACTERS = 2_048
"""Characters of one link."""
MAX_NAME_CHARACTERS = 512
"""Characters of one target name as written (keys: 512 bytes)."""


class Operation(StrEnum):
    """What a revision does to its annotation."""

    CREATE = "create"
    EDIT = "edit"
    RETRACT = "retract"
    RESTORE = "restore"


class Verdict(StrEnum):
    """What a reviewer says: it is so, it is not so, or this request is dealt with."""

    CONFIRM = "confirm"
    REJECT = "reject"
    CLOSED = "closed"


class Cause(StrEnum):
    """Why no exposures were taken."""

    WEATHER = "weather"
    FAULT = "fault"
    CALIBRATION = "calibration"
    IDLE = "idle"
    NETWORK = "network"
    OTHER = "other"


def _plain(text: str) -> str:
    """Refuse what PostgreSQL and most readers cannot hold.

    A NUL ends strings in half of the world's programs, and a lone surrogate has no
    UTF-8 form. All other Unicode is kept as it came.
    """
    if "\x00" in text:
        msg = "contains the character NUL (U+0000); leave it out"
        raise ValueError(msg)
    try:
        text.encode()
    except UnicodeEncodeError:
        msg = "contains a lone surrogate, which is no Unicode text; leave it out"
        raise ValueError(msg) from None
    return text


def _text(text: str) -> str:
    size = len(_plain(text).encode())
    if size > MAX_TEXT_BYTES:
        msg = f"has {size} bytes of UTF-8; at most {MAX_TEXT_BYTES} are taken"
        raise ValueError(msg)
    return text


def _link(url: str) -> str:
    if not url.lower().startswith(("https://", "http://")) or any(
        c.isspace() or c < " " for c in url
    ):
        msg = "is no link: write https://... or http://... without blanks"
        raise ValueError(msg)
    return _plain(url)


def _one_line(text: str) -> str:
    if any(ord(c) < ord(" ") for c in _plain(text)):
        msg = "contains control characters; write one line of plain text"
        raise ValueError(msg)
    return text


def _moment(value: object) -> object:
    if isinstance(value, str):
        return times.parse(value)
    if isinstance(value, datetime):
        return value
    msg = "is no time: write it as 2026-11-19T03:12:00Z"
    raise ValueError(msg)


Word = Annotated[str, Field(max_length=128), AfterValidator(_one_line)]
"""A short name on one line: a user, a check, a version."""
Name = Annotated[str, Field(max_length=MAX_NAME_CHARACTERS), AfterValidator(_one_line)]
"""A target as written."""
Link = Annotated[str, Field(max_length=MAX_URL_CHARACTERS), AfterValidator(_link)]
"""A link to a page: http or https."""
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    Field(examples=["2026-11-19T03:12:00Z"]),
]
"""A moment: RFC 3339 with zone, kept as UTC in microseconds."""


Night = Annotated[int, Field(ge=19_000_101, le=29_991_231)]
"""A night as YYYYMMDD."""


class Part(BaseModel):
    """A value that others send: what is unknown is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Agent(Part):
    """The program that judged: its statements can be told from a later run's."""

    name: Word = Field(description="Name of the program.")
    version: Word | None = Field(None, description="Its version.")
    run: Word | None = Field(None, description="The run or job that said it.")


class Observed(Part):
    """The time that a statement is about, half-open: begin <= t < end."""

    begin: Moment | None = Field(
        None, description="First moment; null: open, it has always been so."
    )
    end: Moment | None = Field(
        None,
        description="First moment after it; null: open, it still is so. "
        "Equal to `begin` for a single moment.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.begin is None and self.end is None:
            msg = "needs a begin or an end"
            raise ValueError(msg)
        if self.begin and self.end and self.end < self.begin:
            msg = "ends before it begins"
            raise ValueError(msg)
        return self


class SeqNums(Part):
    """Known exposures of a night by closed ranges of sequence numbers."""

    instrument: Word = Field(description="Instrument, as LSSTCam.")
    day_obs: int = Field(ge=19_000_101, le=29_991_231, description="Night as YYYYMMDD.")
    seq_nums: Annotated[str, Field(max_length=100_000)] = Field(
        description='Closed ranges, as "100-140,150".'
    )


class Ids(Part):
    """Exposures of one instrument by their integer ids."""

    instrument: Word = Field(description="Instrument, as LSSTCam.")
    ids: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(
        min_length=1,
        max_length=MAX_TARGETS,
        description="Exposure ids, the butler's primary keys.",
    )


class Query(Part):
    """Targets by what holds for them now; resolved once, when it first arrives."""

    instrument: Word = Field(description="Instrument, as LSSTCam.")
    day_obs: Night | None = Field(None, description="One night as YYYYMMDD.")
    day_obs_min: Night | None = Field(None, description="First night (inclusive).")
    day_obs_max: Night | None = Field(None, description="Last night (inclusive).")
    seq_nums: Annotated[str, Field(max_length=100_000)] | None = Field(
        None, description='Closed ranges, as "100-140".'
    )
    flag: Word | None = Field(None, description="Only with this effective flag.")
    tags: list[Word] = Field(
        default=[], max_length=MAX_TAGS, description="Only with all of these tags."
    )
    observation_type: Word | None = Field(
        None, description="Only exposures of this type."
    )


class QueryTargets(Part):
    """Targets chosen by a query."""

    query: Query


Targets = (
    Annotated[list[Name], Field(max_length=MAX_TARGETS)] | SeqNums | Ids | QueryTargets
)
"""The ways in which a statement may say what it is about."""


class Content(Part):
    """What an annotation says, whoever says it and of whatever."""

    text: Annotated[str, AfterValidator(_text)] = Field(
        "", description="Markdown, up to 64 KiB of UTF-8."
    )
    level: int = Field(
        20,
        ge=0,
        le=100,
        description="Python logging level: 20 information, 30 warning, 40 error.",
    )
    tags: list[Word] = Field(
        default=[],
        max_length=MAX_TAGS,
        description="Condition words from the tag vocabulary, as `vignetting`.",
    )
    flag: Word | None = Field(
        None,
        description="Judgement from the flag vocabulary, as `junk`; `withdraw` ends "
        "the author's earlier vote; null: no opinion.",
    )
    urls: list[Link] = Field(
        default=[], max_length=MAX_URLS, description="Links, http or https."
    )
    observed_at: Observed | None = Field(
        None, description="Time or timespan that it is about, if not the target's own."
    )
    cause: Cause | None = Field(
        None, description="For gaps: why no exposures were taken."
    )
    seconds_lost: Annotated[float, Field(ge=0, le=86_400)] | None = Field(
        None, description="For gaps: seconds of observing time lost, if known better."
    )
    assignee: Word | None = Field(
        None, description="For a follow-up: who should look at it."
    )
    check: Word | None = Field(
        None, description="A bot's kind of judgement; each check has a vote of its own."
    )
    agent: Agent | None = Field(None, description="The program that says it.")
    written_at: Moment | None = Field(
        None, description="The author's time of writing, when it was sent later."
    )


CONTENT_FIELDS = tuple(Content.model_fields)
"""Names of what an annotation says: what an edit may change beside its targets."""


class AnnotationDraft(Content):
    """One statement by one author about one or many targets."""

    targets: Targets = Field(
        default=[],
        description="Names or keys; or {instrument, day_obs, seq_nums}; or "
        "{instrument, ids}; or {query}. Empty only for a reply.",
    )
    reply_to: UUID | None = Field(
        None, description="The annotation that this one answers."
    )
    annotation_id: UUID | None = Field(
        None,
        description="An id of the client's choice: the same request again is answered "
        "with the first result.",
    )
    settle: bool = Field(
        False, description="A curator's last word; needs the role curator."
    )


class TargetsPatch(Part):
    """What an edit does to the targets."""

    add: Targets = Field(default=[], description="Targets to name from now on.")
    remove: list[Name] = Field(
        default=[],
        max_length=MAX_TARGETS,
        description="Targets to name no longer.",
    )


class AnnotationPatch(Content):
    """A merge patch (RFC 7396): absent fields stay, null means the default again."""

    targets: TargetsPatch | None = Field(
        None, description="Targets to add and remove; absent: they stay."
    )
    settle: bool = Field(
        False, description="A curator's last word; needs the role curator."
    )


class ReviewDraft(Part):
    """A second person's word on an annotation, for all or some of its targets."""

    verdict: Verdict = Field(
        description="`confirm` is the reviewer's own vote for that flag; `reject` "
        "takes it out of the count; `closed` ends a follow-up."
    )
    targets: Annotated[list[Name], Field(max_length=MAX_TARGETS)] | None = Field(
        None, description="Only for these of its targets; null: for all of them."
    )
    reason: Annotated[str, AfterValidator(_text)] = Field(
        "", description="Why; Markdown."
    )
    revision_id: UUID | None = Field(
        None, description="The revision that was looked at; null: the current one."
    )
    settle: bool = Field(
        False, description="A curator's last word; needs the role curator."
    )
    review_id: UUID | None = Field(
        None, description="An id of the client's choice for safe retries."
    )


class RedactionDraft(Part):
    """An order to blank text and links for good (admin)."""

    revisions: list[UUID] | None = Field(
        None,
        max_length=1_000,
        description="Only these revisions; null: all of the annotation so far.",
    )
    reason: Annotated[str, Field(min_length=1), AfterValidator(_text)] = Field(
        description="Why; it is kept and shown."
    )


class ExposurelogRow(Part):
    """What a statement keeps of the row of an exposurelog database it came from.

    Old rows hold what no rule of today would take, and are answered as they were.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    obs_id: str | None = Field(None, description="Its obs_id as written.")
    instrument: str | None = Field(None, description="Its instrument as written.")
    day_obs: int | None = Field(None, description="Its night as written.")
    seq_num: int | None = Field(None, description="Its sequence number as written.")
    site_id: str | None = Field(None, description="Its site as written.")
    date_added: str | None = Field(None, description="When it was added (TAI).")
    date_invalidated: str | None = Field(
        None, description="When it was edited or deleted (TAI)."
    )


class Revision(Content):
    """One stored version of an annotation, complete in itself."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    kind: Literal["revision"] = "revision"
    schema_: int = Field(1, alias="schema", description="Version of this layout.")
    annotation_id: UUID = Field(description="The annotation.")
    revision_id: UUID = Field(description="This version (UUIDv7); also the ETag.")
    parent_id: UUID | None = Field(description="The version that it started from.")
    operation: Operation = Field(description="What it did.")
    targets: list[str] | None = Field(
        None,
        description="Keys, sorted. Null in a stored record of more than 16: `list_id`.",
    )
    target_count: int = Field(description="How many targets it names.")
    list_id: UUID | None = Field(
        None, description="The shared list of more than 16 targets."
    )
    reply_to: UUID | None = Field(None, description="The annotation that it answers.")
    author: str = Field(description="Whose words these are.")
    author_kind: Literal["human", "bot"] = Field(description="Person or program.")
    rank: Literal["bot", "human", "curator"] = Field(
        description="What the vote weighs; curator only where it settles."
    )
    voter: str = Field(description="Whose vote the flag is: author, or bot and check.")
    actor: str | None = Field(
        None, description="Who sent it, where that was not the author."
    )
    authenticated_by: str = Field(description="How the sender was known.")
    user_agent: str | None = Field(None, description="The program that sent it.")
    site_id: str = Field(description="Site of origin.")
    incarnation: str = Field(description="Life of that site's database.")
    origin_number: int = Field(description="Its change number there.")
    clock: int = Field(description="Hybrid logical clock, microseconds.")
    created_at: datetime = Field(description="When that site took it (UTC).")
    request_digest: str | None = Field(
        None, description="SHA-256 of the request as sent, in hexadecimal."
    )
    query: Query | None = Field(
        None, description="The query that chose the targets, where one did."
    )
    uncurated: list[str] = Field(
        default=[], description="Tags that no vocabulary knew when they came."
    )
    content_id: UUID | None = Field(
        None,
        description="The revision in which what it says of its targets last changed.",
    )
    continues: UUID | None = Field(
        None,
        description="The message of exposurelog's API that this revision continues.",
    )
    exposurelog: ExposurelogRow | None = Field(
        None, description="The exposurelog row that it came from, as it was."
    )
