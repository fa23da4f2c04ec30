"""`annologd incarnation`: the lives of a database."""

from typing import Any

import click

from annolog import settings
from annolog.cli.connected import on_database
from annolog.cli.main import FailedError, emit, json_option
from annolog.storage import incarnations
from annolog.storage.database import Connection
from annolog.storage.incarnations import Known, Life


@click.group("incarnation")
def command() -> None:  # numpydoc ignore=GL08
    """Show and begin lives of the database.

    A database that was restored from a backup does not know which numbers it gave
    since. It begins a new life: numbers go on at the next multiple of 1,000,000,000,
    so that none is given twice.
    """


@command.command("show")
@json_option
def show(*, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """List all lives, and say whether writes are closed."""
    found = on_database(incarnations.lives)
    lines = [_line(life) for life in found] or [
        "this database belongs to no site yet: its first life begins when it is served"
    ]
    lines += [
        f"writes are closed: {life.closed.reason}" for life in found if life.closed
    ]
    emit([_shown(life) for life in found], "\n".join(lines), as_json=as_json)


@command.command("new")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--above",
    type=click.IntRange(0, 2**60),
    default=None,
    help="A change number that is known elsewhere, for instance at a peer. Given, the"
    " topic is not asked.",
)
@json_option
def new(  # numpydoc ignore=PR01,RT01
    *, yes: bool, above: int | None, as_json: bool
) -> None:
    """Begin a new life of a database that was restored from a backup.

    Writes and relay go on afterwards. What was said between the backup and the loss
    is not in this database; `annologd consume` shows what the topic has of it.
    """
    if as_json and not yes:
        raise click.UsageError("--json asks nothing: say --yes as well")
    published = _published() if above is None else 0
    least = max(above or 0, published)

    async def look(connection: Connection) -> tuple[list[Life], Known]:
        found = list(await incarnations.lives(connection))
        return found, await incarnations.known(connection)

    found, known = on_database(look)
    if not found:
        raise FailedError("annologd: this database belongs to no site yet")
    if not yes:
        click.echo(_plan(found[-1], known, published, least), err=True)
        click.confirm("Begin a new life?", abort=True, err=True)

    async def begin(connection: Connection) -> Life:
        return await incarnations.begin(connection, above=least)

    life = on_database(begin)
    emit(
        _shown(life),
        f"life {life.incarnation} of site {life.site_id} begins with change"
        f" {life.first_number}; restart the relay if it has ended",
        as_json=as_json,
    )


@command.command("keep")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def keep(*, yes: bool, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """Go on with the present life: the database moved, and nothing was lost.

    For a move to another server while nothing was written, such as an upgrade of
    PostgreSQL. Never after a restore from a backup.
    """
    if as_json and not yes:
        raise click.UsageError("--json asks nothing: say --yes as well")
    if not yes:
        click.confirm(
            "Does this database have all that was ever written to it?",
            abort=True,
            err=True,
        )
    life = on_database(incarnations.keep)
    emit(_shown(life), f"{_line(life)}: goes on, writes are open", as_json=as_json)


def _published() -> int:
    """Ask the topic for its greatest number; 0 where there is none."""
    chosen = settings.load()
    if not chosen.kafka_bootstrap:
        return 0
    # Here, not above: `incarnation show` needs no broker's library.
    from annolog.stream import position  # noqa: PLC0415 - see above
    from annolog.stream.topics import Access  # noqa: PLC0415 - see above

    topic = f"{chosen.kafka_topic_prefix}.changes"
    try:
        return position.greatest(Access(chosen.kafka_bootstrap), topic)
    except position.UnreadableError as error:
        raise FailedError(
            f"annologd: {error.detail}, so which numbers were given is not known. Try"
            " again when it can be read, or say --above N"
        ) from None


def _plan(present: Life, known: Known, published: int, least: int) -> str:
    who = f"Site {present.site_id}, life {present.incarnation}"
    lines = [f"{who}: the log ends at {known.head}."]
    if max(published, known.published):
        lines.append(f"Published up to {max(published, known.published)}.")
    if present.closed is not None:
        lines.append(f"Writes are closed: {present.closed.reason}.")
    elif max(published, known.published, least) <= known.head:
        lines.append("Nothing known says that anything was lost.")
    first = known.next_first(max(least, present.first_number))
    lines.append(f"A new life would begin with change {first}.")
    return "\n".join(lines)


def _line(life: Life) -> str:
    span = (
        f"from {life.first_number}, no change yet"
        if life.last_number is None
        else f"changes {life.first_number} to {life.last_number}"
    )
    now = " (now)" if life.current else ""
    return (
        f"{life.incarnation}  {span}, begun {life.started_at:%Y-%m-%d %H:%M} UTC{now}"
    )


def _shown(life: Life) -> dict[str, Any]:
    return {
        "incarnation": life.incarnation,
        "site_id": life.site_id,
        "first_number": life.first_number,
        "last_number": life.last_number,
        "started_at": life.started_at,
        "current": life.current,
        "writes": None
        if not life.current
        else "open"
        if life.closed is None
        else "closed",
        "closed_code": None if life.closed is None else life.closed.code,
        "closed_reason": None if life.closed is None else life.closed.reason,
    }
