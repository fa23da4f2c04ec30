"""Reading what people said, where data are processed: out of a butler's own tables.

    from annolog.butler import open_reader

    said = open_reader(butler, max_age=timedelta(hours=1))
    bad = said.datasets(flags=["junk"])

It needs a butler on its database, open for reading; no service and no network. It
answers from the tables or says why it does not.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from lsst.daf.butler import Butler

from annolog.butler import answers, layout, setrows, standings
from annolog.butler.answers import Key, Said, TargetState
from annolog.butler.questions import Questions
from annolog.butler.scopes import NightRange, Scope
from annolog.butler.tables import NoTablesError, Tables, TablesError
from annolog.domain.lasting import Lasting

_T = TypeVar("_T")


class StaleError(TablesError):
    """The snapshot in the tables is older than what was asked for."""

    code = "stale_butler_tables"


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
    Each answer is what the tables hold then, and whole: flags that nobody knows, and
    instruments and nights that were not exported, are refused. `refresh` looks whether
    another snapshot came meanwhile.
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
        self._questions = Questions(butler, self._tables)
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
            self._questions.scope = msgspec.convert(self.scope, Scope)
            self.waiting: int = row[5]
            """Targets that this butler did not hold then."""
            return
        raise NoTablesError(
            "the tables of annolog are empty: the first export has not ended"
        )

    def demand(
        self,
        instrument: str | None,
        flags: Collection[str],
        tags: Collection[str] = (),
        nights: NightRange | None = None,
    ) -> None:
        """Refuse what these tables cannot answer; all questions do.

        Parameters
        ----------
        instrument
            What is asked about; None: datasets alone.
        flags, tags
            What is asked for.
        nights
            First and last night that matter; None: every night.

        Raises
        ------
        TypeError
            If `flags` or `tags` is a text.
        UnknownFlagError
            If a flag is not known.
        UnknownInstrumentError
            If nobody knows the instrument.
        ScopeError
            If the instrument or the nights were not exported.
        """
        self._questions.demand_words(flags, tags)
        if instrument is not None:
            self._questions.demand(instrument, nights)

    def tags(self) -> set[str]:
        """Give all tags that something in the tables has."""
        return self._questions.tags()

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
        self.demand(None, flags, tags)
        return {row[0] for row in answers.having(self._tables, "dataset", flags, tags)}

    def exposures(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[int]:
        """Give an instrument's exposures with one of some flags or tags.

        Parameters
        ----------
        instrument
            The instrument.
        flags, tags
            Any of either is enough.
        nights
            First and last night that matter (None: no end), of which nothing is
            missing then; needed where not all nights were exported.
        """
        found = self._having("exposure", instrument, flags, tags, nights)
        return {row[1] for row in found}

    def visits(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[int]:
        """Give an instrument's visits with one of some flags or tags."""
        found = self._having("visit", instrument, flags, tags, nights)
        return {row[1] for row in found}

    def detectors(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[tuple[int, int]]:
        """Give (exposure, detector) of an instrument with one of some flags or tags."""
        found = self._having("detector", instrument, flags, tags, nights)
        return {(row[1], row[2]) for row in found}

    def lasting(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> dict[int, Lasting]:
        """Give the detectors that have one of some flags or tags at some time.

        What is said of a detector as such, "bad since the 1st", holds for that detector
        of every exposure that its time overlaps: `Lasting.holds` tells of which. It is
        of no night, so all of it is in the tables.

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
        self.demand(instrument, flags, tags, self._questions.scope.nights)
        return standings.lasting(self._tables, instrument, flags, tags)

    def _having(
        self,
        kind: str,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str],
        nights: NightRange | None,
    ) -> Iterator[Key]:
        self.demand(instrument, flags, tags, nights)
        found = answers.having(self._tables, kind, flags, tags)
        return (key for key in found if key[0] == instrument)

    # ------------------------------------------------------------ what holds

    def of_datasets(self, ids: Iterable[UUID]) -> dict[UUID, TargetState]:
        """Give what holds for datasets; those of which nothing is said are left out."""
        found = answers.states(self._tables, "dataset", set(ids))
        return {key[0]: state for key, state in found.items()}

    def of_exposures(
        self,
        instrument: str,
        exposures: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[int, TargetState]:
        """Give what holds for exposures; without those of which nothing is said.

        Parameters
        ----------
        instrument
            Their instrument.
        exposures
            Their ids.
        nights
            First and last of their nights; None: as their ids say.
        """
        found = self._of("exposure", instrument, exposures, nights, answers.states)
        return {key[1]: one for key, one in found.items()}

    def of_visits(
        self,
        instrument: str,
        visits: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[int, TargetState]:
        """Give what holds for visits; without those of which nothing is said."""
        found = self._of("visit", instrument, visits, nights, answers.states)
        return {key[1]: one for key, one in found.items()}

    def of_detectors(
        self,
        instrument: str,
        exposures: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[tuple[int, int], TargetState]:
        """Give what holds for detectors of exposures, by (exposure, detector)."""
        found = self._of("detector", instrument, exposures, nights, answers.states)
        return {(key[1], key[2]): one for key, one in found.items()}

    # ------------------------------------------------------------ who said what

    def statements_of_datasets(self, ids: Iterable[UUID]) -> dict[UUID, list[Said]]:
        """Give the statements that count for datasets, oldest first."""
        found = answers.statements(self._tables, "dataset", set(ids))
        return {key[0]: said for key, said in found.items()}

    def statements_of_exposures(
        self,
        instrument: str,
        exposures: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[int, list[Said]]:
        """Give the statements that count for exposures, oldest first."""
        found = self._of("exposure", instrument, exposures, nights, answers.statements)
        return {key[1]: said for key, said in found.items()}

    def statements_of_detectors(
        self,
        instrument: str,
        exposures: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[tuple[int, int], list[Said]]:
        """Give what counts for single detectors of exposures, oldest first."""
        found = self._of("detector", instrument, exposures, nights, answers.statements)
        return {(key[1], key[2]): said for key, said in found.items()}

    def statements_of_visits(
        self,
        instrument: str,
        visits: Iterable[int],
        *,
        nights: NightRange | None = None,
    ) -> dict[int, list[Said]]:
        """Give the statements that count for visits, oldest first."""
        found = self._of("visit", instrument, visits, nights, answers.statements)
        return {key[1]: said for key, said in found.items()}

    def _of(
        self,
        kind: str,
        instrument: str,
        ids: Iterable[int],
        nights: NightRange | None,
        ask: Callable[[Tables, str, Collection[object]], dict[Key, _T]],
    ) -> dict[Key, _T]:
        wanted = set(ids)
        self._questions.demand_ids(instrument, wanted, nights)
        found = ask(self._tables, kind, wanted)
        return {key: one for key, one in found.items() if key[0] == instrument}

    # ------------------------------------------------------------ data-ID sets

    def demand_set(self, name: str, version: int | None = None) -> None:
        """Refuse a data-ID set that is not in the tables; as `members`."""
        setrows.key_of(self._tables, self._questions.scope, name, version)

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
            The values of the dimensions that a row names.

        Raises
        ------
        UnknownSetError
            If there is no such version in the tables, or several are called so: two
            sites made one each.
        """
        key = setrows.key_of(self._tables, self._questions.scope, name, version)
        return setrows.rows(self._tables, key)
