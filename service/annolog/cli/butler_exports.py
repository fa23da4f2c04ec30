"""`annologd export butler`: put what people said into a butler's tables."""

import contextlib
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx

from annolog import settings
from annolog.api.logs import configure_logs
from annolog.butler.registries import require_library
from annolog.cli import brokers
from annolog.cli.following import Follower
from annolog.cli.main import WrongUseError, emit, json_option
from annolog.domain.calls import service_address
from annolog.domain.snapshots import SnapshotFilter
from annolog.runtime import now
from annolog.stream.snapshots import ServiceSource, Source

EVERY = 2.0
"""Seconds between two lines of progress."""

FULL_EVERY = 300.0
"""Seconds after which a follower compares the whole again, unless told."""

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _stacked(*options: _Option) -> _Option:
    def put(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return put


_scope_options = _stacked(
    click.option(
        "--instrument",
        "instruments",
        multiple=True,
        help="Only targets of this instrument, and those of none; repeatable.",
    ),
    click.option("--day-obs-min", type=int, help="First night, YYYYMMDD."),
    click.option("--day-obs-max", type=int, help="Last night, YYYYMMDD."),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME",
        help="All versions of this data-ID set, with their rows; repeatable, '*' for"
        " all sets. From the service alone.",
    ),
    click.option(
        "--label",
        help="The observatory's label for this repository, as in collection:LABEL/...;"
        " without it nothing about collections is exported.",
    ),
    click.option(
        "--embargo-hours",
        type=click.FloatRange(0),
        help="Only targets that were taken longer ago.",
    ),
)

_way_options = _stacked(
    click.option(
        "--once/--follow",
        default=True,
        help="Export and end (the default), or go on with what changes.",
    ),
    click.option(
        "--full-every",
        type=click.FloatRange(1),
        default=FULL_EVERY,
        show_default=True,
        help="With --follow: seconds after which the whole is compared, for what"
        " changed in the butler.",
    ),
    click.option(
        "--other-site", is_flag=True, help="Replace the snapshot of another site."
    ),
    click.option(
        "--drop-older",
        is_flag=True,
        help="Afterwards remove tables of older layouts, which older readers read.",
    ),
)


@click.command("butler")
@click.option(
    "--repo", required=True, metavar="URI", help="The repository, on its database."
)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="URL",
    help="The service, as https://host; or 'kafka': the topics, with the settings"
    " ANNOLOG_KAFKA_*.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with a token of the role viewer; without it the service must be one"
    " that asks for none.",
)
@_scope_options
@_way_options
@json_option
def command(  # noqa: PLR0913 - click passes options by name  # numpydoc ignore=PR01,RT01
    *,
    repo: str,
    source: str,
    token_file: Path | None,
    once: bool,
    full_every: float,
    other_site: bool,
    drop_older: bool,
    as_json: bool,
    **scope: Any,  # noqa: ANN401 - the options of the scope
) -> None:
    """Bring the tables annot_v1_* of a butler to what now holds.

    Only rows that differ are touched, in one transaction. What the repository does not
    hold waits: it is counted, and comes with the dataset or the exposure.
    """
    require_library()
    configure_logs("text", stream=sys.stderr, level="INFO")
    for name in ("lsst", "httpx", "kafka"):
        logging.getLogger(name).setLevel(logging.WARNING)
    follower = Follower(
        repo, scope, now, tell=_told(), other_site=other_site, drop_older=drop_older
    )
    with (
        contextlib.closing(follower),
        _opened(source, token_file, scope) as found,
    ):
        if once:
            done = follower.once(found)
            emit(done.as_dict(), "\n".join(done.lines()), as_json=as_json)
            return
        follower.follow(found, _until_told(), full_every)


@contextlib.contextmanager
def _opened(
    source: str, token_file: Path | None, scope: dict[str, Any]
) -> Iterator[Source]:
    query = {
        "instrument": scope["instruments"],
        "day_obs_min": scope["day_obs_min"],
        "day_obs_max": scope["day_obs_max"],
        "sets": scope["sets"],
    }
    if source == "kafka":
        from annolog.stream.folding import TopicsSource  # noqa: PLC0415 - needs a broker
        from annolog.stream.topics import Topics  # noqa: PLC0415 - as above

        asked = SnapshotFilter(**query)

        if scope["sets"]:
            raise WrongUseError(
                "annologd: --set needs the service: --from https://host"
            )
        chosen = settings.load()
        if not chosen.kafka_bootstrap:
            raise WrongUseError("annologd: ANNOLOG_KAFKA_BOOTSTRAP is not set")
        access = brokers.access(chosen)
        topics = Topics.named(chosen.kafka_topic_prefix)
        with TopicsSource(access, topics, asked, now).running() as found:
            yield found
        return
    if not source.startswith(("http://", "https://")):
        raise WrongUseError(
            f"annologd: --from {source!r} is neither https://host nor 'kafka'"
        )
    headers = {"X-Annolog-User": "exporter"}
    if token_file is not None:
        # `annologd token create` writes a line for people below it.
        words = token_file.read_text().split()
        if not words:
            raise WrongUseError(f"annologd: {token_file} holds no token")
        headers = {"Authorization": f"Bearer {words[0]}"}
    with httpx.Client(base_url=service_address(source), headers=headers) as http:
        yield ServiceSource(http, query)


def _until_told() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _told() -> Callable[[str, int, int], None]:
    """Make what prints a line of progress now and then, to standard error."""
    last = time.monotonic()

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last < EVERY:
            return
        last = time.monotonic()
        count = f": {done} of {total}" if total else f": {done}" if done else ""
        click.echo(f"{step}{count}", err=True)

    return tell
