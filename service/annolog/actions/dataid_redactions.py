"""Taking words out of versions of data-ID sets, and finding who copied them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import msgspec
from pydantic import Field

from annolog.actions.dataids import MAX_REASON, held_set
from annolog.actions.desk import Desk
from annolog.actions.exposures import seal
from annolog.actions.requests import Request
from annolog.domain import dataids, roles
from annolog.domain.annotations import Part
from annolog.domain.errors import InvalidError, NotFoundError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Action
from annolog.domain.setrecords import REDACTION
from annolog.domain.setredactions import (
    SetRedaction,
    Words,
    blank,
    data_id_key,
    words_of,
)
from annolog.storage import dataids as stored
from annolog.storage.database import Connection
from annolog.storage.dataids import VersionRow
from annolog.storage.large import worked_out

MAX_DATA_IDS = 1_000
"""Data IDs that one redaction names."""

MOST_VERSIONS = 100
"""Other versions that are looked through for the same words, the newest first."""

MOST_ROWS = 300_000
"""Rows that are looked through in all of them."""

_NOBODY = UUID(int=0)

DataIdGiven = Annotated[dict[str, int | str], Field(min_length=1, max_length=20)]


class SetRedactionDraft(Part):
    """An order to take words out of a version of a data-ID set for good (admin)."""

    data_ids: Annotated[
        list[DataIdGiven] | None, Field(min_length=1, max_length=MAX_DATA_IDS)
    ] = Field(
        None,
        description="Only the words of these rows, written as in a download; null: "
        "those of all rows, and the reason of the version.",
        examples=[[{"instrument": "LSSTCam", "exposure": 2026111900123}]],
    )
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)] = Field(
        description="Why; it is kept and shown."
    )


@dataclass(frozen=True, slots=True)
class Copy:
    """A version of the same set that holds the same words in records of its own.

    Attributes
    ----------
    key
        The version.
    rows
        In how many of its rows.
    said
        Whether in its reason or recipe.
    """

    key: str
    rows: int
    said: bool


def order_of(
    draft: SetRedactionDraft,
    version: Mapping[str, Any],
    rows: bytes | None,
) -> SetRedaction:
    """Say what a request wants to go.

    Parameters
    ----------
    draft
        As it was sent. A data ID without an instrument is of the one that files of the
        version leave out.
    version
        The decoded body of the version's record.
    rows
        The body of the record of its rows; None where they have yet to come.

    Returns
    -------
    SetRedaction
        Without its own name and without records: those are for the decision to say.

    Raises
    ------
    InvalidError
        The version has no such row; each is named.
    NotFoundError
        Rows are named and have yet to come from the site where the version was made.
    """
    if draft.data_ids is None:
        return SetRedaction(_NOBODY, (), ())
    if rows is None:
        msg = f"the rows of {version['subject']} are not here yet: they cannot be named"
        raise NotFoundError(msg, code="rows_not_here")
    home = version.get("instrument")
    filled = {"instrument": home} if home is not None else {}
    wanted = [{**filled, **one} for one in draft.data_ids]
    fields = msgspec.json.decode(rows)
    dimensions = fields["dimensions"]
    count = len(dimensions)
    known = {
        data_id_key(dataids.data_id_of(dimensions, tuple(row[:count])))
        for row in fields["rows"]
    }
    for place, one in enumerate(wanted):
        if data_id_key(one) not in known:
            reason = f"{version['subject']} has no row {dataids.describe(one)}"
            raise InvalidError.at(
                f"/data_ids/{place}", dataids.describe(one), reason, "unknown_row"
            )
    return SetRedaction(_NOBODY, (), (), frozenset(map(data_id_key, wanted)))


def redact(
    request: Request, name: str, key: str, order: SetRedaction, reason: str
) -> Callable[[Desk], UUID | None]:
    """Prepare the decision to take words out of a version for good (admin).

    Parameters
    ----------
    request
        Who calls.
    name, key
        The set and the version.
    order
        What is to go, as `order_of` gives it.
    reason
        Why.

    Returns
    -------
    callable
        The decision: the id of the redaction, or None where all that is gone already.
    """
    roles.require(request.actor, Action.REDACT)

    def decide(desk: Desk) -> UUID | None:
        book = desk.book
        mine = [one for one in held_set(desk, name).versions if one.key == key]
        if not mine:
            msg = f"{name} has no version {key}"
            raise NotFoundError(msg, code="unknown_version")
        # Two sites may each have made it, with the same rows and other reasons.
        versions = tuple(sorted(one.record_id for one in mine))
        lists = tuple(sorted({one.list_id for one in mine}))
        ids = frozenset((*versions, *lists))
        book.require(Wants(records=ids, bodies=ids))
        if _is_gone([book.bodies.get(one) for one in (*versions, *lists)], order):
            return None
        about = msgspec.json.decode(book.bodies[versions[0]])
        fields = {
            "operation": "redact",
            "subject": key,
            "instruments": about["instruments"],
            "days": [],
            "name": name,
            "version": mine[0].version,
            "versions": [str(one) for one in versions],
            "lists": [str(one) for one in lists],
            "data_ids": _written(order),
            "reason": reason,
        }
        record = seal(
            desk,
            request,
            REDACTION,
            fields,
            answers=max(one.clock for one in mine),
            digest=request.digest,
        )
        book.enter_redaction(record, record.fields())
        book.known_records.add(record.record_id)
        return record.record_id

    return decide


def _is_gone(bodies: Sequence[bytes | None], order: SetRedaction) -> bool:
    """Tell whether a redaction of the same has been here: of all of the records."""
    for body in bodies:
        if body is None:
            return False
        by = msgspec.json.decode(body).get("redacted_by")
        if by is None:
            return False
        again = SetRedaction(UUID(by), (), (), order.data_ids)
        if blank(body, [again]) != body:
            return False
    return True


def _written(order: SetRedaction) -> list[dict[str, int | str]] | None:
    if order.data_ids is None:
        return None
    return sorted(
        (dict(sorted(one)) for one in order.data_ids),
        key=lambda one: [(name, str(value).zfill(20)) for name, value in one.items()],
    )


async def copies(
    conn: Connection, version: VersionRow, order: SetRedaction
) -> tuple[list[Copy], bool]:
    """Find other versions of a set that hold words which are about to go.

    Parameters
    ----------
    conn
        A connection in a snapshot, from before the redaction.
    version
        The version.
    order
        What is to go.

    Returns
    -------
    tuple of list of Copy and bool
        The versions, the newest first, without those that share the rows and say
        nothing of the same themselves; and whether all versions were looked through.
    """
    about = msgspec.json.decode(version.body)
    own = await stored.rows(conn, UUID(about["list_id"]))
    words = await worked_out(about["row_count"], words_of, about, own, order)
    found: list[Copy] = []
    room = MOST_ROWS
    others = await stored.versions(conn, about["name"], limit=MOST_VERSIONS + 1)
    complete = len(others) <= MOST_VERSIONS
    for other in others[:MOST_VERSIONS]:
        fields = msgspec.json.decode(other.body)
        if fields["subject"] == about["subject"]:
            continue
        rows: bytes | None = None
        if fields["list_id"] != about["list_id"]:
            room -= fields["row_count"]
            if room < 0:
                complete = False
                break
            rows = await stored.rows(conn, UUID(fields["list_id"]))
        size = fields["row_count"] if rows is not None else 0
        repeated = await worked_out(size, _repeated, words, fields, rows, order)
        if repeated is not None:
            found.append(repeated)
    return found, complete


def _repeated(
    words: Words, fields: Mapping[str, Any], rows: bytes | None, order: SetRedaction
) -> Copy | None:
    again = words.again_in(words_of(fields, rows, order))
    return Copy(fields["subject"], again.rows, again.said) if again else None
