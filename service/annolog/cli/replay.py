"""`annologd replay`: let the running relay send again."""

import asyncio
import getpass
import os
import re
from typing import Any

import click

from annolog import settings
from annolog.cli.connected import on_database
from annolog.cli.main import FAILED, FailedError, emit, json_option
from annolog.storage import changes, database, orders
from annolog.storage.database import Connection
from annolog.storage.orders import Order, Wish

LOOK = 0.3
"""Seconds between two looks at an order that is waited for."""

EVERY = 2.0
"""Seconds between lines of progress."""

LISTED = 50
"""Orders that `--list` shows."""

_TOPIC = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,249}")


@click.command("replay")
@click.option("--states", is_flag=True, help="Send what holds for targets again.")
@click.option("--instrument", help="Of --states: only targets of this instrument.")
@click.option("--key", "keys", multiple=True, help="Of --states: only this target.")
@click.option(
    "--from",
    "first",
    type=click.IntRange(1),
    help="Fill a topic of its own with the changes from this number on.",
)
@click.option(
    "--to",
    "last",
    type=click.IntRange(1),
    help="Of --from: the last change.  [default: the last one now]",
)
@click.option("--topic", help="Of --from: which topic; made if it is missing.")
@click.option("--no-wait", is_flag=True, help="Place the order and end.")
@click.option("--list", "listed", is_flag=True, help="Show the last orders.")
@click.option("--cancel", type=int, metavar="ID", help="End an order.")
@json_option
def command(  # noqa: PLR0913 # the options, each by its name  # numpydoc ignore=PR01,RT01
    *,
    states: bool,
    instrument: str | None,
    keys: tuple[str, ...],
    first: int | None,
    last: int | None,
    topic: str | None,
    no_wait: bool,
    listed: bool,
    cancel: int | None,
    as_json: bool,
) -> None:
    """Order the relay to send again what it published; wait until it has.

    --states sends the present state of targets again, in place. --from fills another
    topic with a part of the log. Live changes go on meanwhile. With no relay running
    the order waits for one. Ends with 1 if the order fails or is cancelled.
    """
    if [states, first is not None, listed, cancel is not None].count(True) != 1:
        raise click.UsageError("say one of --states, --from, --list and --cancel")
    if not states and (instrument or keys):
        raise click.UsageError("--instrument and --key go with --states")
    if first is None and (last is not None or topic):
        raise click.UsageError("--to and --topic go with --from")
    if listed:
        _list(as_json=as_json)
    elif cancel is not None:
        _cancel(cancel, as_json=as_json)
    else:
        if first is None:
            wish = Wish("states", _live()[1], instrument, keys or None)
        else:
            wish = _part(first, last, topic)
        _order(wish, wait=not no_wait, as_json=as_json)


def _live() -> tuple[str, str]:
    prefix = settings.load().kafka_topic_prefix
    return f"{prefix}.changes", f"{prefix}.targets"


def _part(first: int, last: int | None, topic: str | None) -> Wish:
    if topic is None:
        raise click.UsageError("--from needs --topic, a topic that is not live")
    if not _TOPIC.fullmatch(topic):
        raise click.UsageError(
            f"{topic!r} is no name of a topic: letters, digits, '.', '_' and '-'"
        )
    if topic in _live():
        raise click.UsageError(
            f"{topic} is a topic that the relay fills itself; name another one"
        )
    if last is not None and last < first:
        raise click.UsageError(f"--to {last} is before --from {first}")
    return Wish("changes", topic, None, None, first, last)


def _order(wish: Wish, *, wait: bool, as_json: bool) -> None:
    async def work(connection: Connection) -> Order:
        order = await orders.place(connection, await _checked(connection, wish), _who())
        if wait:
            click.echo(f"order {order.order_id} is placed", err=True)
            order = await _over(connection, order)
        elif not await changes.is_leased(connection, changes.RELAY_LEASE):
            click.echo("no relay is running: the order waits for one", err=True)
        return order

    order = on_database(work, database.BULK)
    emit(_shown(order), _line(order), as_json=as_json)
    if order.state in {"failed", "cancelled"}:
        raise SystemExit(FAILED)


async def _checked(connection: Connection, wish: Wish) -> Wish:
    """See that the log has what is ordered; say what "to now" means."""
    if wish.keys is not None:
        unknown = await orders.unknown_keys(connection, wish.keys)
        if unknown:
            raise FailedError(
                f"annologd: there is no target {unknown[0]!r} here: write its key as"
                " annolog shows it"
            )
    if wish.from_number is None:
        return wish
    head = await changes.head(connection)
    last = wish.to_number or head
    if max(wish.from_number, last) > head:
        raise FailedError(
            f"annologd: the log ends at {head}, before {max(wish.from_number, last)}"
        )
    return Wish("changes", wish.topic, None, None, wish.from_number, last)


async def _over(connection: Connection, order: Order) -> Order:
    """Wait for the end of an order and show how far it is."""
    loop = asyncio.get_running_loop()
    next_line, alone = loop.time() + EVERY, False
    while not order.is_over:
        if order.state == "waiting" and not alone:
            alone = not await changes.is_leased(connection, changes.RELAY_LEASE)
            if alone:
                click.echo("no relay is running: the order waits for one", err=True)
        await asyncio.sleep(LOOK)
        found = await orders.find(connection, order.order_id)
        if found is None:
            raise FailedError(f"annologd: order {order.order_id} is gone")
        order = found
        if loop.time() >= next_line and order.state == "running":
            click.echo(f"{order.done} of {order.total} sent", err=True)
            next_line = loop.time() + EVERY
    return order


def _list(*, as_json: bool) -> None:
    async def work(connection: Connection) -> list[Order]:
        return await orders.latest(connection, LISTED)

    found = on_database(work, database.BULK)
    lines = [_line(order) for order in found] or ["there are no orders"]
    emit([_shown(order) for order in found], "\n".join(lines), as_json=as_json)


def _cancel(order_id: int, *, as_json: bool) -> None:
    async def work(connection: Connection) -> tuple[bool, Order | None]:
        done = await orders.cancel(connection, order_id)
        return done, await orders.find(connection, order_id)

    done, order = on_database(work, database.BULK)
    if order is None:
        raise FailedError(f"annologd: there is no order {order_id}")
    if not done:
        raise FailedError(f"annologd: order {order_id} is over: {order.state}")
    emit(_shown(order), _line(order), as_json=as_json)


def _who() -> str:
    return f"{getpass.getuser()}@{os.uname().nodename}"


def _line(order: Order) -> str:
    why = "" if order.reason is None else f": {order.reason}"
    return (
        f"{order.order_id}  {order.state}, {order.done} of {order.total} sent,"
        f" {order.wish.words}, by {order.ordered_by} at"
        f" {order.ordered_at:%Y-%m-%d %H:%M} UTC{why}"
    )


def _shown(order: Order) -> dict[str, Any]:
    wish = order.wish
    return {
        "order_id": order.order_id,
        "kind": wish.kind,
        "topic": wish.topic,
        "instrument": wish.instrument,
        "keys": wish.keys,
        "from": wish.from_number,
        "to": wish.to_number,
        "state": order.state,
        "reason": order.reason,
        "position": order.position,
        "done": order.done,
        "total": order.total,
        "ordered_by": order.ordered_by,
        "ordered_at": order.ordered_at,
        "started_at": order.started_at,
        "ended_at": order.ended_at,
    }
