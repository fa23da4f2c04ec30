"""Files of rules, in YAML or TOML, read into frozen values.

Everything that is wrong in one is said at once, each with the file, the rule, the
field, the value and what would be right. The butler's library is not needed here.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from annolog.butler.rules import (
    AnyRule,
    FlaggedRule,
    Nights,
    Rule,
    Rules,
    SetRule,
    UsableRule,
    listed,
)
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.vocabulary import nearest

_SHOWN = 80
_MODELS: Mapping[object, type[Rule]] = {
    "flagged": FlaggedRule,
    "usable": UsableRule,
    "set": SetRule,
}
_RULE: TypeAdapter[AnyRule] = TypeAdapter(AnyRule)


class RulesError(InvalidError):
    """A file of rules cannot be used; each problem is one line for people."""

    code = "rules"


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


def only(rules: Rules, names: Iterable[str]) -> Rules:
    """Choose rules by name.

    Parameters
    ----------
    rules
        All of a file.
    names
        Those that are wanted; none means all.

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
    known = {rule.name for rule in rules.rules}
    if missing := sorted(wanted - known):
        raise _error(
            [
                _problem(rules.file, name, None, name, _meant(name, known))
                for name in missing
            ]
        )
    kept = [rule for rule in rules.rules if not wanted or rule.name in wanted]
    return Rules(rules.file, tuple(kept))


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
    if fields.get("sort") not in _MODELS:
        reason = f"it should be one of {', '.join(map(str, _MODELS))}"
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
    source = listed(fields.get("source"))
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
