"""Coverage: who looked at which part of a night, for what. No vote, no flag."""

from collections.abc import Callable, Sequence
from typing import Annotated, Self
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from annolog.actions.desk import Desk
from annolog.actions.exposures import enter_other, seal
from annolog.actions.requests import Request
from annolog.domain import roles
from annolog.domain.annotations import MAX_TAGS, Part, Word
from annolog.domain.instruments import (
    FIRST_DAY_OBS,
    LAST_DAY_OBS,
    MAX_SEQ_NUM,
    is_day_obs,
)
from annolog.domain.roles import Action, Subject
from annolog.storage.nights import Mark


def _night(value: int) -> int:
    if not is_day_obs(value):
        msg = "is no date: write the night as 20261119"
        raise ValueError(msg)
    return value


class CheckedDraft(Part):
    """That somebody looked at a night or a part of it: neither vote nor flag."""

    instrument: Word = Field(description="Instrument.", examples=["LSSTCam"])
    day_obs: Annotated[
        int, Field(ge=FIRST_DAY_OBS, le=LAST_DAY_OBS), AfterValidator(_night)
    ] = Field(description="Night as YYYYMMDD.", examples=[20261119])
    seq_first: Annotated[int, Field(ge=0, le=MAX_SEQ_NUM)] | None = Field(
        None, description="First number looked at (inclusive); null: from the first."
    )
    seq_last: Annotated[int, Field(ge=0, le=MAX_SEQ_NUM)] | None = Field(
        None, description="Last number looked at (inclusive); null: to the last."
    )
    tags: list[Word] = Field(
        default=[],
        max_length=MAX_TAGS,
        description="What was looked for; empty: whatever there was to see.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if (
            self.seq_first is not None
            and self.seq_last is not None
            and self.seq_last < self.seq_first
        ):
            msg = "seq_last is below seq_first"
            raise ValueError(msg)
        return self


def is_same_mark(
    mark: Mark, request: Request, draft: CheckedDraft, words: Sequence[str]
) -> bool:
    """Tell whether a mark says what its author says anew.

    Parameters
    ----------
    mark
        A mark of the same night.
    request
        Who calls.
    draft
        What was looked at.
    words
        What was looked for, in the vocabulary's words, sorted.
    """
    return not mark.revoked and (
        mark.author,
        mark.author_kind,
        mark.seq_first,
        mark.seq_last,
        mark.tags,
    ) == (
        request.actor.author,
        request.actor.kind,
        draft.seq_first,
        draft.seq_last,
        tuple(words),
    )


def check(
    request: Request, draft: CheckedDraft, instrument: str, words: Sequence[str]
) -> Callable[[Desk], UUID]:
    """Prepare the decision to mark a range as checked.

    Parameters
    ----------
    request
        Who calls.
    draft
        What was looked at.
    instrument
        The instrument's own name.
    words
        What was looked for, in the vocabulary's words, sorted.

    Returns
    -------
    callable
        The decision: the id of the record.
    """
    about = Subject(instruments=frozenset({instrument}))
    roles.require(request.actor, Action.CHECK, about)
    fields = {
        "operation": "check",
        "subject": f"checked:{instrument}/{draft.day_obs}",
        "instruments": [instrument],
        "days": [draft.day_obs],
        "instrument": instrument,
        "day_obs": draft.day_obs,
        "seq_first": draft.seq_first,
        "seq_last": draft.seq_last,
        "tags": list(words),
        "revokes": None,
    }

    def decide(desk: Desk) -> UUID:
        record = seal(
            desk, request, "checked", fields, answers=0, digest=request.digest
        )
        enter_other(desk.book, record)
        return record.record_id

    return decide


def revoke(request: Request, mark: Mark) -> Callable[[Desk], UUID]:
    """Prepare the decision to take a mark back.

    Parameters
    ----------
    request
        Who calls: who made the mark, or a curator.
    mark
        What is taken back.

    Returns
    -------
    callable
        The decision: the id of the record.
    """
    about = Subject(mark.author, mark.author_kind, frozenset({mark.instrument}))
    roles.require(request.actor, Action.RETRACT, about)
    fields = {
        "operation": "revoke",
        "subject": f"checked:{mark.instrument}/{mark.day_obs}",
        "instruments": [mark.instrument],
        "days": [mark.day_obs],
        "instrument": mark.instrument,
        "day_obs": mark.day_obs,
        "seq_first": mark.seq_first,
        "seq_last": mark.seq_last,
        "tags": list(mark.tags),
        "revokes": str(mark.record_id),
    }

    def decide(desk: Desk) -> UUID:
        record = seal(
            desk, request, "checked", fields, answers=mark.clock, digest=request.digest
        )
        enter_other(desk.book, record)
        return record.record_id

    return decide
