"""Data-ID sets as the command line tells of them, for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from annolog.domain.dataids import describe

Shown = Mapping[str, Any]
"""A decoded answer."""


def made_lines(name: str, answer: Shown) -> Iterator[str]:
    """Tell what became of an upload or a build.

    Parameters
    ----------
    name
        The set.
    answer
        What the service said.

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
    yield from difference_lines(answer)
    for one in answer.get("conversions", ()):
        yield f"line {one['line']}: {one['name']} is exposure {one['exposure']}"
    for one in answer.get("doubled", ()):
        yield f"line {one['line']}: says the same as line {one['first']}, left out"
    yield from answer.get("notes", ())
    yield from exempt_lines(answer)


def exempt_lines(answer: Shown) -> Iterator[str]:
    """Tell which rows to keep and to drop want another look.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    for member, told in (
        ("contradictions", "is flagged {flag} now"),
        ("idle", "makes no difference"),
    ):
        for one in answer.get(member, ()):
            what = f"{one['action']} {describe(one['data_id'])}"
            yield f"{what}: {told.format(**one)} ({one['reason']})"


def counts(answer: Shown) -> str:
    """Tell a difference in numbers: "2 added, 1 dropped"."""
    words = ("added", "dropped", "altered")
    said = [f"{answer[f'{w}_count']} {w}" for w in words if answer[f"{w}_count"]]
    for sort in ("added", "dropped"):
        columns = answer[f"columns_{sort}"]
        if columns:
            said.append(f"columns {sort}: {', '.join(columns)}")
    return ", ".join(said) or "no difference"


def difference_lines(answer: Shown) -> Iterator[str]:
    """Tell a difference row by row: `+`, `-`, and `~` for other values.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    for sign, member in (("+", "added"), ("-", "dropped")):
        for one in answer[member]:
            yield f"{sign} {describe(one['data_id'])}{_values(one['values'])}"
    for one in answer["altered"]:
        old, new = _values(one["old"]), _values(one["new"])
        yield f"~ {describe(one['data_id'])}{old} ->{new}"
    if not answer["complete"]:
        yield "... and more, which are not listed"


def drift_lines(answer: Shown) -> Iterator[str]:
    """Tell how far a version has drifted, and because of which statements.

    Yields
    ------
    str
        Lines, none if there is nothing to tell.
    """
    yield f"{version_name(answer)}: {counts(answer)}"
    yield from difference_lines(answer)
    if answer["changed"] and answer["redactions"]:
        yield _REDACTED
    for one in answer["statements"]:
        what = f"{one['author']} {one['operation']} {one['kind']}"
        yield f"since then, {one['key']}: {what} {one['annotation_id']}"
    yield from exempt_lines(answer)


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


def version_name(version: Shown) -> str:
    """Give a version's name, "bad@3-1F0A77C2"."""
    return str(version["key"]).removeprefix("set:")


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
    said = [str(why["part"])]
    said += [why["flag"]] if why["flag"] else []
    said += why["tags"]
    said += [json.dumps(one, ensure_ascii=False) for one in why["comments"]]
    said += [f"from {one}" for one in why["inherited_from"]]
    said += [why["reason"]] if why["reason"] else []
    said += [f"({', '.join(why['annotations'])})"] if why["annotations"] else []
    return " ".join(said)


def _values(values: Shown) -> str:
    said = (f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in values.items())
    return "".join(f" {one}" for one in said)
