"""Data-ID sets as the command line tells of them, for people."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annolog.domain import dataids
from annolog.domain.dataid_builds import KEEP

Shown = Mapping[str, Any]
"""A decoded answer."""

MOST = 20
"""Lines of each kind that are shown unless told otherwise."""
ALL = sys.maxsize
"""In place of that number: whatever the service lists."""
NONE = 0
"""In place of that number: only the first line, which has the counts."""


def made_lines(name: str, answer: Shown, most: int = MOST) -> Iterator[str]:
    """Tell what became of an upload or a build.

    Parameters
    ----------
    name
        The set.
    answer
        What the service said.
    most
        Lines of each kind, or `ALL` or `NONE`.

    Yields
    ------
    str
        Lines.
    """
    if answer["unchanged"]:
        yield f"{name}: unchanged, the newest version says the same"
    elif answer["written"]:
        yield f"{version_name(answer['version'])}: made, {counts(answer)}"
    else:
        yield f"{name}: would be made, {counts(answer)}"
    if most == NONE:
        return
    yield from difference_lines(answer, most)
    for member, told in (
        ("conversions", "{name} is exposure {exposure}"),
        ("doubled", "says the same as line {first}, left out"),
    ):
        lines = [
            f"line {one['line']}: {told.format(**one)}"
            for one in answer.get(member, ())
        ]
        yield from _first(lines, most)
    yield from answer.get("notes", ())
    yield from exempt_lines(answer, most)


def exempt_lines(answer: Shown, most: int = MOST) -> Iterator[str]:
    """Tell which rows to keep and to drop want another look.

    Parameters
    ----------
    answer
        What the service said.
    most
        Lines of each kind.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    for member, told in (
        ("contradictions", "is flagged {flag} now"),
        ("idle", "makes no difference"),
    ):
        lines = [
            f"{one['action']} {describe(one['data_id'])}: {told.format(**one)}"
            f" ({one['reason']})"
            for one in answer.get(member, ())
        ]
        yield from _first(lines, most)


def counts(answer: Shown) -> str:
    """Tell a difference in numbers: "2 added, 1 dropped"."""
    words = ("added", "dropped", "altered")
    said = [f"{answer[f'{w}_count']} {w}" for w in words if answer[f"{w}_count"]]
    for sort in ("added", "dropped"):
        columns = answer[f"columns_{sort}"]
        if columns:
            said.append(f"columns {sort}: {', '.join(columns)}")
    return ", ".join(said) or "no difference"


def difference_lines(answer: Shown, most: int = MOST) -> Iterator[str]:
    """Tell a difference row by row: `+`, `-`, and `~` for other values.

    Parameters
    ----------
    answer
        What the service said; it lists some thousands of each kind, and counts all.
    most
        Lines of each kind, or `ALL` or `NONE`.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    if most == NONE:
        return
    for sign, kind in (("+", "added"), ("-", "dropped"), ("~", "altered")):
        lines = [
            f"{sign} {describe(one['data_id'])}{_said(one)}" for one in answer[kind]
        ]
        yield from _first(lines, most, answer[f"{kind}_count"])


def drift_lines(answer: Shown, most: int = MOST) -> Iterator[str]:
    """Tell how far a version has drifted, and because of which statements.

    Parameters
    ----------
    answer
        What the service said.
    most
        Lines of each kind, or `ALL` or `NONE`.

    Yields
    ------
    str
        Lines, none after the first if there is nothing to tell.
    """
    yield f"{version_name(answer)}: {counts(answer)}"
    if most == NONE:
        return
    yield from difference_lines(answer, most)
    if answer["changed"] and answer["redactions"]:
        yield _REDACTED
    said = [
        f"since then, {one['key']}: {one['author']} {one['operation']} {one['kind']}"
        f" {one['annotation_id']}"
        for one in answer["statements"]
    ]
    yield from _first(said, most)
    yield from exempt_lines(answer, most)


def why_lines(answer: Shown) -> Iterator[str]:
    """Tell why each row is in, and what was left out.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    for one in answer["items"]:
        yield f"{describe(one['data_id'])}: {_whys(one['why'])}"
    for one in answer["left_out"]:
        by = f"part {one['part']}" if one["part"] else f"dropped: {one['reason']}"
        yield f"left out {describe(one['data_id'])} ({by}): {_whys(one['why'])}"
    if not answer["agrees"]:
        yield "built again, the recipe gives other rows than the version has"
        if answer["redactions"]:
            yield _REDACTED


_REDACTED = "words were redacted that stand behind it, which may be why"


def redacted_lines(answer: Shown) -> Iterator[str]:
    """Tell what became of a redaction, and where else the words are.

    Yields
    ------
    str
        Lines.
    """
    own = version_name(answer["version"])
    if answer["dry_run"]:
        yield f"{own}: would lose its words"
    elif answer["redaction"] is None:
        yield f"{own}: the words are gone already"
    else:
        yield f"{own}: the words are gone"
    for key in answer["same_rows"]:
        yield f"the same rows, and so the same words: {key.removeprefix('set:')}"
    for one in answer["copies"]:
        places = [rows(one["rows"])] if one["rows"] else []
        places += ["its reason or recipe"] if one["said"] else []
        yield f"a copy, to be redacted too: {version_name(one)} ({', '.join(places)})"
    if not answer["copies_complete"]:
        yield "not all versions were looked through for copies"


def describe(data_id: Mapping[str, int | str]) -> str:
    """Write a data ID for people, in one order of dimensions whatever it came in.

    Recipes come back with their members sorted by name.
    """
    names = dataids.dimension_order(data_id)
    return dataids.describe({name: data_id[name] for name in names})


def version_name(version: Shown) -> str:
    """Give a version's name, "bad@3-1F0A77C2"."""
    return str(version["key"]).removeprefix("set:")


def version_of(version: Shown) -> str:
    """Give which version of its set it is, "3-1F0A77C2"."""
    return version_name(version).rpartition("@")[2]


def rows(count: int) -> str:
    """Tell a number of rows."""
    return f"{count} row" if count == 1 else f"{count} rows"


def version_line(one: Shown) -> str:
    """Tell a version in a line."""
    said = [
        version_name(one),
        rows(one["row_count"]),
        str(one["author"]),
        str(one["created_at"]),
    ]
    if one["label"]:
        drifts = ", drifts" if one["drifts"] else ""
        said.append(f"released as {one['label']}{drifts}")
    if one["reason"]:
        said.append(one["reason"].partition("\n")[0])
    return "  ".join(said)


def set_line(one: Shown) -> str:
    """Tell a set in a line: its newest version and what is released."""
    said = [version_name(one), rows(one["row_count"])]
    if one["labels"]:
        drifting = f", {one['drifting']} drifting" if one["drifting"] else ""
        said.append(f"released: {', '.join(one['labels'])}{drifting}")
    return "  ".join(said)


def _whys(whys: Sequence[Shown]) -> str:
    return "; ".join(_why(one) for one in whys)


def _why(why: Shown) -> str:
    said = [f"flag {why['flag']}"] if why["flag"] else []
    said += [f"tag {one}" for one in why["tags"]]
    said += [json.dumps(one, ensure_ascii=False) for one in why["comments"] if one]
    said += [f"from {one}" for one in why["inherited_from"]]
    said += [why["reason"]] if why["reason"] else []
    said += [f"({', '.join(why['annotations'])})"] if why["annotations"] else []
    # Rows to keep are no part of the recipe.
    part = KEEP if why["part"] == KEEP else f"part {why['part']}"
    return f"{part}: {' '.join(said)}" if said else part


def _said(one: Shown) -> str:
    if "values" in one:
        # A row that comes or goes is told by what it has.
        return _values({k: v for k, v in one["values"].items() if v is not None})
    return f"{_values(one['old'])} ->{_values(one['new'])}"


def _values(values: Shown) -> str:
    said = (f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in values.items())
    return "".join(f" {one}" for one in said)


def _first(lines: Sequence[str], most: int, count: int | None = None) -> Iterator[str]:
    # The service may count more than it lists.
    yield from lines[:most]
    listed = len(lines)
    whole = listed if count is None else count
    left = whole - min(most, listed)
    if not left:
        return
    if listed <= most:
        told = "the service does not list them"
    elif listed < whole:
        told = f"--all shows the first {listed:,}"
    else:
        told = "--all shows them"
    yield f"... and {left:,} more ({told})"
