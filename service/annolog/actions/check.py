"""Holding every view of a database against what its records give."""

import hashlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import setredactions, views
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import STATEMENTS
from annolog.domain.records import CONTENT_KINDS, REDACTED_FIELDS, Record
from annolog.domain.views import Gathered, Views
from annolog.storage import changes, check, entries, refresh
from annolog.storage.database import Connection


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it should be.

    Attributes
    ----------
    view
        The view or table.
    name
        Which row; empty where a sentence says it.
    wanted, found
        What the records give and what is there; None for no such row.
    sentence
        What is wrong, for people.
    """

    view: str
    name: str
    wanted: Any
    found: Any
    sentence: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check came to.

    Attributes
    ----------
    records, head
        How many records, and the log's greatest number.
    pending
        States that a refresh has yet to reach; they are no fault.
    digest
        Digest of records and views as stored, hexadecimal.
    faults
        All that is wrong; empty if nothing is.
    """

    records: int
    head: int
    pending: int
    digest: str
    faults: list[Fault] = field(default_factory=list)


async def check_all(conn: Connection) -> Report:
    """Check a database.

    Parameters
    ----------
    conn
        A connection within a repeatable-read transaction (`database.snapshot`).

    Returns
    -------
    Report
        What was found; nothing is changed.
    """
    gathered = Gathered()
    hashes: list[tuple[UUID, bytes]] = []
    faults: list[Fault] = []
    async for record, redacted_by in check.records(conn):
        gathered.add(record)
        hashes.append((record.record_id, record.hash))
        faults += _of_record(record, redacted_by)
    for order in gathered.set_redactions:
        faults += [
            _fault(one, "words were taken out of it, and some are still there")
            for one, body in await check.bodies(conn, order.records)
            if setredactions.blank(body, [order]) != body
        ]
    wanted = gathered.views()
    found = await check.views(conn)
    pending = await _excuse(conn, wanted, found)
    faults += [
        Fault(one.view, one.name, one.wanted, one.found, _sentence(one))
        for one in views.differences(wanted, found)
    ]
    known = await entries.read(conn)
    instruments = Instruments.from_entries(known.vocabulary.instruments)
    for table, sentence in [
        *await check.faults(conn),
        *await check.wrong_targets(conn, instruments),
    ]:
        faults.append(Fault(table, "", None, None, sentence))
    return Report(
        len(hashes),
        await changes.head(conn),
        pending,
        views.digest(found, hashes).hex(),
        faults,
    )


async def digest_of(conn: Connection) -> str:
    """Give the digest of a database's records and views, hexadecimal.

    Parameters
    ----------
    conn
        As for `check_all`.
    """
    return (await check_all(conn)).digest


async def _excuse(conn: Connection, wanted: Views, found: Views) -> int:
    """Take states that a refresh has yet to reach as they are shown: worked out."""
    known = await entries.read(conn)
    if not await refresh.pending(conn):
        return 0
    count = 0
    for key in await check.stale(conn, known.basis):
        right = wanted.states.get(key)
        if right is not None and found.states.get(key) != right:
            found.states[key] = right
            count += 1
        elif right is None and found.states.pop(key, None) is not None:
            count += 1
    return count


def _of_record(record: Record, redacted_by: UUID | None) -> list[Fault]:
    sentences = []
    try:
        body = record.fields()
    except msgspec.DecodeError:
        sentences.append("its body is no JSON")
        body = {}
    if redacted_by is None:
        if hashlib.sha256(record.body).digest() != record.hash:
            sentences.append("its body does not have its hash")
    elif record.kind in STATEMENTS and any(
        body.get(name, left) != left for name, left in REDACTED_FIELDS.items()
    ):
        sentences.append("it was redacted and still has words")
    if record.kind not in CONTENT_KINDS:
        stored = (
            str(record.record_id),
            record.kind,
            record.clock,
            record.site_id,
            record.incarnation,
            record.origin_number,
        )
        said = (
            body.get("revision_id") if record.kind == "revision" else None,
            body.get("kind"),
            body.get("clock"),
            body.get("site_id"),
            body.get("incarnation"),
            body.get("origin_number"),
        )
        said = (said[0] or body.get("record_id"), *said[1:])
        if stored != said:
            sentences.append("its columns are not what its body says")
    return [_fault(record.record_id, one) for one in sentences]


def _fault(record_id: UUID, sentence: str) -> Fault:
    return Fault("record", str(record_id), None, None, f"{record_id}: {sentence}")


def _sentence(one: views.Difference) -> str:
    if one.found is None:
        return f"{one.view} {one.name} is missing"
    if one.wanted is None:
        return f"{one.view} {one.name} follows from no record"
    changed = ", ".join(
        f"{name} is {one.found[name]!r} and should be {one.wanted[name]!r}"
        for name in one.wanted
    )
    return f"{one.view} {one.name}: {changed}"
