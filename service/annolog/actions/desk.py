"""What a request brings to the lane, and what its decision has before it there."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from annolog.domain.book import Book
from annolog.domain.ledger import Wants
from annolog.domain.targets import TargetColumns
from annolog.storage import turn

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a decision has before it.

    Attributes
    ----------
    book
        What is known, and where records are entered.
    now
        Wall time of the turn (UTC).
    new_id
        Gives a fresh id: a UUIDv7 with 14 zero bits at the end.
    """

    book: Book
    now: datetime
    new_id: Callable[[], UUID]


@dataclass(eq=False, slots=True)
class Work(Generic[_T]):
    """One request for the lane.

    Attributes
    ----------
    decide
        Looks at the desk, enters records, gives the answer. It may be called again
        after `NeedMore`, so it enters records as its last act; an `AnnologError`
        refuses this request alone. With very many targets it is called in another
        thread; what it looks at beside the desk nobody may change.
    wants
        What it is known to need; more may be asked for while deciding.
    size
        About how many targets it touches, as far as is known: where a decision asks
        for more, it waits for a turn that has room for it.
    alone
        True: it gets a turn of its own, and an error undoes all of it.
    rows
        Rows of targets that may have none yet: keys with what can be told from them.
    obs_ids
        (instrument, obs_id, key) by which exposures were named.
    messages
        From the lane: the messages that its turn began, as they were stored.
    answer, taken
        For the lane: the answer once there is one, and whether a turn has begun.
    """

    decide: Callable[[Desk], _T]
    wants: Wants = field(default_factory=Wants)
    size: int = 1
    alone: bool = False
    rows: Sequence[tuple[str, TargetColumns]] = ()
    obs_ids: Sequence[tuple[str, str, str]] = ()
    messages: turn.Messages = field(default_factory=dict)
    answer: "asyncio.Future[_T] | None" = None
    taken: bool = False
