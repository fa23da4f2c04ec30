"""Reading what people said, where data are processed: out of a butler's own tables.

    from annolog.butler import open_reader

    said = open_reader(butler, max_age=timedelta(hours=1))
    bad = said.datasets(flags=["junk"])

It needs a butler on its database, open for reading; no service and no network. It
answers from the tables or says why it does not.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from lsst.daf.butler import Butler

from annolog.butler import layout, standings
from annolog.butler.layout import LAYOUTS
from annolog.butler.tables import NoTablesError, Tables, TablesError
from annolog.domain.lasting import Lasting

_STATE = ("flag", "disputed", "bots_differ", "notes", "number")
_STATEMENT = LAYOUTS[layout.STATEMENT].names[:-1]


class StaleError(TablesError):
    """The snapshot in the tables is older than what was asked for."""

    code = "stale_butler_tables"


class UnknownSetError(TablesError):
    """A version of a data-ID set that is not in the tables, or not one alone."""

    code = "unknown_set"


@dataclass(frozen=True, slots=True)
class TargetState:
    """What holds for one target, as the tables have it.

    Attributes
    ----------
    flag
        Effective flag; None means that nobody has an opinion.
    disputed, bots_differ
        Whether people, or bots alone, disagree about it.
    tags
        Union of the tags of all counted statements, sorted.
    notes
        How many statements count.
    number
        Change by which the state came.
    """

    flag: str | None
    disputed: bool
    bots_differ: bool
    tags: tuple[str, ...]
    notes: int
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """A statement that counts for a target.

    Attributes
    ----------
    annotation_id, revision_id
        Its ids.
    author, author_kind, rank, check
        Whose it is ("human" or "bot"), with which weight; a bot's kind of judgement.
    flag, tags, text, level
        What it says.
    created_at
        When it was said so (UTC).
    """

    annotation_id: UUID
    revision_id: UUID
    author: str
    author_kind: str
    rank: str
    check: str | None
    flag: str | None
    tags: tuple[str, ...]
    level: int
    text: str
    created_at: datetime


class Reader:
    """Answers from the tables of one butler.

    Parameters
    ----------
    butler
        On its database; open for reading is enough.
    max_age
        The snapshot may not be older, by `now`; None: any will do.
    least_number
        It may not be of an earlier change; None: any will do.
    now
        The moment by which its age is told (UTC); needed with `max_age`.

    Raises
    ------
    NoTablesError
        If nothing was exported into the butler, or with another layout.
    StaleError
        If the snapshot is older than asked for.
    TablesError
        If the butler cannot be asked: it is behind a server, or its library does not
        fit.

    Notes
    -----
    Each answer is what the tables hold then. `refresh` looks whether another snapshot
    came meanwhile.
    """

    def __init__(
        self,
        butler: Butler,
        *,
        max_age: timedelta | None = None,
        least_number: int | None = None,
        now: datetime | None = None,
    ) -> None:
        if max_age is not None and now is None:
            msg = "with max_age, now is needed"
            raise TypeError(msg)
        self._tables = Tables(butler)
        self._tables.open()
        self.refresh()
        if least_number is not None and self.number < least_number:
            raise StaleError(
                f"the snapshot in the tables is of change {self.number}, and change"
                f" {least_number} is asked for"
            )
        if max_age is not None and now is not None and now - self.taken_at > max_age:
            raise StaleError(
                f"the snapshot in the tables was taken at"
                f" {self.taken_at.isoformat()}, {now - self.taken_at} ago; at most"
                f" {max_age} is asked for"
            )

    def refresh(self) -> None:
        """Read again whose snapshot is in the tables.

        Raises
        ------
        NoTablesError
            If there is none: the first export has not ended.
        """
        columns = ("site_id", "incarnation", "number", "taken_at", "scope", "waiting")
        for row in self._tables.rows(layout.SNAPSHOT, columns):
            self.site_id: str = row[0]
            """Site whose view is in the tables."""
            self.incarnation: str = row[1]
            """Life of that site's database."""
            self.number: int = row[2]
            """Last change that is in the tables."""
            self.taken_at: datetime = row[3].replace(tzinfo=UTC)
            """When the snapshot was taken (UTC)."""
            self.scope: dict[str, Any] = msgspec.json.decode(row[4])
            """Which part of what holds is in the tables; empty: all."""
            self.waiting: int = row[5]
            """Targets that this butler did not hold then."""
            return
        raise NoTablesError(
            "the tables of annolog are empty: the first export has not ended"
        )

    # ------------------------------------------------------------ what is flagged

    def datasets(self, flags: Collection[str], tags: Collection[str] = ()) -> set[UUID]:
        """Give the datasets with one of some effective flags, or one of some tags.

        Only what is said of datasets themselves: what is said of an exposure holds for
        its datasets too, and is asked for by `exposures` and `detectors`.

        Parameters
        ----------
        flags, tags
            Any of either is enough.
        """
        return {row[0] for row in self._having("dataset", flags, tags)}

    def exposures(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> set[int]:
        """Give an instrument's exposures with one of some flags or tags."""
        found = self._having("exposure", flags, tags)
        return {row[1] for row in found if row[0] == instrument}

    def visits(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> set[int]:
        """Give an instrument's visits with one of some flags or tags."""
        found = self._having("visit", flags, tags)
        return {row[1] for row in found if row[0] == instrument}

    def detectors(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> set[tuple[int, int]]:
        """Give (exposure, detector) of an instrument with one of some flags or tags."""
        found = self._having("detector", flags, tags)
        return {(row[1], row[2]) for row in found if row[0] == instrument}

    def lasting(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> dict[int, Lasting]:
        """Give the detectors that have one of some flags or tags at some time.

        What is said of a detector as such, "bad since the 1st", holds for that detector
        of every exposure that its time overlaps: `Lasting.holds` tells of which.

        Parameters
        ----------
        instrument
            The instrument.
        flags, tags
            Any of either is enough.

        Returns
        -------
        dict
            By the detector's number; without those that never have any.
        """
        return standings.lasting(self._tables, instrument, flags, tags)

    def _having(
        self, kind: str, flags: Collection[str], tags: Collection[str]
    ) -> set[tuple[Any, ...]]:
        names = [column.name for column in layout.KINDS[kind]]
        found = set(
            self._tables.rows(layout.states(kind), names, ("flag", list(flags)))
        )
        return found | set(
            self._tables.rows(layout.tags(kind), names, ("tag", list(tags)))
        )

    # ------------------------------------------------------------ what holds

    def of_datasets(self, ids: Iterable[UUID]) -> dict[UUID, TargetState]:
        """Give what holds for datasets; those of which nothing is said are left out."""
        wanted = set(ids)
        found = self._states("dataset", wanted)
        return {key[0]: state for key, state in found.items() if key[0] in wanted}

    def of_exposures(
        self, instrument: str, exposures: Iterable[int]
    ) -> dict[int, TargetState]:
        """Give what holds for exposures; without those of which nothing is said."""
        found = self._states("exposure", set(exposures))
        return {key[1]: one for key, one in found.items() if key[0] == instrument}

    def of_visits(
        self, instrument: str, visits: Iterable[int]
    ) -> dict[int, TargetState]:
        """Give what holds for visits; without those of which nothing is said."""
        found = self._states("visit", set(visits))
        return {key[1]: one for key, one in found.items() if key[0] == instrument}

    def of_detectors(
        self, instrument: str, exposures: Iterable[int]
    ) -> dict[tuple[int, int], TargetState]:
        """Give what holds for detectors of exposures, by (exposure, detector)."""
        found = self._states("detector", set(exposures))
        return {
            (key[1], key[2]): one for key, one in found.items() if key[0] == instrument
        }

    def _states(
        self, kind: str, values: Collection[object]
    ) -> dict[tuple[Any, ...], TargetState]:
        names = [column.name for column in layout.KINDS[kind]]
        width = len(names)
        found_by = (layout.FOUND_BY[kind], list(values))
        tags: dict[tuple[Any, ...], list[str]] = {}
        for row in self._tables.rows(layout.tags(kind), (*names, "tag"), found_by):
            tags.setdefault(row[:width], []).append(row[width])
        found = {}
        for row in self._tables.rows(layout.states(kind), (*names, *_STATE), found_by):
            key, (flag, disputed, bots_differ, notes, number) = row[:width], row[width:]
            found[key] = TargetState(
                flag,
                disputed,
                bots_differ,
                tuple(sorted(tags.get(key, ()))),
                notes,
                number,
            )
        return found

    # ------------------------------------------------------------ who said what

    def statements_of_datasets(self, ids: Iterable[UUID]) -> dict[UUID, list[Said]]:
        """Give the statements that count for datasets, oldest first."""
        found = self._statements("dataset", list(set(ids)))
        return {key[0]: said for key, said in found.items()}

    def statements_of_exposures(
        self, instrument: str, exposures: Iterable[int]
    ) -> dict[int, list[Said]]:
        """Give the statements that count for exposures, oldest first."""
        found = self._statements("exposure", list(set(exposures)))
        return {key[1]: said for key, said in found.items() if key[0] == instrument}

    def statements_of_detectors(
        self, instrument: str, exposures: Iterable[int]
    ) -> dict[tuple[int, int], list[Said]]:
        """Give what counts for single detectors of exposures, oldest first."""
        found = self._statements("detector", list(set(exposures)))
        return {
            (key[1], key[2]): said
            for key, said in found.items()
            if key[0] == instrument
        }

    def statements_of_visits(
        self, instrument: str, visits: Iterable[int]
    ) -> dict[int, list[Said]]:
        """Give the statements that count for visits, oldest first."""
        found = self._statements("visit", list(set(visits)))
        return {key[1]: said for key, said in found.items() if key[0] == instrument}

    def _statements(
        self, kind: str, values: Collection[object]
    ) -> dict[tuple[Any, ...], list[Said]]:
        names = [column.name for column in layout.KINDS[kind]]
        found_by = (layout.FOUND_BY[kind], values)
        pairs = [
            (row[:-1], row[-1])
            for row in self._tables.rows(
                layout.links(kind), (*names, "annotation_id"), found_by
            )
        ]
        ids = {annotation_id for _, annotation_id in pairs}
        said = {
            row[0]: _said(row)
            for row in self._tables.rows(
                layout.STATEMENT, _STATEMENT, ("annotation_id", ids)
            )
        }
        found: dict[tuple[Any, ...], list[Said]] = {}
        for key, annotation_id in pairs:
            # A snapshot that came between the two questions may have taken it away.
            if annotation_id in said:
                found.setdefault(key, []).append(said[annotation_id])
        for some in found.values():
            some.sort(key=lambda one: (one.created_at, one.annotation_id))
        return found

    # ------------------------------------------------------------ data-ID sets

    def members(
        self, name: str, version: int | None = None
    ) -> list[dict[str, int | str]]:
        """Give the data IDs of a version of a data-ID set, in its order.

        Parameters
        ----------
        name
            The set.
        version
            The number of its version; None: the latest that is in the tables.

        Returns
        -------
        list of dict
            The value of each dimension; all have the same dimensions.

        Raises
        ------
        UnknownSetError
            If there is no such version in the tables, or several are called so: two
            sites made one each.
        """
        columns = ("version", "set_key")
        known = sorted(
            row
            for row in self._tables.rows(layout.SET_VERSION, columns, ("name", [name]))
            if version in {None, row[0]}
        )
        if not known:
            which = "" if version is None else f" with the version {version}"
            raise UnknownSetError(f"there is no set {name}{which} in the tables")
        latest = [set_key for number, set_key in known if number == known[-1][0]]
        if len(latest) > 1:
            raise UnknownSetError(
                f"{name}@{known[-1][0]} is several: {', '.join(latest)}"
            )
        found = self._tables.rows(
            layout.SET_MEMBER, ("place", "data_id"), ("set_key", latest)
        )
        return [msgspec.json.decode(data_id) for _, data_id in sorted(found)]


def _said(row: tuple[Any, ...]) -> Said:
    values = dict(zip(_STATEMENT, row, strict=True))
    return Said(
        values["annotation_id"],
        values["revision_id"],
        values["author"],
        values["author_kind"],
        values["author_rank"],
        values["check_name"],
        values["flag"],
        tuple(msgspec.json.decode(values["tags"])),
        values["level"],
        values["text"],
        values["created_at"].replace(tzinfo=UTC),
    )
