"""`annologd exposures`: what butlers hold comes into the log.

`import` brings once what is new or has changed, `follow` stays behind the butlers.
Both may be broken off and repeated at any time, and run beside each other.
"""

import asyncio
import contextlib
import dataclasses
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import click

from annolog import settings as setting
from annolog.api.logs import configure_logs
from annolog.butler.bringing import Bringer, Brought, Thorough
from annolog.butler.following import Follower, follow_all
from annolog.butler.registries import require_library
from annolog.butler.repository import BRINGING, Repository
from annolog.cli.main import FAILED, WrongUseError, database_url, emit, json_option
from annolog.domain.errors import AnnologError, UnavailableError
from annolog.domain.registries import MAX_REGISTRIES
from annolog.runtime import Runtime, opened

RETRY = 10.0
"""Seconds until `follow` tries again to open a database that is away."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """A butler that is asked: its number, 0 for none, and where it is."""

    number: int
    uri: str

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"butler {self.number}" if self.number else "the butler"


@dataclasses.dataclass(slots=True)
class Outcome:
    """What was brought of one butler, and why no more."""

    place: Place
    instruments: list[Brought]
    error: str | None = None


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--instrument", help="Only this instrument.  [default: all]"),
        click.option("--uri", help="A butler that ANNOLOG_BUTLER_URIS does not name."),
        click.option(
            "--registry",
            type=click.IntRange(1, MAX_REGISTRIES),
            help="Only this butler of ANNOLOG_BUTLER_URIS.  [default: all]",
        ),
        click.option(
            "--from",
            "source",
            type=click.Choice(["butler"]),
            required=True,
            help="Where exposures come from.",
        ),
    ):
        command = option(command)
    return command


@click.group("exposures")
def command() -> None:
    """Bring exposures, and visits with their exposures, into the log."""


@command.command("import")
@_options
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Read everything again, not the last nights alone.",
)
@json_option
def bring(  # numpydoc ignore=PR01,RT01
    *,
    source: str,
    registry: int | None,
    uri: str | None,
    instrument: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Bring what is new or has changed, once.

    The first time everything is read, later the last nights, and what lies before if
    there is more of it than there was. Ends with 1 if a butler is away; what the
    others have is brought all the same.
    """
    del source
    places = _places(registry, uri)
    url, site_id = database_url(), setting.load().site_id
    configure_logs("text", stream=sys.stderr, level="WARNING")
    outcomes = asyncio.run(
        _bring_all(url, site_id, places, instrument, everything=everything)
    )
    emit(
        {"registries": [_as_dict(one) for one in outcomes]},
        "\n".join(line for one in outcomes for line in _lines(one)),
        as_json=as_json,
    )
    if any(one.error is not None for one in outcomes):
        raise SystemExit(FAILED)


@command.command("follow")
@_options
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="Seconds between two readings.",
)
def follow(  # numpydoc ignore=PR01,RT01
    *,
    source: str,
    registry: int | None,
    uri: str | None,
    instrument: str | None,
    interval: float,
) -> None:
    """Bring what is new or has changed, again and again until stopped.

    A butler or a database that is away is waited for. Ends with 0 when asked to
    (SIGTERM, SIGINT).
    """
    del source
    places = _places(registry, uri)
    settings = setting.load()
    configure_logs(settings.log_format, level="INFO")
    asyncio.run(_follow(database_url(), settings.site_id, places, instrument, interval))


def _places(registry: int | None, uri: str | None) -> list[Place]:
    """Say which butlers are meant."""
    require_library()
    configured = setting.load().butler_uris
    known = [Place(n, one) for n, one in enumerate(configured, 1) if one]
    if uri is not None:
        if registry is not None:
            raise WrongUseError("annologd: give --registry or --uri, not both")
        return [one for one in known if one.uri == uri] or [Place(0, uri)]
    if not known:
        raise WrongUseError(
            "annologd: ANNOLOG_BUTLER_URIS is not set and no --uri is given: there is"
            " no butler to ask"
        )
    chosen = [one for one in known if registry in {None, one.number}]
    if not chosen:
        raise WrongUseError(
            f"annologd: ANNOLOG_BUTLER_URIS names no butler {registry}; it names"
            f" {', '.join(str(one.number) for one in known)}"
        )
    return chosen


# ---------------------------------------------------------------- import


async def _bring_all(
    url: str,
    site_id: str,
    places: Sequence[Place],
    instrument: str | None,
    *,
    everything: bool,
) -> list[Outcome]:
    outcomes = []
    async with opened(url, site_id) as runtime:
        for place in places:
            outcome = Outcome(place, [])
            outcomes.append(outcome)
            try:
                async with _bringer(runtime, place, _told(place)) as bringer:
                    for name in await bringer.instruments():
                        if instrument in {None, name}:
                            brought = await bringer.bring(
                                name, Thorough(everything=everything)
                            )
                            outcome.instruments.append(brought)
            except AnnologError as error:
                outcome.error = error.detail
    return outcomes


@contextlib.asynccontextmanager
async def _bringer(
    runtime: Runtime, place: Place, tell: Callable[[Brought], None] = lambda _: None
) -> AsyncIterator[Bringer]:
    repository = Repository(place.uri, place.name, BRINGING)
    try:
        yield Bringer(repository, runtime.lane, runtime.reads, runtime.work, tell=tell)
    finally:
        await repository.close()


def _told(place: Place) -> Callable[[Brought], None]:
    def tell(brought: Brought) -> None:
        click.echo(
            f"{place.name}: {brought.instrument}: {brought.exposures} exposures read,"
            f" {brought.exposures_written} new or changed",
            err=True,
        )

    return tell


def _as_dict(outcome: Outcome) -> dict[str, Any]:
    return {
        "registry": outcome.place.number or None,
        "uri": setting.without_password(outcome.place.uri),
        "instruments": [dataclasses.asdict(one) for one in outcome.instruments],
        "error": outcome.error,
    }


def _lines(outcome: Outcome) -> list[str]:
    name = outcome.place.name
    lines = [
        f"{name}: {one.instrument}: {one.exposures} exposures read,"
        f" {one.exposures_written} new or changed; {one.visits} visits read,"
        f" {one.visits_written} new or changed"
        + (f"; {one.refused} exposures refused" if one.refused else "")
        for one in outcome.instruments
    ]
    if outcome.error is not None:
        lines.append(f"{name}: {outcome.error}")
    return lines or [f"{name}: nothing"]


# ---------------------------------------------------------------- follow


async def _follow(
    url: str,
    site_id: str,
    places: Sequence[Place],
    instrument: str | None,
    interval: float,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        try:
            async with contextlib.AsyncExitStack() as stack:
                runtime = await stack.enter_async_context(opened(url, site_id))
                followers = [
                    Follower(
                        await stack.enter_async_context(_bringer(runtime, place)),
                        interval,
                        instrument,
                    )
                    for place in places
                ]
                await follow_all(followers, stop)
        except UnavailableError as error:
            # Away while it was opened: afterwards a follower waits for itself.
            click.echo(f"annologd: {error.detail}", err=True)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY)
