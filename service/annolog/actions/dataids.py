"""Data-ID sets: making versions, releasing them, and who keeps a set.

Each function prepares the decision of one request; the rows of a version have been
read, resolved and sorted before. A version that says what the newest one says is not
written, so an upload may be repeated and a nightly job leaves no trace of nights on
which nothing changed.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from annolog.actions.desk import Desk
from annolog.actions.exposures import seal
from annolog.actions.requests import Request
from annolog.domain import dataids, roles
from annolog.domain.annotations import Part
from annolog.domain.dataids import MAX_ROWS, DataIdTable
from annolog.domain.errors import (
    ConflictError,
    NotFoundError,
    StaleError,
    TooLargeError,
)
from annolog.domain.ledger import Wants
from annolog.domain.records import Record
from annolog.domain.roles import MAX_USER_CHARACTERS, Action, Subject, user_name
from annolog.domain.setrecords import (
    ACCESS,
    MAX_EDITORS,
    RELEASE,
    ROWS,
    VERSION,
    Held,
    HeldSet,
    list_of,
    member_key,
    version_key,
)

MAX_REASON = 4_096
"""Characters of a reason."""

Reason = Annotated[str, Field(max_length=MAX_REASON)]
User = Annotated[str, Field(min_length=1, max_length=MAX_USER_CHARACTERS)]


_RESERVED = frozenset({"newest", "now"})
_LIKE_A_DIGEST = re.compile(r"[0-9a-f]{8,}", re.IGNORECASE)


def _a_label(label: str) -> str:
    if label.lower() in _RESERVED:
        msg = f"{label!r} means something else where versions are named"
        raise ValueError(msg)
    if _LIKE_A_DIGEST.fullmatch(label):
        msg = f"{label!r} looks like the digest of a version"
        raise ValueError(msg)
    return label


class ReleaseDraft(Part):
    """That a version is released."""

    label: Annotated[
        str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"), AfterValidator(_a_label)
    ] = Field(
        description="Label: letters, digits, '.', '_' and '-', first a letter; not "
        "`newest` or `now`, nor what looks like a digest (8 or more of 0-9 and a-f).",
        examples=["DRP1"],
    )
    reason: Reason = Field("", description="Why; Markdown.")


class WithdrawDraft(Part):
    """That a release is taken back."""

    reason: Reason = Field("", description="Why; Markdown.")


class AccessDraft(Part):
    """Who keeps a set: what is left out stays as it is."""

    owner: User | None = Field(None, description="Whose the set is from now on.")
    editors: Annotated[list[User], Field(max_length=MAX_EDITORS)] | None = Field(
        None, description="All who may make versions beside the owner and curators."
    )
    reason: Reason = Field("", description="Why; Markdown.")


@dataclass(frozen=True, slots=True)
class Content:
    """What a version shall hold, with what has been made of it beforehand.

    Attributes
    ----------
    table
        The content.
    digest
        Its digest.
    rows
        Its record of rows, without a place in the log.
    fields
        What that record says, with the keys that the rows name: nothing of it has to be
        worked out while others wait for the lane.
    instruments
        Instruments of its rows, sorted.
    """

    table: DataIdTable
    digest: bytes
    rows: Record
    fields: Mapping[str, Any]
    instruments: tuple[str, ...]

    @property
    def about(self) -> tuple[str | None, ...]:
        """What permission asks: its instruments; None where rows have none."""
        return self.instruments or ((None,) if self.table.rows else ())


@dataclass(frozen=True, slots=True)
class Proposal:
    """A version that somebody wants to make.

    Attributes
    ----------
    name
        The set.
    content
        What it shall hold.
    reason
        Why.
    recipe
        What it was built from, as the record keeps it; None for an upload.
    as_of
        Change number as of which it was built; None for an upload.
    parent
        Number of the version that the caller takes for the newest, 0 for none; None:
        whichever it is.
    """

    name: str
    content: Content
    reason: str
    recipe: Mapping[str, Any] | None = None
    as_of: int | None = None
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a proposal.

    Attributes
    ----------
    written
        Whether a version was made; False where the newest says the same.
    key
        Key of the new version, or of the newest.
    version
        Its number.
    """

    written: bool
    key: str
    version: int


def content_of(table: DataIdTable) -> Content:
    """Prepare the content of a version; takes a second for very many rows.

    Raises
    ------
    TooLargeError
        It has more than `MAX_ROWS` rows.
    """
    if len(table.rows) > MAX_ROWS:
        msg = (
            f"a version has at most {MAX_ROWS} rows; this would have {len(table.rows)}"
        )
        raise TooLargeError(msg, code="too_many_rows")
    list_id, body = list_of(table)
    names: set[str] = set()
    if table.dimensions[:1] == ("instrument",):
        names = {str(row.data_id[0]) for row in table.rows if row.data_id[0]}
    rows = Record.unplaced(list_id, ROWS, body)
    fields = {
        "dimensions": list(table.dimensions),
        "columns": list(table.columns),
        "rows": table.rows,
        "keys": [member_key(one) for one in table.data_ids()],
    }
    digest = dataids.digest(table)
    return Content(table, digest, rows, fields, tuple(sorted(names)))


def says_the_same(newest: Held, proposal: Proposal) -> bool:
    """Tell whether the newest version says what is proposed.

    An upload without a recipe leaves the recipe of the newest version alone; a build
    by another recipe is news even if it gives the same rows.
    """
    same_rows = newest.digest == proposal.content.digest
    return same_rows and (proposal.recipe is None or proposal.recipe == newest.recipe)


def publish(request: Request, proposal: Proposal) -> Callable[[Desk], Published]:
    """Prepare the decision to make a version.

    Parameters
    ----------
    request
        Who calls.
    proposal
        What the version shall be.

    Returns
    -------
    callable
        The decision. It raises `ForbiddenError` for those who do not keep the set, and
        `StaleError` where another version than `parent` is the newest.
    """
    name, content = proposal.name, proposal.content
    wants = Wants(records=frozenset({content.rows.record_id}), sets=frozenset({name}))

    def decide(desk: Desk) -> Published:
        book = desk.book
        book.require(wants)
        held = book.sets[name]
        permit(request, Action.PUBLISH, held, content.about)
        newest = held.newest
        if newest is not None and says_the_same(newest, proposal):
            return Published(False, newest.key, newest.version)
        number = 0 if newest is None else newest.version
        if proposal.parent is not None and proposal.parent != number:
            msg = f"the newest version of {name} is {number}, not {proposal.parent}"
            raise StaleError(msg, extra={"newest": number})
        if content.rows.record_id not in book.known_records:
            placed = content.rows.placed(book.origin, book.next_number)
            book.enter_rows(placed, content.fields)
        key = version_key(name, number + 1, content.digest)
        fields = {
            "operation": "create",
            "subject": key,
            "instruments": list(content.instruments[:_MOST_INSTRUMENTS]),
            "days": [],
            "name": name,
            "version": number + 1,
            "digest": content.digest.hex(),
            "list_id": str(content.rows.record_id),
            "row_count": len(content.table.rows),
            "dimensions": list(content.table.dimensions),
            "columns": list(content.table.columns),
            "instrument": content.table.instrument,
            "reason": proposal.reason,
            "recipe": proposal.recipe,
            "as_of": proposal.as_of,
        }
        answers = max((one.clock for one in held.versions), default=0)
        enter(desk, request, VERSION, fields, answers)
        return Published(True, key, number + 1)

    return decide


_MOST_INSTRUMENTS = 8


def release(
    request: Request, name: str, key: str, draft: ReleaseDraft
) -> Callable[[Desk], bool]:
    """Prepare the decision to release a version under a label.

    Parameters
    ----------
    request
        Who calls: a curator.
    name, key
        The set and the version.
    draft
        The label and why.

    Returns
    -------
    callable
        The decision: False where it is released under this label already. It raises
        `ConflictError` where it is released under another one, which would be gone for
        all who go by it, and where the label is another version's.
    """

    def decide(desk: Desk) -> bool:
        held = held_set(desk, name)
        permit(request, Action.RELEASE, held)
        _require_version(held, key)
        before = held.label_of(key)
        if before == draft.label:
            return False
        if before is not None:
            msg = f"{key} is released as {before}: withdraw that first"
            raise ConflictError(msg, code="released_already", extra={"label": before})
        for one in held.versions:
            if one.key != key and held.label_of(one.key) == draft.label:
                msg = (
                    f"{draft.label} is released as {one.key}: withdraw that first, or "
                    "choose another label"
                )
                raise ConflictError(msg, code="label_taken")
        said = {
            "operation": "release",
            "label": draft.label,
            "reason": draft.reason,
        }
        _enter_release(desk, request, held, key, said)
        return True

    return decide


def withdraw(
    request: Request, name: str, key: str, draft: WithdrawDraft
) -> Callable[[Desk], bool]:
    """Prepare the decision to take a release back; False where there is none."""

    def decide(desk: Desk) -> bool:
        held = held_set(desk, name)
        permit(request, Action.RELEASE, held)
        _require_version(held, key)
        label = held.label_of(key)
        if label is None:
            return False
        said = {"operation": "withdraw", "label": label, "reason": draft.reason}
        _enter_release(desk, request, held, key, said)
        return True

    return decide


def _enter_release(
    desk: Desk, request: Request, held: HeldSet, key: str, said: Mapping[str, str]
) -> None:
    fields = {
        **said,
        "subject": key,
        "instruments": [],
        "days": [],
        "name": held.name,
    }
    before = held.releases.get(key)
    answers = max(
        (
            *(one.clock for one in held.versions if one.key == key),
            0 if before is None else before.clock,
        ),
        default=0,
    )
    enter(desk, request, RELEASE, fields, answers)


def share(request: Request, name: str, draft: AccessDraft) -> Callable[[Desk], bool]:
    """Prepare the decision who keeps a set.

    Parameters
    ----------
    request
        Who calls: the owner, or a curator.
    name
        The set.
    draft
        Who shall keep it.

    Returns
    -------
    callable
        The decision: False where it is so already.
    """
    for place, user in enumerate(draft.editors or ()):
        user_name(user, f"/editors/{place}")
    if draft.owner is not None:
        user_name(draft.owner, "/owner")

    def decide(desk: Desk) -> bool:
        held = held_set(desk, name)
        if held.owner is None:
            msg = f"there is no data-ID set {name}"
            raise NotFoundError(msg, code="unknown_set")
        roles.require(
            request.actor, Action.SHARE, Subject(keepers=frozenset({held.owner}))
        )
        owner = draft.owner or held.owner
        editors = (
            held.editors
            if draft.editors is None
            else tuple(sorted(set(draft.editors) - {owner}))
        )
        if (owner, editors) == (held.owner, held.editors):
            return False
        fields = {
            "operation": "share",
            "subject": f"data_id_set:{name}",
            "instruments": [],
            "days": [],
            "name": name,
            "owner": owner,
            "editors": list(editors),
            "reason": draft.reason,
        }
        access = held.access
        enter(desk, request, ACCESS, fields, 0 if access is None else access.clock)
        return True

    return decide


def permit(
    request: Request,
    action: Action,
    held: HeldSet,
    instruments: Sequence[str | None] = (),
) -> None:
    """Check that the caller may act on a set.

    Raises
    ------
    ForbiddenError
        If not; it says who keeps the set.
    """
    owner = held.owner
    keepers = None if owner is None else frozenset({owner, *held.editors})
    about = Subject(instruments=frozenset(instruments), keepers=keepers)
    roles.require(request.actor, action, about)


def held_set(desk: Desk, name: str) -> HeldSet:
    """Give a set as a decision sees it, also one of which nobody has heard."""
    desk.book.require(Wants(sets=frozenset({name})))
    return desk.book.sets[name]


def _require_version(held: HeldSet, key: str) -> None:
    if all(one.key != key for one in held.versions):
        msg = f"{held.name} has no version {key}"
        raise NotFoundError(msg, code="unknown_version")


def enter(
    desk: Desk,
    request: Request,
    kind: str,
    fields: Mapping[str, Any],
    answers: int,
) -> None:
    """Enter a record of a set.

    Parameters
    ----------
    desk
        The desk of the decision.
    request
        Who speaks.
    kind
        One of `SET_KINDS`, but for rows.
    fields
        What is said.
    answers
        The greatest clock among what it answers; 0 for nothing.
    """
    record = seal(desk, request, kind, fields, answers=answers, digest=request.digest)
    desk.book.enter_of_set(record, record.fields())
