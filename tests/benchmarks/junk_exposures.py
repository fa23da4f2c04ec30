"""How soon the worked example's table has what was said, and how much it takes.

    python -m tests.benchmarks.junk_exposures

A real PostgreSQL with full durability, a real broker, the service, the relay and the
example, each a process of its own. Measured is the time from the answer to a statement
until another process finds the row in the example's table, one statement at a time, and
then how many states a second the example takes when it begins anew.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.servers import server
from tests.support.junk_exposures import Example, Speaker
from tests.support.kafka import KafkaServer
from tests.support.marked import wait_for
from tests.support.relay import RelayProcess
from tests.support.served import ServiceProcess

PREFIX = "bench.annolog"
MANY = 10_000


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.junk_exposures", description=__doc__
    )
    parser.add_argument("--statements", type=int, default=300, help="to be timed")
    asked = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="annolog-bench-"))
    kafka = KafkaServer(home / "kafka")
    try:
        kafka.start()
        with (
            server(home / "postgres") as running,
            ServiceProcess(running.url, home) as service,
        ):
            relay = RelayProcess(
                running.url, kafka.bootstrap, PREFIX, home / "relay.log"
            )
            relay.start()
            try:
                relay.wait_for("goes on after change")
                speaker = Speaker(service.url, seed=1)
                took = sorted(_delays(speaker, home, kafka, asked.statements))
                _say(
                    f"from answer to row, {len(took)} statements: p50"
                    f" {_share(took, 0.5):.1f} ms, p99 {_share(took, 0.99):.1f} ms,"
                    f" most {took[-1]:.1f} ms"
                )
                rate = _rate(speaker, home, kafka)
                _say(f"states a second from the beginning: {rate:.0f}")
                speaker.http.close()
            finally:
                relay.clean()
    finally:
        kafka.stop()
        shutil.rmtree(home, ignore_errors=True)
    return 0


def _delays(
    speaker: Speaker, home: Path, kafka: KafkaServer, statements: int
) -> list[float]:
    """Give the milliseconds that each statement took from answer to row."""
    example = Example(home, kafka.bootstrap, PREFIX)
    example.start()
    took: list[float] = []
    try:
        wait_for(lambda: example.table()[2], 60, example.said)
        while len(took) < statements:
            key = speaker.key()
            before = speaker.is_junk(key)
            speaker.speak(key)
            answered = time.perf_counter()
            after = speaker.is_junk(key)
            while before != after and (key in example.table()[0]) != after:
                time.sleep(0.001)
            if before != after:
                took.append((time.perf_counter() - answered) * 1000)
    finally:
        example.clean()
    return took


def _rate(speaker: Speaker, home: Path, kafka: KafkaServer) -> float:
    """Give how many states the example takes a second, when it begins anew."""
    speaker.say_of_many(MANY)
    first = home / "first"
    second = home / "second"
    first.mkdir()
    second.mkdir()
    waiting = Example(first, kafka.bootstrap, PREFIX)
    waiting.start()
    try:
        wait_for(lambda: len(waiting.table()[0]) >= MANY, 60, waiting.said)
    finally:
        waiting.clean()
    example = Example(second, kafka.bootstrap, PREFIX)
    example.start()
    try:
        wait_for(lambda: bool(example.table()[1].places), 60, example.said)
        began = time.perf_counter()
        already = len(example.table()[0])
        wait_for(lambda: example.table()[2], 60, example.said)
        return (MANY - already) / (time.perf_counter() - began)
    finally:
        example.clean()


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
