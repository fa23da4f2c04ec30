"""What lists can be asked for: filters and cursors, as data.

`AnnotationFilter` and `TargetFilter` declare every query parameter once: the API
reads and documents them from here, storage turns them into SQL. A cursor is the place
of the last row in the list's order (`annolog.domain.orders`). `meant` puts what the
vocabulary knows into a filter; cursors are of the filter as it was asked.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self, TypeVar
from uuid import UUID

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import override

from annolog.domain.annotations import Moment
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments
from annolog.domain.orders import (
    CURRENT_ORDERS,
    HISTORY_ORDERS,
    REVISION_ORDERS,
    TARGET_ORDERS,
    Key,
    Order,
    SortColumn,
    Value,
)
from annolog.domain.seqnums import parse_ranges
from annolog.domain.tags import expand_tag
from annolog.domain.vocabulary import Vocabulary

MAX_LIMIT = 1_000
"""Rows of one page, at most."""
MAX_ANY = 100
"""Values of one repeated parameter."""
MAX_SEQ_RANGES = 1_000
"""Ranges of sequence numbers in one filter."""
NO_FLAG = "none"
"""In a flag filter: what has no flag."""
CURSOR_VERSION = 1
"""Layout of cursors; others are refused and the caller starts again."""

_MAX_BIGINT = 2**63

# ----------------------------------------------------------------- cursors

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGEST = 8
_MAX_CURSOR = 1_024


def _pack(value: Value) -> int | str | bytes | None:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    return value.bytes if isinstance(value, UUID) else value


def _unpack(column: SortColumn, value: object) -> Value:
    match column.kind, value:
        case _, None if column.nullable:
            return None
        case "time", int():
            return _EPOCH + value * _MICROSECOND
        case "uuid", bytes():
            return UUID(bytes=value)
        case "int", int() if abs(value) < _MAX_BIGINT:
            return value
        case "text", str():
            return _plain(value)
        case _:
            raise ValueError


def _cursor_error(cursor: str, reason: str, code: str) -> InvalidError:
    return InvalidError.at("?cursor", cursor, reason, code)


# ----------------------------------------------------------------- filters


def _many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _plain(text: str) -> str:
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        msg = "contains NUL or a lone surrogate, which no stored text holds"
        raise ValueError(msg)
    return text


Word = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_plain)]
TargetName = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_plain)]
Phrase = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_plain)]
Day = Annotated[int, Field(ge=19_000_101, le=29_991_231)]
Level = Annotated[int, Field(ge=0, le=100)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_many), Field(max_length=MAX_ANY)]
TargetNames = Annotated[
    tuple[TargetName, ...], BeforeValidator(_many), Field(max_length=MAX_ANY)
]
AuthorKind = Literal["human", "bot"]
OperationWord = Literal["create", "edit", "retract", "restore"]
KindWord = Literal[
    "exposure", "detector", "dataset", "record", "gap", "night", "collection", "set"
]

Format = Literal["json", "ndjson", "csv"]
"""How a list may be written."""


class PageFilter(BaseModel):
    """A list in pages: how much of it, and from where on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paging: ClassVar[frozenset[str]] = frozenset({"limit", "cursor", "format", "count"})
    """Fields that do not change what is listed, only how much of it and how."""

    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = Field(
        50, description="Rows of the page."
    )
    cursor: Annotated[str, Field(max_length=_MAX_CURSOR)] | None = Field(
        None,
        description="Where to go on: `next` of the page before, asked for with the "
        "same filters and order.",
    )
    format: Format | None = Field(
        None, description="How the list is written; without it `Accept` decides."
    )

    @property
    def ordering(self) -> Order:
        """The order of the list."""
        raise NotImplementedError

    def digest(self) -> bytes:
        """Give 8 bytes that tell this list, its filters and its order from others."""
        # A filter that comes to be known later leaves the cursors of now as they are.
        said = self.model_dump(
            mode="json", exclude=set(self.paging), exclude_defaults=True
        )
        said["list"], said["order"] = type(self).__name__, self.ordering.word
        for name, value in said.items():
            if isinstance(value, list):
                # Which of several values stands first changes nothing.
                said[name] = sorted(set(value))
        written = msgspec.json.encode(said, order="deterministic")
        return hashlib.sha256(written).digest()[:_DIGEST]

    def cursor_after(self, key: Key) -> str:
        """Write the place of a row as a cursor (URL-safe, opaque)."""
        packed = [
            _pack(value) for _, value in zip(self.ordering.columns, key, strict=True)
        ]
        raw = msgspec.msgpack.encode([CURSOR_VERSION, self.digest(), packed])
        raw += hashlib.sha256(raw).digest()[:_DIGEST]
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def after(self) -> Key | None:
        """Read the cursor.

        Returns
        -------
        tuple or None
            Sort values of the last row seen; None without a cursor.

        Raises
        ------
        InvalidError
            The cursor is damaged, of another version, or belongs to other filters.

        Notes
        -----
        The checksum finds accidents and idle tampering; a forged cursor would do no
        harm, since its values are bound like any other and its filters stand beside.
        """
        cursor = self.cursor
        if cursor is None:
            return None
        damaged = _cursor_error(
            cursor,
            "this is no cursor as it was given out; start again without one",
            "cursor_damaged",
        )
        try:
            raw = base64.b64decode(
                cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
            body, check = raw[:-_DIGEST], raw[-_DIGEST:]
            if hashlib.sha256(body).digest()[:_DIGEST] != check:
                raise damaged
            # Base64 leaves bits of its last letter unused: only one spelling is ours.
            if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != cursor:
                raise damaged
            version, digest, packed = msgspec.msgpack.decode(body)
        except (ValueError, TypeError, binascii.Error, msgspec.MsgspecError):
            raise damaged from None
        if version != CURSOR_VERSION:
            raise _cursor_error(
                cursor,
                "this cursor is of another version of annolog; start again without",
                "cursor_version",
            )
        if digest != self.digest():
            raise _cursor_error(
                cursor,
                "this cursor belongs to other filters or another order; use it with "
                "the same ones, or start again without it",
                "cursor_filters",
            )
        try:
            return tuple(
                _unpack(column, value)
                for column, value in zip(self.ordering.columns, packed, strict=True)
            )
        except (ValueError, TypeError, OverflowError):
            raise damaged from None


class HistoryFilter(PageFilter):
    """All revisions, or all reviews, of one annotation, oldest first."""

    # Said by the path, not by a parameter.
    annotation_id: SkipJsonSchema[UUID]
    of: SkipJsonSchema[Literal["revision", "review"]]

    @property
    @override
    def ordering(self) -> Order:
        """The order of the list."""
        return Order("clock", HISTORY_ORDERS[self.of])


class ListFilter(PageFilter):
    """A list of what has to do with targets."""

    count: bool = Field(
        False,
        description="Also count the whole list: exact to 10,000 (a single night "
        'always), then "10000+".',
    )
    instrument: Words = Field(
        default=(), description="Instrument, as LSSTCam; repeat for any of several."
    )
    day_obs: Day | None = Field(None, description="One night as YYYYMMDD.")
    day_obs_min: Day | None = Field(None, description="First night (inclusive).")
    day_obs_max: Day | None = Field(None, description="Last night (inclusive).")
    seq_nums: Annotated[str, Field(max_length=20_000)] | None = Field(
        None, description='Closed ranges of sequence numbers, as "100-140,150".'
    )
    target: TargetNames = Field(
        default=(),
        description="Key or name of a target; repeat for any of several. Targets that "
        "are known to be the same are found under each name.",
    )
    target_kind: Annotated[
        tuple[KindWord, ...], BeforeValidator(_many), Field(max_length=8)
    ] = Field(default=(), description="Kind of target; repeat for any of several.")
    tags_any: Words = Field(
        default=(),
        description="With any of these tags, or of their aliases; repeat the "
        "parameter.",
    )
    tags_all: Words = Field(
        default=(),
        description="With all of these tags, each under any of its names; repeat the "
        "parameter.",
    )
    tags_none: Words = Field(
        default=(),
        description="With none of these tags or of their aliases; repeat the "
        "parameter.",
    )
    tags_each: SkipJsonSchema[tuple[tuple[str, ...], ...]] = ()
    # Of each group at least one: what `tags_all` comes to, once aliases are known.

    @field_validator("seq_nums")
    @classmethod
    def _read_ranges(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ranges = parse_ranges(value).ranges
            except InvalidError as error:
                raise PydanticCustomError("invalid_seq_nums", error.detail) from None
            if len(ranges) > MAX_SEQ_RANGES:
                msg = f"has {len(ranges)} ranges; at most {MAX_SEQ_RANGES} are taken"
                raise ValueError(msg)
        return value

    @field_validator("tags_any", "tags_all", "tags_none")
    @classmethod
    def _lower(cls, value: Sequence[str]) -> tuple[str, ...]:
        return tuple(tag.lower() for tag in value)

    @model_validator(mode="after")
    def _nights(self) -> Self:
        if self.day_obs and (self.day_obs_min or self.day_obs_max):
            msg = "day_obs is one night: leave out day_obs_min and day_obs_max"
            raise ValueError(msg)
        low, high = self.nights
        if low and high and low > high:
            msg = f"day_obs_min {low} lies after day_obs_max {high}"
            raise ValueError(msg)
        return self

    @property
    def nights(self) -> tuple[int | None, int | None]:
        """First and last night (inclusive); None is open."""
        return self.day_obs or self.day_obs_min, self.day_obs or self.day_obs_max

    @property
    def one_night(self) -> bool:
        """Whether a single night is asked for."""
        low, high = self.nights
        return low is not None and low == high

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The ranges of sequence numbers, both ends inclusive; empty for all."""
        return parse_ranges(self.seq_nums).ranges if self.seq_nums else ()


class AnnotationFilter(ListFilter):
    """Which annotations, in which order."""

    flag: Words = Field(
        default=(),
        description="Flag of the statement itself, `none` for no flag; repeat for any "
        "of several.",
    )
    effective_flag: Words = Field(
        default=(),
        description="Flag that now holds for one of its targets, `none` for no flag; "
        "repeat for any of several.",
    )
    disputed: bool | None = Field(
        None, description="Only with (true) or without (false) a disputed target."
    )
    author: Words = Field(
        default=(),
        description="Author, under any name that leads to the same one; repeat for "
        "any of several.",
    )
    author_kind: AuthorKind | None = Field(None, description="Person or program.")
    check: Words = Field(
        default=(),
        description="A bot's kind of judgement; repeat for any of several.",
    )
    words: Phrase | None = Field(
        None,
        description="Words of the text, all of them, in any order; `or`, `-word` and "
        'quoted "a phrase" work as in a web search.',
    )
    phrase: Phrase | None = Field(
        None, description="These words one after the other in the text."
    )
    contains: Annotated[Phrase, Field(min_length=2)] | None = Field(
        None,
        description="These characters anywhere in the text, capital or small. No "
        "index helps: give other filters too; `scan_stopped` says when "
        "the search paused.",
    )
    level_min: Level | None = Field(None, description="Lowest level (inclusive).")
    level_max: Level | None = Field(None, description="Highest level (inclusive).")
    created_from: Moment | None = Field(
        None, description="Annotation created at this time or later (RFC 3339)."
    )
    created_to: Moment | None = Field(
        None, description="Annotation created before this time."
    )
    changed_from: Moment | None = Field(
        None, description="Revision made at this time or later (RFC 3339)."
    )
    changed_to: Moment | None = Field(
        None, description="Revision made before this time."
    )
    observed_from: Moment | None = Field(
        None, description="About something at this time or later (`observed_at`)."
    )
    observed_to: Moment | None = Field(
        None, description="About something before this time (`observed_at`)."
    )
    operation: Annotated[
        tuple[OperationWord, ...], BeforeValidator(_many), Field(max_length=4)
    ] = Field(
        default=(),
        description="What the revision did; repeat for any of several. Retractions "
        "count no longer: ask with `counted=all`.",
    )
    replies: Literal["all", "none", "only"] = Field(
        "all", description="Replies too, none of them, or only replies."
    )
    reply_to: UUID | None = Field(None, description="Replies to this annotation.")
    counted: Literal["true", "all"] = Field(
        "true",
        description="`true`: only what counts for one of its targets now; `all`: also "
        "what is retracted or rejected.",
    )
    revisions: Literal["current", "all"] = Field(
        "current",
        description="Current revisions, or all of them (then `counted` does not "
        "apply, and the orders are `changed` and `id`).",
    )
    order: Literal[
        "night", "-night", "created", "-created", "changed", "-changed", "id", "-id"
    ] = Field(
        "-created",
        description="By the night of the first target, by creation, by the latest "
        "change or by id; `-` is descending.",
    )

    @field_validator("contains")
    @classmethod
    def _uncounted(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("count"):
            msg = "cannot be counted; leave out count or contains"
            raise ValueError(msg)
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_order(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("revisions") == "all":
            return {"order": "-changed", **data}
        return data

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.revisions == "all" and self.order.lstrip("-") not in REVISION_ORDERS:
            msg = "order with revisions=all is changed, -changed, id or -id"
            raise ValueError(msg)
        for name in ("created", "changed", "observed"):
            low = getattr(self, f"{name}_from")
            high = getattr(self, f"{name}_to")
            if low and high and low >= high:
                msg = f"{name}_from must lie before {name}_to"
                raise ValueError(msg)
        if (
            self.level_min is not None
            and self.level_max is not None
            and self.level_min > self.level_max
        ):
            msg = "level_min lies above level_max"
            raise ValueError(msg)
        return self

    @property
    @override
    def ordering(self) -> Order:
        """The order of the list."""
        orders = CURRENT_ORDERS if self.revisions == "current" else REVISION_ORDERS
        name = self.order.lstrip("-")
        return Order(name, orders[name], descending=self.order.startswith("-"))

    @property
    def asks_targets(self) -> bool:
        """Whether one of the annotation's targets must have something about it."""
        return bool(
            self.instrument
            or any(self.nights)
            or self.seq_nums
            or self.target
            or self.target_kind
            or self.effective_flag
            or self.disputed is not None
        )


class TargetFilter(ListFilter):
    """Which targets' states, in which order."""

    flag: Words = Field(
        default=(),
        description="Effective flag, `none` for no flag; repeat for any of several.",
    )
    disputed: bool | None = Field(
        None, description="Only disputed ones (true), or only the others (false)."
    )
    bots_differ: bool | None = Field(
        None, description="Only where bots differ (true), or only the others (false)."
    )
    follow_up: bool | None = Field(
        None, description="Only with (true) or without (false) an open follow-up."
    )
    empty: bool = Field(
        False, description="Also targets of which nothing is said any more."
    )
    order: Literal["night", "-night", "number", "-number"] = Field(
        "night",
        description="By instrument, night and sequence number, or by the number of "
        "the last change; `-` is descending.",
    )

    @property
    @override
    def ordering(self) -> Order:
        """The order of the list."""
        name = self.order.lstrip("-")
        return Order(name, TARGET_ORDERS[name], descending=self.order.startswith("-"))


FilterT = TypeVar("FilterT", bound=ListFilter)


def meant(asked: FilterT, vocabulary: Vocabulary, instruments: Instruments) -> FilterT:
    """Put into a filter what the vocabulary knows of the words in it.

    Parameters
    ----------
    asked
        The filter as it was asked.
    vocabulary
        Gives the aliases of tags and authors.
    instruments
        Gives the instruments, which may be asked for by an alias too.

    Returns
    -------
    ListFilter
        With the canonical names of instruments, and with every name under which what
        is looked for may be stored.

    Raises
    ------
    InvalidError
        If an instrument is unknown (`unknown_instrument`, with the nearest names).
    """
    names = {instruments.require(n, "?instrument").name for n in asked.instrument}
    homes: set[str | None] = {*names} or {None}

    def stored(tag: str) -> set[str]:
        return {word for home in homes for word in expand_tag(tag, vocabulary, home)}

    def any_of(tags: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({word for tag in tags for word in stored(tag)}))

    found: dict[str, object] = {
        "instrument": tuple(sorted(names)),
        "tags_any": any_of(asked.tags_any),
        "tags_all": (),
        "tags_each": tuple(tuple(sorted(stored(tag))) for tag in asked.tags_all),
        "tags_none": any_of(asked.tags_none),
    }
    if isinstance(asked, AnnotationFilter):
        written = {name for one in asked.author for name in vocabulary.names_of(one)}
        found["author"] = tuple(sorted(written))
    return asked.model_copy(update=found)
