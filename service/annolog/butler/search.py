"""Datasets of a repository: those within bounds, and those that data IDs name.

The butler's limits are met here, once: lists are cut after 20,000 rows unless told
otherwise; a condition on a dataset's own id looks past what shadows it, so none is
used; on SQLite an upload of more than 500 data IDs takes time by the square of it.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from astropy.table import Table
from lsst.daf.butler import Butler, ButlerConfig, DatasetRef, DatasetType
from lsst.daf.butler.queries import Query
from lsst.utils.iteration import chunk_iterable

from annolog.butler import holdings
from annolog.butler.rules import BoundedRule
from annolog.domain.errors import AnnologError, InvalidError, UnavailableError

UPLOAD_SQLITE = 400
"""Data IDs of one upload on SQLite."""

UPLOAD = 50_000
"""Data IDs of one upload elsewhere."""

DataId: TypeAlias = Mapping[str, int | str]
"""Values by dimension."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A condition on datasets, as the butler's queries take it.

    Attributes
    ----------
    where
        In the butler's language; empty for none.
    bind
        Values of the names in it.
    instrument
        None for every instrument.
    """

    where: str = ""
    bind: Mapping[str, Any] = field(default_factory=dict)
    instrument: str | None = None

    def also(self, where: str, bind: Mapping[str, Any]) -> "Bounds":
        """Give narrower ones.

        Parameters
        ----------
        where, bind
            The further condition.

        Returns
        -------
        Bounds
            For datasets that meet both.
        """
        both = f"({self.where}) AND {where}" if self.where else where
        return Bounds(both, {**self.bind, **bind}, self.instrument)


@dataclass(frozen=True, slots=True)
class Repository:
    """A butler, and what its database bears.

    Attributes
    ----------
    butler
        Direct, as a client of a server can associate nothing.
    upload
        Data IDs that go up at a time.
    """

    butler: Butler
    upload: int

    @classmethod
    @contextlib.contextmanager
    def open(cls, uri: str, *, writeable: bool) -> Iterator["Repository"]:
        """Open a repository for a while; its files do not matter.

        Parameters
        ----------
        uri
            Where its configuration is, or its label in the index of repositories.
        writeable
            Whether collections are to be changed.

        Yields
        ------
        Repository
            Closed when the block ends.

        Raises
        ------
        InvalidError
            If it is behind a server.
        UnavailableError
            If it cannot be opened.
        """
        with _opening(uri):
            config = ButlerConfig(uri)
        if "RemoteButler" in str(config.get("cls", "")):
            raise InvalidError(
                f"{uri} is a butler behind a server, where nothing can be associated;"
                " give the repository itself"
            )
        sqlite = str(config["registry", "db"]).startswith("sqlite")
        with _opening(uri):
            butler = Butler.from_config(
                config, writeable=writeable, without_datastore=True
            )
        with butler:
            yield cls(butler, UPLOAD_SQLITE if sqlite else UPLOAD)

    def bounds(self, rule: BoundedRule, kind: DatasetType) -> Bounds:
        """Say in the butler's language what a rule asks of one dataset type.

        Parameters
        ----------
        rule
            Its instrument, nights and `where`.
        kind
            What is looked for.

        Returns
        -------
        Bounds
            For queries of that type.

        Raises
        ------
        InvalidError
            If datasets of that type belong to no night, or the repository has no such
            instrument.
        """
        has = kind.dimensions.names
        instrument = rule.instrument if "instrument" in has else None
        if instrument is not None and not self.knows(instrument):
            raise InvalidError(
                f"the repository has no instrument {instrument!r}; it has"
                f" {', '.join(self.instruments()) or 'none'}"
            )
        bounds = Bounds(rule.where or "", {}, instrument)
        if rule.nights is None:
            return bounds
        night = self._night(kind)
        for sign, value in ((">=", rule.nights.first), ("<=", rule.nights.last)):
            if value is not None:
                bounds = bounds.also(f"{night} {sign} {value}", {})
        return bounds

    def knows(self, instrument: str) -> bool:
        """Tell whether the repository has an instrument; queries stay silent.

        Parameters
        ----------
        instrument
            Its name.

        Returns
        -------
        bool
            Whether it does.
        """
        return instrument in self.instruments()

    def instruments(self) -> list[str]:
        """Give the names of the repository's instruments.

        Returns
        -------
        list of str
            In order.
        """
        return holdings.instruments(self.butler)

    def _night(self, kind: DatasetType) -> str:
        # `exposure.day_obs` is understood in every universe; the dimension is younger.
        for name in ("exposure", "visit"):
            if name in kind.dimensions.names:
                return f"{name}.day_obs"
        if "day_obs" in kind.dimensions.names:
            return "day_obs"
        raise InvalidError(
            f"datasets of type {kind.name} belong to no night: its dimensions are"
            f" {', '.join(kind.dimensions.required)}; bound the rule by a where"
        )

    # ------------------------------------------------------------ searches

    def within(
        self, kind: DatasetType, collections: Sequence[str], bounds: Bounds
    ) -> list[DatasetRef]:
        """Search collections.

        Parameters
        ----------
        kind
            What is looked for.
        collections
            In this order: of two datasets of one data ID the first one is given.
        bounds
            The condition.

        Returns
        -------
        list of DatasetRef
            All of them, one a data ID, in no order.
        """
        data_id = {} if bounds.instrument is None else {"instrument": bounds.instrument}
        return self.butler.query_datasets(
            kind,
            list(collections),
            where=bounds.where,
            bind=dict(bounds.bind),
            data_id=data_id,
            limit=None,
            explain=False,
        )

    def named(
        self,
        kind: DatasetType,
        collections: Sequence[str],
        data_ids: Sequence[DataId],
        bounds: Bounds | None = None,
    ) -> tuple[list[DatasetRef], list[DataId]]:
        """Find the datasets that data IDs name.

        Parameters
        ----------
        kind
            What is looked for.
        collections
            As in `within`.
        data_ids
            Any of primary dimensions; fewer than the type's match all that fit.
        bounds
            A condition beside; None for none.

        Returns
        -------
        found : list of DatasetRef
            One a data ID, in no order.
        unresolved : list of mapping
            The data IDs without any dataset, in the order given.

        Raises
        ------
        InvalidError
            If a data ID has a key that is no dimension, or lacks one that it needs.
        """
        refs: dict[Any, DatasetRef] = {}
        missing: list[DataId] = []
        groups: dict[tuple[str, ...], list[DataId]] = defaultdict(list)
        for data_id in data_ids:
            groups[tuple(sorted(data_id))].append(data_id)
        for keys, rows in groups.items():
            self._check(keys)
            for some in chunk_iterable(rows, self.upload):
                found, met = self._chunk(kind, collections, keys, some, bounds)
                refs |= {ref.id: ref for ref in found}
                missing += [
                    row for row in some if tuple(row[key] for key in keys) not in met
                ]
        return list(refs.values()), missing

    def _check(self, keys: tuple[str, ...]) -> None:
        universe = self.butler.dimensions
        known = universe.dimensions.names
        if strange := [key for key in keys if key not in known]:
            raise InvalidError(
                f"{', '.join(strange)} is no dimension of the repository; rows name"
                " primary keys, as exposure and detector"
            )
        if lacking := sorted(set(universe.conform(keys).required) - set(keys)):
            raise InvalidError(
                f"rows of {', '.join(keys)} lack {', '.join(lacking)}, without which"
                " they name nothing"
            )

    def _chunk(
        self,
        kind: DatasetType,
        collections: Sequence[str],
        keys: tuple[str, ...],
        rows: Sequence[DataId],
        bounds: Bounds | None,
    ) -> tuple[list[DatasetRef], set[tuple[Any, ...]]]:
        """Give the datasets of some rows, and the rows that have one."""
        table = Table({key: [row[key] for row in rows] for key in keys})
        with self.butler.query() as query:
            named = query.join_data_coordinate_table(table)
            if bounds is not None:
                named = _bounded(named, bounds)
            refs = list(named.datasets(kind, list(collections)))
            if set(keys) <= set(kind.dimensions.names):
                return refs, {tuple(ref.dataId[key] for key in keys) for ref in refs}
            # A dataset does not say by which exposure of its visit it was found.
            joined = named.join_dataset_search(kind, list(collections))
            return refs, {
                tuple(found[key] for key in keys) for found in joined.data_ids(keys)
            }


@contextlib.contextmanager
def _opening(uri: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # A missing folder, a database that is away or that refuses: each has its own.
        raise UnavailableError(f"{uri} cannot be opened: {words(error)}") from error


def _bounded(query: Query, bounds: Bounds) -> Query:
    if bounds.instrument is not None:
        query = query.where(instrument=bounds.instrument)
    return query.where(bounds.where, bind=dict(bounds.bind)) if bounds.where else query


def words(error: Exception) -> str:
    """Put an error into one line for people.

    Parameters
    ----------
    error
        Ours, or the butler's.

    Returns
    -------
    str
        With its kind, unless it is ours; without the statement that failed.
    """
    if isinstance(error, AnnologError):
        return error.detail
    said = str(error).partition("[SQL:")[0]
    return f"{type(error).__name__}: {' '.join(said.split())}"
