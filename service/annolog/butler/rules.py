"""Rules: which collections of a butler say what annolog knows, and how they are filled.

A file of rules, in YAML or TOML, is read into frozen values. Everything that is wrong
in it is said at once, each with the file, the rule, the field, the value and what would
be right. A rule is of one of three sorts:

flagged
    What has a flag or a tag: `flags/FLAG/SOURCE` or `tags/TAG/SOURCE`.
usable
    What a search of collections finds, without what flags or tags leave out:
    `usable/SOURCE`.
set
    What the rows of a data-ID set name: `sets/NAME`.

The butler's library is not needed here.
"""

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from typing_extensions import override

from annolog.domain.entries import TAG_PATTERN
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.vocabulary import nearest

MAX_COLLECTION = 64
"""Characters that the butler takes for the name of a collection."""

_SORTS = ("flagged", "usable", "set")
_SHOWN = 80


class RulesError(InvalidError):
    """A file of rules cannot be used; each problem is one line for people."""

    code = "rules"


def _listed(value: object) -> object:
    """Take one name where several may stand."""
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

_Words = Annotated[tuple[Word, ...], BeforeValidator(_listed)]
_Collections = Annotated[
    tuple[Collection, ...], Field(min_length=1), BeforeValidator(_listed)
]
_Types = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*$")], ...],
    Field(min_length=1),
    BeforeValidator(_listed),
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
            for field in ("inherited", "nights"):
                if getattr(self, field):
                    raise PydanticCustomError(
                        "instrument",
                        "{field} needs an instrument beside it: instrument: LSSTCam",
                        {"field": field},
                    )
        return self

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

    _once = field_validator("flags", "tags")(_each_once)

    @model_validator(mode="after")
    def _has_bounds(self) -> Self:
        if not self.flags and not self.tags:
            raise PydanticCustomError(
                "leaves_nothing_out",
                "neither flags nor tags say what is left out: flags: [junk]",
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
        words = ", ".join((*self.flags, *self.tags))
        return f"{super().sentence}: without what is {words}, {self.how}"


class SetRule(Rule):
    """What the rows of a data-ID set name."""

    sort: Literal["set"]
    set: str = Field(
        pattern=r"^[^\s/@]+$", description="the name of a data-ID set, without version"
    )
    version: StrictInt | None = Field(
        default=None, ge=1, description="a version's number, or nothing for the latest"
    )

    @property
    @override
    def sentence(self) -> str:
        version = "the latest version" if self.version is None else self.version
        return f"{super().sentence}: what {self.set}, {version}, names"


AnyRule: TypeAlias = Annotated[
    FlaggedRule | UsableRule | SetRule, Field(discriminator="sort")
]
"""A rule of one of the three sorts."""

_MODELS: Mapping[object, type[Rule]] = {
    "flagged": FlaggedRule,
    "usable": UsableRule,
    "set": SetRule,
}
_RULE: TypeAdapter[AnyRule] = TypeAdapter(AnyRule)


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

    def only(self, names: Iterable[str]) -> "Rules":
        """Choose rules by name.

        Parameters
        ----------
        names
            The rules that are wanted; none means all.

        Returns
        -------
        Rules
            Those, in the order of the file.

        Raises
        ------
        RulesError
            If the file has no rule of that name.
        """
        wanted = set(names)
        known = {rule.name for rule in self.rules}
        if missing := sorted(wanted - known):
            raise _error(
                [
                    _problem(self.file, name, None, name, _meant(name, known))
                    for name in missing
                ]
            )
        kept = [rule for rule in self.rules if not wanted or rule.name in wanted]
        return Rules(self.file, tuple(kept))


def read(path: Path) -> Rules:
    """Read a file of rules.

    Parameters
    ----------
    path
        YAML, or TOML if its name ends in `.toml`.

    Returns
    -------
    Rules
        Checked.

    Raises
    ------
    RulesError
        Everything that is wrong, one line each.
    """
    file = str(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise RulesError(f"{file}: cannot be read: {why}") from None
    try:
        content = tomllib.loads(text) if path.suffix == ".toml" else _yaml(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        kind = "TOML" if path.suffix == ".toml" else "YAML"
        words = " ".join(str(error).split())
        raise RulesError(f"{file}: it is no {kind}: {words}") from None
    return checked(file, content)


# ------------------------------------------------------------------- the file's form


class _Loader(yaml.SafeLoader):
    """YAML in which no name stands twice: the first one would be lost unseen."""


def _mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[object] = set()
    for key, _ in node.value:
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"{key.value!r} stands there twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _yaml(text: str) -> object:
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader that is strict


def checked(file: str, content: object) -> Rules:
    """Check what a file of rules holds.

    Parameters
    ----------
    file
        Its name, for errors.
    content
        As YAML or TOML gives it.

    Returns
    -------
    Rules
        Checked.

    Raises
    ------
    RulesError
        Everything that is wrong, one line each.
    """
    if not isinstance(content, dict) or not isinstance(content.get("rules"), dict):
        raise RulesError(
            f"{file}: it has no rules; it should begin with 'version: 1' and then"
            " 'rules:', under which each rule stands by its name"
        )
    problems = [
        _problem(file, None, str(key), content[key], "only version and rules are known")
        for key in content
        if key not in ("version", "rules")
    ]
    if content.get("version") != 1 or content.get("version") is True:
        found = content.get("version")
        problems.append(_problem(file, None, "version", found, "it should be 1"))
    rules = []
    for name, fields in content["rules"].items():
        found_rule, wrong = _rule(file, str(name), fields)
        problems += wrong
        if found_rule is not None:
            rules.append(found_rule)
    problems += _doubled(file, rules)
    if not content["rules"]:
        problems.append(_problem(file, None, "rules", {}, "it should hold a rule"))
    if problems:
        raise _error(problems)
    return Rules(file, tuple(rules))


def _rule(
    file: str, name: str, fields: object
) -> tuple[FlaggedRule | UsableRule | SetRule | None, list[Problem]]:
    if not isinstance(fields, dict):
        reason = "it should be fields by name, sort, source and dataset_types first"
        return None, [_problem(file, name, None, fields, reason)]
    if fields.get("sort") not in _SORTS:
        reason = f"it should be one of {', '.join(_SORTS)}"
        return None, [_problem(file, name, "sort", fields.get("sort"), reason)]
    given = {"collection": _collection(fields), **fields, "name": name}
    try:
        return _RULE.validate_python(given), []
    except ValidationError as error:
        found = error.errors(include_url=False)
    # A name that was made here is wrong because of what it was made from, and a list
    # is too short because of what was taken out of it.
    telling = [
        one
        for one in found
        if (one["loc"][1:2] != ("collection",) or "collection" in fields)
        and not any(
            one["loc"] == other["loc"][: len(one["loc"])] and one is not other
            for other in found
        )
    ]
    return None, [_line(file, name, given, one) for one in telling or found]


def _collection(fields: Mapping[str, object]) -> str | None:
    """Name the collection of a rule that does not: after its sort and its source."""
    if fields.get("sort") == "set":
        version = fields.get("version")
        return f"sets/{fields.get('set')}" + (f"/{version}" if version else "")
    source = _listed(fields.get("source"))
    if not isinstance(source, list) or len(source) != 1:
        return None  # whose name should it bear?
    if fields.get("sort") == "usable":
        return f"usable/{source[0]}"
    kind = "tag" if "tag" in fields else "flag"
    return f"{kind}s/{fields.get(kind)}/{source[0]}"


def _doubled(file: str, rules: Sequence[Rule]) -> list[Problem]:
    first: dict[str, str] = {}
    problems = []
    for rule in rules:
        if rule.collection in first:
            reason = (
                f"rule {first[rule.collection]} fills it too; name another one for"
                " one of them"
            )
            problems.append(
                _problem(file, rule.name, "collection", rule.collection, reason)
            )
        first.setdefault(rule.collection, rule.name)
    return problems


# ------------------------------------------------------------------------- the words


def _line(
    file: str, rule: str, given: Mapping[str, Any], error: ErrorDetails
) -> Problem:
    # The first part is the sort, by which the model was chosen.
    place = [str(part) for part in error["loc"][1:]]
    field = ".".join(place) or None
    model: type[BaseModel] = _MODELS[given["sort"]]
    value = error["input"]
    if field is None:
        # A word on the rule as a whole: its fields were said in the file.
        return _problem(file, rule, None, None, error["msg"])
    if place[0] == "nights" and len(place) > 1:
        model, place = Nights, place[1:]
    known = model.model_fields
    if error["type"] == "extra_forbidden":
        names = [name for name in known if name != "name"]
        return _problem(file, rule, field, value, _meant(place[0], names))
    right = known[place[0]].description or ""
    if place[0] == "collection" and given["collection"] is None:
        reason = "it must be named where source has not exactly one collection"
        return _problem(file, rule, field, None, reason)
    if error["type"] == "missing":
        return _problem(file, rule, field, None, f"it is missing; it should be {right}")
    return _problem(file, rule, field, value, f"{_told(error)}; it should be {right}")


def _told(error: ErrorDetails) -> str:
    text = error["msg"]
    return text[0].lower() + text[1:]


def _meant(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = nearest(word, names)
    likely = f"did you mean {' or '.join(near)}? " if near else ""
    return f"it is not known; {likely}there are {', '.join(names)}"


def _problem(
    file: str, rule: str | None, field: str | None, value: object, reason: str
) -> Problem:
    place = [file]
    if rule is not None:
        place.append(f"rule {rule}")
    if field is not None:
        place.append(f"field {field}")
    shown = "" if value is None else f"{value!r}"[:_SHOWN] + ": "
    pointer = "/".join(["", *([] if rule is None else ["rules", rule])])
    if field is not None:
        pointer += "/" + field.replace(".", "/")
    return Problem(pointer, value, f"{': '.join(place)}: {shown}{reason}", "rules")


def _error(problems: Sequence[Problem]) -> RulesError:
    lines = "\n".join(problem.reason for problem in problems)
    return RulesError(lines, problems=problems)
