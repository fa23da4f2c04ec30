"""Taking in records that were born elsewhere: shipped ones, another site's, a log's.

Records may come in any order, any number of times; what they amount to is the same.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from annolog.actions.desk import Desk, Work
from annolog.actions.lane import Lane
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import STATEMENTS, Wants
from annolog.domain.records import Record
from annolog.domain.targets import columns, parse_key
from annolog.storage import targets
from annolog.storage.database import Pool, begin

PIECE = 200
"""Records that are taken in by one request of the lane."""


def keys_of(record: Record) -> set[str]:
    """Give the keys of all targets that a record names."""
    fields = record.fields()
    keys: set[str] = set()
    match record.kind:
        case "revision" | "review":
            keys.update(fields.get("targets") or ())
        case "target_list":
            keys.update(fields["keys"])
        case "exposure":
            keys.add(fields["key"])
            if fields.get("twin"):
                keys.add(fields["twin"])
        case "same_as":
            keys |= {fields["fields"]["key_a"], fields["fields"]["key_b"]}
        case _:
            pass
    return keys


def annotations_of(record: Record) -> set[UUID]:
    """Give the annotations whose statements a record counts among."""
    if record.kind in STATEMENTS:
        return {UUID(record.fields()["annotation_id"])}
    return set()


async def records(
    lane: Lane, work: Pool, received: Sequence[Record], *, piece: int = PIECE
) -> set[UUID]:
    """Take in records.

    Parameters
    ----------
    lane
        The lane that they pass.
    work
        For the rows of targets that are new here.
    received
        The records, any order; those that are here already change nothing.
    piece
        Records of one request of the lane.

    Returns
    -------
    set of UUID
        Those that were new.
    """
    fresh: set[UUID] = set()
    for first in range(0, len(received), piece):
        taken = received[first : first + piece]
        keys = {key for one in taken for key in keys_of(one)}
        await ensure_rows(lane, work, keys)
        wants = Wants(
            frozenset(at for one in taken for at in annotations_of(one)),
            frozenset(keys),
            records=frozenset(one.record_id for one in taken),
        )

        def decide(desk: Desk, taken: Sequence[Record] = taken) -> None:
            # Asked again after more was loaded, it finds the first ones entered.
            for one in taken:
                if desk.book.receive(one):
                    fresh.add(one.record_id)

        await lane.submit(Work(decide, wants, size=len(taken)))
    return fresh


async def ensure_rows(lane: Lane, work: Pool, keys: Iterable[str]) -> None:
    """Make rows for targets that have none yet."""
    wanted = sorted(keys)
    if not wanted:
        return
    instruments = Instruments.from_entries(lane.known.vocabulary.instruments)
    rows = [(key, columns(parse_key(key), instruments)) for key in wanted]
    async with begin(work) as connection:
        await targets.add(connection, rows)
