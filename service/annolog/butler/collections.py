"""TAGGED collections, filled by rules and refreshed by difference.

Each collection is brought from whatever it holds to what its rule wants, in one
transaction: first what has to go, then what comes, so that a dataset may take the place
of another of its data ID; killed at any point it is as it was. A collection holds one
dataset a type and data ID; where a rule wants two the first one stands and the other is
reported. Data IDs that name nothing here are reported too. Neither, nor a rule that
fails, keeps the others from being done.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from lsst.daf.butler import (  # type: ignore[attr-defined] # its __all__ lacks one
    CollectionInfo,
    CollectionType,
    DatasetRef,
    MissingCollectionError,
)
from lsst.daf.butler.registry import ConflictingDefinitionError
from lsst.utils.iteration import chunk_iterable

from annolog.butler import ages, wants
from annolog.butler.ages import Age
from annolog.butler.flagged import Flagged
from annolog.butler.rules import FlaggedRule, Rules, SetRule, UsableRule
from annolog.butler.search import Repository, words
from annolog.butler.wants import Conflict, Unresolved
from annolog.domain.errors import AnnologError, ConflictError

ATTEMPTS = 3
"""Times that a collection is brought anew when others write into it meanwhile."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What became of one rule.

    Attributes
    ----------
    rule, collection
        Their names.
    added, removed, kept
        Datasets that came, that went, and that stayed as they were.
    conflicts
        What could not be in it beside another.
    unresolved
        What a set names and the repository does not hold.
    error
        Why nothing was done; None if it was.
    warnings
        What of the rule looks like a mistake and may be none.
    """

    rule: str
    collection: str
    added: int = 0
    removed: int = 0
    kept: int = 0
    conflicts: tuple[Conflict, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()
    error: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stale:
    """Whether one collection is as new as it could be.

    Attributes
    ----------
    rule, collection
        Their names.
    age
        What the collection says of itself; None if it is not there, or never was
        filled.
    reason
        Why it should be refreshed; None if it need not be.
    """

    rule: str
    collection: str
    age: Age | None
    reason: str | None


def refresh(
    repository: Repository,
    flagged: Flagged,
    rules: Rules,
    now: Callable[[], datetime],
    *,
    dry: bool = False,
) -> Iterator[Refreshed]:
    """Bring the collections of all rules to what a snapshot says.

    Parameters
    ----------
    repository
        Writeable, unless it is a dry run.
    flagged
        The snapshot.
    rules
        What is wanted.
    now
        The clock.
    dry
        Work out the difference and write nothing.

    Yields
    ------
    Refreshed
        One a rule, in the order of the file, each when it is done.
    """
    folder = Path(rules.file).parent
    for rule in rules.rules:
        try:
            wanted, unresolved = wants.of_rule(repository, flagged, rule, folder)
            kept, conflicts = wants.one_each(wanted)
            text = ages.write(rule, flagged.number, flagged.taken_at, now())
            change = _bring(repository, rule.collection, kept, text, dry=dry)
            yield Refreshed(
                rule.name,
                rule.collection,
                *change,
                conflicts,
                tuple(unresolved),
                warnings=wants.warnings(flagged, rule),
            )
        except Exception as error:  # noqa: BLE001 - the other rules are done
            _log.debug("rule %s", rule.name, exc_info=True)
            yield Refreshed(rule.name, rule.collection, error=words(error))


def check(
    repository: Repository,
    flagged: Flagged,
    rules: Rules,
    now: datetime,
    limit: timedelta | None = None,
) -> list[Stale]:
    """Tell which collections should be refreshed; nothing is changed.

    Parameters
    ----------
    repository
        Where they are.
    flagged
        The newest snapshot of the repository.
    rules
        What should fill them.
    now
        The present.
    limit
        How old a snapshot may be; None: not older than the newest.

    Returns
    -------
    list of Stale
        One a rule, in the order of the file.
    """
    found = []
    for rule in rules.rules:
        info = _info(repository, rule.collection)
        age = None if info is None else ages.read(info.doc)
        reason = _refused(flagged, rule)
        if reason is None:
            reason = ages.stale(age, rule, flagged.number, now, limit)
        found.append(Stale(rule.name, rule.collection, age, reason))
    return found


def _refused(flagged: Flagged, rule: FlaggedRule | UsableRule | SetRule) -> str | None:
    """Say why a rule could not be followed now; None if it could."""
    try:
        wants.demand(flagged, rule)
    except AnnologError as error:
        return error.detail
    return None


# ------------------------------------------------------------------- the collection


def _bring(
    repository: Repository,
    collection: str,
    wanted: dict[UUID, DatasetRef],
    documentation: str,
    *,
    dry: bool,
) -> tuple[int, int, int]:
    """Bring one collection to what is wanted; give what came, went and stayed."""
    butler = repository.butler
    for attempt in range(1, ATTEMPTS + 1):
        have = _members(repository, collection)
        gone = [ref for id_, ref in have.items() if id_ not in wanted]
        come = [ref for id_, ref in wanted.items() if id_ not in have]
        change = (len(come), len(gone), len(have) - len(gone))
        if dry:
            return change
        # Not in the transaction below, which would make others wait.
        butler.collections.register(
            collection, CollectionType.TAGGED, doc=f"{ages.MARK}\nNot filled yet."
        )
        try:
            with butler.transaction():
                # First, as one that comes may take the place of one that goes.
                butler.registry.disassociate(collection, gone)
                butler.registry.associate(collection, come)
                butler.registry.setCollectionDocumentation(collection, documentation)
        except ConflictingDefinitionError:
            # The same word for a dataset that was removed meanwhile.
            if attempt == ATTEMPTS:
                raise
            wanted = _still_there(repository, wanted)
        else:
            return change
    raise AssertionError  # the last attempt returned or raised


def _members(repository: Repository, collection: str) -> dict[UUID, DatasetRef]:
    info = _info(repository, collection)
    if info is None:
        return {}
    if info.type is not CollectionType.TAGGED:
        raise ConflictError(
            f"{collection} is a {info.type.name} collection, not a TAGGED one; name"
            " another one as collection"
        )
    members = {
        ref.id: ref
        for name in sorted(info.dataset_types or ())
        for ref in repository.butler.query_datasets(
            name, collection, find_first=False, limit=None, explain=False
        )
    }
    if members and not info.doc.startswith(ages.MARK):
        raise ConflictError(
            f"{collection} was not made by annolog and holds {len(members)} datasets,"
            " which a refresh would take out; name another one as collection"
        )
    return members


def _info(repository: Repository, collection: str) -> CollectionInfo | None:
    try:
        return repository.butler.collections.get_info(collection, include_summary=True)
    except MissingCollectionError:
        return None


def _still_there(
    repository: Repository, wanted: dict[UUID, DatasetRef]
) -> dict[UUID, DatasetRef]:
    return {
        ref.id: ref
        for some in chunk_iterable(wanted, repository.upload)
        for ref in repository.butler.get_many_datasets(some)
    }
