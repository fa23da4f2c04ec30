"""`annolog dataidset`: data-ID sets, and lists of them that are kept in git."""

import contextlib
import json
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click
from typing_extensions import override

from annolog.domain.errors import NotFoundError
from annolog_client import _dataidset_text as text
from annolog_client._connection import Connection
from annolog_client._terminal import connected, emit, json_option

CHANGED = 1
"""Exit code of `diff`: the two are not the same."""
UNTOLD = 2
"""Exit code of `diff`: whether they are could not be told."""

NEWEST = "newest"
"""In place of a version's number."""

_SETS = "/data-id-sets"
_TYPES = {"json": "application/json", "csv": "text/csv", "ecsv": "text/x-ecsv"}


class SetVersion(NamedTuple):
    """A set and one of its versions, as people name them."""

    name: str
    version: str
    """Its number, number-DIGEST, a label, `newest` or `now`."""

    @property
    def path(self) -> str:
        """Where the service has it."""
        version = quote(self.version, safe="")
        return f"{_SETS}/{quote(self.name, safe='')}/versions/{version}"


class _SetVersionType(click.ParamType[SetVersion]):
    name = "NAME[@VERSION]"

    @override
    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> SetVersion:
        if isinstance(value, SetVersion):
            return value
        name, at, version = str(value).removeprefix("set:").partition("@")
        if not name or (at and not version):
            self.fail(f"{value!r} is not like DRP1-bad or DRP1-bad@3", param, ctx)
        return SetVersion(name, version or NEWEST)


_SET_VERSION = _SetVersionType()
_FORMAT = click.Choice(sorted(_TYPES))
_READABLE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

_reason = click.option("--reason", default="", help="Why; it is kept with the version.")
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Only show what would be added and dropped."
)
_parent = click.option(
    "--parent",
    type=click.IntRange(0),
    help="Fail if another version than this one is the newest (0: there is none).",
)


@click.group()
def dataidset() -> None:
    """Upload, build, compare, download and release data-ID sets.

    A version is named NAME@3, NAME@3-1F0A77C2 or NAME@LABEL; NAME alone is the newest.
    """


@dataidset.command()
@click.argument("name")
@click.argument("file", type=_READABLE)
@click.option(
    "--format",
    "written",
    type=_FORMAT,
    help="How the file is written.  [default: as its name ends]",
)
@click.option(
    "--instrument",
    help="Instrument of rows that name none.  [default: the newest version's]",
)
@_reason
@_parent
@_dry_run
@json_option
def upload(  # noqa: PLR0913 # numpydoc ignore=PR01
    *,
    name: str,
    file: Path,
    written: str | None,
    instrument: str | None,
    reason: str,
    parent: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a version of FILE (`-`: standard input), unless the newest says the same.

    Rows name exposures by exposure, obs_id, or day_obs and seq_num. Either all of them
    are taken or none; what is wrong is named with its line.
    """
    kind = _format_of(file, written)
    with click.open_file(str(file), "rb") as stream:
        content = stream.read()
    with connected() as connection:
        path = f"{_SETS}/{quote(name, safe='')}"
        wanted = instrument or _instrument(connection, path)
        answer = connection.post(
            f"{path}/versions",
            _asked(
                instrument=wanted, reason=reason or None, parent=parent, dry_run=dry_run
            ),
            content=content,
            content_type=_TYPES[kind],
        ).json()
    emit(answer, "\n".join(text.made_lines(name, answer)), as_json=as_json)


@dataidset.command()
@click.argument("name")
@click.option(
    "--recipe",
    type=_READABLE,
    help="The recipe, JSON or TOML.  [default: that of the newest version]",
)
@_reason
@_parent
@click.option(
    "--as-of",
    type=click.IntRange(0),
    help="What it gave as of this change of the service's log.  [default: now]",
)
@_dry_run
@json_option
def build(  # noqa: PLR0913 # numpydoc ignore=PR01
    *,
    name: str,
    recipe: Path | None,
    reason: str,
    parent: int | None,
    as_of: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make a version of what a recipe gives, unless the newest says the same."""
    wanted = _recipe(recipe) if recipe is not None else None
    with connected() as connection:
        answer = connection.post(
            f"{_SETS}/{quote(name, safe='')}/build",
            _asked(as_of=as_of, parent=parent, dry_run=dry_run),
            json={"recipe": wanted, "reason": reason},
        ).json()
    emit(answer, "\n".join(text.made_lines(name, answer)), as_json=as_json)


@dataidset.command()
@click.argument("old", type=_SET_VERSION)
@click.argument("new", default="now")
@json_option
def diff(*, old: SetVersion, new: str, as_json: bool) -> None:  # numpydoc ignore=PR01
    """Compare a version with another one, or with what its recipe gives now.

    NEW is a version's number or label, `newest` or `now`. Ends with 0 if they are the
    same, with 1 if they are not, and with 2 if that could not be told.
    """
    name, at, new = new.removeprefix("set:").rpartition("@")
    if at and name != old.name:
        raise click.UsageError(f"only versions of {old.name} can be compared with it")
    with connected(failed=UNTOLD) as connection:
        answer = connection.get(f"{old.path}/diff", {"to": new}).json()
    head = f"{old.name}@{old.version} -> {new}: {text.counts(answer)}"
    lines = [head, *text.difference_lines(answer)]
    emit(answer, "\n".join(lines), as_json=as_json)
    if answer["changed"]:
        raise SystemExit(CHANGED)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@json_option
def drift(*, version: SetVersion, as_json: bool) -> None:  # numpydoc ignore=PR01
    """Show what the recipe gives now, and what was said since a version was made."""
    with connected() as connection:
        answer = connection.get(f"{version.path}/drift").json()
    emit(answer, "\n".join(text.drift_lines(answer)), as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@json_option
def why(*, version: SetVersion, as_json: bool) -> None:  # numpydoc ignore=PR01
    """Show why each row is in a version: flag, tags, comments, statements."""
    with connected() as connection:
        answer = connection.get(f"{version.path}/why").json()
    emit(answer, "\n".join(text.why_lines(answer)), as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@click.option(
    "--format",
    "written",
    type=_FORMAT,
    help="How it is written.  [default: as the file's name ends, else ecsv]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; it is left alone if it says the same.  [default: print]",
)
@json_option
def download(  # numpydoc ignore=PR01
    *, version: SetVersion, written: str | None, output: Path | None, as_json: bool
) -> None:
    """Write a version, sorted by data ID: the same bytes every time."""
    if output is None and as_json:
        raise click.UsageError("--json tells what was written: name a file with -o")
    kind = written or (_format_of(output, None) if output is not None else "ecsv")
    with connected() as connection:
        found = connection.get(version.path).json()
        # The very version that was found, whatever is made in between.
        exact = SetVersion(version.name, found["key"].rpartition("@")[2])
        content = connection.get(f"{exact.path}/rows", {"format": kind}).content
    if output is None:
        click.echo(content, nl=False)
        return
    changed = not output.exists() or output.read_bytes() != content
    if changed:
        _replace(output, content)
    what = "written" if changed else "unchanged"
    told = {
        "file": str(output),
        "changed": changed,
        **{name: found[name] for name in ("key", "version", "digest", "row_count")},
    }
    rows = text.rows(found["row_count"])
    line = f"{output}: {what}, {rows} of {text.version_name(found)}"
    emit(told, line, as_json=as_json)


@dataidset.command("list")
@click.argument("name", required=False)
@json_option
def list_command(*, name: str | None, as_json: bool) -> None:  # numpydoc ignore=PR01
    """List all sets, or the versions of one, the newest first."""
    with connected() as connection:
        if name is None:
            items = [*_pages(connection, _SETS, "items")]
            lines = [text.set_line(one) for one in items]
        else:
            path = f"{_SETS}/{quote(name, safe='')}"
            items = [*_pages(connection, path, "versions")]
            lines = [text.version_line(one) for one in items]
    emit(items, "\n".join(lines) or "there are none", as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@click.argument("label")
@_reason
@json_option
def release(  # numpydoc ignore=PR01
    *, version: SetVersion, label: str, reason: str, as_json: bool
) -> None:
    """Release a version under a label, as a curator; it is watched for drift then."""
    with connected() as connection:
        draft = {"label": label, "reason": reason}
        answer = connection.post(f"{version.path}/release", json=draft).json()
    emit(answer, f"{text.version_name(answer)} is released as {label}", as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@_reason
@json_option
def withdraw(  # numpydoc ignore=PR01
    *, version: SetVersion, reason: str, as_json: bool
) -> None:
    """Take the release of a version back, as a curator; the version stays."""
    with connected() as connection:
        body = {"reason": reason}
        answer = connection.post(f"{version.path}/withdraw", json=body).json()
    emit(answer, f"{text.version_name(answer)} is not released", as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@click.option("--reason", required=True, help="Why; it is kept and shown to everybody.")
@click.option(
    "--rows",
    type=_READABLE,
    help="JSON list of the data IDs whose words go.  [default: all, and the reason]",
)
@click.option("--dry-run", is_flag=True, help="Only show where the words are.")
@json_option
def redact(  # numpydoc ignore=PR01
    *,
    version: SetVersion,
    reason: str,
    rows: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take the words out of a version for good, as an admin; its data IDs stay.

    Tells which versions share its rows and lose their words too, and which others of
    the set hold the same words: those must be named in turn.
    """
    draft = {"reason": reason, "data_ids": None if rows is None else _json(rows)}
    with connected() as connection:
        answer = connection.post(
            f"{version.path}/redact", _asked(dry_run=dry_run), json=draft
        ).json()
    emit(answer, "\n".join(text.redacted_lines(answer)), as_json=as_json)


@dataidset.command()
@click.argument("name")
@click.option("--owner", help="Whose the set is from now on.  [default: as it is]")
@click.option(
    "--editor",
    "editors",
    multiple=True,
    help="Who may make versions too; repeat it for all of them.  [default: as it is]",
)
@click.option("--no-editors", is_flag=True, help="Nobody but the owner.")
@_reason
@json_option
def share(  # numpydoc ignore=PR01
    *,
    name: str,
    owner: str | None,
    editors: tuple[str, ...],
    no_editors: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Say who keeps a set: its owner and editors."""
    if editors and no_editors:
        raise click.UsageError("--editor and --no-editors exclude each other")
    draft: dict[str, object] = {"owner": owner, "reason": reason}
    if editors or no_editors:
        draft["editors"] = list(editors)
    with connected() as connection:
        path = f"{_SETS}/{quote(name, safe='')}/access"
        answer = connection.put(path, draft).json()
    editing = ", ".join(answer["editors"]) or "nobody else"
    line = f"{name}: kept by {answer['owner']}, edited by {editing}"
    emit(answer, line, as_json=as_json)


# ------------------------------------------------------------------ what is sent


def _asked(**query: str | int | None) -> dict[str, str | int]:
    # What is false or was not given goes without saying.
    return {
        name: "true" if value is True else value
        for name, value in query.items()
        if value is not None and value is not False
    }


def _format_of(file: Path, written: str | None) -> str:
    kind = written or file.suffix.removeprefix(".").lower()
    if kind not in _TYPES:
        raise click.UsageError(
            f"{file} ends neither with .json nor .csv nor .ecsv: say --format"
        )
    return kind


def _instrument(connection: Connection, path: str) -> str | None:
    # A list without that column is of the same instrument as the version before.
    with contextlib.suppress(NotFoundError):
        versions = connection.get(path, {"limit": 1}).json()["versions"]
        found: str | None = versions[0]["instrument"] if versions else None
        return found
    return None


def _recipe(file: Path) -> Any:  # noqa: ANN401 - the service judges what it is
    with click.open_file(str(file), "rb") as stream:
        content = stream.read()
    try:
        said = content.decode()
        return tomllib.loads(said) if file.suffix == ".toml" else json.loads(said)
    except ValueError as error:
        raise click.UsageError(f"{file} cannot be read as a recipe: {error}") from None


def _json(file: Path) -> Any:  # noqa: ANN401 - the service judges what it is
    with click.open_file(str(file), "rb") as stream:
        content = stream.read()
    try:
        return json.loads(content)
    except ValueError as error:
        raise click.UsageError(f"{file} is no JSON: {error}") from None


def _pages(connection: Connection, path: str, member: str) -> Iterator[text.Shown]:
    cursor: dict[str, str | int] = {}
    while True:
        page = connection.get(path, {"limit": 1_000, **cursor}).json()
        yield from page[member]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def _replace(file: Path, content: bytes) -> None:
    # Whole or not at all: what reads the list may come at any time.
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        mode = file.stat().st_mode if file.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
