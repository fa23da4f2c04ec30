"""Vocabularies, instruments, policies, aliases and joins: said like anything else.

An entry is a record too; the latest of a kind and key holds. Some change what holds
for many targets at once (`SWEEPING_KINDS`); `actions.refresh` follows them up.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from annolog.actions.desk import Desk
from annolog.actions.requests import Request, sender
from annolog.domain import flags, instruments, records, roles, times
from annolog.domain.entries import AnyEntry, SameAs, fields_of
from annolog.domain.instruments import Instrument
from annolog.domain.ledger import Wants
from annolog.domain.records import Origin, Record, Sender
from annolog.domain.roles import Action, Subject
from annolog.domain.shipped import shipped_entries
from annolog.domain.vocabulary import check_entry

KIND_OF: Mapping[str, str] = {
    "FlagEntry": "flag",
    "TagEntry": "tag",
    "TagVocabulary": "tag_vocabulary",
    "Policy": "policy",
    "Alias": "alias",
    "SameAs": "same_as",
    "Instrument": "instrument",
}
"""Kind of record for each model of an entry."""

CONFIGURING = frozenset({"instrument", "policy", "alias"})
"""Kinds that only an admin sets; the others are the curators' as well."""

SHIPPED = Origin("annolog", "00000000")
"""Where the shipped entries come from: the same records at every site."""

SHIPPED_AT = datetime(2026, 11, 1, tzinfo=UTC)
"""Clock of the shipped entries. Whoever changes one moves it forward."""

_NAMESPACE = UUID("6f9b1c54-4c1f-5c0e-9d58-6f3b6d1f7a10")


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of an entry: what holds now, and whether this request wrote it."""

    key: str
    fields: Mapping[str, Any]
    record_id: UUID
    created: bool


def put(
    request: Request, proposed: AnyEntry | Instrument, reason: str = ""
) -> Callable[[Desk], Entered]:
    """Prepare the decision to set an entry.

    Parameters
    ----------
    request
        Who calls.
    proposed
        What should hold.
    reason
        Why, for the history.

    Returns
    -------
    callable
        The decision. The same again writes nothing; what contradicts an entry that
        never changes raises `ConflictError`.
    """
    kind = KIND_OF[type(proposed).__name__]
    action = Action.CONFIGURE if kind in CONFIGURING else Action.DEFINE
    instrument = getattr(proposed, "instrument", None)
    about = Subject(instruments=frozenset({instrument}) if instrument else frozenset())
    roles.require(request.actor, action, about)
    if isinstance(proposed, Instrument):
        key, fields = proposed.name, proposed.model_dump(mode="json")
    else:
        key, fields = proposed.key, fields_of(proposed)

    def decide(desk: Desk) -> Entered:
        book = desk.book
        held = book.vocabulary.entry(kind, key)
        if held is not None and dict(held.fields) == fields:
            return Entered(key, fields, held.record_id, created=False)
        if not isinstance(proposed, Instrument):
            check_entry(proposed, book.vocabulary)
        if isinstance(proposed, SameAs):
            book.require(Wants(keys=frozenset({proposed.key_a, proposed.key_b})))
        speaker = sender(request)
        record, _ = records.seal(
            kind=kind,
            record_id=desk.new_id(),
            id_field="record_id",
            origin=book.origin,
            number=book.next_number,
            clock=times.next_clock(
                times.to_clock(desk.now), [held.clock if held else 0]
            ),
            now=desk.now,
            sender=speaker,
            voter=flags.voter_of(speaker.author, "human", None),
            fields={"key": key, "fields": fields, "reason": reason},
            request_digest=request.digest,
        )
        book.enter_entry(record, key, fields)
        return Entered(key, fields, record.record_id, created=True)

    return decide


def shipped() -> list[Record]:
    """Make the records that a new installation starts with.

    Returns
    -------
    list of Record
        Flags, tags and instruments; their ids follow from their content, so all sites
        have the same ones.
    """
    speaker = Sender("annolog", "bot", "bot", None, "shipped", None)
    every = [
        *shipped_entries(),
        *(
            ("instrument", one.name, one.model_dump(mode="json"))
            for one in instruments.SHIPPED.values()
        ),
    ]
    found = []
    for number, (kind, key, fields) in enumerate(every, 1):
        content = records.digest([kind, key, fields]).hex()
        record, _ = records.seal(
            kind=kind,
            record_id=uuid.uuid5(_NAMESPACE, f"{SHIPPED_AT.isoformat()} {content}"),
            id_field="record_id",
            origin=SHIPPED,
            number=number,
            clock=times.to_clock(SHIPPED_AT),
            now=SHIPPED_AT,
            sender=speaker,
            voter=flags.voter_of(speaker.author, "bot", None),
            fields={"key": key, "fields": fields, "reason": ""},
        )
        found.append(record)
    return found
