"""Who does the harm, and makes it good: one fault after the other, part by part."""

import asyncio
import itertools
import math
import random
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

import asyncpg

from annolog.local.errors import LocalError
from tests.faults.parts import Kept, Relay
from tests.faults.plan import Fault
from tests.faults.stage import LOOK, Stage
from tests.support.three_brokers import BROKERS

KeptT = TypeVar("KeptT", bound=Kept)

NO_DATABASE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""How a database says that it is away; by OSError a disk says so too."""

WELL_WITHIN = 20.0
"""Seconds that a fault waits for a part that has not got over the last one, and that a
service is frozen again and again until it is caught in the lane."""

STUMBLES = 5
"""Seconds for which a server that had no room is looked after."""

SUCCESSION = 60.0
"""Seconds after which a frozen relay is thawed even if no other took over."""

_IN_THE_LANE = """
select count(*) from pg_stat_activity
 where application_name = 'annolog lane' and datname = current_database()
   and state = 'idle in transaction'
   and clock_timestamp() - state_change > interval '0.2 s'
   and exists (select from pg_locks l where l.pid = pg_stat_activity.pid
                                        and l.locktype = 'advisory' and l.granted)
"""

_CUT_OFF = """
select count(pg_terminate_backend(a.pid)) from pg_stat_activity a
 where a.application_name = 'annolog relay' and a.datname = current_database()
   and exists (select from pg_locks l where l.pid = a.pid
                                        and l.locktype = 'advisory' and l.granted)
"""


@dataclass
class Done:
    """A fault that was done.

    Attributes
    ----------
    fault
        As it was planned.
    began, ended
        When, by the monotonic clock; ended: the part was started or thawed again.
    note
        What is worth telling of it.
    """

    fault: Fault
    began: float
    ended: float
    note: str = ""


class Harms:
    """Carries plans out on a stage.

    Attributes
    ----------
    done
        What was done.
    left_out
        How many faults were not done, as their time was over.
    failed
        Faults that could not be done or made good.
    """

    def __init__(self, stage: Stage, say: Callable[[str], None]) -> None:
        self._stage = stage
        self._say = say
        self.done: list[Done] = []
        self.left_out = 0
        self.failed: list[str] = []

    def run(
        self, plan: Sequence[Fault], seconds: float, *, whole: bool = False
    ) -> None:
        """Carry a plan out; return when its time is over and all is made good.

        Faults whose turn comes only when time is over are left out, unless it shall be
        the whole plan.
        """
        begin = time.monotonic()
        end = math.inf if whole else begin + seconds
        begun: list[Future[None]] = []
        waiting = list(plan)
        while time.monotonic() - begin < seconds or waiting:
            while waiting and time.monotonic() - begin >= waiting[0].at:
                fault = waiting.pop(0)
                hand = self._stage.hand(f"{fault.part} {fault.which}")
                begun.append(hand.submit(self._do, fault, begin, end))
            self._stage.watch()
            time.sleep(LOOK)
        while wait(begun, LOOK).not_done:
            self._stage.watch()
        for each in begun:
            each.result()

    def _do(self, fault: Fault, begin: float, end: float) -> None:
        began = time.monotonic()
        if began > end:
            # Whoever was before it took longer than it was thought to.
            self.left_out += 1
            return
        note = ""
        try:
            note = self._harm(fault)
        except (LocalError, *NO_DATABASE) as error:
            note = f"{type(error).__name__}: {error}"
            self.failed.append(f"{fault.kind} at {fault.at:g} s: {note}")
        ended = time.monotonic()
        self.done.append(Done(fault, began, ended, note))
        which = f" {fault.which + 1}" if fault.which else ""
        self._say(
            f"  {began - begin:6.1f} s  {fault.kind}{which}, {ended - began:.1f} s"
            + (f" ({note})" if note else "")
        )

    def _harm(self, fault: Fault) -> str:
        match fault.part:
            case "broker" | "brokers":
                return self._harm_broker(fault)
            case "relay":
                return self._harm_relay(fault)
            case "service":
                return self._harm_service(fault)
            case "postgres":
                return self._harm_postgres(fault)
            case _:
                return self._fill_disk(fault)

    def _harm_broker(self, fault: Fault) -> str:
        brokers = self._stage.site.brokers
        match fault.kind:
            case "broker killed" | "one of three killed":
                self._kill_for(fault.which, fault.lasts)
            case "broker frozen" | "one of three frozen":
                brokers.freeze(fault.which)
                self._stage.sleep(fault.lasts)
                brokers.thaw(fault.which)
            case "broker restarted" | "one of three restarted":
                brokers.stop(fault.which)
                brokers.start(fault.which)
            case "two of three killed":
                return self._two_of_three(fault)
            case _:
                raise LookupError(fault.kind)
        return ""

    def _harm_relay(self, fault: Fault) -> str:
        match fault.kind:
            case "relay killed":
                self._well(self._active()).kill()
            case "relay frozen":
                relay = self._well(self._active())
                relay.send(signal.SIGSTOP)
                self._stage.sleep(fault.lasts)
                relay.send(signal.SIGCONT)
            case "relay frozen beside its successor":
                return self._succession(fault)
            case "relay doubled":
                self._double(fault)
            case "relay cut off from its lease":
                return self._cut_off()
            case _:
                raise LookupError(fault.kind)
        return ""

    def _harm_service(self, fault: Fault) -> str:
        match fault.kind:
            case "service killed":
                self._well(self._stage.services[fault.which]).kill()
            case "service frozen in the lane":
                return self._freeze_in_the_lane(fault)
            case "service restarted":
                self._well(self._stage.services[fault.which]).send(signal.SIGTERM)
            case "both services killed":
                for service in self._stage.services:
                    self._well(service)
                for service in self._stage.services:
                    service.kill()
            case _:
                raise LookupError(fault.kind)
        return ""

    def _harm_postgres(self, fault: Fault) -> str:
        postgres = self._stage.site.postgres
        self._until_answered()
        match fault.kind:
            case "PostgreSQL killed":
                postgres.kill()
                self._stage.sleep(fault.lasts)
                postgres.start()
            case "PostgreSQL restarted":
                postgres.stop()
                postgres.start()
            case "PostgreSQL's session killed":
                postgres.kill_session()
            case _:
                raise LookupError(fault.kind)
        return ""

    def _fill_disk(self, fault: Fault) -> str:
        match fault.kind:
            case "disk of PostgreSQL full":
                return self._fill("postgres", fault, self._stage.site.postgres.start)
            case "disk of the broker full":
                return self._fill("kafka", fault, self._stage.site.brokers.start)
            case _:
                raise LookupError(fault.kind)

    def _two_of_three(self, fault: Fault) -> str:
        dice = random.Random(str(fault))
        pair = sorted(dice.sample(range(BROKERS), 2))
        # Each by its own hand, which may be busy with it just now.
        killed = [
            self._stage.hand(f"broker {which}").submit(
                self._kill_for, which, fault.lasts
            )
            for which in pair
        ]
        for each in killed:
            each.result()
        return " and ".join(str(which + 1) for which in pair)

    def _kill_for(self, which: int, seconds: float) -> None:
        self._stage.site.brokers.kill(which)
        self._stage.sleep(seconds)
        self._stage.site.brokers.start(which)

    def _well(self, part: KeptT) -> KeptT:
        """Wait until a part is of use, or has not got well for too long."""
        deadline = time.monotonic() + WELL_WITHIN
        while not part.is_ready and time.monotonic() < deadline:
            self._stage.sleep(LOOK)
        return part

    def _until_answered(self) -> None:
        """Wait until the database answers, or has not for too long."""
        deadline = time.monotonic() + WELL_WITHIN
        while time.monotonic() < deadline:
            try:
                self._ask("select 1")
            except NO_DATABASE:
                self._stage.sleep(LOOK)
            else:
                return

    def _cut_off(self) -> str:
        try:
            return f"{self._ask(_CUT_OFF)} sessions"
        except NO_DATABASE:
            return "the database was away"

    def _active(self) -> Relay:
        working = [relay for relay in self._stage.relays if relay.is_at_work]
        return working[0] if working else self._stage.relays[0]

    def _succession(self, fault: Fault) -> str:
        frozen = self._well(self._active())
        (other,) = [relay for relay in self._stage.relays if relay is not frozen]
        frozen.send(signal.SIGSTOP)
        try:
            self._stage.sleep(fault.lasts)
            deadline = time.monotonic() + SUCCESSION - fault.lasts
            while not other.is_at_work and time.monotonic() < deadline:
                self._stage.sleep(LOOK)
            took_over = other.is_at_work
            # Both hold themselves for the one, for a moment.
            self._stage.sleep(1.0)
        finally:
            frozen.send(signal.SIGCONT)
        # Where broker or database were away meanwhile, it may not have come to that.
        return f"{other.name} {'took' if took_over else 'did not take'} over"

    def _double(self, fault: Fault) -> None:
        third = self._stage.relay("relay-3")
        try:
            third.look()
            self._stage.sleep(fault.lasts)
        finally:
            third.close()

    def _freeze_in_the_lane(self, fault: Fault) -> str:
        service = self._well(self._stage.services[fault.which])
        dice = random.Random(str(fault))
        deadline = time.monotonic() + WELL_WITHIN
        for tried in itertools.count(1):
            if time.monotonic() > deadline:
                break
            service.send(signal.SIGSTOP)
            try:
                self._stage.sleep(0.3)
                if self._ask(_IN_THE_LANE):
                    self._stage.sleep(fault.lasts)
                    return f"caught at try {tried}"
            except NO_DATABASE:
                break
            finally:
                service.send(signal.SIGCONT)
            self._stage.sleep(dice.uniform(0.05, 0.25))
        return "never caught in the lane"

    def _fill(self, part: str, fault: Fault, start: Callable[[], None]) -> str:
        disk = self._stage.site.disks[part]
        left = disk.free
        disk.fill()
        try:
            self._stage.sleep(fault.lasts)
        finally:
            disk.release()
        for _ in range(STUMBLES):
            # It may have ended for want of room, or may be about to.
            start()
            self._stage.sleep(1.0)
        return f"{left >> 20} MB taken"

    def _ask(self, query: str) -> int:
        async def ask() -> int:
            connection = await asyncpg.connect(self._stage.site.database_url, timeout=5)
            try:
                return int(await connection.fetchval(query))
            finally:
                await connection.close()

        return asyncio.run(ask())
