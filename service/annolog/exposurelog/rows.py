"""Rows of an exposurelog database, and the records that they become.

A record is a function of its row and of the rows that it descends from, so two sites
that import one database have the same records. Nothing of a row is refused: what
annolog's own rules would not take (names with control characters, levels of any size,
children older than their parents) is kept as it is.

A row begins an annotation, or continues that of its parent: the first of a parent's
children does, if the parent is no longer valid, as an annotation has one current
revision. Any other child begins one of its own that says which message it continues.
A row that was edited or deleted is followed by a revision that retracts it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from annolog.domain import flags, records, tai, times
from annolog.domain.annotations import Content, Operation
from annolog.domain.entries import Entry
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED
from annolog.domain.records import Origin, Record, Sender
from annolog.domain.shipped import shipped_entries
from annolog.domain.tags import keep_tags
from annolog.domain.targets import ExposureTarget, encode_part
from annolog.domain.vocabulary import Vocabulary

ORIGIN = Origin("exposurelog", "00000000")
"""Where imported records come from: the same at every site."""

FLAGS: Mapping[str, str | None] = {
    "none": None,
    "junk": "junk",
    "questionable": "questionable",
}
"""What exposurelog's flags are called here."""

STEP = 2
"""Clock ticks between a row and the next of its annotation: in between it ends."""

_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC) + timedelta(microseconds=1)
"""The first moment that is one to our driver: it takes the one before for infinity."""

_AUTHENTICATED_BY = "import"

_EMPTY: Mapping[str, Any] = Content().model_dump(mode="json")
"""What a statement says where nothing is said."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of exposurelog's table `message`.

    Attributes
    ----------
    message_id
        Its column `id`.
    tags, urls
        As they are, in their order.
    date_added, date_invalidated
        Naive TAI; not invalidated: None.
    parent_id
        The row that it is an edited version of; None for a first one.
    """

    message_id: UUID
    site_id: str
    obs_id: str
    instrument: str
    day_obs: int | None
    seq_num: int | None
    message_text: str
    level: int
    tags: tuple[str, ...]
    urls: tuple[str, ...]
    user_id: str
    user_agent: str
    is_human: bool
    exposure_flag: str
    date_added: datetime
    date_invalidated: datetime | None
    parent_id: UUID | None


@dataclass(frozen=True, slots=True)
class Line:
    """Where a row stands: in which annotation, and how late in it.

    Attributes
    ----------
    annotation_id
        The annotation.
    clock
        The clock of the row's revision.
    """

    annotation_id: UUID
    clock: int


def line_of(row: Row, parent: Line | None, *, continues: bool) -> Line:
    """Say where a row stands.

    Parameters
    ----------
    row
        The row.
    parent
        Where its parent stands; None for a first row, and where the parent is gone.
    continues
        Whether it goes on in its parent's annotation; of no meaning without a parent.
    """
    clock = times.to_clock(_utc(row.date_added))
    if parent is None:
        return Line(row.message_id, clock)
    clock = max(clock, parent.clock + STEP)
    return Line(parent.annotation_id if continues else row.message_id, clock)


def statement(row: Row, line: Line) -> Record:
    """Make the record of what a row says.

    Parameters
    ----------
    row
        The row.
    line
        Where it stands; it begins its annotation if that has the row's name.
    """
    begins = line.annotation_id == row.message_id
    named = {
        "site_id": row.site_id,
        **_names(row),
        "date_added": tai.format(row.date_added),
    }
    return _sealed(
        row,
        line.annotation_id,
        record_id=row.message_id,
        operation=Operation.CREATE if begins else Operation.EDIT,
        parent_id=None if begins else row.parent_id,
        clock=line.clock,
        moment=row.date_added,
        exposurelog=named,
        # Also where the parent is the revision before: an edit may have renamed the
        # exposure, and a message of another exposure is no parent by itself.
        continues=row.parent_id,
    )


def invalidation(row: Row, line: Line) -> Record | None:
    """Make the record that ends what a row says.

    Parameters
    ----------
    row
        The row.
    line
        Where it stands.

    Returns
    -------
    Record or None
        None while the row is valid.
    """
    if row.date_invalidated is None:
        return None
    return _sealed(
        row,
        line.annotation_id,
        record_id=invalidation_id(row.message_id, row.date_invalidated),
        operation=Operation.RETRACT,
        parent_id=row.message_id,
        clock=line.clock + 1,
        moment=row.date_invalidated,
        exposurelog={
            **_names(row),
            "date_invalidated": tai.format(row.date_invalidated),
        },
        continues=None,
    )


def invalidation_id(message_id: UUID, moment: datetime) -> UUID:
    """Name the record that ends a message.

    Parameters
    ----------
    message_id
        The message.
    moment
        When it ended (naive TAI).

    Returns
    -------
    UUID
        A UUIDv8: 60 bits that are smaller the later the moment is, then 62 of the
        SHA-256 of the message's id.

    Notes
    -----
    Editing a message once more moves its `date_invalidated` in exposurelog. That gives
    one more record with the same clock, and of these the least id says when a message
    ended: so the latest date holds, whichever of them a site has seen.
    """
    first = datetime.min  # noqa: DTZ901 - TAI has no zone
    since = (moment - first) // timedelta(microseconds=1)
    late = (1 << 60) - 1 - since
    own = int.from_bytes(hashlib.sha256(message_id.bytes).digest()[:8], "big") >> 2
    high = late >> 12 << 16 | 0x8000 | late & 0xFFF
    return UUID(int=high << 64 | 2 << 62 | own)


def target_key(instrument: str, obs_id: str) -> str:
    """Give the key of the exposure that a row names.

    Parameters
    ----------
    instrument, obs_id
        As the row has them: any text.

    Returns
    -------
    str
        The exposure's integer id where a shipped instrument's rule tells it; else it
        is known by its obs_id. What no key can hold stands there as its hash.
    """
    known = SHIPPED.get(instrument)
    parts = known.parse_obs_id(obs_id) if known is not None else None
    if parts is not None:
        return ExposureTarget(instrument, parts.exposure_id).key
    instrument, obs_id = _fitting(instrument), _fitting(obs_id)
    for names in (
        (instrument, obs_id),
        (instrument, _hashed(obs_id)),
        (_hashed(instrument), obs_id),
    ):
        try:
            return ExposureTarget(names[0], None, names[1]).key
        except InvalidError:
            continue
    return ExposureTarget(_hashed(instrument), None, _hashed(obs_id)).key


def _fitting(part: str) -> str:
    try:
        encode_part(part)
    except InvalidError:
        return _hashed(part)
    return part


def _hashed(part: str) -> str:
    return "sha256-" + hashlib.sha256(part.encode()).hexdigest()[:32]


def _names(row: Row) -> dict[str, Any]:
    return {
        "obs_id": row.obs_id,
        "instrument": row.instrument,
        **({} if row.day_obs is None else {"day_obs": row.day_obs}),
        **({} if row.seq_num is None else {"seq_num": row.seq_num}),
    }


def _utc(moment: datetime) -> datetime:
    try:
        return max(tai.to_utc(moment), _FIRST_MOMENT)
    except OverflowError:  # the first seconds of the year 1
        return _FIRST_MOMENT


def _sealed(  # noqa: PLR0913 - what differs between a row and its end
    row: Row,
    annotation_id: UUID,
    *,
    record_id: UUID,
    operation: Operation,
    parent_id: UUID | None,
    clock: int,
    moment: datetime,
    exposurelog: Mapping[str, Any],
    continues: UUID | None,
) -> Record:
    word = "human" if row.is_human else "bot"
    record, _ = records.seal(
        kind="revision",
        record_id=record_id,
        id_field="revision_id",
        origin=ORIGIN,
        number=0,
        clock=clock,
        now=_utc(moment),
        sender=Sender(row.user_id, word, word, None, _AUTHENTICATED_BY, row.user_agent),
        voter=flags.voter_of(row.user_id, "human" if row.is_human else "bot", None),
        fields={
            **_EMPTY,
            "text": row.message_text,
            "level": row.level,
            "tags": row.tags,
            "flag": FLAGS[row.exposure_flag],
            "urls": row.urls,
            "content_id": str(row.message_id),
            **({"continues": str(continues)} if continues else {}),
            "exposurelog": exposurelog,
            "annotation_id": str(annotation_id),
            "parent_id": str(parent_id) if parent_id else None,
            "operation": operation.value,
            "targets": [target_key(row.instrument, row.obs_id)],
            "list_id": None,
            "target_count": 1,
            "reply_to": None,
            "uncurated": _uncurated(row.tags, row.instrument),
        },
    )
    return record


@lru_cache(maxsize=4096)
def _uncurated(tags: tuple[str, ...], instrument: str) -> tuple[str, ...]:
    """Name the tags that the shipped vocabulary does not know: no site's own does."""
    return keep_tags(tags, _shipped(), [instrument]).uncurated if tags else ()


@lru_cache(maxsize=1)
def _shipped() -> Vocabulary:
    return Vocabulary.from_entries(
        Entry(kind, key, UUID(int=number), 0, number, fields)
        for number, (kind, key, fields) in enumerate(shipped_entries())
    )
