"""What was done and what was found, as a table to read."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.faults.findings import Findings
from tests.faults.harms import Done, Harms
from tests.faults.ledger import Ledger
from tests.faults.parts import Kept
from tests.faults.stage import Stage

AFTERWARDS = 10.0
"""Seconds after a fault in which a pause of the writes is put down to it."""


def table(
    stage: Stage, harms: Harms, ledger: Ledger, found: Findings, seconds: float
) -> str:
    """Write a stage's table."""
    return "\n".join(
        [
            *_faults(harms, ledger),
            "",
            *_restarts([*stage.services, *stage.relays]),
            "",
            *_requests(ledger, seconds),
            *(_row(name, str(value)) for name, value in found.looked_at.items()),
            "",
            *(found.wrong or ["nothing lost, nothing twice, all views equal"]),
        ]
    )


def _faults(harms: Harms, ledger: Ledger) -> Iterable[str]:
    by_kind: dict[str, list[Done]] = defaultdict(list)
    for one in sorted(harms.done, key=lambda done: done.began):
        by_kind[one.fault.kind].append(one)
    yield f"{'fault':<36}{'times':>6}{'took':>8}{'longest pause of writes':>26}"
    for kind, each in sorted(by_kind.items()):
        took = max(one.ended - one.began for one in each)
        pause = max(
            ledger.longest_pause(one.began, one.ended + AFTERWARDS) for one in each
        )
        yield f"{kind:<36}{len(each):>6}{took:>6.1f} s{pause:>24.2f} s"
    yield f"{'all':<36}{len(harms.done):>6}"
    if harms.left_out:
        yield f"{'planned, and not done in time':<36}{harms.left_out:>6}"


def _restarts(parts: Sequence[Kept]) -> Iterable[str]:
    head = f"{'process':<36}{'starts':>6}{'median':>8}{'longest':>10}"
    yield head + f"{'ended itself':>16}"
    for part in parts:
        # The first was no restart.
        times = part.restarts[1:] or [0.0]
        yield (
            f"{part.name:<36}{len(part.restarts):>6}{statistics.median(times):>6.1f} s"
            f"{max(times):>8.1f} s{len(part.endings):>16}"
        )


def _requests(ledger: Ledger, seconds: float) -> Iterable[str]:
    yield _row("requests", str(ledger.requests))
    rate = len(ledger.said) / seconds
    yield _row("acknowledged", f"{len(ledger.said)} ({rate:.0f} a second)")
    for code, count in sorted(ledger.refused.items()):
        yield _row(f"refused: {code}", str(count))
    yield _row("found nobody", str(ledger.unreached))
    yield _row("cut off without an answer", str(ledger.broken))
    for how, count in sorted(ledger.resolved.items()):
        yield _row(f"unknown, then: {how}", str(count))


def _row(name: str, value: str) -> str:
    return f"{name:<46}{value:>16}"
