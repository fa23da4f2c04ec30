"""Rows of data-ID sets: out of a snapshot, or of a file.

Files are what `annolog dataidset download` wrote, or lists that are kept in git and
that a service never saw.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from annolog.butler.flagged import Flagged
from annolog.butler.rules import SetRows
from annolog.butler.search import DataId
from annolog.domain.dataid_formats import Format, parse
from annolog.domain.dataids import split_columns
from annolog.domain.errors import InvalidError


def rows_of(
    flagged: Flagged, one: SetRows, folder: Path, instrument: str | None = None
) -> Sequence[DataId]:
    """Give the data IDs of a set, from a file or from what was exported.

    Parameters
    ----------
    flagged
        The snapshot.
    one
        Which set.
    folder
        Where the rules are.
    instrument
        For rows of a file that name none, where the set does not say it.

    Returns
    -------
    sequence of mapping
        In the order in which they are there.

    Raises
    ------
    InvalidError
        If the file is no set.
    AnnologError
        If the snapshot does not hold the set.
    """
    if one.file is not None:
        return read(folder / one.file, one.instrument or instrument)
    return flagged.members(one.set, one.version)


def read(path: Path, instrument: str | None) -> list[DataId]:
    """Read the data IDs of a file.

    Parameters
    ----------
    path
        JSON, CSV or ECSV, as its name ends; further columns are passed over.
    instrument
        For rows that name none; None if all do.

    Returns
    -------
    list of mapping
        One a row, in the order of the file, each once.

    Raises
    ------
    InvalidError
        If it cannot be read, is of another format, or has no column that is a
        dimension; it names the file, and the lines that are wrong.
    """
    written = path.suffix.removeprefix(".").lower()
    if written not in ("json", "csv", "ecsv"):
        raise InvalidError(f"{path}: its name should end in .json, .csv or .ecsv")
    try:
        table = parse(path.read_bytes(), cast("Format", written))
    except OSError as error:
        raise InvalidError(f"{path}: cannot be read: {error.strerror}") from None
    except InvalidError as error:
        reasons = [problem.reason for problem in error.problems] or [error.detail]
        raise InvalidError(f"{path}: {'; '.join(reasons)}") from None
    dimensions, _ = split_columns(table.columns)
    if not dimensions:
        raise InvalidError(
            f"{path}: no column is a dimension: {', '.join(table.columns)}; rows name"
            " primary keys, as instrument and exposure"
        )
    given: dict[str, int | str] = (
        {} if instrument is None else {"instrument": instrument}
    )
    rows: dict[tuple[tuple[str, int | str], ...], DataId] = {}
    for row in table.rows:
        named = {
            name: value
            for name in dimensions
            if isinstance(value := row.fields.get(name), int | str)
        }
        data_id = given | named
        rows.setdefault(tuple(sorted(data_id.items())), data_id)
    return list(rows.values())
