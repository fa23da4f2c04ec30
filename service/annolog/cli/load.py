"""`annologd load`: a list of exposures becomes annotations.

The list is CSV or ECSV with the columns `exposure` (the integer id) and `comment`, as
processing keeps its exclusion lists. All exposures with the same comment become one
annotation, its text the comment to the letter.
"""

import asyncio
import csv
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import click

from annolog.cli.inside import Inside, inside
from annolog.cli.main import FailedError, emit, json_option
from annolog.domain.annotations import MAX_TARGETS

_NAMESPACE = uuid.UUID("3c8f7f0e-8d0b-5a5e-9c39-52f1c5cf2d0a")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: an exposure id and what is said of it, to the letter."""

    exposure: int
    comment: str


def read_rows(lines: Iterable[str]) -> list[Row]:
    """Read a list.

    Parameters
    ----------
    lines
        Lines of CSV or ECSV; those that begin with `#` are the header of ECSV.

    Returns
    -------
    list of Row
        In the order of the list; blanks of comments are kept.

    Raises
    ------
    ValueError
        If the columns are missing or an exposure is no integer; it names the line.
    """
    numbered = _content(lines)
    try:
        names = next(csv.reader([next(numbered)[1]]))
    except StopIteration:
        msg = "the list is empty"
        raise ValueError(msg) from None
    places = {name.strip(): place for place, name in enumerate(names)}
    missing = [name for name in ("exposure", "comment") if name not in places]
    if missing:
        msg = f"the list has no column {missing[0]}; its columns are {', '.join(names)}"
        raise ValueError(msg)
    rows = []
    for number, line in numbered:
        cells = next(csv.reader([line]))
        if len(cells) != len(names):
            msg = f"line {number} has {len(cells)} columns, and the header {len(names)}"
            raise ValueError(msg)
        exposure = cells[places["exposure"]].strip()
        if not exposure.isascii() or not exposure.isdigit():
            msg = f"line {number}: {exposure!r} is no exposure id"
            raise ValueError(msg)
        rows.append(Row(int(exposure), cells[places["comment"]]))
    return rows


def _content(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield number, line.rstrip("\r\n")


def drafts(rows: Iterable[Row], instrument: str, flag: str) -> list[dict[str, object]]:
    """Make one annotation for all exposures with the same comment.

    Their ids follow from what they say, so loading a list again changes nothing.
    """
    by_comment: dict[str, list[int]] = {}
    for row in rows:
        by_comment.setdefault(row.comment, []).append(row.exposure)
    found: list[dict[str, object]] = []
    for comment, exposures in by_comment.items():
        ids = sorted(set(exposures))
        for first in range(0, len(ids), MAX_TARGETS):
            piece = ids[first : first + MAX_TARGETS]
            name = f"{instrument}\n{flag}\n{comment}\n{piece}"
            found.append(
                {
                    "annotation_id": str(uuid.uuid5(_NAMESPACE, name)),
                    "targets": {"instrument": instrument, "ids": piece},
                    "flag": flag,
                    "text": comment,
                }
            )
    return found


@click.command("load")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--instrument", required=True, help="Instrument of the exposures.")
@click.option("--flag", default="junk", show_default=True, help="Flag that they get.")
@click.option("--author", required=True, help="Whose words these are.")
@json_option
def command(  # numpydoc ignore=PR01,RT01
    *, file: TextIO, instrument: str, flag: str, author: str, as_json: bool
) -> None:
    """Load FILE (CSV or ECSV: exposure,comment) as annotations.

    All exposures with the same comment become one annotation. Loading the same list
    again changes nothing.
    """
    try:
        rows = read_rows(file)
    except ValueError as error:
        raise FailedError(f"annologd: {Path(file.name).name}: {error}") from None
    asyncio.run(_load(rows, instrument, flag, author, as_json=as_json))


async def _load(
    rows: list[Row], instrument: str, flag: str, author: str, *, as_json: bool
) -> None:
    async with inside() as annolog:
        items = drafts(rows, instrument, flag)
        answer = await annolog.post(
            "/annolog/v1/annotations/batch?atomic=true", items, user=author
        )
        created = sum(item["status"] == 201 for item in answer["items"])  # noqa: PLR2004 - HTTP's Created
        nights = await _flagged(annolog, instrument, flag)
    emit(
        {
            "exposures": len({row.exposure for row in rows}),
            "annotations": len(items),
            "created": created,
            "nights": {str(night): count for night, count in nights.items()},
        },
        "\n".join(
            [
                f"{len(rows)} lines, {len(items)} annotations, {created} of them new",
                f"{instrument} exposures that are {flag}, by night:",
                *(f"  {night}  {count}" for night, count in nights.items()),
            ]
        ),
        as_json=as_json,
    )


async def _flagged(annolog: Inside, instrument: str, flag: str) -> Mapping[int, int]:
    """Count the exposures of each night whose effective flag is this one."""
    nights: Counter[int] = Counter()
    query: dict[str, str | int] = {
        "instrument": instrument,
        "flag": flag,
        "target_kind": "exposure",
        "limit": 1000,
    }
    while True:
        page = await annolog.get("/annolog/v1/targets", **query)
        nights.update(item["day_obs"] for item in page["items"])
        if page["next"] is None:
            return dict(sorted(nights.items()))
        query["cursor"] = page["next"]
