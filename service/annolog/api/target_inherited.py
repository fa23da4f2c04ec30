"""What is said of other targets and holds for one, as everyone sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from annolog.api.target_moments import MAX_SHOWN, Found, Moment
from annolog.domain.flags import most_severe
from annolog.domain.inheritance import Inherited, inherited
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Known, State, state_of
from annolog.domain.targets import columns, parse_key
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import inheritance
from annolog.storage.database import Connection
from annolog.storage.inheritance import Statement


@dataclass(frozen=True, slots=True)
class Source:
    """Another target whose statements hold for the one that asked.

    Attributes
    ----------
    by
        Which target it is and on which way it reaches.
    statements
        Those of its statements that hold.
    state
        What they come to; without a flag where only words hold.
    """

    by: Inherited
    statements: Sequence[Statement]
    state: State


async def sources(
    conn: Connection,
    found: Found,
    moment: Moment,
    vocabulary: Vocabulary,
    instruments: Instruments,
) -> list[Source]:
    """Find what is said of other targets and holds for this one, the nearest first."""
    targets = [parse_key(one.key) for one in found.members]
    around = await inheritance.relations(conn, targets, instruments, moment.number)
    own = {one.key for one in targets}
    reached: dict[str, Inherited] = {}
    for target in targets:
        for one in inherited(target, around):
            if one.source not in own:
                reached.setdefault(one.source, one)
    said = await inheritance.statements(conn, reached, moment.number)
    result = []
    for key, one in reached.items():
        holding = [s for s in said.get(key, ()) if one.holds(s.observed)]
        if not holding:
            continue
        instrument = columns(parse_key(key), instruments).instrument
        state = state_of((s.standing for s in holding), vocabulary, instrument)
        if one.words_only:
            state = State(tags=state.tags, notes=state.notes, empty=False)
        result.append(Source(one, holding, state))
    return result


def summary(found: Sequence[Source], vocabulary: Vocabulary) -> dict[str, Any]:
    """Say in short what a target inherits: the worst flag, tags, how much."""
    flag = most_severe((one.state.flag for one in found), vocabulary)
    return {
        "flag": flag,
        "disputed": any(one.state.disputed for one in found),
        "tags": sorted({tag for one in found for tag in one.state.tags}),
        "sources": len(found),
        "notes": len(_ids(found)),
    }


def _ids(found: Sequence[Source]) -> dict[UUID, None]:
    """Give the ids of the annotations of all sources, the nearest source's first."""
    return dict.fromkeys(
        one.standing.said.annotation_id for s in found for one in s.statements
    )


async def sources_shown(
    conn: Connection, found: Sequence[Source], moment: Moment
) -> tuple[list[dict[str, Any]], bool]:
    """Show sources with their ways and annotations; tell whether that is all."""
    wanted = list(_ids(found))
    bodies = await inheritance.bodies(conn, wanted[:MAX_SHOWN], moment.number)
    shown = []
    for one in found:
        ids = dict.fromkeys(s.standing.said.annotation_id for s in one.statements)
        shown.append(
            {
                "source": one.by.source,
                "path": [
                    {
                        "source": step.source,
                        "target": step.target,
                        "relation": step.relation,
                        "direction": step.direction.value,
                    }
                    for step in one.by.path
                ],
                "words_only": one.by.words_only,
                "flag": one.state.flag,
                "disputed": one.state.disputed,
                "tags": one.state.tags,
                "annotation_ids": list(ids),
                "annotations": [msgspec.Raw(bodies[i]) for i in ids if i in bodies],
            }
        )
    return shown, len(wanted) <= MAX_SHOWN


async def inherited_shown(
    conn: Connection,
    found: Found,
    moment: Moment,
    known: Known,
    instruments: Instruments,
) -> dict[str, Any]:
    """Put the answer about what a target inherits together."""
    reach = await sources(conn, found, moment, known.vocabulary, instruments)
    shown, complete = await sources_shown(conn, reach, moment)
    short = summary(reach, known.vocabulary)
    return {
        "key": found.key,
        "as_of": moment.shown,
        **short,
        "sources": shown,
        "complete": complete,
    }
