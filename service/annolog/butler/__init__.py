"""Butlers: asked in a child process each, brought into the log in bulk, exported to.

For those who process data: `open_reader` gives what people said out of a butler's own
tables (`annolog.butler.reader`).
"""

from datetime import UTC, datetime, timedelta
from typing import Any


def open_reader(
    butler: Any,  # noqa: ANN401 - a butler, whose library is imported only if it is used
    *,
    max_age: timedelta | None = None,
    least_number: int | None = None,
) -> Any:  # noqa: ANN401 - an `annolog.butler.reader.Reader`, as above
    """Read what was exported into a butler.

    Parameters
    ----------
    butler
        A `lsst.daf.butler.Butler` on its database; open for reading is enough.
    max_age
        Refuse a snapshot that was taken longer ago; None: any will do.
    least_number
        Refuse a snapshot of an earlier change; None: any will do.

    Returns
    -------
    annolog.butler.reader.Reader
        Answers from the butler's tables.

    Raises
    ------
    annolog.butler.tables.TablesError
        If there is nothing to read, or not what was asked for; it says why.
    """
    from annolog.butler.reader import Reader  # noqa: PLC0415 - only where it is used

    now = None
    if max_age is not None:
        now = datetime.now(UTC)  # noqa: TID251 - in a process of processing
    return Reader(butler, max_age=max_age, least_number=least_number, now=now)
