"""Campaigns: a site is set up, harmed while it is written to, looked at, and ended."""

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from annolog.storage.database import migrate
from tests.faults import findings, plan, report
from tests.faults.findings import Findings
from tests.faults.harms import Done, Harms
from tests.faults.ledger import Ledger
from tests.faults.parts import OneBroker
from tests.faults.plan import Fault
from tests.faults.stage import Site, Stage
from tests.faults.writers import Writers
from tests.support.kafka import KafkaServer
from tests.support.postgres import PostgresServer, run_apart
from tests.support.small_disk import SmallDisk
from tests.support.three_brokers import BROKERS, ThreeBrokers

DATABASE_DISK = 1024
"""Megabytes: PostgreSQL's own, and more than all writes of a campaign can fill."""

BROKER_DISK = 256
"""Megabytes for the log of the broker, likewise."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Campaign:
    """Faults that belong together, as they need the same site.

    Attributes
    ----------
    name
        What it is called.
    groups
        Groups of faults, out of those of `plan`.
    share
        How much of the time it gets, beside the others.
    """

    name: str
    groups: tuple[str, ...]
    share: float


CAMPAIGNS = (
    Campaign("one broker", ("broker", "relay", "service", "postgres"), 0.55),
    Campaign("three brokers", ("three", "relay", "service"), 0.25),
    Campaign("full disks", ("disk",), 0.2),
)
"""All campaigns, in the order of doing."""


@dataclass(frozen=True, slots=True)
class Played:
    """What was done, said and found."""

    done: Sequence[Done]
    ledger: Ledger
    found: Findings


def play(
    site: Site,
    faults: Sequence[Fault],
    seconds: float,
    seed: int | str,
    say: Say,
    *,
    whole: bool = False,
) -> Played:
    """Write while faults are done, then compare everything; see `Harms.run`."""
    ledger = Ledger()
    with Stage(site) as stage:
        harms = Harms(stage, say)
        writers = Writers([one.url for one in stage.services], f"{seed}", ledger)
        writers.start()
        began = time.monotonic()
        try:
            harms.run(faults, seconds, whole=whole)
            stage.settle()
        except BaseException:
            writers.end(patience=0.0)
            raise
        writers.end()
        if writers.failed is not None:
            raise writers.failed
        wrote = time.monotonic() - began
        found = findings.look(stage, ledger)
        found.add("fault", harms.failed)
        say(report.table(stage, harms, ledger, found, wrote))
    return Played(harms.done, ledger, found)


def run(
    campaign: Campaign,
    groups: Collection[str],
    home: Path,
    seconds: float,
    seed: int | str,
    say: Say,
) -> list[str]:
    """Set a site up, play, end it, and see that nothing is left; give what is wrong."""
    chosen = [group for group in campaign.groups if group in groups]
    faults = plan.make(seed, chosen, seconds)
    say(
        f"\n== {campaign.name}: {len(faults)} faults of {', '.join(chosen)} in"
        f" {seconds:.0f} s, seed {seed}"
    )
    wrong: list[str] = []
    try:
        with _site(campaign, home) as site:
            wrong = play(site, faults, seconds, seed, say).found.wrong
    except Exception as error:  # noqa: BLE001 - a finding, and the next goes on
        wrong = [f"{type(error).__name__}: {error}"]
    wrong = [*wrong, *(f"process left: {one}" for one in findings.left_over(home))]
    # What was said of it is kept where there is something to find out.
    for place in home.iterdir():
        if not (wrong and place.name == "log"):
            shutil.rmtree(place, ignore_errors=True)
    return wrong


@contextmanager
def _site(campaign: Campaign, home: Path) -> Iterator[Site]:
    home.mkdir(mode=0o711)
    with ExitStack() as held:
        disks: dict[str, SmallDisk] = {}
        if "disk" in campaign.groups:
            sizes = {"postgres": DATABASE_DISK, "kafka": BROKER_DISK}
            for part, megabytes in sizes.items():
                disk = disks[part] = SmallDisk(home / part, megabytes)
                held.callback(disk.close)
        postgres = PostgresServer(home, durable=True)
        postgres.start()
        held.callback(postgres.close)
        url = postgres.create("faults")
        run_apart(migrate(url))
        postgres.execute("VACUUM ANALYZE", database="faults")
        if "three" in campaign.groups:
            three = ThreeBrokers(home)
            held.callback(three.close)
            three.start_all()
            yield Site(home, postgres, url, three, BROKERS)
        else:
            server = KafkaServer(home)
            held.callback(server.kill)
            server.start()
            yield Site(home, postgres, url, OneBroker(server), disks=disks)
