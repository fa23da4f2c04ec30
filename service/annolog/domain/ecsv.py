"""The header of ECSV: a YAML document in comments above a table of cells.

Written as astropy's schema 2.0 has it, one column a line, with commas between cells.
Read as astropy writes it: commas or blanks, whatever else the header holds.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from annolog.domain.errors import InvalidError

MAX_HEADER = 65_536
"""Characters of a header."""

_FIRST = "# %ECSV "
_INTEGERS = frozenset(
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_COMMENT = re.compile(r"#([^\r\n]*)(?:\r\n|\n|\r|\Z)")
_FLOATS = frozenset({"float16", "float32", "float64", "float128"})


class Column(NamedTuple):
    """One column as the header declares it."""

    name: str
    datatype: str
    """`bool`, `int`, `float` or `string`: numpy's widths are dropped."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes
    ----------
    columns
        In order.
    delimiter
        A comma or a blank.
    lines, end
        Lines and characters that it takes.
    ignored
        What it says beside that, for people: annolog does not keep it.
    """

    columns: tuple[Column, ...]
    delimiter: str
    lines: int
    end: int
    ignored: tuple[str, ...]


def is_ecsv(text: str) -> bool:
    """Tell whether a text begins as ECSV does."""
    return text.startswith(_FIRST)


def read(text: str) -> Header:
    """Read the header of a file.

    Parameters
    ----------
    text
        The whole file, decoded.

    Raises
    ------
    InvalidError
        If there is none, it is no YAML, or it declares columns of other types than
        numbers, truth values and text.
    """
    if not is_ecsv(text):
        raise _refused(1, "an ECSV file begins with '# %ECSV 1.0'")
    lines = []
    end = 0
    while found := _COMMENT.match(text, end):
        lines.append(found[1])
        end = found.end()
        if end > MAX_HEADER:
            raise _refused(1, f"the header has more than {MAX_HEADER} characters")
    written = "\n".join(line.removeprefix(" ") for line in lines[1:])
    try:
        said = yaml.safe_load(written)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 2 if mark is not None else 2
        raise _refused(line, "the header is no YAML") from None
    if not isinstance(said, dict) or not isinstance(said.get("datatype"), list):
        raise _refused(2, "the header has no list 'datatype' of the columns")
    delimiter = said.get("delimiter", " ")
    if delimiter not in {",", " "}:
        raise _refused(2, f"delimiter {delimiter!r:.20} is neither ',' nor ' '")
    columns = tuple(_column(one) for one in said["datatype"])
    ignored = [
        f"{attribute} of column {one['name']}"
        for one in said["datatype"]
        for attribute in one
        if attribute not in {"name", "datatype"}
    ]
    if said.get("meta"):
        ignored.append("meta")
    return Header(columns, delimiter, len(lines), end, tuple(ignored))


def write(columns: Sequence[Column]) -> str:
    """Write a header; cells have commas between them.

    Parameters
    ----------
    columns
        With numpy's names of types.
    """
    lines = [
        "%ECSV 1.0",
        "---",
        "datatype:",
        *(f"- {{name: {_scalar(c.name)}, datatype: {c.datatype}}}" for c in columns),
        "delimiter: ','",
        "schema: astropy-2.0",
    ]
    return "".join(f"# {line}\n" for line in lines)


def _column(said: object) -> Column:
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        raise _refused(2, "an entry of 'datatype' has no name that is text")
    name, datatype = said["name"], said.get("datatype")
    if said.get("subtype") is not None:
        raise _refused(2, f"column {name!r:.60} holds more than one value a cell")
    if datatype in _INTEGERS:
        return Column(name, "int")
    if datatype in _FLOATS:
        return Column(name, "float")
    if datatype in {"bool", "string"}:
        return Column(name, str(datatype))
    raise _refused(
        2, f"column {name!r:.60} is of type {datatype!r:.40}, which a list cannot hold"
    )


def _scalar(text: str) -> str:
    # A word as it stands where YAML reads the same again (not `null`, not `yes`), else
    # as JSON, which is YAML too.
    if _WORD.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    return json.dumps(text, ensure_ascii=False)


def _refused(line: int, reason: str) -> InvalidError:
    return InvalidError.at(
        f"line {line}", None, f"line {line}: {reason}", "invalid_ecsv"
    )
