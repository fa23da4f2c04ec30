"""Runs the supervisor on stand-in parts, in a process that a test may kill."""

import argparse
import sys
from pathlib import Path

from annolog.local.errors import LocalError
from annolog.local.jars import default_cache
from annolog.local.supervisor import Plan, Supervisor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--database", default="")
    parser.add_argument("--kafka", default="")
    parser.add_argument("--cache", type=Path, default=default_cache())
    given = parser.parse_args()
    plan = Plan(
        home=given.home,
        host="127.0.0.1",
        port=given.port,
        annologd=(sys.executable, "-m", "tests.support.local_parts"),
        cache=given.cache,
        database_url=given.database,
        kafka_bootstrap=given.kafka,
    )
    try:
        Supervisor(plan, lambda line: print(line, flush=True)).run()  # noqa: T201 - a command
    except LocalError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
