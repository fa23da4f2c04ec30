"""What clients of exposurelog read, and the bare SQL that gives the same rows.

A call is sent for other nights each time, so that nothing is answered from memory that
would not be in life. The SQL is the best that we know for it: where messages of some
nights are sorted, they are gathered first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import msgspec

from annolog.storage import database
from tests.benchmarks import nights
from tests.benchmarks.nights import CAMERAS, Camera
from tests.benchmarks.servers import BUTLER

PREFIX = "/exposurelog"
"""Where the API is."""

VARIANTS = 60
"""Different requests of one call."""

Shown = dict[str, Any]
"""An object of an answer."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, and its SQL.

    Attributes
    ----------
    path
        What is sent a GET.
    sql, values
        What gives the same rows in the same order.
    shape
        Makes the answer of the rows.
    member
        Where in an answer the rows are; None: they are all of it.
    """

    path: str
    sql: str
    values: Sequence[object]
    shape: Callable[[Sequence[asyncpg.Record]], object]
    member: str | None = None

    def rows_of(self, answer: Any) -> object:  # noqa: ANN401 - any JSON
        """Give what the SQL gives as well."""
        return answer if self.member is None else answer[self.member]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A way in which clients ask.

    Attributes
    ----------
    title
        What it is, and whose.
    asked
        Requests of that kind.
    goal
        Share of the raw limit that is to be reached; None for none.
    readers
        How many ask at a time.
    """

    title: str
    asked: Sequence[Asked]
    goal: float | None
    readers: int = 16


# -------------------------------------------------------------------------- SQL

MESSAGE = (
    "m.message_id, m.site_id, m.obs_id, m.instrument, m.day_obs, m.seq_num,"
    " m.date_added, m.date_invalidated, m.parent_id"
)

_BODIES = """
    cross join lateral (
      select body from record where record_id = m.revision_id offset 0) r"""


def _page(
    where: str, order: str, limit: int, offset: int = 0, *, gathered: bool = True
) -> str:
    source = "message m"
    if gathered:
        source, where = f"(select * from message m where {where} offset 0) m", "true"
    return f"""
        select {MESSAGE}, r.body
          from (select * from {source} where {where}
                 order by {order} limit {limit} offset {offset}) m {_BODIES}
         order by {order}"""


_NIGHTS = "m.day_obs >= $1 and m.day_obs < $2 and m.date_invalidated is null"
_ONE_OF_NIGHTS = f"{_NIGHTS} and m.instrument = $3"
_DATES = "m.date_added >= $1 and m.date_added < $2 and m.date_invalidated is null"
_OBS_ID = """m.date_invalidated is null and (
      length(m.obs_id) = length($1) and left(m.obs_id, 256) = left($1, 256)
      and m.obs_id = $1
      or length(m.obs_id) > length($1) and strpos(m.obs_id, $1) > 0)"""

_NEWEST = "m.date_added desc, m.message_id"

_EXPOSURE = (
    "obs_id, exposure_id, instrument, observation_type, observation_reason, day_obs,"
    " seq_num, group_name, target_name, science_program, tracking_ra, tracking_dec,"
    " sky_angle, timespan_begin, timespan_end"
)


def _exposures(order: str, limit: int) -> str:
    return f"""
        select {_EXPOSURE} from registry_exposure
         where registry_id = 1 and instrument = $1 and day_obs >= $2 and day_obs < $3
         order by {order} limit {limit}"""


_BY_ID = f"""
    select {MESSAGE}, r.body
      from message m join record r on r.record_id = m.revision_id
     where m.message_id = $1"""


# ------------------------------------------------------------------------- calls


async def of_database(url: str, messages: int) -> list[Call]:
    """Make the calls for a database, which is asked what there is.

    Parameters
    ----------
    url
        The database.
    messages
        How many messages it was made with.
    """
    connection = await database.connect(url, database.READS)
    # Ids are random, so those that follow one are of any night.
    rows = await connection.fetch(
        """
        select message_id, obs_id from message where message_id > $1
         order by message_id limit 2000
        """,
        UUID(int=1 << 127),
    )
    await connection.close()
    ids, obs_ids = zip(*rows, strict=True)
    return Calls(messages, ids, obs_ids).all()


class Calls:
    """Makes the requests for a database of so many messages.

    Parameters
    ----------
    messages
        How many messages it was made with.
    ids
        Ids of some of them.
    obs_ids
        Names of exposures of which something was said.
    """

    def __init__(
        self, messages: int, ids: Sequence[object], obs_ids: Sequence[str]
    ) -> None:
        self._first = nights.first_night(messages)
        self._count = nights.nights(messages)
        self._ids = ids
        self._obs_ids = obs_ids
        self._chance = Random(1)

    def all(self) -> list[Call]:
        """Give all calls that read, in the order of the report."""
        return [
            Call("LOVE: exposures of two nights", self._love_exposures(), 0.6),
            self._newest("LOVE: newest 1000 of 3 nights", 3),
            self._newest("newest 1000 of 30 nights", 30),
            Call("50 of 7 nights, one instrument", self._first_fifty(), 0.6),
            Call("latest 100", self._latest(), 0.5),
            Call("LOVE: messages of an exposure", self._of_exposure(), 0.2),
            Call("GET by id", self._by_id(), 0.2),
            Call("digest: exposures of a night", self._digest_exposures(), 0.6),
            Call("digest: messages of a night", self._digest_messages(1, (0,)), 0.6),
            Call(
                "digest: 2500 of 30 nights",
                self._digest_messages(30, (0, 2500, 5000)),
                0.6,
            ),
            Call("rubin_nights: a day", self._dated(1), 0.6),
            # Few at a time, as these are 40 MB.
            Call("rubin_nights: 80 days", self._dated(80), 0.6, readers=2),
            Call("rubintv: a night", self._rubintv(), 0.6),
            Call("ts_bokeh_apps: 50 exposures", self._bokeh_exposures(), 0.6),
            Call("configuration", self._configuration(), None),
        ]

    def _span(self, length: int) -> tuple[date, int, int]:
        """Choose some nights: the first, and both ends as clients write them."""
        length = min(length, self._count)
        first = self._first + timedelta(
            days=self._chance.randrange(self._count - length + 1)
        )
        last = first + timedelta(days=length - 1)
        return first, nights.day_obs(first), nights.day_obs(last) + 1

    def _camera(self) -> Camera:
        return self._chance.choice(CAMERAS)

    def _newest(self, title: str, length: int) -> Call:
        return Call(title, [self._newest_of(length) for _ in range(VARIANTS)], 0.6)

    def _newest_of(self, length: int) -> Asked:
        _, least, beyond = self._span(length)
        path = _messages(
            order_by="-date_added", limit=1000, min_day_obs=least, max_day_obs=beyond
        )
        return Asked(path, _page(_NIGHTS, _NEWEST, 1000), (least, beyond), messages)

    def _love_exposures(self) -> list[Asked]:
        found = []
        for _ in range(VARIANTS):
            _, least, beyond = self._span(2)
            path = _path(
                "/exposures",
                instrument="LSSTCam",
                registry=1,
                order_by="-obs_id",
                limit=1500,
                min_day_obs=least,
                max_day_obs=beyond,
            )
            sql = _exposures('obs_id collate "C" desc, exposure_id', 1500)
            found.append(Asked(path, sql, ("LSSTCam", least, beyond), exposures))
        return found

    def _first_fifty(self) -> list[Asked]:
        found = []
        for _ in range(VARIANTS):
            _, least, beyond = self._span(7)
            name = self._camera().name
            path = _messages(
                instruments=name,
                order_by="-date_added",
                limit=50,
                min_day_obs=least,
                max_day_obs=beyond,
            )
            sql = _page(_ONE_OF_NIGHTS, _NEWEST, 50)
            found.append(Asked(path, sql, (least, beyond, name), messages))
        return found

    def _latest(self) -> list[Asked]:
        path = _messages(order_by="-date_added", limit=100)
        sql = _page("m.date_invalidated is null", _NEWEST, 100, gathered=False)
        return [Asked(path, sql, (), messages)]

    def _of_exposure(self) -> list[Asked]:
        return [
            Asked(
                _messages(obs_id=name, order_by="-date_added"),
                _page(_OBS_ID, _NEWEST, 50),
                (name,),
                messages,
            )
            for name in self._obs_ids
        ]

    def _by_id(self) -> list[Asked]:
        return [
            Asked(
                f"{PREFIX}/messages/{one}",
                _BY_ID,
                (one,),
                lambda rows: message(rows[0]),
            )
            for one in self._ids
        ]

    def _digest_exposures(self) -> list[Asked]:
        found = []
        for _ in range(VARIANTS):
            _, least, beyond = self._span(1)
            name = self._camera().name
            path = _path(
                "/exposures",
                registry=1,
                instrument=name,
                order_by="-timespan_end",
                offset=0,
                limit=2500,
                min_day_obs=least,
                max_day_obs=beyond,
            )
            sql = _exposures("timespan_end desc, exposure_id", 2500)
            found.append(Asked(path, sql, (name, least, beyond), exposures))
        return found

    def _digest_messages(self, length: int, offsets: Sequence[int]) -> list[Asked]:
        found = []
        for place in range(VARIANTS):
            _, least, beyond = self._span(length)
            offset = offsets[place % len(offsets)]
            name = CAMERAS[0].name
            path = _messages(
                is_human="either",
                is_valid="true",
                order_by="-day_obs",
                offset=offset,
                limit=2500,
                instruments=name,
                min_day_obs=least,
                max_day_obs=beyond,
            )
            sql = _page(
                _ONE_OF_NIGHTS,
                "m.day_obs desc, m.message_id",
                2500,
                offset,
                gathered=False,
            )
            found.append(Asked(path, sql, (least, beyond, name), messages))
        return found

    def _dated(self, days: int) -> list[Asked]:
        found = []
        for _ in range(VARIANTS if days == 1 else 3):
            first, _, _ = self._span(days)
            begin = datetime(first.year, first.month, first.day, 12)  # noqa: DTZ001 - TAI has no zone
            end = begin + timedelta(days=days)
            path = _messages(
                is_human="either",
                is_valid="true",
                min_date_added=begin.isoformat(),
                max_date_added=end.isoformat(),
                limit=50000,
            )
            sql = _page(_DATES, "m.message_id", 50000)
            found.append(Asked(path, sql, (begin, end), messages))
        return found

    def _rubintv(self) -> list[Asked]:
        found = []
        for _ in range(VARIANTS):
            _, least, beyond = self._span(1)
            path = _messages(
                min_day_obs=least,
                max_day_obs=beyond,
                is_human="either",
                is_valid="true",
                offset=0,
                limit=10000,
            )
            sql = _page(_NIGHTS, "m.message_id", 10000)
            found.append(Asked(path, sql, (least, beyond), messages))
        return found

    def _bokeh_exposures(self) -> list[Asked]:
        found = []
        for _ in range(VARIANTS):
            _, least, beyond = self._span(1)
            name = self._camera().name
            path = _path(
                "/exposures/", instrument=name, min_day_obs=least, max_day_obs=beyond
            )
            sql = _exposures("exposure_id", 50)
            found.append(Asked(path, sql, (name, least, beyond), exposures))
        return found

    def _configuration(self) -> list[Asked]:
        return [Asked(PREFIX + "/configuration", "select site_id from site", (), _site)]


def _messages(**query: object) -> str:
    return _path("/messages", **query)


def _path(path: str, **query: object) -> str:
    return f"{PREFIX}{path}?{urlencode(query)}"


# ------------------------------------------------------------------------ answers


def messages(rows: Sequence[asyncpg.Record]) -> list[Shown]:
    """Write messages as the API does, out of bare rows."""
    return [message(row) for row in rows]


def message(row: asyncpg.Record) -> Shown:
    said = msgspec.json.decode(row["body"])
    return {
        "id": str(row["message_id"]),
        "site_id": row["site_id"],
        "obs_id": row["obs_id"],
        "instrument": row["instrument"],
        "day_obs": row["day_obs"],
        "seq_num": row["seq_num"],
        "message_text": said["text"],
        "level": said["level"],
        "tags": said["tags"],
        "urls": said["urls"],
        "user_id": said["author"],
        # Programs that did not say what they are have none.
        "user_agent": said["user_agent"] or "",
        "is_human": said["author_kind"] == "human",
        "is_valid": row["date_invalidated"] is None,
        "exposure_flag": said["flag"] or "none",
        "date_added": _written(row["date_added"]),
        "date_invalidated": _written(row["date_invalidated"]),
        "parent_id": str(row["parent_id"]) if row["parent_id"] else None,
    }


def exposures(rows: Sequence[asyncpg.Record]) -> list[Shown]:
    """Write exposures as the API does, out of bare rows."""
    found = []
    for row in rows:
        shown = dict(row)
        shown["id"] = shown.pop("exposure_id")
        for name in ("timespan_begin", "timespan_end"):
            shown[name] = _written(shown[name])
        found.append(shown)
    return found


def _site(rows: Sequence[asyncpg.Record]) -> Shown:
    butlers = {"butler_uri_1": BUTLER, "butler_uri_2": "", "butler_uri_3": ""}
    return {"site_id": rows[0]["site_id"], **butlers}


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
