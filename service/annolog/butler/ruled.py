"""What commands do by rules in a repository: from where it is to what came of it.

The one door of these modules, for a process that imports the butler's library only when
it comes to that.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from annolog.butler import collections, expressions, open_reader
from annolog.butler.collections import Refreshed, Stale
from annolog.butler.expressions import Expression
from annolog.butler.rules import Rules
from annolog.butler.search import Repository


def refresh(
    uri: str, rules: Rules, now: Callable[[], datetime], *, dry: bool
) -> Iterator[Refreshed]:
    """Bring collections to what was exported into a repository.

    Parameters
    ----------
    uri
        The repository.
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
    with Repository.open(uri, writeable=not dry) as repository:
        said = open_reader(repository.butler)
        yield from collections.refresh(repository, said, rules, now, dry=dry)


def check(
    uri: str, rules: Rules, now: datetime, limit: timedelta | None
) -> tuple[int, list[Stale]]:
    """Tell which collections should be refreshed.

    Parameters
    ----------
    uri
        The repository.
    rules
        What should fill them.
    now
        The present.
    limit
        How old a snapshot may be; None: not older than the newest.

    Returns
    -------
    number : int
        The change up to which the newest snapshot of the repository goes.
    found : list of Stale
        One a rule, in the order of the file.
    """
    with Repository.open(uri, writeable=False) as repository:
        said = open_reader(repository.butler)
        return said.number, collections.check(repository, said, rules, now, limit)


def write(
    uri: str, rules: Rules, dataset_type: str | None, *, literal: bool
) -> tuple[int, Expression]:
    """Write a rule as an expression.

    Parameters
    ----------
    uri
        The repository.
    rules
        One rule.
    dataset_type
        One of its dataset types; None for its first.
    literal
        Put the ids into the text.

    Returns
    -------
    number : int
        The change up to which the snapshot goes that it was written from.
    written : Expression
        Within the limits.

    Raises
    ------
    InvalidError
        If it cannot be said so; it names the way that works.
    """
    [rule] = rules.rules
    kind = dataset_type or rule.dataset_types[0]
    with Repository.open(uri, writeable=False) as repository:
        said = open_reader(repository.butler)
        written = expressions.write(repository, said, rule, kind, literal=literal)
        return said.number, written
