"""What a write would touch, found out beforehand; nothing is written.

People paste lists out of notebooks, files and chats, and choose ranges of a night.
Here they see which targets that comes to, what now holds for them, and which names
are unknown, ambiguous or doubled, before they say anything about 10,000 exposures.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from annolog.actions.resolution import Resolution
from annolog.actions.resolve import Resolver
from annolog.domain.annotations import MAX_TARGETS
from annolog.domain.errors import Problem, TooLargeError
from annolog.domain.history import Standing
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Known, State, state_of
from annolog.domain.names import Name, SeqName
from annolog.domain.pasted import (
    MAX_PASTED,
    PastedEntry,
    PastedNumbers,
    parse_pasted,
)
from annolog.domain.seqnums import SeqNums
from annolog.storage import standings
from annolog.storage.database import Connection
from annolog.storage.standings import Overview

CHUNK = 2_000
"""Targets that are looked up at once."""


@dataclass(slots=True)
class Pasted:
    """What a pasted text comes to.

    Attributes
    ----------
    found
        Its targets and problems.
    comments
        What stood behind a name, by key; the first one.
    holes
        Numbers of ranges for which no exposure is known, by (instrument, day_obs).
    """

    found: Resolution
    comments: Mapping[str, str] = field(default_factory=dict)
    holes: Mapping[tuple[str, int], SeqNums] = field(default_factory=dict)


async def pasted(
    resolver: Resolver,
    text: str,
    instruments: Instruments,
    *,
    default: str | None,
    day_obs: int | None,
) -> Pasted:
    """Find the targets of a pasted text.

    Parameters
    ----------
    resolver
        Looks names up.
    text
        Names, one or several a line, or a table (`domain.pasted`).
    instruments
        The known instruments.
    default
        Instrument of bare integers.
    day_obs
        Night of bare sequence numbers and ranges.

    Raises
    ------
    TooLargeError
        If it holds too many names.
    """
    # A second of reading, for the longest text, that others need not wait for.
    entries = await asyncio.to_thread(
        parse_pasted,
        text,
        instruments,
        default=default,
        day_obs=day_obs,
        pointer="/text",
    )
    found = Resolution()
    parsed: list[tuple[str, str, Name]] = []
    ranged: dict[str, SeqName] = {}
    said: list[tuple[str, str]] = []
    for entry in entries:
        if entry.error is not None:
            found.problems += [_at_line(entry, one) for one in entry.error.problems]
        elif isinstance(entry.name, PastedNumbers):
            for one in _each(entry.name):
                written = f"exposure:{one.instrument}/{one.day_obs}/{one.seq_num}"
                ranged[written] = one
                parsed.append(("/text", written, one))
        elif entry.name is not None:
            parsed.append(("/text", entry.text, entry.name))
            said.append((entry.text, entry.comment))
        if len(parsed) > MAX_PASTED:
            reason = f"holds more than {MAX_PASTED} names; send it in parts"
            raise TooLargeError.at("/text", None, reason)
    await resolver.look_up(parsed, found)
    holes = _take_holes(found, ranged)
    key_of = {name: key for key, names in found.written.items() for name in names}
    comments: dict[str, str] = {}
    for name, comment in said:
        if comment and name in key_of:
            comments.setdefault(key_of[name], comment)
    return Pasted(found, comments, holes)


def _each(numbers: PastedNumbers) -> Iterable[SeqName]:
    for number in numbers.numbers:
        yield SeqName("exposure", numbers.instrument, numbers.day_obs, number)


def _at_line(entry: PastedEntry, problem: Problem) -> Problem:
    reason = f"line {entry.line}: {problem.reason}"
    return Problem("/text", entry.text, reason, problem.code)


def _take_holes(
    found: Resolution, ranged: Mapping[str, SeqName]
) -> Mapping[tuple[str, int], SeqNums]:
    """Move the unknown numbers of ranges from the problems to the holes."""
    missing: dict[tuple[str, int], list[int]] = {}
    kept = []
    for one in found.problems:
        name = ranged.get(one.value) if isinstance(one.value, str) else None
        if name is None or one.code != "unknown":
            kept.append(one)
        else:
            at = (name.instrument, name.day_obs)
            missing.setdefault(at, []).append(name.seq_num)
    found.problems = kept
    return {at: SeqNums.of(numbers) for at, numbers in missing.items()}


@dataclass(frozen=True, slots=True)
class Previewed:
    """A target that a write would touch.

    Attributes
    ----------
    key
        Its key.
    overview
        Its row and state; None where it has no row yet.
    state
        What now holds; None where nothing was ever said.
    number
        The last change of its state.
    """

    key: str
    overview: Overview | None
    state: State | None
    number: int = 0

    @property
    def known(self) -> bool:
        """Whether it was announced or spoken of."""
        if self.key.startswith("set:"):
            return True  # a version that is not there has no key
        return self.overview is not None and self.overview.known


async def look(conn: Connection, keys: Sequence[str], known: Known) -> list[Previewed]:
    """Say what now holds for targets.

    Parameters
    ----------
    conn
        A snapshot.
    keys
        At most `MAX_TARGETS` are looked at.
    known
        The vocabulary of now.

    Returns
    -------
    list of Previewed
        One a key, in their order.
    """
    shown: list[Previewed] = []
    for first in range(0, min(len(keys), MAX_TARGETS), CHUNK):
        chunk = keys[first : min(first + CHUNK, MAX_TARGETS)]
        rows = await standings.overviews(conn, chunk)
        stale = [
            one.member.class_id
            for one in rows.values()
            if one.stored is not None and one.stored.basis < known.basis
        ]
        anew = await standings.standing_now(conn, stale) if stale else {}
        judged = frozenset(stale)
        shown += [_previewed(key, rows.get(key), anew, judged, known) for key in chunk]
    return shown


def _previewed(
    key: str,
    row: Overview | None,
    anew: Mapping[int, Sequence[Standing]],
    stale: frozenset[int],
    known: Known,
) -> Previewed:
    if row is None or row.stored is None:
        return Previewed(key, row, None)
    state, number = row.stored.state, row.stored.number
    if row.member.class_id in stale:
        here = anew.get(row.member.class_id, ())
        now = state_of(here, known.vocabulary, row.member.instrument)
        if now != state:
            state, number = now, max(number, known.basis)
    return Previewed(key, row, state, number)
