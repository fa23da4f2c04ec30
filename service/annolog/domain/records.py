"""Records: what was said for good, as bytes that are the same at every site.

A record's body is canonical JSON: UTF-8, members sorted by name, no blanks. It is
made once, where the record is born, and travels unopened. Its hash is that of the
body as first said and stays when a redaction blanks the body.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
from msgspec import structs

from annolog.domain import times
from annolog.domain.ids import id_of, written_id

SCHEMA = 1
"""Version of the layout of all record bodies."""

MAX_INLINE_TARGETS = 16
"""Up to so many targets stand in the record itself; more are a list of their own."""

ENTRY_KINDS = (
    "flag",
    "tag",
    "tag_vocabulary",
    "instrument",
    "policy",
    "alias",
    "same_as",
)
"""Kinds of records of which the latest of one key holds."""

SWEEPING_KINDS = frozenset({"flag", "policy", "alias"})
"""Entries that may change many states at once; those are refreshed in pieces."""

REDACTED_FIELDS = {"text": "", "urls": [], "reason": ""}
"""What a redaction blanks, and what it leaves there."""


REDACTION_KINDS = frozenset({"redaction", "set_redaction"})
"""Kinds of records that blank the words of others."""


CONTENT_KINDS = frozenset({"target_list", "set_rows"})
"""Kinds of records that are named by their content, with neither author nor clock."""


_canonical = msgspec.json.Encoder(order="deterministic")


def canonical(value: object) -> bytes:
    """Write a value as canonical JSON."""
    return _canonical.encode(value)


def digest(value: object) -> bytes:
    """Give the SHA-256 of a value's canonical JSON (32 bytes)."""
    return hashlib.sha256(canonical(value)).digest()


@lru_cache(maxsize=64)
def stamp_of(moment: datetime) -> str:
    """Write a moment as records hold it; all of a turn have the same one."""
    return times.format(moment)


class Record(msgspec.Struct, frozen=True):
    """One record.

    Attributes
    ----------
    record_id
        Its name, the same everywhere.
    kind
        What sort of statement it is.
    clock
        Hybrid logical clock in microseconds; 0 for lists.
    site_id, incarnation, origin_number
        Where it was born, in which life of that database, under which number.
    body
        Canonical JSON.
    hash
        SHA-256 of the body as first said.
    """

    record_id: UUID
    kind: str
    clock: int
    site_id: str
    incarnation: str
    origin_number: int
    body: bytes
    hash: bytes

    @classmethod
    def unplaced(cls, record_id: UUID, kind: str, body: bytes) -> "Record":
        """Make a record that is named by its content, before it has a place in a log.

        Parameters
        ----------
        record_id
            Its name, made of its content.
        kind
            One of `CONTENT_KINDS`.
        body
            Canonical JSON.
        """
        return cls(record_id, kind, 0, "", "", 0, body, hashlib.sha256(body).digest())

    def placed(self, origin: "Origin", number: int) -> "Record":
        """Give it a place in a log: a site's, and the change number there."""
        life = origin.incarnation
        return structs.replace(
            self, site_id=origin.site_id, incarnation=life, origin_number=number
        )

    def fields(self) -> Mapping[str, Any]:
        """Read the body."""
        value: dict[str, Any] = msgspec.json.decode(self.body)
        return value


@dataclass(frozen=True, slots=True)
class Origin:
    """Where new records are born: a site and the life of its database."""

    site_id: str
    incarnation: str


class Sender(msgspec.Struct, frozen=True):
    """Who says something, as each record keeps it.

    Attributes
    ----------
    author
        Whose words these are.
    author_kind
        "human" or "bot".
    rank
        "bot", "human" or "curator" (only where it settles).
    actor
        Who sent it, where that was not the author; else None.
    authenticated_by
        How the sender was known ("token:al_3f..", "none").
    user_agent
        The sending program, as it names itself; None if it does not.
    """

    author: str
    author_kind: str
    rank: str
    actor: str | None
    authenticated_by: str
    user_agent: str | None


def seal(  # noqa: PLR0913 - the members of a record, each by its name
    *,
    kind: str,
    record_id: UUID,
    id_field: str,
    origin: Origin,
    number: int,
    clock: int,
    now: datetime,
    sender: Sender,
    voter: str,
    fields: Mapping[str, Any],
    request_digest: bytes | None = None,
) -> tuple[Record, Mapping[str, Any]]:
    """Make a record out of what is said and who says it; give what its body holds too.

    Parameters
    ----------
    kind
        Kind of record.
    record_id
        Its id.
    id_field
        Name under which the body carries the id ("revision_id" for revisions).
    origin
        This site and incarnation.
    number
        The change number that the record gets here.
    clock
        Its hybrid logical clock, microseconds.
    now
        Wall time (UTC).
    sender
        Who says it.
    voter
        Whose vote it is, as `flags.voter_of` writes it.
    fields
        What is said; values that JSON can hold.
    request_digest
        SHA-256 of the request as sent; None where there was none.

    Returns
    -------
    tuple of Record and Mapping
        The sealed record, and the members of its body: what reading it would give
        where `fields` are of the types that JSON has (lists, no tuples).
    """
    members = {
        "check": None,
        "agent": None,
        **fields,
        id_field: written_id(record_id),
        "kind": kind,
        "schema": SCHEMA,
        "site_id": origin.site_id,
        "incarnation": origin.incarnation,
        "origin_number": number,
        "clock": clock,
        "created_at": stamp_of(now),
        "author": sender.author,
        "author_kind": sender.author_kind,
        "rank": sender.rank,
        "voter": voter,
        "actor": sender.actor,
        "authenticated_by": sender.authenticated_by,
        "user_agent": sender.user_agent,
        "request_digest": request_digest.hex() if request_digest else None,
    }
    body = canonical(members)
    record = Record(
        record_id,
        kind,
        clock,
        origin.site_id,
        origin.incarnation,
        number,
        body,
        hashlib.sha256(body).digest(),
    )
    return record, members


def blank(body: bytes, redaction_id: UUID) -> bytes:
    """Give a body without its words; all else stays.

    Parameters
    ----------
    body
        A revision's body, blank already or not.
    redaction_id
        The redaction that orders it.
    """
    fields = msgspec.json.decode(body)
    # The least of several redactions is named, so that all sites agree.
    fields["redacted_by"] = min(
        fields.get("redacted_by") or str(redaction_id), str(redaction_id)
    )
    for name, left in REDACTED_FIELDS.items():
        if name in fields:
            fields[name] = left
    return canonical(fields)


def list_of(keys: Iterable[str]) -> tuple[UUID, bytes]:
    """Name a list of targets by its content.

    Parameters
    ----------
    keys
        Canonical keys, any order, no doubles.

    Returns
    -------
    tuple of UUID and bytes
        The list's id (UUIDv8 of the SHA-256) and the sorted keys as JSON.
    """
    written = canonical(sorted(keys))
    raw = bytearray(hashlib.sha256(written).digest()[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return UUID(bytes=bytes(raw)), written


def list_record(list_id: UUID, keys: bytes, origin: Origin, number: int) -> Record:
    """Make the record that carries a list.

    It is named by its content, so it has neither author nor clock, and two sites that
    make the same list have made the same record.
    """
    body = (
        b'{"keys":'
        + keys
        + b',"kind":"target_list","list_id":"%s"}' % (str(list_id).encode())
    )
    return Record.unplaced(list_id, "target_list", body).placed(origin, number)


def revision_id(moment: datetime, random_bits: int) -> UUID:
    """Make a UUIDv7 whose last 14 bits are zero.

    Those bits are where the exposurelog-compatible API writes an exposure's ordinal.

    Parameters
    ----------
    moment
        Time of birth (UTC); milliseconds are kept.
    random_bits
        60 random bits.
    """
    milliseconds = times.to_clock(moment) // 1000
    high = (milliseconds & (1 << 48) - 1) << 16 | 0x7000 | (random_bits >> 48) & 0xFFF
    low = 1 << 63 | (random_bits & (1 << 48) - 1) << 14
    return id_of(high << 64 | low)
