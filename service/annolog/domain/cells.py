"""Text in lines of cells: CSV, and the body of ECSV.

The standard library's reader does not tell a quoted cell from a bare one, nor the line
on which a row begins, and here both count: `"3"` is text and `3` a number, and whoever
sent a thousand lines wants to know which one is wrong.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from annolog.domain.dataid_faults import Faults


class Cell(NamedTuple):
    """One cell.

    Attributes
    ----------
    text
        What stands in it, without the quotes around and with those inside undoubled.
    quoted
        Whether it stood in quotes.
    """

    text: str
    quoted: bool = False


class Line(NamedTuple):
    """One row of cells and the line on which it begins, from 1 on."""

    number: int
    cells: tuple[Cell, ...]


# Quoted text, bare text, and the line's end; without an end another cell follows.
_CELL = {
    ",": re.compile(r'(?:"((?:[^"]|"")*)"|([^,"\r\n][^,\r\n]*)?)(?:,|(\r\n|\n|\r|\Z))'),
    # Several blanks are one, as astropy writes and reads them.
    " ": re.compile(
        r' *(?:"((?:[^"]|"")*)"|([^ "\r\n][^ \r\n]*)?)(?: *(\r\n|\n|\r|\Z)| +)'
    ),
}
_BREAK = re.compile(r"\r\n|\n|\r")
_SPECIAL = re.compile(r'[",\r\n]')


def read(
    text: str, faults: Faults, *, delimiter: str = ",", first: int = 1
) -> Iterator[Line]:
    """Read rows of cells; empty lines are passed over.

    Parameters
    ----------
    text
        The lines, which end in LF, CRLF or CR.
    faults
        Gets what cannot be read; reading ends there.
    delimiter
        A comma, or a blank.
    first
        Number of the first line.

    Yields
    ------
    Line
        Each row, however many cells it has.
    """
    pattern = _CELL[delimiter]
    place, number, begun = 0, first, first
    cells: list[Cell] = []
    while True:
        found = pattern.match(text, place)
        if found is None:
            faults.add(
                number,
                None,
                text[place : place + 40],
                "a quote is opened and not closed before the next cell; inside quotes "
                'write "" for "',
                "invalid_quotes",
            )
            return
        quoted, bare, end = found.groups()
        if quoted is not None:
            number += len(_BREAK.findall(quoted))
            cells.append(Cell(quoted.replace('""', '"'), quoted=True))
        else:
            cells.append(Cell(bare or ""))
        place = found.end()
        if end is None:
            continue
        if not _is_blank(cells):
            yield Line(begun, tuple(cells))
        if not end:
            return
        cells = []
        number += 1
        begun = number


def _is_blank(cells: list[Cell]) -> bool:
    return len(cells) == 1 and not cells[0].quoted and not cells[0].text.strip()


def write(rows: Iterable[Iterable[Cell]]) -> str:
    """Write rows of cells with commas, each line ending in LF.

    Parameters
    ----------
    rows
        Cells; one that says `quoted` is quoted though it need not be.
    """
    lines = []
    for row in rows:
        cells = [
            '"' + cell.text.replace('"', '""') + '"'
            if cell.quoted or _SPECIAL.search(cell.text)
            else cell.text
            for cell in row
        ]
        # A line with nothing on it would be passed over when read.
        lines.append(",".join(cells) if cells != [""] else '""')
    return "".join(f"{line}\n" for line in lines)
