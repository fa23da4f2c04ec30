"""Rules: which collections of a butler say what annolog knows, and how they are filled.

A rule is of one of three sorts:

flagged
    What has a flag or a tag: `flags/FLAG/SOURCE` or `tags/TAG/SOURCE`.
usable
    What a search of collections finds, without what flags or tags leave out:
    `usable/SOURCE`.
set
    What the rows of a data-ID set name: `sets/NAME`.

They are written in files (`annolog.butler.rulefiles`).
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import override

from annolog.butler.scopes import ALL, NightRange
from annolog.domain.entries import TAG_PATTERN

MAX_COLLECTION = 64
"""Characters that the butler takes for the name of a collection."""


def listed(value: object) -> object:
    """Take one name where several may stand.

    Parameters
    ----------
    value
        As it was written.

    Returns
    -------
    object
        A list, if it was a text.
    """
    return [value] if isinstance(value, str) else value


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise PydanticCustomError(
                "twice", "{name} stands there twice", {"name": name}
            )
    return names


Word = Annotated[str, Field(pattern=TAG_PATTERN)]
"""A flag or a tag, as the vocabularies write them."""

Collection = Annotated[
    str,
    Field(min_length=1, max_length=MAX_COLLECTION, pattern=r"^[^\s*?\[\],]+$"),
]
"""A collection's own name: nothing that stands for several."""

_Words = Annotated[tuple[Word, ...], BeforeValidator(listed)]
_Collections = Annotated[
    tuple[Collection, ...], Field(min_length=1), BeforeValidator(listed)
]
_Types = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...],
    Field(min_length=1),
    BeforeValidator(listed),
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Nights(_Value):
    """Nights from one to another, both included; without an end where one is None."""

    first: StrictInt | None = Field(
        default=None, description="a night, YYYYMMDD, such as 20260115"
    )
    last: StrictInt | None = Field(
        default=None, description="a night, YYYYMMDD, such as 20260131"
    )

    @field_validator("first", "last")
    @classmethod
    def _is_a_night(cls, night: int | None) -> int | None:
        if night is not None:
            try:
                date(night // 10_000, night // 100 % 100, night % 100)
            except ValueError:
                raise PydanticCustomError("night", "it is no date") from None
        return night

    @model_validator(mode="after")
    def _are_in_order(self) -> Self:
        if self.first is None and self.last is None:
            raise PydanticCustomError("nights", "neither first nor last is given")
        if None not in (self.first, self.last) and self.first > self.last:  # type: ignore[operator]
            raise PydanticCustomError("nights", "the first lies after the last")
        return self


class Rule(_Value):
    """What rules of every sort have."""

    name: str = Field(exclude=True, description="a word of the file's own")
    source: _Collections = Field(
        description="the collections that are searched, in this order, without"
        " wildcards, such as LSSTCam/raw/all"
    )
    dataset_types: _Types = Field(
        description="the dataset types that are looked for, such as [raw]"
    )
    collection: Collection = Field(
        description="the TAGGED collection that is filled, at most 64 characters,"
        " without blanks and wildcards"
    )

    @property
    def digest(self) -> str:
        """Eight hex digits that change when the rule does."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:8]

    @property
    def sentence(self) -> str:
        """What is in the collection, in words."""
        return f"{', '.join(self.dataset_types)} of {', '.join(self.source)}"


class SetRows(_Value):
    """The rows of a data-ID set, and where they are."""

    set: str = Field(
        pattern=r"^[^\s/@]+$", description="the name of a data-ID set, without version"
    )
    version: StrictInt | None = Field(
        default=None, ge=1, description="a version's number, or nothing for the latest"
    )
    file: str | None = Field(
        default=None,
        min_length=1,
        description="a file with the set's rows, found from where the rules are, whose"
        " name ends in .ecsv, .csv or .json; nothing for what was exported",
    )
    instrument: str | None = Field(
        default=None,
        min_length=1,
        description="the instrument of rows of the file that name none",
    )

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if self.file is not None and self.version is not None:
            raise PydanticCustomError(
                "version", "a file is one version: leave out either version or file"
            )
        if self.file is None and self.instrument is not None:
            raise PydanticCustomError(
                "instrument", "instrument is for the rows of a file: name one as file"
            )
        return self

    @property
    def title(self) -> str:
        """Which set, in words."""
        return f"{self.set}, {self.file or self.version or 'the latest version'}"


class BoundedRule(Rule):
    """What rules have that ask for flags and tags."""

    inherited: StrictBool = Field(
        description="true: what is said of a dataset's exposure, detector or visit"
        " counts for it; false: only what is said of the dataset itself",
    )
    instrument: str | None = Field(
        default=None,
        min_length=1,
        description="the butler's name of the instrument, such as LSSTCam",
    )
    nights: Nights | None = Field(
        default=None, description="{first: 20260101, last: 20260131}, both included"
    )
    where: str | None = Field(
        default=None,
        min_length=1,
        description="an expression of the butler's, such as"
        " exposure.observation_type = 'science'",
    )

    @model_validator(mode="after")
    def _has_its_instrument(self) -> Self:
        if self.instrument is None:
            for field in ("inherited", "nights", "sets"):
                if getattr(self, field, None):
                    raise PydanticCustomError(
                        "instrument",
                        "{field} needs an instrument beside it: instrument: LSSTCam",
                        {"field": field},
                    )
        return self

    @property
    def night_range(self) -> NightRange:
        """First and last night; None where it has no end."""
        return ALL if self.nights is None else (self.nights.first, self.nights.last)

    @property
    @override
    def sentence(self) -> str:
        text = super().sentence
        if self.instrument is not None:
            text = f"{self.instrument}: {text}"
        if self.nights is not None:
            text += (
                f", nights {self.nights.first or 'before'} to"
                f" {self.nights.last or 'now'}"
            )
        return text if self.where is None else f"{text}, where {self.where}"

    @property
    def how(self) -> str:
        """Of what a flag must have been said, in words."""
        return (
            "said of it, its exposure, detector or visit"
            if self.inherited
            else "said of itself"
        )


class FlaggedRule(BoundedRule):
    """What has a flag, or a tag."""

    sort: Literal["flagged"]
    flag: Word | None = Field(default=None, description="a flag, such as junk")
    tag: Word | None = Field(default=None, description="a tag, such as vignetting")

    @model_validator(mode="after")
    def _asks_for_one(self) -> Self:
        if (self.flag is None) == (self.tag is None):
            raise PydanticCustomError(
                "flag_or_tag",
                "either a flag or a tag makes the collection: flag: junk, or tag:"
                " vignetting",
            )
        return self

    @property
    def flags(self) -> tuple[str, ...]:
        """The flag, if it is one."""
        return () if self.flag is None else (self.flag,)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag, if it is one."""
        return () if self.tag is None else (self.tag,)

    @property
    @override
    def sentence(self) -> str:
        return f"{super().sentence}: what is {self.flag or self.tag}, {self.how}"


class UsableRule(BoundedRule):
    """What a search finds, without what is flagged or tagged."""

    sort: Literal["usable"]
    flags: _Words = Field(
        default=(), description="the flags that leave a dataset out, such as [junk]"
    )
    tags: _Words = Field(
        default=(), description="the tags that leave one out, such as [vignetting]"
    )

    sets: tuple[SetRows, ...] = Field(
        default=(),
        description="the data-ID sets whose rows leave datasets out, such as [{set:"
        " DRP1}]",
    )

    _once = field_validator("flags", "tags")(_each_once)

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if not self.flags and not self.tags and not self.sets:
            raise PydanticCustomError(
                "leaves_nothing_out",
                "neither flags, tags nor sets say what is left out: flags: [junk]",
            )
        if self.nights is None and self.where is None:
            raise PydanticCustomError(
                "unbounded",
                "a whole survey is too much for one collection: bound it by nights:"
                " {first: 20260101, last: 20260131} or by a where",
            )
        return self

    @property
    @override
    def sentence(self) -> str:
        parts = [f"what {one.title}, names" for one in self.sets]
        if words := ", ".join((*self.flags, *self.tags)):
            parts.insert(0, f"what is {words}, {self.how}")
        return f"{super().sentence}: without {' and '.join(parts)}"


class SetRule(SetRows, Rule):
    """What the rows of a data-ID set name."""

    sort: Literal["set"]

    @property
    @override
    def sentence(self) -> str:
        return f"{super().sentence}: what {self.title}, names"


AnyRule: TypeAlias = Annotated[
    FlaggedRule | UsableRule | SetRule, Field(discriminator="sort")
]
"""A rule of one of the three sorts."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a file of rules says.

    Attributes
    ----------
    file
        As it was named.
    rules
        In the order of the file; no two fill the same collection.
    """

    file: str
    rules: tuple[FlaggedRule | UsableRule | SetRule, ...]
