"""What queries of recipes need to know, as it stood after a change."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from annolog.domain import exposures
from annolog.domain.dataid_queries import (
    Around,
    Judge,
    Stood,
    flags_of,
    named,
    sources_of,
    words_of,
)
from annolog.domain.dataid_recipes import SetQuery
from annolog.domain.exposures import ExposureFact
from annolog.domain.inheritance import Relations
from annolog.domain.instruments import Instruments
from annolog.domain.ledger import Known
from annolog.domain.targets import (
    DetectorTarget,
    ExposureTarget,
    columns,
    parse_key,
)
from annolog.domain.times import Span
from annolog.storage import inheritance, standings
from annolog.storage.database import Connection
from annolog.storage.large import worked_out

_NOW = "{0}.to_number is null and $1::bigint is not null"
_AT = "{0}.from_number <= $1 and ({0}.to_number is null or {0}.to_number > $1)"

_STANDING = """s.source_id, s.annotation_id, s.revision_id, s.author, s.voter, s.rank,
       s.flag, s.vote_id, s.vote_clock, s.contested, s.ordinal, s.tags"""


async def more_time(conn: Connection) -> None:
    """Let a snapshot be idle while very many rows are worked out, until it ends."""
    await conn.execute(
        "set local idle_in_transaction_session_timeout = '120s';"
        " set local statement_timeout = '30s'"
    )


class Reader:
    """Reads what one query has to know.

    Parameters
    ----------
    conn
        A connection in a snapshot.
    number
        The change as of which it is asked.
    head
        The greatest number in the snapshot.
    known
        The vocabulary as of the change.
    """

    def __init__(self, conn: Connection, number: int, head: int, known: Known) -> None:
        self._conn = conn
        self._number = number
        self._at = _NOW if number == head else _AT
        self._vocabulary = known.vocabulary
        self._instruments = Instruments.from_entries(known.vocabulary.instruments)

    async def around(self, query: SetQuery, instrument: str) -> Around:
        """Read all that decides what a query finds."""
        ids = await self._candidates(query, instrument)
        ids, joins = await self._grown(ids)
        stood = await self._stood(ids)
        keys = {one.key for one in stood}
        known: Mapping[str, Span | None] = {}
        if "detector" in query.kinds:
            times = [s.observed for s in stood if s.key.startswith("record:detector/")]
            if times:
                known = await self._exposures(query, instrument)
        reach: Sequence[str] = ()
        sources = Around(self._number, self._vocabulary, stood, joins)
        if query.inherited:
            wanted = Judge(query, instrument, sources).sources()
            reach = await self._reached(query, wanted, instrument)
        visits = [key for key in keys if key.startswith("record:visit/")]
        relations = Relations(instruments=self._instruments)
        if reach or visits:
            relations = await inheritance.relations(
                self._conn,
                [parse_key(key) for key in {*reach, *visits}],
                self._instruments,
                self._number,
            )
        around = {key for many in relations.exposures_of.values() for key in many}
        days = await self._days({*keys, *known, *reach, *around})
        return Around(
            self._number,
            self._vocabulary,
            stood,
            joins,
            known,
            relations,
            reach,
            days,
        )

    async def flags(
        self, keys: Sequence[str], *, inherits: bool
    ) -> Mapping[str, tuple[str, ...]]:
        """Give the flags that held for targets after the change, their own first.

        Parameters
        ----------
        keys
            The targets.
        inherits
            Whether flags count that hold through another target, as a visit's.
        """
        asked = await worked_out(len(keys), named, keys)
        wanted = {*keys, *asked.detectors}
        relations = Relations(instruments=self._instruments)
        if inherits:
            relations = await inheritance.relations(
                self._conn, asked.targets, self._instruments, self._number
            )
            wanted |= await worked_out(len(keys), sources_of, asked.targets, relations)
        rows = await self._conn.fetch(
            "select target_id from target where key = any($1)", list(wanted)
        )
        ids, joins = await self._grown({row["target_id"] for row in rows})
        stood = await self._stood(ids)
        known: Mapping[str, Span | None] = {}
        if asked.detectors and any(one.observed is not None for one in stood):
            known = await self._times("t.key = any($2)", list(asked.exposures))
        around = Around(self._number, self._vocabulary, stood, joins, known, relations)
        return await worked_out(len(keys), flags_of, around, keys, inherits=inherits)

    async def texts(self, annotation_ids: Iterable[UUID]) -> Mapping[UUID, str]:
        """Read the texts of annotations as they were after the change."""
        wanted = list(dict.fromkeys(annotation_ids))
        found = await inheritance.bodies(self._conn, wanted, self._number)
        return {
            one: msgspec.json.decode(found[one])["text"]
            for one in wanted
            if one in found
        }

    async def _candidates(self, query: SetQuery, instrument: str) -> set[int]:
        """Find the targets on which any of the flags or tags stood."""
        home = self._instruments.get(instrument)
        parts = [instrument, *(home.night_parts if home is not None else ())]
        rows = await self._conn.fetch(
            f"""
            select distinct t.target_id
              from said s join target t on t.target_id = s.target_id
             where {self._at.format("s")} and (s.flag = any($2) or s.tags && $3)
               and (t.instrument = any($4) or t.kind = 'set')
            """,  # noqa: S608 - put together from constants
            self._number,
            list(query.flags),
            sorted(words_of(query, instrument, self._vocabulary)),
            parts,
        )
        return {row["target_id"] for row in rows}

    async def _grown(self, ids: set[int]) -> tuple[set[int], Sequence[tuple[str, str]]]:
        """Add all that was one with these targets; give the joins that facts made."""
        joined = self._vocabulary.joined
        rows = await self._conn.fetch(
            """
            select m.target_id, m.key from target t
              join target m on m.class_id = t.class_id where t.target_id = any($1)
            """,
            list(ids),
        )
        known = {row["key"]: row["target_id"] for row in rows}
        while True:
            keys = {o for key in known for o in joined.get(key, ())} - known.keys()
            more = await self._conn.fetch(
                """
                select m.target_id, m.key from target t
                  join target m on m.class_id = t.class_id where t.key = any($1)
                """,
                list(keys),
            )
            fresh = {r["key"]: r["target_id"] for r in more if r["key"] not in known}
            if not fresh:
                break
            known |= fresh
        several = known.keys() if len(known) > len(ids) else ()
        twins = [known[key] for key in several]
        facts = await standings.facts(self._conn, twins, self._number) if twins else []
        joins = [(one.key, one.twin) for one in standings.twins_among(facts)]
        return set(known.values()), joins

    async def _stood(self, ids: Iterable[int]) -> list[Stood]:
        rows = await self._conn.fetch(
            f"""
            select t.key, {_STANDING}, r.observed_begin, r.observed_end
              from said s join target t on t.target_id = s.target_id
              left join lateral (
                select observed_begin, observed_end from revision v
                 where v.annotation_id = s.annotation_id and v.current_from <= $1
                   and (v.current_to is null or v.current_to > $1)
                 limit 1) r on true
             where s.target_id = any($2) and {self._at.format("s")}
            """,  # noqa: S608 - put together from constants
            self._number,
            list(ids),
        )
        found = []
        for row in rows:
            begin, end = row["observed_begin"], row["observed_end"]
            observed = None if begin is None and end is None else Span(begin, end)
            found.append(Stood(row["key"], standings.standing(row), observed))
        return found

    async def _exposures(
        self, query: SetQuery, instrument: str
    ) -> Mapping[str, Span | None]:
        """Read the exposures known after the change, with their times of then."""
        return await self._times(
            """t.instrument = $2
               and coalesce(t.day_obs, e.day_obs, 0)
                   between coalesce($3, 0) and coalesce($4, 99999999)""",
            instrument,
            query.day_obs_min,
            query.day_obs_max,
        )

    async def _times(
        self, condition: str, *values: object
    ) -> Mapping[str, Span | None]:
        """Read exposures that were known after the change, with their times of then."""
        rows = await self._conn.fetch(
            f"""
            select t.target_id, t.key, coalesce(t.day_obs, e.day_obs) as day_obs,
                   e.begin_at, e.end_at, e.exposure_time, e.number > $1 as newer
              from target t left join exposure e on e.target_id = t.target_id
             where {condition} and t.kind = 'exposure' and t.exposure_id is not null
               and (exists (select from exposure_fact f
                             where f.target_id = t.target_id and f.number <= $1)
                    or exists (select from said s
                                where s.target_id = t.target_id
                                  and s.from_number <= $1))
            """,  # noqa: S608 - put together from constants
            self._number,
            *values,
        )
        newer = [row["target_id"] for row in rows if row["newer"]]
        then = await self._merged(newer)
        return {
            row["key"]: then[row["key"]]
            if row["key"] in then
            else inheritance.span_of(
                None if row["newer"] else dict(row), row["day_obs"]
            )
            for row in rows
        }

    async def _merged(self, ids: Sequence[int]) -> Mapping[str, Span | None]:
        """Work out the times of exposures of which more is known by now."""
        by_key: dict[str, list[ExposureFact]] = {}
        facts = await standings.facts(self._conn, ids, self._number) if ids else []
        for one in facts:
            by_key.setdefault(one.fact.key, []).append(one.fact)
        found: dict[str, Span | None] = {}
        for key, known in by_key.items():
            view = exposures.merge(known, self._instruments)
            seconds = view.exposure_time
            times = {
                "begin_at": view.begin,
                "end_at": view.end,
                "exposure_time": None if seconds is None else round(seconds * 1000),
            }
            found[key] = inheritance.span_of(times, view.day_obs)
        return found

    async def _reached(
        self, query: SetQuery, sources: Sequence[str], instrument: str
    ) -> list[str]:
        """Find the targets that may inherit from these; a superset will do."""
        members = await self._keys(
            """
            select m.key from set_version v join set_member m on m.list_id = v.list_id
             where v.subject = any($2) and v.number <= $1
            """,
            _of_kind("set:", sources),
        )
        whole = {*sources, *members}
        of_visits = await self._keys(
            f"""
            select v.exposure_key from visit_exposure v
             where v.visit_key = any($2) and {_AT.format("v")}
            """,  # noqa: S608 - put together from constants
            _of_kind("record:visit/", whole),
        )
        nights = [columns(parse_key(one), self._instruments) for one in sources]
        of_nights = await self._keys(
            """
            select t.key from target t
             where t.day_obs = any($2) and t.instrument = $3 and t.kind = 'exposure'
               and (exists (select from exposure_fact f
                             where f.target_id = t.target_id and f.number <= $1)
                    or exists (select from said s
                                where s.target_id = t.target_id
                                  and s.from_number <= $1))
            """,
            [one.day_obs for one in nights if one.kind == "night"],
            instrument,
        )
        visits: set[str] = set()
        if "visit" in query.kinds:
            visits = await self._keys(
                f"""
                select v.visit_key from visit_exposure v
                 where v.exposure_key = any($2) and {_AT.format("v")}
                """,  # noqa: S608 - put together from constants
                _of_kind("exposure:", {*whole, *of_visits, *of_nights}),
            )
        reached = members | of_visits | of_nights | visits
        return sorted(one for one in reached if not one.startswith("data_id:"))

    async def _keys(
        self, statement: str, wanted: Sequence[object], *more: object
    ) -> set[str]:
        """Read keys by a statement, if there is anything to ask for."""
        if not wanted:
            return set()
        rows = await self._conn.fetch(statement, self._number, wanted, *more)
        return {row[0] for row in rows}

    async def _days(self, keys: Iterable[str]) -> Mapping[str, int]:
        """Give the nights of exposures and of those that detectors belong to."""
        targets = [parse_key(key) for key in keys]
        wanted = {
            one.exposure.key if isinstance(one, DetectorTarget) else one.key
            for one in targets
            if isinstance(one, DetectorTarget | ExposureTarget)
        }
        found: dict[str, int] = {}
        unplaced = []
        for key in wanted:
            day_obs = columns(parse_key(key), self._instruments).day_obs
            if day_obs is None:
                unplaced.append(key)
            else:
                found[key] = day_obs
        if unplaced:
            rows = await self._conn.fetch(
                """
                select t.key, e.day_obs from target t
                  join exposure e on e.target_id = t.target_id
                 where t.key = any($1) and e.day_obs is not null
                """,
                unplaced,
            )
            found |= {row["key"]: row["day_obs"] for row in rows}
        return found


def _of_kind(start: str, keys: Iterable[str]) -> list[str]:
    return [key for key in keys if key.startswith(start)]
