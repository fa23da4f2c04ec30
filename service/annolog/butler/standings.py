"""What stands on detectors for a time, read out of a butler's tables to be judged."""

from collections.abc import Collection
from datetime import UTC
from typing import Any
from uuid import UUID

import msgspec

from annolog.butler import layout
from annolog.butler.layout import LAYOUTS
from annolog.butler.tables import Tables
from annolog.domain.entries import Entry
from annolog.domain.flags import Rank, Said
from annolog.domain.history import Standing
from annolog.domain.lasting import Lasting
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary

_STANDING = LAYOUTS[layout.STANDING].names[:-1]
_NO_RECORD = UUID(int=0)


def lasting(
    tables: Tables, instrument: str, flags: Collection[str], tags: Collection[str]
) -> dict[int, Lasting]:
    """Give the detectors that have one of some flags or tags at some time.

    Parameters
    ----------
    tables
        Opened.
    instrument
        The instrument.
    flags, tags
        Any of either is enough.

    Returns
    -------
    dict
        By the detector's number, in order; without those that never have any.
    """
    stood: dict[int, list[tuple[Standing, Span | None]]] = {}
    found_by = ("instrument", [instrument])
    for row in tables.rows(layout.STANDING, _STANDING, found_by):
        values = dict(zip(_STANDING, row, strict=True))
        stood.setdefault(values["detector"], []).append(_stood(values))
    vocabulary = Vocabulary.from_entries(
        # Each holds already: neither its record nor its clock decides anything.
        Entry(kind, key, _NO_RECORD, 0, 0, msgspec.json.decode(fields))
        for kind, key, fields in tables.rows(
            layout.ENTRY, ("kind", "entry_key", "fields")
        )
    )
    wanted = frozenset(flags), frozenset(tags)
    found = {
        detector: Lasting(tuple(some), *wanted, vocabulary, instrument)
        for detector, some in sorted(stood.items())
    }
    return {detector: one for detector, one in found.items() if one.spans}


def _stood(values: dict[str, Any]) -> tuple[Standing, Span | None]:
    contested = values["contested"]
    said = Said(
        values["source_id"],
        values["annotation_id"],
        values["revision_id"],
        values["author"],
        values["voter"],
        Rank.from_word(values["author_rank"]),
        values["flag"],
        values["vote_id"],
        values["vote_clock"],
        None if contested is None else Rank.from_word(contested),
    )
    begin, end = (
        None if moment is None else moment.replace(tzinfo=UTC)
        for moment in (values["observed_begin"], values["observed_end"])
    )
    observed = None if begin is None and end is None else Span(begin, end)
    tags = tuple(msgspec.json.decode(values["tags"]))
    return Standing(said, 0, tags), observed
