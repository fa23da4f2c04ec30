"""A snapshot: all that now holds, as lines of JSON, for those who keep a copy of it.

The first line (`Head`) says whose it is and of which moment, the last one (`End`) that
nothing is missing. Between them each line has a `type`; readers pass over types that
they do not know, so that later versions may add some.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from annolog.domain.errors import MalformedError
from annolog.domain.history import Standing
from annolog.domain.queries import Day, Words
from annolog.domain.records import SWEEPING_KINDS
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary

SCHEMA_VERSION = 1
"""Version of the lines. Within it members and types are only ever added."""

MAX_NUMBER = 2**62
"""Above any number that will be given."""


class SnapshotFilter(BaseModel):
    """Which part of what holds is wanted.

    What has no instrument or no night of its own (datasets, sets, collections) is
    never left out: whoever keeps them knows better where they belong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: Words = Field(
        default=(), description="Instrument, as LSSTCam; repeat for any of several."
    )
    day_obs_min: Day | None = Field(None, description="First night (inclusive).")
    day_obs_max: Day | None = Field(None, description="Last night (inclusive).")
    sets: Words = Field(
        default=(),
        description="Name of a data-ID set whose versions are wanted, with their rows;"
        ' repeat for several, "*" for all. Without it none are given.',
    )
    after: int | None = Field(
        None,
        ge=0,
        le=MAX_NUMBER,
        description="Only what changed after this change number: then states may be"
        ' empty, and lines of type "gone" name annotations that count no more.',
    )

    @model_validator(mode="after")
    def _check_nights(self) -> "SnapshotFilter":
        low, high = self.day_obs_min, self.day_obs_max
        if low is not None and high is not None and low > high:
            msg = f"day_obs_min {low} lies after day_obs_max {high}"
            raise ValueError(msg)
        return self


class Head(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """The first line.

    Attributes
    ----------
    schema_version
        Of the lines.
    site_id, incarnation
        Whose log it is, and of which life of its database.
    number
        Number of the last change that is in it.
    taken_at
        When (UTC).
    after
        Only what changed after this number is in it; None: all.
    instrument, day_obs_min, day_obs_max
        As they were asked for.
    refreshing
        Whether states are still being worked out after a policy or an alias: those
        that are not yet come with later numbers.
    """

    schema_version: int
    site_id: str
    incarnation: str
    number: int
    taken_at: datetime
    after: int | None = None
    instrument: tuple[str, ...] = ()
    day_obs_min: int | None = None
    day_obs_max: int | None = None
    refreshing: bool = False


class State(msgspec.Struct, frozen=True, tag_field="type", tag="state"):
    """What holds for one target, or several that are joined: what is needed of it.

    Attributes
    ----------
    key, kind, flag, disputed, bots_differ, tags, notes, number
        As in `annolog.domain.states.TargetState`.
    joined
        Keys of the other targets that are known to be the same, for which it holds
        as well.
    empty
        Whether nothing is said of it any more; only where `after` was asked for.
    """

    key: str
    kind: str
    number: int
    joined: tuple[str, ...] = ()
    empty: bool = False
    flag: str | None = None
    disputed: bool = False
    bots_differ: bool = False
    tags: tuple[str, ...] = ()
    notes: int = 0


class Statement(msgspec.Struct, frozen=True, tag_field="type", tag="statement"):
    """The current revision of an annotation that counts: what is needed of it.

    Attributes
    ----------
    annotation_id, revision_id, author, author_kind, rank, check, flag, tags
        As in `annolog.domain.annotations.Revision`.
    text, level
        The same; the text is empty where it was redacted.
    created_at
        When this revision was taken (UTC).
    counted_for
        Keys of the targets for which it counts, and of those that are the same.
    """

    annotation_id: UUID
    revision_id: UUID
    author: str
    author_kind: str
    rank: str
    created_at: datetime
    counted_for: tuple[str, ...]
    check: str | None = None
    flag: str | None = None
    tags: tuple[str, ...] = ()
    text: str = ""
    level: int = 20


class Stands(msgspec.Struct, frozen=True, tag_field="type", tag="standing"):
    """How a statement, or a review that confirms it, stands on a detector for a time.

    What is said of a detector as such (`record:detector/...`) holds for that detector
    of every exposure that its time overlaps, so what holds of an exposure is worked out
    of those lines whose time does, with the entries that say how votes are weighed.

    Attributes
    ----------
    keys
        Keys of the target, and of those that are the same.
    source_id, annotation_id, revision_id, author, voter, flag, vote_id, vote_clock
        As in `annolog.domain.flags.Said`.
    rank, contested
        The same, as words.
    tags
        Tags that it says; none for a review.
    observed_begin, observed_end
        The time that it is about (UTC), from its begin to before its end: open where
        one is None, always where both are.
    """

    keys: tuple[str, ...]
    source_id: UUID
    annotation_id: UUID
    revision_id: UUID
    author: str
    voter: str
    rank: str
    vote_id: UUID
    vote_clock: int
    flag: str | None = None
    contested: str | None = None
    tags: tuple[str, ...] = ()
    observed_begin: datetime | None = None
    observed_end: datetime | None = None


class Weighing(msgspec.Struct, frozen=True, tag_field="type", tag="entry"):
    """An entry by which votes are weighed: a flag, a policy, an author's alias.

    Attributes
    ----------
    kind, key, fields
        As in `annolog.domain.entries.Entry`.
    """

    kind: str
    key: str
    fields: dict[str, Any]


class SetVersion(msgspec.Struct, frozen=True, tag_field="type", tag="set_version"):
    """A version of a data-ID set, whole.

    Attributes
    ----------
    key, name, version
        Its target's key, the set's name, and its number.
    content
        Digest of its content, hexadecimal.
    author, created_at, reason
        Who made it, when (UTC), and why.
    labels
        Under which it was released.
    dimensions, columns
        What a row begins with, and what follows.
    rows
        Sorted by data ID: the dimensions' values, then the columns'.
    """

    key: str
    name: str
    version: int
    content: str
    author: str
    created_at: datetime
    dimensions: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    reason: str = ""


class Gone(msgspec.Struct, frozen=True, tag_field="type", tag="gone"):
    """An annotation that counts for nothing that was asked for, since `after`."""

    annotation_id: UUID


class End(msgspec.Struct, frozen=True, tag_field="type", tag="end"):
    """The last line.

    Attributes
    ----------
    lines
        How many lines came between it and the first one.
    """

    lines: int


class Other(msgspec.Struct, frozen=True):
    """A line of a type that came later.

    Attributes
    ----------
    type
        Its type.
    """

    type: str


Line: TypeAlias = (
    Head | State | Statement | Stands | Weighing | SetVersion | Gone | End | Other
)
"""Any line."""

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(
    Head | State | Statement | Stands | Weighing | SetVersion | Gone | End
).decode
_peek = msgspec.json.Decoder(Other).decode
_KNOWN = frozenset(
    {
        "snapshot",
        "state",
        "statement",
        "standing",
        "entry",
        "set_version",
        "gone",
        "end",
    }
)


def stands(keys: Iterable[str], standing: Standing, observed: Span | None) -> Stands:
    """Make the line of how something stands on a detector.

    Parameters
    ----------
    keys
        Keys of the target, and of those that are the same.
    standing
        How it stands.
    observed
        The time that it is about; None: no time given.
    """
    said = standing.said
    return Stands(
        tuple(sorted(keys)),
        said.source_id,
        said.annotation_id,
        said.revision_id,
        said.author,
        said.voter,
        said.rank.word,
        said.vote_id,
        said.vote_clock,
        said.flag,
        None if said.contested is None else said.contested.word,
        standing.tags,
        None if observed is None else observed.begin,
        None if observed is None else observed.end,
    )


def weighing(vocabulary: Vocabulary, after: int | None = None) -> list[Weighing]:
    """Make the lines of the entries by which votes are weighed.

    Parameters
    ----------
    vocabulary
        The entries that hold.
    after
        Only those that came after this change; None: all.
    """
    return [
        Weighing(one.kind, one.key, dict(one.fields))
        for kind in sorted(SWEEPING_KINDS)
        for one in vocabulary.entries(kind)
        if after is None or one.number > after
    ]


def write(line: Head | Stands | Weighing | Gone | End) -> bytes:
    """Write a line, with its line break."""
    return _write(line) + b"\n"


def read(line: str | bytes) -> Line:
    """Read a line.

    Raises
    ------
    MalformedError
        If it is none.
    """
    try:
        found: Line = _read(line)
    except msgspec.MsgspecError as error:
        try:
            other = _peek(line)
        except msgspec.MsgspecError:
            other = Other("snapshot")
        if other.type in _KNOWN:
            raise MalformedError(f"this is no line of a snapshot: {error}") from None
        return other
    return found
