#!/usr/bin/env python3
"""Keep a table of the exposures that alerts must not be made from.

    ./junk_exposures.py --kafka kafka:9092 --database junk.sqlite

The table `junk_exposure` in a SQLite database is what annolog says now, within a
second of the word being said. Kill this program whenever you like: the position in the
topic is stored in the transaction of the rows, so it goes on where the table is.

To adapt it, change `apply`, and the database: any will do that has transactions.
"""

import argparse
import json
import logging
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Generator

import httpx

from annolog.domain.errors import AnnologError
from annolog.domain.events import Event
from annolog.stream.batches import Batch, batches
from annolog.stream.consume import Until
from annolog.stream.over_http import snapshot
from annolog.stream.positions import Position
from annolog.stream.topics import Access, Topics

TABLES = """
create table if not exists junk_exposure (
  key text primary key, instrument text, exposure_id integer, day_obs integer,
  seq_num integer, flag text not null, tags text not null, number integer not null,
  confirmed integer not null default 1);
create table if not exists reading (
  topic text primary key, position text not null, caught_up integer not null);
"""

log = logging.getLogger("junk_exposures")


def apply(database: sqlite3.Connection, event: Event, flags: frozenset[str]) -> None:
    """Put what now holds for one target into the table, or out of it."""
    state = event.body()  # None, a tombstone, where nothing is said any more
    if state and state["kind"] == "exposure" and state["flag"] in flags:
        database.execute(
            "insert or replace into junk_exposure values (?, ?, ?, ?, ?, ?, ?, ?, 1)",
            (
                state["key"],
                state["instrument"],
                state["exposure_id"],
                state["day_obs"],
                state["seq_num"],
                state["flag"],
                json.dumps(state["tags"]),
                state["number"],
            ),
        )
    else:
        database.execute("delete from junk_exposure where key = ?", (event.key,))


def store(
    database: sqlite3.Connection, topic: str, batch: Batch, flags: frozenset[str]
) -> None:
    """Apply a batch and keep its position, both or neither."""
    with database:
        if batch.begins:
            database.execute("update junk_exposure set confirmed = 0")
        for event in batch.events:
            apply(database, event, flags)
        if batch.arrives:
            # What was not said again no longer holds.
            database.execute("delete from junk_exposure where not confirmed")
        database.execute(
            "insert or replace into reading values (?, ?, ?)",
            (topic, batch.position.to_json(), batch.caught_up),
        )
    if batch.arrives:
        (rows,) = database.execute("select count(*) from junk_exposure").fetchone()
        log.info("caught up: %d exposures are junk", rows)


def position_of(database: sqlite3.Connection, topic: str) -> Position:
    """Give the position stored; the beginning if there is none."""
    found = database.execute(
        "select position from reading where topic = ?", (topic,)
    ).fetchone()
    return Position.from_json(found[0]) if found else Position()


def follow(
    database: sqlite3.Connection,
    topic: str,
    asked: argparse.Namespace,
    stop: threading.Event,
) -> Generator[Batch, None, None]:
    """Begin with a snapshot if one is asked for, and follow the topic."""
    if asked.service and position_of(database, topic) == Position():
        token = os.environ.get("ANNOLOG_TOKEN")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=asked.service, headers=headers) as http:
            yield from snapshot(http, flag=asked.flag, target_kind="exposure")
    yield from batches(
        Access(asked.kafka),
        topic,
        position_of(database, topic),
        until=Until(end=asked.once),
        stop=stop,
    )


def main() -> int:
    """Keep the table until told to stop."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT")
    parser.add_argument("--database", required=True, metavar="FILE")
    parser.add_argument("--prefix", default="lsst.annolog", help="of the topics")
    parser.add_argument("--flag", action="append", help="may be repeated  [junk]")
    parser.add_argument("--service", metavar="URL", help="begin with its snapshot")
    parser.add_argument("--once", action="store_true", help="end when caught up")
    asked = parser.parse_args()
    asked.flag = asked.flag or ["junk"]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    topic = Topics.named(asked.prefix).targets
    database = sqlite3.connect(asked.database)
    try:
        # Those who read the table do not hinder its keeper.
        database.execute("pragma journal_mode = wal")
        database.executescript(TABLES)
        for batch in follow(database, topic, asked, stop):
            store(database, topic, batch, frozenset(asked.flag))
    except AnnologError as error:
        log.error("%s", error.detail)  # noqa: TRY400 - one line for people
        return 1
    finally:
        database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
