"""`annologd consume`: see what the topics say, as any consumer sees it."""

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from annolog import settings
from annolog.cli import brokers
from annolog.domain.errors import AnnologError
from annolog.domain.events import Event
from annolog.stream.consume import Start, Until, follow
from annolog.stream.topics import Topics

_SHOWN_TARGETS = 3
_SHOWN_TEXT = 60
_BY_ID = frozenset({"revision", "review", "redaction", "target_list"})


def _start(_ctx: click.Context, _param: click.Parameter, value: str) -> Start:
    """Read where to begin."""
    match value:
        case "beginning" | "now":
            return value
        case _ if value.isascii() and value.isdigit():
            return int(value)
        case _:
            raise click.BadParameter(
                f"{value!r} is none of: beginning, now, a change number"
            )


@click.command("consume")
@click.option(
    "--topic",
    type=click.Choice(["changes", "targets"]),
    default="changes",
    show_default=True,
    help="The log of changes, or the states of targets.",
)
@click.option(
    "--from",
    "start",
    callback=_start,
    default="now",
    show_default=True,
    metavar="beginning|now|NUMBER",
    help="Where to begin; a number is that of the first change wanted.",
)
@click.option("--json", "as_json", is_flag=True, help="One CloudEvents event a line.")
@click.option("--max", "most", type=click.IntRange(1), help="End after so many events.")
@click.option(
    "--timeout",
    type=click.FloatRange(0),
    help="End when nothing came for so many seconds.  [default: never]",
)
@click.option("--bootstrap", help="host:port  [default: ANNOLOG_KAFKA_BOOTSTRAP]")
def consume(
    topic: str,
    start: Start,
    as_json: bool,  # noqa: FBT001 # click passes options by name
    most: int | None,
    timeout: float | None,
    bootstrap: str | None,
) -> None:
    """Show events from Kafka, one a line, as they come."""
    chosen = settings.load()
    bootstrap = bootstrap or chosen.kafka_bootstrap
    if not bootstrap:
        raise click.UsageError(
            "ANNOLOG_KAFKA_BOOTSTRAP is not set: say --bootstrap host:port"
        )
    topics = Topics.named(chosen.kafka_topic_prefix)
    name = topics.changes if topic == "changes" else topics.targets
    access = brokers.access(chosen, bootstrap)
    try:
        # Closed at once, not when the generator is collected: it ends a connection.
        with contextlib.closing(
            follow(access, name, start=start, until=Until(idle=timeout))
        ) as received:
            for count, one in enumerate(received, start=1):
                if as_json:
                    click.echo(one.event.structured())
                else:
                    click.echo(line(one.event))
                if count == most:
                    break
    except AnnologError as error:
        raise click.ClickException(error.detail) from None
    except KeyboardInterrupt:
        sys.exit(0)


def line(event: Event) -> str:
    """Tell an event in one line, for people.

    Parameters
    ----------
    event
        Of either topic.

    Returns
    -------
    str
        Time, number, what happened; then author, flag, tags, targets and text of a
        change, or key, flag and tags of a state. Line breaks within are blanks.
    """
    what = event.type.removeprefix("org.lsst.annolog.").removesuffix(".v1")
    head = [event.attributes.get("time", "-")[:23] + "Z", f"#{event.number}", what]
    body = event.body()
    rest: Iterable[str]
    if body is None:
        rest = [event.key]
    elif "after" in body:
        rest = _change_words(body)
    else:
        rest = _state_words(body)
    return " ".join("  ".join([*head, *filter(None, rest)]).split("\n"))


def _change_words(body: Mapping[str, Any]) -> Iterable[str]:
    after = body["after"] or {}
    actor = body["actor"] or {}
    author = after.get("author") or actor.get("id") or ""
    targets = body["targets"] or {}
    yield f"by {author}" if author else ""
    # An annotation's or list's own id says nothing to people; a target's key does.
    yield str(body["subject"]) if body["kind"] not in _BY_ID else ""
    yield after.get("flag") or ""
    yield _words(after.get("tags"))
    yield _keys("", targets.get("added", ()), targets.get("added_count", 0))
    yield _keys("without ", targets.get("removed", ()), targets.get("removed_count", 0))
    text = " ".join((after.get("text") or "").split())
    yield (text[:_SHOWN_TEXT] + "…") if len(text) > _SHOWN_TEXT else text


def _state_words(body: Mapping[str, Any]) -> Iterable[str]:
    yield str(body.get("key"))
    yield body.get("flag") or "no flag"
    yield "disputed" if body.get("disputed") else ""
    yield "bots differ" if body.get("bots_differ") else ""
    yield _words(body.get("tags"))
    yield f"{body.get('notes', 0)} notes"


def _words(tags: Any) -> str:  # noqa: ANN401 # a member of a foreign JSON object
    return f"[{', '.join(map(str, tags))}]" if tags else ""


def _keys(before: str, keys: Any, count: int) -> str:  # noqa: ANN401 # as above
    shown = list(keys)[:_SHOWN_TARGETS]
    if not shown:
        return ""
    more = f" +{count - len(shown)}" if count > len(shown) else ""
    return before + " ".join(map(str, shown)) + more
