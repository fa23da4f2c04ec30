"""Expressions in the butler's language that say what is flagged, for those who type.

An expression is for one run: it says what was flagged when it was written. It has
limits that a TAGGED collection has not, and beyond them it is refused with the way that
works instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lsst.daf.butler import DatasetType

from annolog.butler import reach, wants
from annolog.butler.flagged import Flagged
from annolog.butler.reach import Reach
from annolog.butler.rules import FlaggedRule, SetRule, UsableRule
from annolog.butler.search import Repository
from annolog.domain.errors import InvalidError

BOUND = 60_000
"""Values beside an expression: PostgreSQL takes 65,535 parameters a statement, and the
rest of the statement has some too."""

LITERAL = 500
"""Values inside an expression: SQLite fails from 1,000 terms, PostgreSQL is slow."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition on datasets of one type.

    Attributes
    ----------
    dataset_type
        What it is about.
    where
        In the butler's language.
    bind
        Values of the names in it; empty if all stands in `where`.
    values
        How many ids it names.
    lasting
        Detectors that are flagged for a time: of these it names the exposures or visits
        that are there now, and those that come later are not in it.
    warnings
        What of the rule looks like a mistake and may be none.
    """

    dataset_type: str
    where: str
    bind: Mapping[str, list[int]]
    values: int
    lasting: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def write(
    repository: Repository,
    flagged: Flagged,
    rule: FlaggedRule | UsableRule | SetRule,
    dataset_type: str,
    *,
    literal: bool = False,
) -> Expression:
    """Write a rule as an expression.

    Parameters
    ----------
    repository
        Where it shall be used.
    flagged
        The snapshot.
    rule
        What is wanted; the query has to name its source.
    dataset_type
        One of the rule's.
    literal
        Put the ids into the text, for a command line; otherwise they stand beside it.

    Returns
    -------
    Expression
        Within the limits.

    Raises
    ------
    InvalidError
        If it cannot be said so, or is too long; it names the way that works.
    AnnologError
        If the snapshot does not hold what the rule asks for.
    """
    other = f"fill {rule.collection} by annologd export collections, and use that"
    if isinstance(rule, SetRule):
        raise InvalidError(
            f"rule {rule.name} names data IDs, which an expression cannot list in"
            " pairs; download the set as ECSV and give it to the graph builder as a"
            f" data-ID table, or {other}"
        )
    kind = repository.butler.get_dataset_type(dataset_type)
    if kind.name not in rule.dataset_types:
        raise InvalidError(
            f"rule {rule.name} is not about {kind.name}; it is about"
            f" {', '.join(rule.dataset_types)}"
        )
    if rule.instrument is None:
        raise InvalidError(
            "exposures and visits are named by an instrument, which rule"
            f" {rule.name} has not; {other}"
        )
    if not {"exposure", "visit"} & set(kind.dimensions.required):
        raise InvalidError(
            f"datasets of type {kind.name} have neither an exposure nor a visit by"
            f" which an expression could name them; {other}"
        )
    if isinstance(rule, UsableRule) and rule.sets:
        raise InvalidError(
            f"rule {rule.name} leaves out the rows of sets, which an expression cannot"
            f" list; {other}"
        )
    wants.demand(flagged, rule)
    reached = reach.of(repository.butler, flagged, rule)
    if own := wants.own(repository, rule, kind, reached):
        raise InvalidError(
            f"{len(own)} datasets of type {kind.name} are flagged by themselves; an"
            " expression that leaves them out would bring up what they shadow in"
            f" earlier runs; {other}"
        )
    terms, bind = _terms(kind, reached, literal=literal)
    values = _count(kind, reached)
    limit = LITERAL if literal else BOUND
    if values > limit:
        way = f" without --literal it may have {BOUND};" if literal else ""
        raise InvalidError(
            f"the expression would name {values} ids, and {limit} is what every"
            f" database takes;{way} {other}"
        )
    where = [f"instrument = {_quoted(rule.instrument)}"]
    if bounds := repository.bounds(rule, kind).where:
        where.append(f"({bounds})")
    if isinstance(rule, UsableRule):
        where += [f"NOT ({term})" for term in terms]
    else:
        # The language has no word for what is never true; no exposure has this id.
        never = f"{_of(kind, reached)[0][0]} IN (-1)"
        where.append(f"({' OR '.join(terms)})" if terms else never)
    lasting = reached.lasting if "detector" in kind.dimensions.required else ()
    warnings = wants.warnings(flagged, rule)
    return Expression(kind.name, " AND ".join(where), bind, values, lasting, warnings)


def _terms(
    kind: DatasetType, reached: Reach, *, literal: bool
) -> tuple[list[str], dict[str, list[int]]]:
    """Say what is reached in terms of which any is enough."""
    terms: list[str] = []
    bind: dict[str, list[int]] = {}

    def among(dimension: str, name: str, ids: list[int]) -> str:
        if literal:
            return f"{dimension} IN ({', '.join(map(str, ids))})"
        bind[name] = ids
        return f"{dimension} IN ({name})"

    for dimension, ids, parts in _of(kind, reached):
        if ids:
            terms.append(among(dimension, f"flagged_{dimension}s", sorted(ids)))
        for detector, some in parts.items():
            name = f"flagged_{dimension}s_{detector}"
            term = among(dimension, name, some)
            terms.append(f"detector = {detector} AND {term}")
    return terms, bind


def _of(
    kind: DatasetType, reached: Reach
) -> list[tuple[str, frozenset[int], Mapping[int, list[int]]]]:
    has = kind.dimensions.required
    return [
        (
            dimension,
            reached.ids(dimension),
            reached.parts(dimension) if "detector" in has else {},
        )
        for dimension in ("exposure", "visit")
        if dimension in has
    ]


def _count(kind: DatasetType, reached: Reach) -> int:
    return sum(
        len(ids) + sum(map(len, parts.values())) for _, ids, parts in _of(kind, reached)
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
