"""What the bodies of events hold, said once: for readers and for the schemas.

The relay puts bodies together from bytes (`annolog.domain.events`); the models here
say what they are. `Change` is the body of a change, `TargetState` (in
`annolog.domain.states`) that of a state, and `RECORDS` gives what `after` holds for
each kind of record. Readers pass over members that they do not know.

Whoever adds a member gives it a default: what was published before lacks it.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from annolog.domain.annotations import Revision
from annolog.domain.records import ENTRY_KINDS


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class EventActor(_Body):
    """Who acted."""

    id: str = Field(description="Who sent it.")
    kind: str | None = Field(description="Kind of the author: human or bot.")
    on_behalf_of: str | None = Field(
        description="The author, where another one sent it; else null."
    )
    authenticated_by: str | None = Field(description="How the sender was known.")


class EventTargets(_Body):
    """What a change did to the targets of its object."""

    added: list[str] = Field(description="Keys that it names from now on; see count.")
    removed: list[str] = Field(description="Keys that it names no longer.")
    added_count: int = Field(description="How many joined, listed here or not.")
    removed_count: int = Field(description="How many left, listed here or not.")
    count: int = Field(description="How many it names now.")
    complete: bool = Field(
        description="False where only the first keys are listed: too many."
    )
    link: str | None = Field(
        description="Path at the site that leads to the rest; null where it is all."
    )


class Change(_Body):
    """One change of a site's log."""

    schema_version: int = Field(description="Version of this body.", examples=[1])
    number: int = Field(description="Place in the order of this life of the log.")
    site_id: str = Field(description="The site whose log this is.")
    incarnation: str = Field(description="The life of its database.")
    timestamp: int = Field(
        description="When it was committed there, microseconds since 1970 (UTC)."
    )
    operation: str = Field(
        description="What was done, in the present tense; `refresh` brings no record "
        "but more of an earlier one's effects.",
        examples=["create", "edit", "confirm"],
    )
    kind: str = Field(
        description="Kind of record in `after`.", examples=["revision", "review"]
    )
    subject: str = Field(
        description="What changed: an annotation's id, else another object's key."
    )
    annotation_id: UUID | None = Field(
        description="The annotation spoken of; null where there is none."
    )
    revision_id: UUID | None = Field(description="Its new or its reviewed revision.")
    parent_id: UUID | None = Field(description="The revision that it follows.")
    before: dict[str, Any] | None = Field(
        description="The fields that changed, as they were; null where nothing was."
    )
    before_complete: bool = Field(
        description="False where a field was too large to be listed."
    )
    targets: EventTargets = Field(description="Targets that joined and left.")
    actor: EventActor | None = Field(
        description="Who acted; null for a list of targets."
    )
    reason: str | None = Field(description="Why, if somebody said so.")
    after: dict[str, Any] | None = Field(
        description="The record, complete in itself; null where it is too large."
    )
    after_link: str | None = Field(
        description="Path at the site that leads to the record; null where it is here."
    )


class RecordHead(_Body):
    """What every record carries but lists of targets, which are their content."""

    kind: str = Field(description="Kind of record.")
    schema_: int = Field(alias="schema", description="Version of this layout.")
    site_id: str = Field(description="Site of origin.")
    incarnation: str = Field(description="Life of that site's database.")
    origin_number: int = Field(description="Its change number there.")
    clock: int = Field(description="Hybrid logical clock, microseconds.")
    created_at: datetime = Field(description="When that site took it (UTC).")
    author: str = Field(description="Whose words these are.")
    author_kind: str = Field(description="Person or program.", examples=["human"])
    rank: str = Field(description="What it weighs.", examples=["curator"])
    voter: str = Field(description="Author, or bot and check.")
    actor: str | None = Field(description="Who sent it, where not the author.")
    authenticated_by: str = Field(description="How the sender was known.")
    user_agent: str | None = Field(description="The program that sent it.")
    request_digest: str | None = Field(
        description="SHA-256 of the request as sent, in hexadecimal."
    )
    check: str | None = Field(description="A bot's kind of judgement.")
    agent: dict[str, Any] | None = Field(description="The program that says it.")


class RevisionRecord(Revision):
    """A revision as its record holds it."""

    redacted_by: UUID | None = Field(
        None, description="The redaction that blanked its words, if one did."
    )


class ReviewRecord(RecordHead):
    """A second person's word on an annotation."""

    record_id: UUID = Field(description="The review.")
    annotation_id: UUID = Field(description="The annotation.")
    revision_id: UUID = Field(description="The revision that was looked at.")
    verdict: str = Field(
        description="What is said.", examples=["confirm", "reject", "closed"]
    )
    reason: str = Field(description="Why; Markdown.")
    targets: list[str] | None = Field(
        description="Only for these, sorted; null: for all, or for those of `list_id`."
    )
    list_id: UUID | None = Field(None, description="The list of more than 16 targets.")
    redacted_by: UUID | None = Field(
        None, description="The redaction that blanked its words, if one did."
    )


class RedactionRecord(RecordHead):
    """An order to blank words for good."""

    record_id: UUID = Field(description="The redaction.")
    annotation_id: UUID = Field(description="The annotation.")
    revisions: list[UUID] = Field(description="The revisions blanked.")
    reason: str = Field(description="Why.")


class ExposureRecord(RecordHead):
    """What a source says about one exposure."""

    record_id: UUID = Field(description="The fact.")
    key: str = Field(description="The exposure.")
    source: str = Field(description="Who says so.", examples=["butler", "camera"])
    event: str = Field(description="What happened.", examples=["announce", "end"])
    fields: dict[str, Any] = Field(description="What is said of it, by field.")
    twin: str | None = Field(
        None, description="Another key of the same exposure, if it has one."
    )


class PlacedRecord(RecordHead):
    """A record that says itself what it does, to what, and where it belongs."""

    record_id: UUID = Field(description="The record.")
    operation: str = Field(description="What it does.")
    subject: str = Field(description="What it changes.")
    instruments: list[str] = Field(description="Instruments concerned.")
    days: list[int] = Field(description="Nights concerned, as YYYYMMDD.")


class VisitRecord(PlacedRecord):
    """Which exposures make a visit."""

    exposures: list[str] = Field(description="Keys of its exposures.")
    source: str | None = Field(None, description="Who says so.")


class CheckedRecord(PlacedRecord):
    """That somebody looked at a night or at a range of it, or took that back."""

    instrument: str = Field(description="The instrument.")
    day_obs: int = Field(description="Night as YYYYMMDD.")
    seq_first: int | None = Field(description="First number; null: from the start.")
    seq_last: int | None = Field(description="Last number; null: to the end.")
    tags: list[str] = Field(description="For these conditions; empty: for all.")
    revokes: UUID | None = Field(description="The mark that is taken back, if any.")


class SetVersionRecord(PlacedRecord):
    """A version of a data-ID set; its rows are the record `list_id`."""

    name: str = Field(description="The set.", examples=["DRP1-bad"])
    version: int = Field(description="Number of the version, from 1 on.")
    digest: str = Field(
        description="SHA-256 of dimensions, columns and rows, in hexadecimal."
    )
    list_id: UUID = Field(description="The record that holds its rows.")
    row_count: int = Field(description="How many rows it has.")
    dimensions: list[str] = Field(description="Names of its dimensions.")
    columns: list[str] = Field(description="Names of its further columns.")
    instrument: str | None = Field(
        None,
        description="The instrument of all rows, where files leave its column out.",
    )
    reason: str = Field(description="Why it was made.")
    recipe: dict[str, Any] | None = Field(
        None, description="What it was built from; null for an upload."
    )
    as_of: int | None = Field(
        None,
        description="Change number, at the site of origin, as of which it was built.",
    )
    redacted_by: UUID | None = Field(
        None, description="The redaction that took words out of it, if one did."
    )


class SetRowsRecord(_Body):
    """Rows of data-ID sets, named by their content; versions share them."""

    kind: str = Field(description="`set_rows`.")
    list_id: UUID = Field(description="These rows.")
    dimensions: list[str] = Field(description="Names of the dimensions.")
    columns: list[str] = Field(description="Names of the further columns.")
    rows: list[list[Any]] = Field(
        description="Values of dimensions, then of columns; sorted by data ID."
    )
    redacted_by: UUID | None = Field(
        None, description="The redaction that took words out of them, if one did."
    )


class SetRedactionRecord(PlacedRecord):
    """An order to take words out of a version of a data-ID set for good."""

    name: str = Field(description="The set.")
    version: int = Field(description="Number of the version.")
    versions: list[UUID] = Field(description="Records of versions that lose words.")
    lists: list[UUID] = Field(description="Lists of rows that lose words.")
    data_ids: list[dict[str, int | str]] | None = Field(
        None,
        description="Rows whose words go; null: all, and the version's reason.",
    )
    reason: str = Field(description="Why.")


class SetReleaseRecord(PlacedRecord):
    """That a version of a data-ID set is released, or is no longer."""

    name: str = Field(description="The set.")
    label: str = Field(description="Under which label.", examples=["DRP1"])
    reason: str = Field(description="Why.")


class SetAccessRecord(PlacedRecord):
    """Who owns a data-ID set and who may edit it; the latest holds."""

    name: str = Field(description="The set.")
    owner: str = Field(description="Whose it is.")
    editors: list[str] = Field(description="Who may make versions, too.")
    reason: str = Field(description="Why.")


class SetDriftRecord(PlacedRecord):
    """That the recipe of a released version began to give other rows, or ceased to."""

    name: str = Field(description="The set.")
    version: int = Field(description="Number of the version.")
    label: str = Field(description="Label of its release.")
    as_of: int = Field(description="Change number as of which this was seen.")
    added: int = Field(description="Rows that the recipe would give beside its own.")
    dropped: int = Field(description="Own rows that it would not give.")
    changed: int = Field(description="Own rows that it would give with other values.")
    digest: str = Field(description="SHA-256 of what the recipe gave, in hexadecimal.")


class EntryRecord(RecordHead):
    """An entry of the vocabulary: the latest of a kind and key holds."""

    record_id: UUID = Field(description="The entry.")
    key: str = Field(description="What it is about.")
    fields: dict[str, Any] = Field(description="What is said of it.")
    reason: str = Field(description="Why.")


class ListRecord(_Body):
    """A list of targets, named by its content; statements share it."""

    kind: str = Field(description="`target_list`.")
    list_id: UUID = Field(description="The list.")
    keys: list[str] = Field(description="Keys, sorted.")


RECORDS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        "revision": RevisionRecord,
        "review": ReviewRecord,
        "redaction": RedactionRecord,
        "exposure": ExposureRecord,
        "visit": VisitRecord,
        "checked": CheckedRecord,
        "target_list": ListRecord,
        "set_version": SetVersionRecord,
        "set_rows": SetRowsRecord,
        "set_release": SetReleaseRecord,
        "set_access": SetAccessRecord,
        "set_drift": SetDriftRecord,
        "set_redaction": SetRedactionRecord,
        **dict.fromkeys(ENTRY_KINDS, EntryRecord),
    }
)
"""What `after` holds, by kind of record. Other kinds may come within the version."""
