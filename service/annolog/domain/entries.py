"""Entries: what can be said in records of which the latest holds.

Flags, tags, policies, aliases of people and joined targets are data. Each is an
*entry*: a record of a kind, with a key, that holds until a later one of the same kind
and key comes. The models here are both what an admin sends (unknown members are
refused) and what a record holds (unknown members, from a later version of annolog,
are passed over), so each field is said once. `annolog.domain.vocabulary` makes a
vocabulary of them.

No field has the name of a member of a record's head (kind, author, rank ...), so
both may stand in one JSON object.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

WITHDRAW = "withdraw"
"""In place of a flag: ends the author's earlier vote. No flag can have this name."""

ExposureFlag: TypeAlias = Literal["none", "junk", "questionable"]
"""What a flag may be to clients of exposurelog's API."""

MAX_SEVERITY = 1_000
"""Greatest severity that a flag may declare."""

EVERYWHERE = "*"
"""Key of an entry that is for all instruments."""

_MAX_WORDS = 64
"""Aliases of a tag and instruments of a flag: as many as anyone can read."""


def _one_line(text: str) -> str:
    if any(ord(c) < ord(" ") or c == "\x7f" for c in text):
        msg = "contains control characters; write one line of plain text"
        raise ValueError(msg)
    return text


def _prose(text: str) -> str:
    if "\x00" in text:
        msg = "contains the character NUL (U+0000); leave it out"
        raise ValueError(msg)
    return text


def _lower(value: object) -> object:
    # ASCII only: lower() makes a plain "k" of the Kelvin sign.
    return value.lower() if isinstance(value, str) and value.isascii() else value


def _not_reserved(name: str) -> str:
    if name in {WITHDRAW, "none"}:
        msg = f"{name!r} means that there is no flag; choose another name"
        raise ValueError(msg)
    return name


TAG_PATTERN = r"^[a-z][a-z0-9_]{1,63}$"
"""What a tag looks like: 2 to 64 characters, lower case."""

FlagName = Annotated[
    str,
    Field(pattern=r"^[a-z][a-z0-9_]{1,63}$", examples=["junk"]),
    AfterValidator(_not_reserved),
]
"""A flag's name: lower-case ASCII letter, then letters, digits, `_`; 2 to 64."""

TagName = Annotated[
    str,
    BeforeValidator(_lower),
    Field(pattern=TAG_PATTERN, examples=["vignetting"]),
]
"""A tag: ASCII letter, then letters, digits, `_`; 2 to 64; made lower case."""

InstrumentName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[^*/\s]+$",
        examples=["LSSTCam"],
    ),
    AfterValidator(_one_line),
]
"""An instrument's name: no blanks, no `/`, no `*`; case is kept."""

AuthorName = Annotated[
    str,
    Field(min_length=1, max_length=128, examples=["jdoe@summit-host"]),
    AfterValidator(_one_line),
]
"""An author, as statements name one."""

TargetKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=512,
        pattern=r"^[!-~]+$",
        examples=["exposure:LSSTCam/2026111900123"],
    ),
]
"""A canonical target key."""

Description = Annotated[str, Field(max_length=2_000), AfterValidator(_prose)]
"""What a word means, for people; Markdown."""

Colour = Annotated[str, Field(pattern=r"^#[0-9a-f]{6}$", examples=["#ff5d73"])]
"""A colour as `#rrggbb`, lower case."""

Mode = Literal["open", "curated"]
"""Whether any well-formed tag is taken, or known ones only."""

Rule = Literal["severity", "latest"]
"""Which of differing votes stands: the most severe, or the latest."""


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FlagColour(BaseModel):
    """A flag's colour on the two themes that have colours (red mode has shapes)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dark: Colour = Field(description="On the dark theme, whose ground is nearly black.")
    day: Colour = Field(description="On the day theme, whose ground is white.")


class FlagEntry(_Fields):
    """A flag: a judgement of how usable a target is, or a request to look at it.

    `severity`, `excludes` and `asks` of a name never change, or the same record would
    mean another thing tomorrow. Take a new name instead.
    """

    name: FlagName = Field(description="The word that statements use.")
    severity: int = Field(
        ge=0,
        le=MAX_SEVERITY,
        description="Where votes differ, the greatest stands. Never changes.",
    )
    excludes: bool = Field(
        default=False,
        description="Whether default collections leave the target out. Never changes.",
    )
    asks: bool = Field(
        default=False,
        description="A request that somebody look, and no vote. Never changes.",
    )
    colour: FlagColour = Field(
        default=FlagColour(dark="#8694a2", day="#5a6673"),
        description="For display; shape says the same without it.",
    )
    shape: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,31}$")] = Field(
        default="hexagon",
        description="For display: square_cross, triangle_mark, diamond_arrow, "
        "ring_tick, hexagon; another one is shown as hexagon.",
    )
    description: Description = Field(default="", description="What it means.")
    instruments: (
        Annotated[
            tuple[InstrumentName, ...], Field(min_length=1, max_length=_MAX_WORDS)
        ]
        | None
    ) = Field(
        default=None,
        description="Instruments whose targets may have it; null: all.",
    )
    exposurelog_value: ExposureFlag = Field(
        default="none",
        description="The `exposure_flag` that clients of exposurelog's API see.",
    )

    @property
    def key(self) -> str:
        """The flag's name."""
        return self.name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.asks and self.excludes:
            msg = "a flag that asks is no judgement and cannot exclude"
            raise ValueError(msg)
        return self


class TagEntry(_Fields):
    """A known tag: a word for a condition, everywhere or for one instrument."""

    name: TagName = Field(description="The word that statements use.")
    instrument: InstrumentName | None = Field(
        default=None,
        description="For this instrument only, there in place of the tag of that name "
        "for all; null: for all.",
    )
    description: Description = Field(default="", description="What it means.")
    aliases: Annotated[tuple[TagName, ...], Field(max_length=_MAX_WORDS)] = Field(
        default=(),
        description="Other words for it; new statements get this one instead.",
    )
    archived: bool = Field(
        default=False,
        description="Kept in history, refused in new statements.",
    )
    quick_rank: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        default=None,
        description="Place among the quick tags, 1 first; null: not among them.",
    )

    @property
    def key(self) -> str:
        """The tag's name; of an instrument's own tag `INSTRUMENT/name`."""
        return _tag_key(self.name, self.instrument)

    @model_validator(mode="after")
    def _no_own_alias(self) -> Self:
        if self.name in self.aliases:
            msg = f"{self.name!r} cannot be an alias of itself"
            raise ValueError(msg)
        return self


class TagVocabulary(_Fields):
    """Whether tags outside the vocabulary are taken."""

    instrument: InstrumentName | None = Field(
        default=None, description="For this instrument only; null: for all others."
    )
    mode: Mode = Field(
        description="`open`: any well-formed word; `curated`: known tags only."
    )

    @property
    def key(self) -> str:
        """The instrument, or `*`."""
        return self.instrument or EVERYWHERE


class Policy(_Fields):
    """Which of differing votes of one rank stands."""

    instrument: InstrumentName | None = Field(
        default=None, description="For this instrument only; null: for all others."
    )
    rule: Rule = Field(
        description="`severity`: the most severe, and the target is disputed; "
        "`latest`: the latest, and it is not."
    )

    @property
    def key(self) -> str:
        """The instrument, or `*`."""
        return self.instrument or EVERYWHERE


class Alias(_Fields):
    """Another name of one author: both have one vote."""

    # Not `author`: that is in the head of each record, and says who wrote it.
    name: AuthorName = Field(description="The other name, as statements have it.")
    leads_to: AuthorName | None = Field(
        description="The author meant, or an alias in turn; null ends the alias."
    )

    @property
    def key(self) -> str:
        """The other name."""
        return self.name

    @model_validator(mode="after")
    def _leads_away(self) -> Self:
        if self.name == self.leads_to:
            msg = "an alias cannot lead to itself; write null to end it"
            raise ValueError(msg)
        return self


class SameAs(_Fields):
    """Two targets are one thing, and are shown as one."""

    key_a: TargetKey = Field(description="Key of the one target.")
    key_b: TargetKey = Field(description="Key of the other target.")
    revoked: bool = Field(default=False, description="They are two things after all.")

    @property
    def key(self) -> str:
        """Both keys, the lesser first, with a blank between (no key holds one)."""
        return " ".join(sorted((self.key_a, self.key_b)))

    @model_validator(mode="after")
    def _two_targets(self) -> Self:
        if self.key_a == self.key_b:
            msg = "names the same target twice"
            raise ValueError(msg)
        return self


AnyEntry = FlagEntry | TagEntry | TagVocabulary | Policy | Alias | SameAs
"""What is said in an entry of any kind but `instrument`."""

MODELS: Mapping[str, type[AnyEntry]] = MappingProxyType(
    {
        "flag": FlagEntry,
        "tag": TagEntry,
        "tag_vocabulary": TagVocabulary,
        "policy": Policy,
        "alias": Alias,
        "same_as": SameAs,
    }
)
"""The model of each kind. Instruments have theirs in `annolog.domain.instruments`."""


class UnreadableEntryError(ValueError):
    """An entry, of another site or version, that cannot be read here. It is kept."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry record.

    Attributes
    ----------
    kind
        One of the keys of `MODELS`, or `instrument`.
    key
        What it is about; the latest of a kind and key holds.
    record_id
        The record.
    clock
        Its clock, in microseconds.
    number
        Its change number at this site. It never decides which entry holds.
    fields
        What is said, as JSON values. Other members of the body do no harm.
    """

    kind: str
    key: str
    record_id: UUID
    clock: int
    number: int
    fields: Mapping[str, Any]


def read_entry(entry: Entry) -> AnyEntry | None:
    """Read what an entry says, leniently: members unknown here are passed over.

    Parameters
    ----------
    entry
        An entry of any site and version.

    Returns
    -------
    AnyEntry or None
        The model; None for an instrument, which is read elsewhere.

    Raises
    ------
    UnreadableEntryError
        If the kind is not known, if a member has a form that this version cannot
        read, or if the fields belong to another key.
    """
    if entry.kind == "instrument":
        return None
    model = MODELS.get(entry.kind)
    if model is None:
        raise UnreadableEntryError(f"no entries are of the kind {entry.kind!r}")
    try:
        said = model.model_validate(entry.fields, extra="ignore")
    except ValidationError as error:
        raise UnreadableEntryError(str(error)) from error
    # Two entries with one name under two keys would make the vocabulary depend on
    # the order in which they came.
    if said.key != entry.key:
        raise UnreadableEntryError(f"{entry.key!r} holds the fields of {said.key!r}")
    return said


def fields_of(model: AnyEntry) -> dict[str, Any]:
    """Give what a model says as `Entry.fields` and a record's body hold it.

    Parameters
    ----------
    model
        An entry of any kind.

    Returns
    -------
    dict
        JSON values of all fields, defaults too: a record is complete in itself.
    """
    return model.model_dump(mode="json")


def _tag_key(name: str, instrument: str | None) -> str:
    return name if instrument is None else f"{instrument}/{name}"
