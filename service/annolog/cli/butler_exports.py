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
from urllib.parse import quote

import click
import httpx

from annolog import settings
from annolog.api.logs import configure_logs
from annolog.butler.registries import require_library
from annolog.cli import brokers
from annolog.cli.following import Allowed, Follower
from annolog.cli.main import WrongUseError, emit, json_option
from annolog.domain.calls import service_address
from annolog.domain.errors import AnnologError
from annolog.domain.instruments import is_day_obs
from annolog.domain.snapshots import SnapshotFilter
from annolog.runtime import now
from annolog.stream.over_http import RefusedError
from annolog.stream.snapshots import AwayError, ServiceSource, Source

EVERY = 2.0
"""Seconds between two lines of progress."""

FULL_EVERY = 300.0
"""Seconds after which a follower compares the whole again, unless told."""

_WRONG_NAMES = frozenset({"no_such_set", "no_such_instrument"})

_Option = Callable[[Callable[..., Any]], Callable[..., Any]]


def _stacked(*options: _Option) -> _Option:
    def put(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return put


def _night(
    _context: click.Context, _option: click.Parameter, value: int | None
) -> int | None:
    if value is not None and not is_day_obs(value):
        raise click.BadParameter(f"{value} is no night; it should be as 20260131")
    return value


def _sets(
    _context: click.Context, _option: click.Parameter, names: tuple[str, ...]
) -> tuple[str, ...]:
    for name in names:
        if "@" in name:
            bare = name.partition("@")[0]
            raise click.BadParameter(
                f"{name} is a version, and all versions come: give the name without"
                f" one, --set {bare}"
            )
    return names


_scope_options = _stacked(
    click.option(
        "--instrument",
        "instruments",
        multiple=True,
        help="Only targets of this instrument, and those of none; repeatable.",
    ),
    click.option(
        "--day-obs-min", type=int, callback=_night, help="First night, YYYYMMDD."
    ),
    click.option(
        "--day-obs-max", type=int, callback=_night, help="Last night, YYYYMMDD."
    ),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="NAME",
        callback=_sets,
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
        "--narrow",
        is_flag=True,
        help="Remove what an earlier export asked for and this one does not.",
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
    narrow: bool,
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
    low, high = scope["day_obs_min"], scope["day_obs_max"]
    if low is not None and high is not None and low > high:
        raise WrongUseError(
            f"annologd: --day-obs-min {low} lies after --day-obs-max {high}"
        )
    with _opened(source, token_file, scope) as (found, knows):
        follower = Follower(
            repo,
            scope,
            now,
            tell=_told(),
            allowed=Allowed(other_site, narrow, drop_older),
            knows=knows,
        )
        with contextlib.closing(follower), _wrong_names_as_wrong_use():
            if once:
                done = follower.once(found)
                emit(done.as_dict(), "\n".join(done.lines()), as_json=as_json)
                return
            follower.follow(found, _until_told(), full_every)


@contextlib.contextmanager
def _wrong_names_as_wrong_use() -> Iterator[None]:
    try:
        yield
    except AnnologError as error:
        if error.reason_code in _WRONG_NAMES:
            raise WrongUseError(f"annologd: {error.detail}") from None
        raise


@contextlib.contextmanager
def _opened(
    source: str, token_file: Path | None, scope: dict[str, Any]
) -> Iterator[tuple[Source, Callable[[str], bool]]]:
    """Give the source, and what tells whether an instrument is known to it."""
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
            yield found, lambda _: False
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
        yield ServiceSource(http, query), lambda name: _knows(http, name)


def _knows(http: httpx.Client, instrument: str) -> bool:
    path = f"/annolog/v1/instruments/{quote(instrument, safe='')}"
    try:
        answer = http.get(path)
    except httpx.TransportError as error:
        raise AwayError(f"the service does not answer: {error}") from error
    if answer.status_code == httpx.codes.NOT_FOUND:
        return False
    if not answer.is_success:
        raise RefusedError(
            f"{path} was answered {answer.status_code}: {answer.text[:300]}"
        )
    # It answers to aliases too, by which nothing would be found.
    known: bool = answer.json().get("name") == instrument
    return known


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
