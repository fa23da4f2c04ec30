"""The exporter: brings a butler's tables from any earlier state to the wanted one.

It goes by what is there and never by what it did before: rows vanish with their
datasets, and datasets come back. All of one export is one transaction, so a process
that is killed leaves the old state; only rows that differ are touched.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import msgspec
from lsst.daf.butler import Butler

from annolog.butler import layout
from annolog.butler.exported import Exported, Progress, Stored
from annolog.butler.holdings import Holdings, instruments
from annolog.butler.layout import LAYOUTS, Layout
from annolog.butler.scopes import EVERY, Scope
from annolog.butler.tables import RaceError, Tables, TablesError
from annolog.butler.touched import FoundBy, found_by
from annolog.butler.wanted import Gathered, Key, Rows, naive, rows
from annolog.domain.instruments import SHIPPED
from annolog.domain.snapshots import SCHEMA_VERSION, Head, Line
from annolog.domain.vocabulary import nearest

AT_ONCE = 10_000
"""Rows that are written before progress is told again."""

TRIES = 5
"""An export during which datasets are removed is done anew, so often at most."""


class NoSetError(TablesError):
    """A data-ID set that nobody made was asked for."""

    code = "no_such_set"


class NoInstrumentError(TablesError):
    """An instrument that nobody knows was asked for."""

    code = "no_such_instrument"


class Exporter:
    """Exports into one butler.

    Parameters
    ----------
    butler
        It is open for writing.
    scope
        Which part of what holds it gets.
    now
        Gives the wall time (UTC).
    tell
        Is told how far it is.

    Raises
    ------
    TablesError
        If the butler does not fit, or a table could not be made.
    """

    def __init__(
        self,
        butler: Butler,
        scope: Scope,
        *,
        now: Callable[[], datetime],
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._butler = butler
        self._scope = scope
        self._now = now
        self._tell = tell
        self.tables = Tables(butler)
        self.tables.make()

    def close(self) -> None:
        """Close the butler with its connections."""
        self._butler.close()

    def stored(self) -> Stored | None:
        """Say whose snapshot is in the tables; None before the first export."""
        for row in self.tables.rows(layout.SNAPSHOT, LAYOUTS[layout.SNAPSHOT].names):
            return Stored(*row)
        return None

    def export(
        self,
        head: Head,
        lines: Iterable[Line],
        *,
        other_site: bool = False,
        narrow: bool = False,
    ) -> Exported:
        """Bring the tables to a snapshot, or to where what changed leads.

        Parameters
        ----------
        head
            Whose lines these are. With `after` they are what changed since the
            snapshot that is in the tables; else the whole.
        lines
            The other lines, all of them.
        other_site
            Whether a snapshot of another site may be replaced.
        narrow
            Whether the tables may lose what an earlier export asked for and this one
            does not.

        Raises
        ------
        NoSetError
            If there is no set that was asked for.
        TablesError
            If the lines do not lead on from what is in the tables, or the role may
            not write them. Nothing was written then.
        """
        gathered = Gathered(self._scope.label)
        for count, line in enumerate(lines, 1):
            gathered.add(line)
            if count % AT_ONCE == 0:
                self._tell(Progress("lines read", count))
        if head.after is None:
            self._demand_sets(gathered)
        for tried in range(1, TRIES + 1):
            try:
                with self.tables.writing():
                    self._demand_leads_on(head, other_site=other_site)
                    if not narrow:
                        self._demand_no_less(head)
                    return self._bring(head, gathered)
            except RaceError:
                if tried == TRIES:
                    raise
                time.sleep(0.1 * tried)
        raise AssertionError  # pragma: no cover - the loop returns or raises

    # ------------------------------------------------------------ inner works

    def _demand_leads_on(self, head: Head, *, other_site: bool) -> None:
        if head.schema_version != SCHEMA_VERSION:
            raise TablesError(
                f"the service gives snapshots of version {head.schema_version}, and"
                f" this version reads {SCHEMA_VERSION}"
            )
        stored = self.stored()
        if stored is None:
            if head.after is not None:
                raise TablesError(
                    "there is no snapshot that changes could lead on from"
                )
            return
        if stored.site_id != head.site_id:
            if other_site and head.after is None:
                return
            raise TablesError(
                f"the tables hold a snapshot of the site {stored.site_id!r}, and this"
                f" one is of {head.site_id!r}: say --other-site to replace it"
            )
        same_life = stored.incarnation == head.incarnation
        if head.number < stored.number:
            raise TablesError(
                f"the tables hold change {stored.number}, and this service knows only"
                f" {head.number}: does it lag behind?"
            )
        if head.after is not None and (
            head.after > stored.number
            or not same_life
            or stored.scope != self._scope_words()
        ):
            raise TablesError(
                f"what changed after {head.after} does not lead on from the snapshot"
                f" {stored.number} in the tables: export the whole"
            )

    def _demand_sets(self, gathered: Gathered) -> None:
        there = {version.name for version in gathered.sets.values()}
        for name in self._scope.sets:
            if name != EVERY and name not in there:
                raise NoSetError(f"there is no data-ID set {name!r}; nothing was done")

    def _demand_no_less(self, head: Head) -> None:
        stored = self.stored()
        if stored is None or stored.site_id != head.site_id:
            return
        before = msgspec.json.decode(stored.scope, type=Scope)
        if lost := self._scope.leaves_out(before):
            raise TablesError(
                f"the tables hold what is not asked for any more: {'; '.join(lost)}."
                " Their rows would be removed; say --narrow if that is meant"
            )

    def _bring(self, head: Head, gathered: Gathered) -> Exported:
        done = Exported(head.site_id, head.number, head.taken_at)
        before = None
        if self._scope.embargo_hours is not None:
            before = head.taken_at - timedelta(hours=self._scope.embargo_hours)
        self._tell(Progress("asking what the butler holds", 0))
        held = Holdings(self._butler, self.tables, before).held(gathered.places())
        wanted = rows(gathered, held)
        done.waiting = wanted.waiting
        about = None if head.after is None else found_by(gathered)
        for name, one in LAYOUTS.items():
            if name == layout.SNAPSHOT:
                continue
            if about is None:
                there = self._there(one, None)
            elif name in about:
                there = self._there(one, about[name])
            else:
                continue
            self._difference(one, there, wanted.tables[name], done)
        self._store(head, done)
        return done

    def _there(self, one: Layout, about: FoundBy | None) -> dict[Key, object]:
        """Read keys and digests of the rows that are there, or of those in question."""
        columns = (*one.key_names, *(("digest",) if one.rest else ()))
        width = len(one.key_names)
        where = None if about is None else (about.column, about.values)
        there = {
            row[:width]: row[width] if one.rest else None
            for row in self.tables.rows(one.name, columns, where)
        }
        if about is None or about.keys is None:
            return there
        part = about.width
        return {key: d for key, d in there.items() if key[:part] in about.keys}

    def _difference(
        self, one: Layout, there: Mapping[Key, object], wanted: Rows, done: Exported
    ) -> None:
        gone = [key for key in there if key not in wanted]
        new = [key for key in wanted if key not in there]
        other = [
            key
            for key, rest in wanted.items()
            if rest and key in there and there[key] != rest[-1]
        ]
        total, count = len(gone) + len(new) + len(other), 0
        step = one.name.removeprefix(layout.PREFIX)

        def remove(keys: list[Key]) -> None:
            self.tables.delete(one.name, keys)

        def replace(keys: list[Key]) -> None:
            self.tables.replace(one.name, [(*key, *wanted[key]) for key in keys])

        def insert(keys: list[Key]) -> None:
            self.tables.insert(one.name, [(*key, *wanted[key]) for key in keys])

        for keys, numbers, write in (
            (gone, done.removed, remove),
            (other, done.changed, replace),
            (new, done.added, insert),
        ):
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                write(some)
                count += len(some)
                self._tell(Progress(step, count, total))
            if keys:
                numbers[step] = len(keys)

    def _store(self, head: Head, done: Exported) -> None:
        others = [
            key
            for key in self.tables.rows(layout.SNAPSHOT, ("site_id",))
            if key != (head.site_id,)
        ]
        self.tables.delete(layout.SNAPSHOT, others)
        waiting = done.waiting.total
        stored = self.stored()
        if head.after is not None and stored is not None:
            # Only what changed was looked at; the rest waits as it did.
            waiting = max(waiting, stored.waiting)
        row = Stored(
            head.site_id,
            head.incarnation,
            head.number,
            naive(head.taken_at),
            naive(self._now()),
            head.schema_version,
            self._scope_words(),
            waiting,
        )
        self.tables.replace(layout.SNAPSHOT, [row])

    def _scope_words(self) -> str:
        return msgspec.json.encode(self._scope).decode()


def open_exporter(
    repo: str,
    scope: Scope,
    *,
    now: Callable[[], datetime],
    tell: Callable[[Progress], None] = lambda _: None,
    knows: Callable[[str], bool] = lambda _: False,
) -> Exporter:
    """Open a repository for an exporter.

    Parameters
    ----------
    repo
        Its URI, or a name that the butler's index of repositories has.
    scope, now, tell
        As for `Exporter`.
    knows
        Tells whether an instrument is known that is new to annolog and to the
        repository.

    Raises
    ------
    NoInstrumentError
        If the scope has an instrument that nobody knows. Nothing was made then.
    TablesError
        If it cannot be opened for writing, or does not fit.
    """
    try:
        butler = Butler.from_config(repo, writeable=True, without_datastore=True)
    except Exception as error:
        raise TablesError(
            f"{repo} cannot be opened as a repository, for writing: {error}"
        ) from error
    try:
        _demand_known(butler, scope.instrument, knows)
        return Exporter(butler, scope, now=now, tell=tell)
    except BaseException:
        butler.close()
        raise


def _demand_known(
    butler: Butler, names: Iterable[str], knows: Callable[[str], bool]
) -> None:
    here = instruments(butler)
    for name in names:
        if name not in here and name not in SHIPPED and not knows(name):
            near = nearest(name, {*here, *SHIPPED})
            likely = f"; did you mean {' or '.join(near)}?" if near else ""
            raise NoInstrumentError(f"the instrument {name!r} is unknown{likely}")
