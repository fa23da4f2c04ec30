"""The short and fixed version of `make faults`: kills, under 32 writers.

What is frozen, cut off or full, PostgreSQL's crashes and three brokers are harmed by
`python -m tests.faults`, with other moments each time.
"""

from collections import Counter
from pathlib import Path

from tests.faults import plan
from tests.faults.campaign import play
from tests.faults.findings import left_over
from tests.faults.parts import OneBroker
from tests.faults.stage import Site
from tests.support.kafka import KafkaServer
from tests.support.postgres import PostgresServer

SECONDS = 21.0
"""How long the writers write, where no restart takes long."""


def test_nothing_is_lost_or_twice_when_broker_services_and_relays_are_killed(
    database_url: str,
    kafka_server: KafkaServer,
    running_postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    site = Site(
        tmp_path,
        running_postgres,
        database_url,
        OneBroker(kafka_server),
        prefix=f"faults.{tmp_path.name}",
    )
    try:
        played = play(site, plan.short(), SECONDS, "short", print, whole=True)
    finally:
        # It was started by a thread that has ended, and is about to end as well.
        kafka_server.stop()
    assert played.found.wrong == []
    assert left_over(tmp_path) == []
    assert Counter(done.fault.kind for done in played.done) == {
        "broker killed": 5,
        "service killed": 10,
        "relay killed": 4,
    }
    assert len(played.ledger.said) > 100
    assert played.ledger.broken > 0
