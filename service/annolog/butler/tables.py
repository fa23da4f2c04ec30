"""Tables in a butler: the one module that uses what butlers keep private.

The butler has no public way to tables of others. What is used of it stands in
`PRIVATE`, is looked for before anything else is done, and is held by a test against
the version that annolog names. Traps of that way are dealt with here: a table that
could not be made without an error, columns left out without a word, a deletion without
a condition that deletes all.
"""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from lsst.daf.butler import Butler, ddl
from lsst.daf.butler import __version__ as butler_version
from lsst.daf.butler.registry.interfaces import ReadOnlyDatabaseError
from lsst.utils.iteration import chunk_iterable

from annolog.butler import layout
from annolog.butler.layout import Layout, Type
from annolog.domain.errors import AnnologError

TRIED = "30.2026.4300"
"""The version of lsst-daf-butler whose private parts were tried."""

PRIVATE = (
    "_registry",
    "_registry.registerOpaqueTable",
    "_registry._db",
    "_registry._db._engine",
    "_registry._db.namespace",
    "_registry._db.transaction",
    "_registry._db.query",
    "_registry._db.insert",
    "_registry._db.replace",
    "_registry._db.delete",
    "_registry._db.isWriteable",
    "_registry._managers",
    "_registry._managers.opaque",
    "_registry._managers.opaque.get",
    "_registry._managers.opaque._metaTable",
    "_registry._managers.datasets",
    "_registry._managers.datasets.addDatasetForeignKey",
    "_registry._managers.datasets._static.dataset",
)
"""Everything private that is used of a butler, and the methods behind it."""

AT_ONCE = 5_000
"""Rows of one statement, and values of one condition: PostgreSQL takes 65,535."""

_TYPES: Mapping[Type, Any] = {
    # Long enough for anything, and no CHECK of a length on SQLite alone.
    "text": sa.Text,
    "integer": sa.BigInteger,
    "boolean": sa.Boolean,
    "uuid": ddl.GUID,
    "moment": sa.TIMESTAMP,
}


class TablesError(AnnologError):
    """The tables cannot be used in this butler, or by this role."""

    code = "butler_tables"


class NoTablesError(TablesError):
    """Nothing was exported into this butler, or not with this version's layout."""

    code = "no_butler_tables"


class RaceError(TablesError):
    """A dataset went away while a row about it was written; try the whole again."""

    code = "butler_race"


class Tables:
    """The exporter's tables of one butler.

    Parameters
    ----------
    butler
        A butler on its database, not one behind a server.

    Raises
    ------
    TablesError
        If this version of the butler's library lacks something, or the butler is one
        behind a server.
    """

    def __init__(self, butler: Butler) -> None:
        demand_fitting(butler)
        self._registry: Any = butler._registry  # type: ignore[attr-defined] # noqa: SLF001
        self._db: Any = self._registry._db  # noqa: SLF001
        self._managers: Any = self._registry._managers  # noqa: SLF001

    # ------------------------------------------------------------ being there

    def make(self) -> None:
        """Make the tables that are not there, and get ready to write them.

        Raises
        ------
        TablesError
            If one could not be made.
        """
        for one in layout.LAYOUTS.values():
            self._register(one)
        # The butler returns as if all was well where it may not make a table.
        for name in self._missing():
            raise TablesError(
                f"the table {name} could not be made in {self._where}: the role needs"
                " CREATE on that schema and REFERENCES on the table dataset"
            )

    def open(self) -> None:
        """Get ready to read the tables.

        Raises
        ------
        NoTablesError
            If they are not there; it says what is there instead.
        """
        versions = self.versions()
        if layout.VERSION not in versions:
            raise NoTablesError(_instead(versions, self._where))
        for name in self._missing():
            raise NoTablesError(
                f"the table {name} is missing in {self._where}: no export has ended"
            )
        for one in layout.LAYOUTS.values():
            self._register(one)

    def versions(self) -> list[int]:
        """Give the versions of the layout that are there, ascending."""
        found = set()
        for name in self._names():
            number, _, rest = name.removeprefix(layout.STEM).partition("_")
            if name.startswith(layout.STEM) and number.isdecimal() and rest:
                found.add(int(number))
        return sorted(found)

    def drop_older(self) -> list[str]:
        """Remove the tables of older versions, which their readers need no more.

        Returns
        -------
        list of str
            Names of what was removed.
        """
        older = [
            name
            for version in self.versions()
            if version < layout.VERSION
            for name in self._names()
            if name.startswith(f"{layout.STEM}{version}_")
        ]
        known = self._managers.opaque._metaTable  # noqa: SLF001
        metadata = sa.MetaData()
        reflected = [
            sa.Table(
                name,
                metadata,
                autoload_with=self._db._engine,  # noqa: SLF001
                schema=self._db.namespace,
            )
            for name in older
        ]
        with self._db._engine.begin() as connection:  # noqa: SLF001
            # What they refer to was read with them, and stays.
            for table in reflected:
                table.drop(connection)
            connection.execute(
                known.delete().where(known.c.table_name.in_(older or [""]))
            )
        return older

    def _register(self, one: Layout) -> None:
        try:
            self._registry.registerOpaqueTable(one.name, self._spec(one))
        except ReadOnlyDatabaseError:
            raise TablesError(
                f"the table {one.name} cannot be used: the butler is open for reading"
                " only"
            ) from None
        except Exception as error:
            if isinstance(error, sa.exc.DBAPIError):
                raise TablesError(
                    f"the table {one.name} cannot be used: {_first_line(error)}"
                ) from error
            raise TablesError(
                f"the table {one.name} is another one than this version makes:"
                f" {_first_line(error)}"
            ) from error

    def _spec(self, one: Layout) -> ddl.TableSpec:
        of_dataset = one.key_names[:1] == ("dataset_id",)
        spec = ddl.TableSpec(
            [
                ddl.FieldSpec(
                    column.name,
                    dtype=_TYPES[column.type],
                    primaryKey=column in one.key,
                    nullable=column.nullable,
                )
                for column in (*one.key, *one.rest)
                if not (of_dataset and column.name == "dataset_id")
            ],
            indexes=[ddl.IndexSpec(*names) for names in one.indexes],
        )
        if of_dataset:
            self._managers.datasets.addDatasetForeignKey(
                spec, onDelete="CASCADE", primaryKey=True
            )
        return spec

    def _names(self) -> list[str]:
        inspector = sa.inspect(self._db._engine)  # noqa: SLF001
        return sorted(inspector.get_table_names(schema=self._db.namespace))

    def _missing(self) -> list[str]:
        there = set(self._names())
        return [name for name in layout.LAYOUTS if name not in there]

    @property
    def _where(self) -> str:
        namespace = self._db.namespace
        return "the butler's database" + (f", schema {namespace}" if namespace else "")

    # ------------------------------------------------------------ reading

    def rows(
        self,
        name: str,
        columns: Sequence[str],
        found_by: tuple[str, Iterable[object]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """Read rows of a table.

        Parameters
        ----------
        name
            The table.
        columns
            What of them.
        found_by
            A column, and the values that it may have; None: all rows.

        Yields
        ------
        tuple
            The columns' values, in any order of rows.
        """
        table = self._table(name)
        query = sa.select(*(table.c[column] for column in columns))
        if found_by is None:
            yield from self._fetched(query)
            return
        column, values = found_by
        for some in chunk_iterable(values, AT_ONCE):
            yield from self._fetched(query.where(table.c[column].in_(some)))

    def values(self, name: str, column: str) -> set[Any]:
        """Give what stands in a column of a table."""
        return {
            value
            for (value,) in self._fetched(
                sa.select(self._table(name).c[column]).distinct()
            )
        }

    def held_datasets(self, ids: Iterable[UUID]) -> set[UUID]:
        """Give those of some datasets that the butler holds."""
        table = self._managers.datasets._static.dataset  # noqa: SLF001
        found: set[UUID] = set()
        for some in chunk_iterable(ids, AT_ONCE):
            query = sa.select(table.c.id).where(table.c.id.in_(some))
            found.update(dataset_id for (dataset_id,) in self._fetched(query))
        return found

    def ingested(self, ids: Iterable[UUID]) -> dict[UUID, datetime]:
        """Give when datasets came into the butler (naive UTC), of those it holds."""
        table = self._managers.datasets._static.dataset  # noqa: SLF001
        found = {}
        for some in chunk_iterable(ids, AT_ONCE):
            query = sa.select(table.c.id, table.c.ingest_date)
            for dataset_id, at in self._fetched(query.where(table.c.id.in_(some))):
                # An astropy time, or a datetime in repositories of old.
                moment = getattr(at, "utc", at)
                found[dataset_id] = getattr(moment, "datetime", moment)
        return found

    def _fetched(self, query: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
        with self._db.query(query) as result:
            for row in result:
                yield tuple(row)

    # ------------------------------------------------------------ writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Write in one transaction: all of it or nothing is there afterwards.

        Another exporter waits until it ends; readers do not.

        Raises
        ------
        RaceError
            If a dataset went away meanwhile.
        TablesError
            If the role may not do it.
        """
        lock = [self._table(layout.SNAPSHOT)]
        try:
            with self._db.transaction(lock=lock):
                yield
        except sa.exc.IntegrityError as error:
            raise RaceError(
                "a dataset was removed while rows about it were written"
            ) from error
        except sa.exc.DBAPIError as error:
            raise TablesError(f"nothing was written: {_first_line(error)}") from error

    def insert(self, name: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Add rows, given as the values of all columns in their order."""
        names = layout.LAYOUTS[name].names
        self._db.insert(self._table(name), *_named(names, rows))

    def replace(self, name: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Add rows, or replace those with the same key."""
        names = layout.LAYOUTS[name].names
        self._db.replace(self._table(name), *_named(names, rows))

    def delete(self, name: str, keys: Collection[tuple[object, ...]]) -> None:
        """Remove rows by their keys; without keys none."""
        names = layout.LAYOUTS[name].key_names
        if keys:
            self._db.delete(self._table(name), names, *_named(names, keys))

    def _table(self, name: str) -> sa.Table:
        storage = self._managers.opaque.get(name)
        if storage is None:
            raise NoTablesError(f"the table {name} was not opened")
        table: sa.Table = storage._table  # noqa: SLF001
        return table


def demand_fitting(butler: Butler) -> None:
    """Check that a butler has all that is used of it.

    Raises
    ------
    TablesError
        If it lacks something.
    """
    if not hasattr(butler, "_registry"):
        raise TablesError(
            "this butler is one behind a server, which has no way to tables: give the"
            " repository that is on its database"
        )
    for path in PRIVATE:
        found: object = butler
        for name in path.split("."):
            if not hasattr(found, name):
                raise TablesError(
                    f"lsst-daf-butler {butler_version} does not fit: it has no {path},"
                    f" and annolog was tried with {TRIED}; install that version"
                )
            found = getattr(found, name)


def _named(
    names: Sequence[str], rows: Iterable[tuple[object, ...]]
) -> list[dict[str, object]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _instead(versions: Sequence[int], where: str) -> str:
    if not versions:
        return (
            f"there are no tables of annolog in {where}: nothing was exported into it"
            " yet (annologd export butler)"
        )
    if versions[-1] < layout.VERSION:
        return (
            f"the tables of annolog in {where} are of the older layout {versions[-1]},"
            f" and this version reads {layout.VERSION}: export with this version"
        )
    return (
        f"the tables of annolog in {where} are of the newer layout {versions[-1]}, and"
        f" this version reads {layout.VERSION}: install a newer annolog"
    )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
