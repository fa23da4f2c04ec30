"""`annologd export collections` and `where`: rules become what pipelines search.

The butler's library is imported only when a command has to do with a butler.
"""

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from annolog.butler import rulefiles
from annolog.butler.registries import require_library
from annolog.butler.rulefiles import RulesError
from annolog.butler.rules import Rules
from annolog.cli.main import FAILED, WrongUseError, emit, json_option
from annolog.runtime import now

SHOWN = 20
"""Conflicts, and data IDs that are not here, that are printed of a rule; `--json` gives
all of them."""

_Command = Callable[..., None]


def _options(command: _Command) -> _Command:
    for option in (
        click.option(
            "--rules",
            "file",
            required=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="A file of rules, YAML or TOML.",
        ),
        click.option(
            "--repo", required=True, metavar="URI", help="The repository, on its disk."
        ),
    ):
        command = option(command)
    return command


@click.command("collections")
@_options
@click.option(
    "--rule", "names", multiple=True, help="Only this rule; repeatable. Default: all."
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be done, and change nothing."
)
@click.option(
    "--check",
    is_flag=True,
    help="Say which collections are stale, and change nothing; ends with 1 if one is.",
)
@click.option(
    "--max-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="With --check: how old the snapshot in a collection may be.  [default: not"
    " older than the one in the tables]",
)
@json_option
def collections(  # noqa: PLR0913 - options  # numpydoc ignore=PR01,RT01
    *,
    repo: str,
    file: Path,
    names: tuple[str, ...],
    dry_run: bool,
    check: bool,
    max_age: float | None,
    as_json: bool,
) -> None:
    """Fill TAGGED collections by rules, from what was exported into the repository.

    Only what differs is added and removed, in one transaction a collection. A dataset
    in whose place another one stands, and data IDs that are not here, are told and keep
    nothing else from being done. The collection of a rule that cannot be followed, or
    asks for what was not exported, is left as it was; the command then ends with 1.
    """
    wanted = _read(file, names)
    if max_age is not None and not check:
        raise WrongUseError("annologd: --max-age is for --check")
    if check:
        limit = None if max_age is None else timedelta(hours=max_age)
        _check(repo, wanted, limit, as_json=as_json)
        return
    done = []
    for refreshed in _ruled().refresh(repo, wanted, now, dry=dry_run):
        one = asdict(refreshed)
        done.append(one)
        if not as_json:
            click.echo("\n".join(_lines(one)))
    if as_json:
        emit({"dry_run": dry_run, "rules": done}, "", as_json=True)
    if any(one["error"] is not None for one in done):
        raise SystemExit(FAILED)


@click.command("where")
@_options
@click.option("--rule", "name", required=True, help="The rule that is to be written.")
@click.option(
    "--dataset-type", help="One of the rule's dataset types. Default: its first."
)
@click.option(
    "--literal",
    is_flag=True,
    help="Put the ids into the text, as pipetask's -d needs them; 500 at most.",
)
@json_option
def where(
    *,
    repo: str,
    file: Path,
    name: str,
    dataset_type: str | None,
    literal: bool,
    as_json: bool,
) -> None:
    """Write a rule as an expression of the butler's, for one query.

    Prints the expression, and on a second line the values to be bound, if there are
    any. Refuses, with the way that works, where an expression cannot say it or would be
    too long.
    """
    wanted = _read(file, [name])
    number, written = _ruled().write(repo, wanted, dataset_type, literal=literal)
    text = written.where
    if written.bind:
        text += "\n" + json.dumps(written.bind)
    emit({**asdict(written), "snapshot": number}, text, as_json=as_json)
    for warning in written.warnings:
        click.echo(f"warning: {warning}", err=True)
    if written.lasting:
        numbers = ", ".join(map(str, written.lasting))
        click.echo(
            f"flagged for a time: detector {numbers}; the expression names what was"
            " taken in that time and is here now, and nothing that comes later",
            err=True,
        )


def _read(file: Path, names: tuple[str, ...] | list[str]) -> Rules:
    try:
        return rulefiles.only(rulefiles.read(file), names)
    except RulesError as error:
        raise WrongUseError(error.detail) from None


def _ruled() -> ModuleType:
    # By name: it brings the library with it, and all other commands do without.
    require_library()
    return importlib.import_module("annolog.butler.ruled")


def _check(repo: str, wanted: Rules, limit: timedelta | None, *, as_json: bool) -> None:
    number, found = _ruled().check(repo, wanted, now(), limit)
    emit(
        {"snapshot": number, "rules": [asdict(one) for one in found]},
        "\n".join(
            f"{one.collection}: {f'stale: {one.reason}' if one.reason else 'fresh'}"
            for one in found
        ),
        as_json=as_json,
    )
    if any(one.reason is not None for one in found):
        raise SystemExit(FAILED)


def _lines(done: dict[str, Any]) -> Iterator[str]:
    place = f"{done['rule']}: {done['collection']}"
    if done["error"] is not None:
        yield f"{place}: not done: {done['error']}"
        return
    counts = (f"{done[word]} {word}" for word in ("added", "removed", "kept"))
    yield f"{place}: {', '.join(counts)}"
    yield from (f"  warning: {one}" for one in done["warnings"])
    if conflicts := done["conflicts"]:
        yield f"  {len(conflicts)} in whose place another stands:"
        yield from _some(
            [f"{_named(one)}: {one['left']} beside {one['kept']}" for one in conflicts]
        )
    if unresolved := done["unresolved"]:
        yield f"  {len(unresolved)} data IDs that are not here:"
        yield from _some([_named(one) for one in unresolved])


def _named(one: dict[str, Any]) -> str:
    data_id = ", ".join(f"{key}={value}" for key, value in one["data_id"].items())
    return f"{one['dataset_type']} of {data_id}"


def _some(lines: list[str]) -> Iterator[str]:
    yield from (f"    {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"    and {len(lines) - SHOWN} more; --json gives all"
