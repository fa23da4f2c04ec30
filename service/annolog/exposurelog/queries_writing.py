"""What is looked up before something is written: messages and exposures by name."""

from uuid import UUID

from annolog.exposurelog.continuations import Place
from annolog.storage.database import Connection

_KNOWN = """
select t.key
  from (select target_id, 0 as way from target where key = $3
        union all
        select target_id, 1 from target_name where instrument = $1 and name = $2) n
  join target o on o.target_id = n.target_id
  join target t on t.target_id = case n.way when 0 then o.target_id else o.class_id end
 where exists (select from target m join exposure x on x.target_id = m.target_id
                where m.class_id = o.class_id
                  and (x.obs_id is null or x.obs_id = $2))
 order by n.way, t.key
 limit 1
"""


async def place_of(connection: Connection, message_id: UUID) -> Place | None:
    """Find a message.

    Parameters
    ----------
    connection
        Any connection to the database.
    message_id
        Its id.

    Returns
    -------
    Place or None
        None if there is no such message.
    """
    row = await connection.fetchrow(
        """
        select m.message_id, m.annotation_id, m.revision_id, t.key, v.target_count
          from message m
          join target t on t.target_id = m.target_id
          join revision v on v.revision_id = m.revision_id
         where m.message_id = $1
        """,
        message_id,
    )
    return None if row is None else Place(*row)


async def known_exposure(
    connection: Connection, instrument: str, obs_id: str, key: str | None
) -> str | None:
    """Find an exposure of which somebody told: a camera, a butler, an upload.

    Parameters
    ----------
    connection
        Any connection to the database.
    instrument
        Its instrument.
    obs_id
        Its name, as the instrument writes it.
    key
        The key that follows from the name; None where none does.

    Returns
    -------
    str or None
        Its key. None where nobody told of it, or of another one under that number.
    """
    found: str | None = await connection.fetchval(_KNOWN, instrument, obs_id, key)
    return found
