"""The messages that a turn begins and ends, as exposurelog's API shows them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from annolog.domain.book import Book
from annolog.domain.messages import Message, MessageRow, Told, row_of, told_by
from annolog.storage.database import Connection
from annolog.storage.large import worked_out

NAMES = """
    left join lateral (
      select target_id, obs_id, day_obs, seq_num from exposure
       where target_id = t.target_id offset 0) own on true
    left join lateral (
      select x.obs_id, x.day_obs, x.seq_num
        from (select target_id, key from target
               where own.target_id is null and class_id = t.class_id offset 0) o
       cross join lateral (
         select obs_id, day_obs, seq_num from exposure
          where target_id = o.target_id offset 0) x
       order by o.key collate "C" limit 1) one on true
    left join lateral (
      select min(name collate "C") as name from target_name
       where target_id = t.target_id offset 0) typed on true
"""
"""What is known of the exposure `t`: by itself, by those joined with it, by hearsay."""

STORED = (
    "message_id",
    "site_id",
    "obs_id",
    "instrument",
    "day_obs",
    "seq_num",
    "date_added",
    "date_invalidated",
    "parent_id",
)
"""What of a message's row is shown, beside the body of its revision."""

_MOMENTS = frozenset({"date_added", "date_invalidated"})


def shown(row: str) -> str:
    """Write the columns `STORED` of a row of `message` for those who show it.

    Moments are text as the server writes it, ISO 8601 with a blank: the driver takes
    longer to make a moment of it than for all else of a row.

    Parameters
    ----------
    row
        What the row is called there.
    """
    return ", ".join(
        f"{row}.{name}::text as {name}" if name in _MOMENTS else f"{row}.{name}"
        for name in STORED
    )


class _Ended(msgspec.Struct, omit_defaults=True):
    """What of a message changes when it ends, or another came before it."""

    message_id: UUID
    date_invalidated: datetime | None = None
    parent_id: UUID | None = None


class _Row(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A message, but for what only facts tell of it."""

    message_id: UUID
    annotation_id: UUID
    revision_id: UUID
    key: str
    site_id: str
    instrument: str
    obs_id: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None
    date_added: datetime
    date_invalidated: datetime | None = None
    parent_id: UUID | None = None
    kept: bool


def insertion(number: int) -> str:
    """Write the statement that stores messages which have begun.

    Parameters
    ----------
    number
        That of its one parameter, which `written` gives.
    """
    return f"""
  insert into message (message_id, annotation_id, revision_id, target_id, site_id,
      instrument, obs_id, day_obs, seq_num, date_added, date_invalidated, parent_id,
      kept)
  select u.message_id, u.annotation_id, u.revision_id, t.target_id, u.site_id,
         u.instrument,
         coalesce(u.obs_id, own.obs_id, one.obs_id, typed.name, t.exposure_id::text),
         coalesce(u.day_obs, t.day_obs, own.day_obs, one.day_obs),
         coalesce(u.seq_num, t.seq_num, own.seq_num, one.seq_num),
         u.date_added, u.date_invalidated, u.parent_id, u.kept
    from json_to_recordset(${number}::json) as u(
      message_id uuid, annotation_id uuid, revision_id uuid, key text, site_id text,
      instrument text, obs_id text, day_obs integer, seq_num integer,
      date_added timestamp, date_invalidated timestamp, parent_id uuid, kept boolean)
    cross join lateral (
      select target_id, class_id, key, exposure_id, day_obs, seq_num from target
       where key = u.key offset 0) t
{NAMES}
  returning revision_id, {shown("message")}
"""  # noqa: S608 - constants of this module


_RENAME = f"""
update message m
   set obs_id = n.obs_id, day_obs = n.day_obs, seq_num = n.seq_num
  from (
    select t.target_id, t.exposure_id is null as by_obs_id,
           coalesce(own.obs_id, one.obs_id, typed.name, t.exposure_id::text) as obs_id,
           coalesce(t.day_obs, own.day_obs, one.day_obs) as day_obs,
           coalesce(t.seq_num, own.seq_num, one.seq_num) as seq_num
      from target t
    {NAMES}
     where t.class_id = any($1) and t.kind = 'exposure') n
 where m.target_id = n.target_id and not m.kept
   and ((m.day_obs, m.seq_num) is distinct from (n.day_obs, n.seq_num)
        or (m.obs_id <> n.obs_id and not n.by_obs_id))
"""  # noqa: S608 - a constant of this module


_END = """
update message m
   set date_invalidated = u.date_invalidated, parent_id = u.parent_id
  from json_to_recordset($1::json) as u(
    message_id uuid, date_invalidated timestamp, parent_id uuid)
 where m.message_id = u.message_id and m.message_id = any($2)
"""
# By the ids alone all messages would be read for it where it was planned while there
# were few.


def begun(book: Book) -> list[MessageRow]:
    """Give the messages that a turn begins."""
    read = _reader(book)
    return [
        _row(after, read)
        for before, after in book.changed_messages()
        if before is None and after is not None
    ]


def written(rows: Iterable[MessageRow]) -> str:
    """Give the parameter of `insertion`: the messages as JSON."""
    return msgspec.json.encode(
        [
            _Row(
                message_id=row.message.message_id,
                annotation_id=row.message.annotation_id,
                revision_id=row.message.revision_id,
                key=row.message.key,
                site_id=row.site_id,
                instrument=row.instrument,
                obs_id=row.obs_id,
                day_obs=row.day_obs,
                seq_num=row.seq_num,
                date_added=row.date_added,
                date_invalidated=row.date_invalidated,
                parent_id=row.message.parent_id,
                kept=row.kept,
            )
            for row in rows
        ]
    ).decode()


async def insert(conn: Connection, rows: Sequence[MessageRow]) -> None:
    """Store messages that have begun; what only facts tell of them is looked up.

    Parameters
    ----------
    conn
        A connection in a transaction.
    rows
        The messages, whose targets have rows.
    """
    await conn.execute(insertion(1), written(rows))


async def close(conn: Connection, book: Book) -> None:
    """Store which messages a turn ended, and which are named otherwise now.

    Parameters
    ----------
    conn
        The lane's connection, after all else that the turn writes.
    book
        The turn's book.
    """
    gone, moved, ended, changed = await worked_out(book.size, _ended, book)
    if gone:
        await conn.execute("delete from message where message_id = any($1)", gone)
    if moved:
        await insert(conn, moved)
    if ended:
        await conn.execute(_END, changed, ended)
    if book.new_facts or book.moved:
        named = {book.places[fact.key].class_id for fact, _ in book.new_facts}
        joined = {p.class_id for p in book.places.values() if p.target_id in book.moved}
        await conn.execute(_RENAME, sorted(named | joined))


def _ended(book: Book) -> tuple[list[UUID], list[MessageRow], list[UUID], str]:
    """Give the rows to delete, to store anew, and to change: their ids, and as JSON.

    A message is about another exposure when an older revision came late: the ordinals
    of its line are then counted from that one.
    """
    read = _reader(book)
    changed: list[_Ended] = []
    gone: list[UUID] = []
    moved: list[MessageRow] = []
    for before, after in book.changed_messages():
        if before is None:
            continue
        if after is None or after.key != before.key:
            gone.append(before.message_id)
        if after is None:
            continue
        row = _row(after, read)
        if after.key == before.key:
            changed.append(
                _Ended(after.message_id, row.date_invalidated, after.parent_id)
            )
        else:
            moved.append(row)
    ids = [one.message_id for one in changed]
    return gone, moved, ids, msgspec.json.encode(changed).decode()


_Read = Callable[[UUID], Told]


def _reader(book: Book) -> _Read:
    """Read what revisions tell of messages, each once."""
    fresh = {version.revision_id: fields for version, fields, _ in book.new_versions}
    told: dict[UUID, Told] = {}

    def read(revision_id: UUID) -> Told:
        if revision_id not in told:
            fields = fresh.get(revision_id)
            if fields is None:
                fields = msgspec.json.decode(book.bodies[revision_id])
            told[revision_id] = told_by(fields)
        return told[revision_id]

    return read


def _row(message: Message, read: _Read) -> MessageRow:
    ended = None if message.ended_by is None else read(message.ended_by)
    return row_of(message, read(message.revision_id), ended)
