"""From what people write to the keys of targets.

Explicit full names give targets whether anyone knows them or not; ranges and queries
give known exposures only, and say what they skipped. Everything that a write would
touch can be seen beforehand, without writing anything.
"""

from collections.abc import Iterable, Mapping, Sequence

from annolog.actions.known_keys import KnownKeys
from annolog.actions.resolution import (
    LookedUp,
    Resolution,
    found_among,
    of_ids,
    read_names,
    set_of,
    unclear,
)
from annolog.domain import seqnums
from annolog.domain.annotations import (
    MAX_TARGETS,
    Ids,
    Query,
    QueryTargets,
    SeqNums,
)
from annolog.domain.annotations import Targets as Wanted
from annolog.domain.errors import InvalidError, NotFoundError, Problem
from annolog.domain.instruments import Instruments
from annolog.domain.names import Name, ObsIdName, SeqName
from annolog.domain.targets import ExposureTarget, TargetColumns, columns, parse_key
from annolog.storage import dataids, targets
from annolog.storage.database import Pool, begin, reading
from annolog.storage.large import MANY, worked_out


class Resolver:
    """Resolves names, and makes sure that targets have rows.

    Parameters
    ----------
    reads
        Connections to look up with.
    work
        Connections to make rows with.
    known
        Keys that are known to have rows.
    """

    def __init__(
        self,
        reads: Pool,
        work: Pool,
        known: KnownKeys,
    ) -> None:
        self._reads = reads
        self._work = work
        self._known = known

    async def resolve(
        self,
        wanted: Wanted,
        instruments: Instruments,
        *,
        pointer: str = "/targets",
        default: str | None = None,
    ) -> Resolution:
        """Find the targets that are meant; nothing is written.

        Parameters
        ----------
        wanted
            Names, a range, ids or a query.
        instruments
            The known instruments.
        pointer
            Where in the request it stands.
        default
            Instrument of bare numbers among names.
        """
        match wanted:
            case SeqNums():
                return await self._range(wanted, instruments, pointer)
            case Ids():
                return await worked_out(
                    len(wanted.ids), of_ids, wanted, instruments, pointer
                )
            case QueryTargets():
                return await self._query(wanted.query, instruments, pointer)
            case _:
                return await self._names(wanted, instruments, pointer, default)

    async def prepared(
        self, found: Resolution, instruments: Instruments
    ) -> tuple[list[tuple[str, TargetColumns]], list[tuple[str, str, str]]]:
        """Give the rows and names that a write has to make in its turn, as `rows`.

        Very many are made at once, in a transaction of their own: in the turn everybody
        would wait for them.
        """
        count = len(found.keys)
        rows, names = await worked_out(count, self.rows, found, instruments)
        if len(rows) <= MANY:
            return rows, names
        await self._made(rows, names)
        return [], []

    def rows(
        self, found: Resolution, instruments: Instruments
    ) -> tuple[list[tuple[str, TargetColumns]], list[tuple[str, str, str]]]:
        """Give the rows and names that a write of these targets may have to make.

        Returns
        -------
        tuple
            Keys that are not known to have rows, with their columns; and (instrument,
            obs_id, key) by which exposures were named.
        """
        rows = [
            (key, columns(parse_key(key), instruments))
            for key in found.keys
            if key not in self._known
        ]
        # An exposure known by its obs_id alone is found by it as well.
        own = [
            (target.instrument, target.obs_id, key)
            for key, place in rows
            if place.kind == "exposure"
            for target in [parse_key(key)]
            if isinstance(target, ExposureTarget) and target.obs_id is not None
        ]
        return rows, [*own, *found.obs_ids]

    async def ensure(self, found: Resolution, instruments: Instruments) -> None:
        """Make rows for targets that have none, and note the obs_ids used."""
        count = len(found.keys)
        rows, names = await worked_out(count, self.rows, found, instruments)
        if rows or names:
            await self._made(rows, names)

    async def _made(
        self,
        rows: Sequence[tuple[str, TargetColumns]],
        names: Iterable[tuple[str, str, str]],
    ) -> None:
        async with begin(self._work) as connection:
            if rows:
                await targets.add(connection, rows)
            if names:
                await targets.add_names(connection, names)
        self._known.remember(key for key, _ in rows)

    # ------------------------------------------------------------ ways of naming

    async def _names(
        self,
        names: Sequence[str],
        instruments: Instruments,
        pointer: str,
        default: str | None,
    ) -> Resolution:
        parsed, found = await worked_out(
            len(names), read_names, names, instruments, pointer, default
        )
        return await self.look_up(parsed, found)

    async def look_up(
        self, parsed: Sequence[tuple[str, str, Name]], found: Resolution
    ) -> Resolution:
        """Find the targets of names that were read already.

        Parameters
        ----------
        parsed
            Where in the request each stands, as written, and what it says.
        found
            Gets keys, doubles and problems.

        Returns
        -------
        Resolution
            The same `found`.
        """
        seqs = {
            (n.instrument, n.day_obs, n.seq_num)
            for _, _, n in parsed
            if isinstance(n, SeqName)
        }
        obs_ids = {
            (n.instrument or "", n.obs_id)
            for _, _, n in parsed
            if isinstance(n, ObsIdName)
        }
        sets = {place for _, _, n in parsed if (place := set_of(n)) is not None}
        by_seq: Mapping[tuple[str, int, int], list[targets.Seen]] = {}
        by_name: Mapping[tuple[str, str], list[str]] = {}
        by_version: Mapping[tuple[str, int], list[tuple[str, bytes]]] = {}
        if seqs or obs_ids or sets:
            async with reading(self._reads) as connection:
                if seqs:
                    by_seq = await targets.by_seq_nums(connection, seqs)
                if obs_ids:
                    by_name = await targets.by_obs_ids(connection, obs_ids)
                if sets:
                    by_version = await dataids.by_numbers(connection, sets)
        known = LookedUp(by_seq, by_name, by_version)
        return await worked_out(len(parsed), found_among, parsed, known, found)

    async def _range(
        self, wanted: SeqNums, instruments: Instruments, pointer: str
    ) -> Resolution:
        home = instruments.require(wanted.instrument, f"{pointer}/instrument")
        numbers = seqnums.parse_ranges(wanted.seq_nums, pointer=f"{pointer}/seq_nums")
        async with reading(self._reads) as connection:
            seen = await targets.in_ranges(
                connection, home.name, wanted.day_obs, numbers.ranges, MAX_TARGETS + 1
            )
        found = Resolution()
        by_seq: dict[int, list[targets.Seen]] = {}
        for one in seen:
            by_seq.setdefault(one.seq_num, []).append(one)
        for seq_num, known in by_seq.items():
            if len(known) > 1:
                text = f"exposure:{home.name}/{wanted.day_obs}/{seq_num}"
                found.problems.append(unclear(f"{pointer}/seq_nums", text, known))
                found.candidates[text] = [one.key for one in known]
            else:
                found.keys.append(known[0].key)
        found.holes = str(seqnums.holes(numbers, by_seq))
        if not found.keys and not found.problems:
            reason = (
                f"no exposure of {home.name} on {wanted.day_obs} is known in "
                f"{wanted.seq_nums[:100]!r}; name exposures in full to annotate them "
                "before they are announced"
            )
            found.problems.append(
                Problem(f"{pointer}/seq_nums", wanted.seq_nums, reason, "unknown")
            )
        return found

    async def _query(
        self, query: Query, instruments: Instruments, pointer: str
    ) -> Resolution:
        home = instruments.require(query.instrument, f"{pointer}/query/instrument")
        first = query.day_obs or query.day_obs_min
        last = query.day_obs or query.day_obs_max
        if first is None or last is None:
            reason = "needs day_obs, or day_obs_min and day_obs_max: a query has bounds"
            raise InvalidError.at(f"{pointer}/query/day_obs", None, reason, "unbounded")
        ranges: Sequence[tuple[int, int]] = ()
        if query.seq_nums is not None:
            ranges = seqnums.parse_ranges(
                query.seq_nums, pointer=f"{pointer}/query/seq_nums"
            ).ranges
        async with reading(self._reads) as connection:
            keys = await targets.by_query(
                connection,
                instrument=home.name,
                first_day=first,
                last_day=last,
                ranges=ranges,
                flag=query.flag,
                tags=query.tags,
                observation_type=query.observation_type,
                limit=MAX_TARGETS + 1,
            )
        found = Resolution(keys=keys, query=query.model_dump(mode="json"))
        if not keys:
            reason = "the query finds no known exposure"
            found.problems.append(Problem(f"{pointer}/query", None, reason, "unknown"))
        return found

    async def one(self, name: str, instruments: Instruments, pointer: str) -> str:
        """Find the key of one target by any of its names.

        Raises
        ------
        InvalidError
            If it names nothing, or several.
        NotFoundError
            If it needs a look-up that finds nothing.
        """
        found = await self._names([name], instruments, pointer, None)
        if found.problems:
            problem = found.problems[0]
            problem = Problem(pointer, problem.value, problem.reason, problem.code)
            if problem.code == "unknown":
                raise NotFoundError(problem.reason, code="unknown_target")
            raise InvalidError(problem.reason, code=problem.code, problems=[problem])
        return found.keys[0]
