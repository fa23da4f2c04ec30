"""Building data-ID sets by their recipes, as of now or of an earlier change.

All is read in one snapshot and judged by what was known after one change of the log,
so whoever builds the same recipe as of the same change gets the same rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import msgspec

from annolog.domain.dataid_builds import (
    Built,
    Exempt,
    Found,
    combine,
    contradictions,
    exempt_keys,
    given_rows,
    table_rows,
    unflagged_keys,
    with_flags,
)
from annolog.domain.dataid_queries import Judge, rows_of
from annolog.domain.dataid_recipes import Recipe, RecipePart, SetQuery
from annolog.domain.dataid_words import NewTag, new_tags
from annolog.domain.dataids import (
    MAX_ROWS,
    DataIdTable,
    Difference,
    difference,
    no_set,
)
from annolog.domain.errors import InvalidError, TooLargeError
from annolog.domain.setrecords import table_of
from annolog.domain.setredactions import blank_table
from annolog.domain.vocabulary import Vocabulary
from annolog.storage import changes, dataid_redactions, dataids, entries
from annolog.storage.database import Connection
from annolog.storage.dataid_queries import Reader, more_time
from annolog.storage.large import worked_out

_DIGITS = 9
"""A number of a version has no more: it fits the database's integers."""
_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a recipe gave.

    Attributes
    ----------
    built
        Rows, why they are in, and what was left out.
    as_of
        The change as of which it was built.
    contradicted
        Rows to keep and to drop that a flag speaks against.
    lists
        The lists of rows of other versions that were read.
    """

    built: Built
    as_of: int
    contradicted: Sequence[Exempt]
    lists: Sequence[UUID] = ()


async def build(conn: Connection, recipe: Recipe, as_of: int | None) -> Outcome:
    """Build a recipe; nothing is written.

    Parameters
    ----------
    conn
        A connection in a snapshot.
    recipe
        A settled recipe.
    as_of
        Change number of this site; None: the last one in the snapshot.

    Raises
    ------
    InvalidError
        The log has not reached the number, or a version named in the recipe was not
        there then.
    TooLargeError
        A query finds more rows than a version takes.
    """
    await more_time(conn)
    head = await changes.head(conn)
    number = head if as_of is None else as_of
    if not 0 <= number <= head:
        reason = f"the log of this site ends at change {head}"
        raise InvalidError.at("?as_of", as_of, reason, "as_of_ahead")
    known = await entries.read(conn, number)
    reader = Reader(conn, number, head, known)
    found: dict[str, list[Found]] = given_rows(recipe)
    lists: list[UUID] = []
    for place, part in enumerate(recipe.parts):
        if part.query is not None:
            found[part.name] = await _asked(reader, recipe, part.name, part.query)
        elif part.version is not None:
            list_id, found[part.name] = await _version(conn, part, number, place)
            lists.append(list_id)
    count = sum(len(rows) for rows in found.values())
    built = await worked_out(count, combine, recipe, found)
    unflagged: tuple[str, ...] = ()
    if "flag" in recipe.columns:
        unflagged = await worked_out(count, unflagged_keys, built.table)
    keys = tuple(dict.fromkeys((*exempt_keys(recipe), *unflagged)))
    flags: Mapping[str, Sequence[str]] = {}
    if keys:
        flags = await reader.flags(keys, inherits=recipe.inherits)
    if unflagged:
        table = await worked_out(count, with_flags, built.table, flags)
        built = replace(built, table=table)
    contradicted = contradictions(recipe, flags, known.vocabulary)
    return Outcome(built, number, contradicted, lists)


async def _asked(
    reader: Reader, recipe: Recipe, part: str, query: SetQuery
) -> list[Found]:
    instrument = query.instrument or recipe.instrument or ""
    around = await reader.around(query, instrument)
    judge = Judge(query, instrument, around)
    count = len(around.stood) + len(around.exposures) + len(around.reach)
    hits = await worked_out(count, judge.hits)
    if len(hits) > MAX_ROWS:
        msg = (
            f"part {part!r} finds {len(hits)} rows; a version has at most {MAX_ROWS}: "
            "limit its nights"
        )
        raise TooLargeError(msg, code="too_many_rows")
    texts = await reader.texts(at for one in hits for at in one.annotations)
    return await worked_out(count, rows_of, part, hits, texts)


async def _version(
    conn: Connection, part: RecipePart, number: int, place: int
) -> tuple[UUID, list[Found]]:
    """Give the rows of a version as it was named: `NAME@3`, `NAME@3-1F0A77C2`, `NAME`.

    They must have been here at the change as of which the recipe is built.
    """
    named = part.version or ""
    name, _, wanted = named.partition("@")
    version, _, digest = wanted.partition("-")
    numbered = version.isascii() and version.isdigit() and len(version) <= _DIGITS
    rows = await dataids.as_of(conn, name, int(version) if numbered else None, number)
    rows = [one for one in rows if one.digest.hex().upper().startswith(digest.upper())]
    if not rows or (wanted and not numbered):
        reason = f"part {part.name!r}: {await _missing(conn, name, wanted, number)}"
        raise InvalidError.at(
            f"/parts/{place}/version", named, reason, "unknown_version"
        )
    if wanted and len({one.digest for one in rows}) > 1:
        reason = f"{named} may be any of {', '.join(one.key for one in rows)}"
        raise InvalidError.at(f"/parts/{place}/version", named, reason, "ambiguous")
    body = await dataids.rows(conn, rows[0].list_id)
    if body is None:
        reason = f"the rows of {rows[0].key} have not come from their site yet"
        raise InvalidError.at(f"/parts/{place}/version", named, reason, "rows_not_here")
    table = table_of(msgspec.json.decode(body), None)
    return rows[0].list_id, table_rows(part.name, table)


async def unsaid_tags(
    conn: Connection, recipe: Recipe, vocabulary: Vocabulary
) -> list[NewTag]:
    """List the tags of a recipe that neither the vocabulary nor any statement has.

    Parameters
    ----------
    conn
        A connection.
    recipe
        A settled recipe.
    vocabulary
        That of now.
    """
    found = new_tags(recipe, vocabulary)
    words = {word for one in found for word in one.words}
    said = await dataids.tags_said(conn, sorted(words)) if words else set()
    return [one for one in found if said.isdisjoint(one.words)]


async def _missing(conn: Connection, name: str, wanted: str, number: int) -> str:
    """Say why a recipe finds no such version."""
    there = await dataids.numbers_as_of(conn, name, number)
    if not there:
        if await dataids.exists(conn, name):
            return f"the data-ID set {name} had no version yet at change {number}"
        return no_set(name, await dataids.names(conn))
    if not wanted[:1].isdigit():
        return (
            f"a recipe names a version by its number, as {name}@{there[-1]}, "
            f"not by {wanted[:80]!r}"
        )
    listed = ", ".join(map(str, there[-_MOST_NAMED:]))
    more = "... " if len(there) > _MOST_NAMED else ""
    return (
        f"the data-ID set {name} has no version {wanted[:80]!r}: as of change "
        f"{number} it had {more}{listed}"
    )


async def told_apart(
    conn: Connection, list_id: UUID, old: DataIdTable, new: DataIdTable
) -> Difference:
    """Compare the rows of a version with what a recipe gives.

    Parameters
    ----------
    conn
        A connection.
    list_id
        The rows of the version.
    old
        What they are.
    new
        What the recipe gives. Where words were taken out of the version's rows, those
        of the same rows do not count: that they are gone is no news.
    """
    orders = await dataid_redactions.redactions(conn, [list_id])
    count = max(len(old.rows), len(new.rows))
    comparable = await worked_out(count, blank_table, new, orders) if orders else new
    return await worked_out(count, difference, old, comparable)
