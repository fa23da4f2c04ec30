"""Data-ID sets as files: JSON (a list of objects), CSV and ECSV.

`parse` reads what people and programs upload, without judging what it names;
`annolog.domain.dataid_uploads` does that. `write` is deterministic: one row a line, in
the order of data IDs, so that lists kept in git differ by the rows that changed.

The three hold the same values. In CSV a bare cell that looks like a number or a truth
value is one, if all of its column do; in quotes it is text. An empty cell is no value.
Where a dimension is an integer, a number with an exponent is text: a spreadsheet writes
2.02411E+12 for any exposure of a month.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from annolog.domain import cells, ecsv
from annolog.domain.cells import Cell
from annolog.domain.dataid_faults import Faults
from annolog.domain.dataids import (
    MAX_ROWS,
    MIN_INTEGER,
    DataIdTable,
    Value,
    as_text,
    plain,
    type_of,
)
from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.errors import InvalidError, TooLargeError

Format = Literal["json", "csv", "ecsv"]
"""How a list is written."""

MEDIA_TYPES: Mapping[Format, str] = {
    "json": "application/json",
    "csv": "text/csv",
    "ecsv": "text/x-ecsv",
}
"""The content type of each format, as sent; all are UTF-8."""

MAX_COLUMNS = 200
"""Columns that a list may have."""
MAX_COLUMN_NAME = 128
"""Characters of a column's name."""
MAX_TEXT = 65_536
"""Characters of one value."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_DIGITS = len(str(MIN_INTEGER))
_TRUTH = {"true": True, "True": True, "false": False, "False": False}
_NO_FINITE = {
    "nan",
    "NaN",
    *(f"{sign}{word}" for sign in ("", "+", "-") for word in ("inf", "Infinity")),
}
_OTHER_DELIMITERS = {"\t": "tabs", ";": "semicolons", "|": "bars"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it was uploaded.

    Attributes
    ----------
    line
        Line on which it begins, from 1 on; of JSON the number of the object.
    fields
        Values by column; None where it has none.
    """

    line: int
    fields: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class RawTable:
    """A list as it was uploaded.

    Attributes
    ----------
    format
        How it was written.
    columns
        Names in the order in which they came.
    rows
        In the order in which they came.
    ignored
        What the file says beside its values, for people: annolog does not keep it.
    place
        JSON pointer to the list, where it stands inside of something else; else empty.
    """

    format: Format
    columns: tuple[str, ...]
    rows: tuple[RawRow, ...]
    ignored: tuple[str, ...] = ()
    place: str = ""


def text_column(name: str) -> bool:
    """Tell whether a column is text whatever its values look like.

    So are the obs_id and the dimensions that are no integers, beside an exposure too:
    a group named `12` is the same group in CSV and JSON.
    """
    return name == "obs_id" or (
        UNIVERSE.is_dimension(name) and not UNIVERSE.is_integer(name)
    )


def parse(content: bytes, written: Format) -> RawTable:
    """Read an uploaded list.

    Parameters
    ----------
    content
        The file: UTF-8, with a byte order mark or without; lines end as they like.
    written
        Its format.

    Raises
    ------
    InvalidError
        With the line of each fault (the first hundred): it is no UTF-8, holds a NUL, is
        no list of objects, or a row has other cells than the header.
    TooLargeError
        If it has more rows, columns or characters in a value than stated here.
    """
    text = _decoded(content)
    match written:
        case "json":
            return _parse_json(text)
        case "csv":
            return _parse_csv(text)
        case "ecsv":
            return _parse_ecsv(text)


def write(table: DataIdTable, written: Format) -> bytes:
    """Write a table, the same bytes for the same table.

    Parameters
    ----------
    table
        The table. If it is of one instrument as a whole (`DataIdTable.instrument`), CSV
        and ECSV leave that column out; JSON never does.
    written
        The format.

    Returns
    -------
    bytes
        UTF-8, lines ending in LF, the last one too.
    """
    if written == "json":
        return _written_json(table)
    bare = table.instrument is not None
    start = 1 if bare and table.dimensions[:1] == ("instrument",) else 0
    names = (*table.dimensions[start:], *table.columns)
    types = _types(table)[start:]
    lines = [[Cell(name) for name in names]]
    # What a reader of CSV would take for a number stands in quotes where it is none.
    doubtful = [
        written == "csv" and kind == "string" and not text_column(name)
        for name, kind in zip(names, types, strict=True)
    ]
    for row in table.rows:
        given = zip((*row.data_id[start:], *row.values), doubtful, strict=True)
        lines.append([_cell(value, doubt, written) for value, doubt in given])
    body = cells.write(lines)
    if written == "csv":
        return body.encode()
    columns = [ecsv.Column(*one) for one in zip(names, types, strict=True)]
    return (ecsv.write(columns) + body).encode()


def _decoded(content: bytes) -> str:
    if content.startswith(_UTF16):
        raise _at_line(1, "the file is UTF-16; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _at_line(line, "the text is no UTF-8") from None
    nul = text.find("\0")
    if nul >= 0:
        raise _at_line(text.count("\n", 0, nul) + 1, "the text holds a NUL")
    return text


def _at_line(line: int, reason: str, code: str = "malformed") -> InvalidError:
    return InvalidError.at(f"line {line}", None, f"line {line}: {reason}", code)


# --------------------------------------------------------------------- JSON


class _Twice(NamedTuple):
    """A JSON object in which a name stands twice: nobody can tell which one counts."""

    name: str


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Twice:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    return _Twice(
        next(name for name, n in Counter(n for n, _ in pairs).items() if n > 1)
    )


def _parse_json(text: str) -> RawTable:
    try:
        said = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        raise _at_line(error.lineno, f"this is no JSON ({error.msg})") from None
    except (RecursionError, ValueError):
        # Nested too deeply, or a number with thousands of digits.
        raise _at_line(1, "this is no JSON list that can be read") from None
    if not isinstance(said, list):
        raise _at_line(1, "a JSON list of objects is wanted", "not_a_list")
    _check_rows(len(said))
    faults = Faults(as_objects=True)
    columns: dict[str, None] = {}
    rows = []
    for number, one in enumerate(said, start=1):
        if isinstance(one, _Twice):
            reason = f"{one.name!r:.60} is named twice"
            faults.add(number, one.name, None, reason)
            continue
        if not isinstance(one, dict):
            faults.add(number, None, one, "this is no object", "not_an_object")
            continue
        fields = {}
        for written, value in one.items():
            name = written.strip()
            if name in fields:
                faults.add(number, name, value, f"{name!r:.60} is named twice")
            elif isinstance(value, dict | list | _Twice):
                faults.add(number, name, None, f"{name!r:.60} holds more than a value")
            else:
                fields[name] = _kept(value, number, name, faults)
        columns.update(dict.fromkeys(fields))
        rows.append(RawRow(number, fields))
    _check_columns(list(columns), 1, faults)
    faults.settle()
    return RawTable("json", tuple(columns), tuple(rows))


def _written_json(table: DataIdTable) -> bytes:
    names = (*table.dimensions, *table.columns)
    lines = [
        # What its row does not name is left out of a data ID, as butlers want it.
        json.dumps(
            {
                name: value
                for place, (name, value) in enumerate(
                    zip(names, (*row.data_id, *row.values), strict=True)
                )
                if value is not None or place >= len(table.dimensions)
            },
            ensure_ascii=False,
        )
        for row in table.rows
    ]
    return ("[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n").encode()


def _kept(value: Value, line: int, name: str, faults: Faults) -> Value:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        reason = f"{name} has more than {MAX_TEXT} characters"
        faults.add(line, name, value, reason, "too_large")
        return None
    try:
        return plain(value)
    except InvalidError as error:
        shown = value if isinstance(value, str) else str(value)[:MAX_COLUMN_NAME]
        faults.add(line, name, shown, f"{name}: {error.detail}", error.reason_code)
        return None


# ---------------------------------------------------------------- CSV, ECSV


def _parse_csv(text: str) -> RawTable:
    if ecsv.is_ecsv(text):
        raise _at_line(1, "this is ECSV, not CSV", "other_format")
    faults = Faults(as_objects=False)
    names, lines = _read_cells(text, faults, 1, ",")
    columns = [
        _bare(column)
        if text_column(name)
        else _digits(column)
        if UNIVERSE.is_integer(name)
        else _guessed(column)
        for name, column in zip(names, _turned(names, lines), strict=True)
    ]
    return _raw("csv", names, [line.number for line in lines], columns, faults)


def _parse_ecsv(text: str) -> RawTable:
    header = ecsv.read(text)
    faults = Faults(as_objects=False)
    names, lines = _read_cells(
        text[header.end :], faults, header.lines + 1, header.delimiter
    )
    if names != tuple(one.name for one in header.columns):
        raise _at_line(
            header.lines + 1, "the names of columns are not those of 'datatype'"
        )
    columns = []
    for declared, column in zip(header.columns, _turned(names, lines), strict=True):
        values = []
        for line, cell in zip(lines, column, strict=True):
            value, reason = _declared(cell.text, declared.datatype)
            if UNIVERSE.is_integer(declared.name) and _is_shortened(value, cell.text):
                value = cell.text
            if reason:
                reason = f"{declared.name} is {reason}, not {cell.text!r:.40}"
                faults.add(line.number, declared.name, cell.text, reason)
            values.append(value)
        columns.append(values)
    numbers = [line.number for line in lines]
    return _raw("ecsv", names, numbers, columns, faults, header.ignored)


def _read_cells(
    text: str, faults: Faults, first: int, delimiter: str
) -> tuple[tuple[str, ...], list[cells.Line]]:
    read = cells.read(text, faults, delimiter=delimiter, first=first)
    header = next(read, None)
    faults.settle()
    if header is None:
        raise _at_line(first, "a line with the names of columns is wanted", "no_header")
    names = [cell.text.strip() for cell in header.cells]
    _check_delimiter(names[0] if len(names) == 1 else "", header.number)
    # Spreadsheets save empty columns to the right of the last one.
    while names and not names[-1]:
        names.pop()
    _check_columns(names, header.number, faults)
    faults.settle()
    lines = []
    for line in read:
        more = len(line.cells) - len(names)
        if more < 0 or any(cell.text for cell in line.cells[len(names) :]):
            count = len(line.cells)
            cell = "1 cell" if count == 1 else f"{count} cells"
            reason = f"has {cell}, the header {len(names)}"
            if line.cells[0].text.startswith("#"):
                reason += "; a list has no comments"
            faults.add(line.number, None, None, reason, "other_cells")
            continue
        lines.append(line)
        _check_rows(len(lines))
    faults.settle()
    return tuple(names), lines


def _check_delimiter(name: str, line: int) -> None:
    # A file with other delimiters has a header of one cell.
    for delimiter, words in _OTHER_DELIMITERS.items():
        if delimiter in name:
            reason = f"line {line}: cells are separated by commas, not by {words}"
            raise InvalidError.at(f"line {line}", name[:60], reason, "other_delimiter")


def _turned(names: Sequence[str], lines: Sequence[cells.Line]) -> list[list[Cell]]:
    return [[line.cells[place] for line in lines] for place in range(len(names))]


def _raw(
    written: Format,
    names: tuple[str, ...],
    numbers: Sequence[int],
    columns: Sequence[Sequence[Value]],
    faults: Faults,
    ignored: tuple[str, ...] = (),
) -> RawTable:
    rows = []
    for place, number in enumerate(numbers):
        fields = {
            name: _kept(column[place], number, name, faults)
            for name, column in zip(names, columns, strict=True)
        }
        rows.append(RawRow(number, fields))
    faults.settle()
    return RawTable(written, names, tuple(rows), ignored)


def _bare(column: Sequence[Cell]) -> list[Value]:
    return [cell.text or None for cell in column]


def _digits(column: Sequence[Cell]) -> list[Value]:
    return [
        cell.text if _is_shortened(value, cell.text) else value
        for cell, value in zip(column, _guessed(column), strict=True)
    ]


def _is_shortened(value: Value, text: str) -> bool:
    return isinstance(value, float) and "e" in text.lower()


def _guessed(column: Sequence[Cell]) -> list[Value]:
    values: list[Value] = []
    for cell in column:
        value = _guess(cell.text)
        if cell.text and (cell.quoted or value is None):
            return _bare(column)
        values.append(value)
    # A column of more than one type is text, as it stands.
    return values if type_of(values) is not str else _bare(column)


def _guess(text: str) -> int | float | bool | None:
    # None: text, or nothing.
    if text in _TRUTH:
        return _TRUTH[text]
    if text in _NO_FINITE:
        return float(text)
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    if found[2] or found[3]:
        value = float(text)
        return value if math.isfinite(value) else None
    if len(text) > _DIGITS:
        return None
    whole = int(text)
    return whole if MIN_INTEGER <= whole <= MAX_INTEGER else None


def _declared(text: str, datatype: str) -> tuple[Value, str]:
    # The value, and what it should have been where it is none.
    if not text or datatype == "string":
        return text or None, ""
    match datatype:
        case "bool":
            truth = _TRUTH.get(text)
            return truth, "" if truth is not None else "True or False"
        case "int":
            whole = int(text) if _INTEGER.fullmatch(text) else None
            return whole, "" if whole is not None else "an integer"
        case _:
            try:
                return float(text), ""
            except ValueError:
                return None, "a number"


def _cell(value: Value, doubtful: bool, written: Format) -> Cell:  # noqa: FBT001
    if isinstance(value, bool) and written == "ecsv":
        return Cell(str(value))
    text = as_text(value)
    return Cell(text, doubtful and _guess(text) is not None)


def _types(table: DataIdTable) -> list[str]:
    named = ["uint64" if UNIVERSE.is_integer(n) else "string" for n in table.dimensions]
    types = {str: "string", int: "int64", float: "float64", bool: "bool"}
    further = [
        types[type_of(row.values[place] for row in table.rows)]
        for place in range(len(table.columns))
    ]
    return [*named, *further]


# -------------------------------------------------------------------- limits


def _check_rows(count: int) -> None:
    if count > MAX_ROWS:
        reason = f"a list has {MAX_ROWS} rows at most"
        raise TooLargeError(reason)


def _check_columns(names: Sequence[str], line: int, faults: Faults) -> None:
    if len(names) > MAX_COLUMNS:
        reason = f"{len(names)} columns; a list has {MAX_COLUMNS} at most"
        raise TooLargeError(reason)
    seen = set()
    for place, name in enumerate(names, start=1):
        if not name:
            reason = f"column {place} has no name (pandas: to_csv(index=False))"
            faults.add(line, None, None, reason, "invalid_column")
        elif len(name) > MAX_COLUMN_NAME or not name.isprintable():
            reason = (
                f"column {place} has a name of more than {MAX_COLUMN_NAME} characters "
                "or with some that cannot be printed"
            )
            faults.add(line, None, name, reason, "invalid_column")
        elif name in seen:
            faults.add(line, name, name, f"{name!r} is there twice", "invalid_column")
        seen.add(name)
