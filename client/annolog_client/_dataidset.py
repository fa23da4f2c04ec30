"""`annolog dataidset`: data-ID sets, and lists of them that are kept in git."""

from collections.abc import Callable
from pathlib import Path

import click

from annolog_client import _dataidset_text as text
from annolog_client._dataidset_sent import (
    TYPES,
    asked,
    format_of,
    instrument_before,
    json_in,
    recipe_in,
    telling_of_instruments,
)
from annolog_client._files import put, require_folder
from annolog_client._terminal import connected, emit, json_option, put_out
from annolog_client._versions import (
    SETS,
    SetVersion,
    SetVersionType,
    hinting,
    pages,
    set_path,
)

CHANGED = 1
"""Exit code of `diff`: the two are not the same."""
UNTOLD = 2
"""Exit code of `diff`: whether they are could not be told."""

_SET_VERSION = SetVersionType()
_FORMAT = click.Choice(sorted(TYPES))
_READABLE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)

_STDOUT = Path("-")

_reason = click.option("--reason", default="", help="Why; it is kept with the version.")
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Only show what would be added and dropped."
)
_parent = click.option(
    "--parent",
    type=click.IntRange(0),
    metavar="NUMBER",
    help="Fail unless this version is still the newest (0: there is none yet).",
)


def _extent(command: Callable[..., None]) -> Callable[..., None]:
    """Let people say how much is printed of what has a line a row."""
    every = click.option(
        "--all",
        "most",
        flag_value=text.ALL,
        type=int,
        help=f"Print every row, not only the first {text.MOST} of each kind.",
    )
    none = click.option(
        "--quiet",
        "-q",
        "most",
        flag_value=text.NONE,
        type=int,
        default=text.MOST,
        help="Print one line with the numbers, and no rows.",
    )
    return every(none(command))


@click.group()
def dataidset() -> None:
    """Upload, build, compare, download and release data-ID sets.

    A data-ID set is a named table of data IDs, a list of bad exposures for instance, in
    numbered versions that never change. A version is made of a file (upload) or of what
    was said of exposures, as a recipe picks it (build).

    Where a command takes a VERSION, write NAME@3, NAME@3-1F0A77C2 (with its digest) or
    NAME@LABEL (as which it is released); NAME alone is the newest.
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
@_extent
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
    most: int,
    as_json: bool,
) -> None:
    """Make a version of a file.

    FILE is CSV, ECSV or JSON; `-` is standard input. Its columns exposure, or obs_id,
    or day_obs and seq_num, name exposures; detector, visit, tract and other dimensions
    are taken too, and further columns are kept. Either all rows are taken or none; what
    is wrong is named with its line. Nothing is made if the newest version says the
    same.

    \b
    The first upload of a set makes it:
      annolog dataidset upload bad bad.csv --instrument LSSTCam
    """  # noqa: D301 - click looks for that character
    kind = format_of(file, written)
    with click.open_file(str(file), "rb") as stream:
        content = stream.read()
    with connected() as connection, telling_of_instruments():
        path = set_path(name)
        wanted = instrument or instrument_before(connection, path)
        answer = connection.post(
            f"{path}/versions",
            asked(
                instrument=wanted, reason=reason or None, parent=parent, dry_run=dry_run
            ),
            content=content,
            content_type=TYPES[kind],
        ).json()
    emit(answer, "\n".join(text.made_lines(name, answer, most)), as_json=as_json)


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
    metavar="NUMBER",
    help="What it gave after this change of the service's log.  [default: now]",
)
@_dry_run
@_extent
@json_option
def build(  # noqa: PLR0913 # numpydoc ignore=PR01
    *,
    name: str,
    recipe: Path | None,
    reason: str,
    parent: int | None,
    as_of: int | None,
    dry_run: bool,
    most: int,
    as_json: bool,
) -> None:
    """Make a version of what a recipe gives.

    A recipe says by which flags and tags rows are found. Nothing is made if the newest
    version says the same.

    \b
    The first build of a set makes it:
      annolog dataidset build bad --recipe bad.toml
    where bad.toml may be
      instrument = "LSSTCam"
      [[parts]]
      name = "junk"
      query = { flags = ["junk"], day_obs_min = 20261101 }
    """  # noqa: D301 - click looks for that character
    wanted = recipe_in(recipe) if recipe is not None else None
    with connected() as connection, hinting(connection, name):
        answer = connection.post(
            f"{set_path(name)}/build",
            asked(as_of=as_of, parent=parent, dry_run=dry_run),
            json={"recipe": wanted, "reason": reason},
        ).json()
    emit(answer, "\n".join(text.made_lines(name, answer, most)), as_json=as_json)


@dataidset.command()
@click.argument("old", type=_SET_VERSION)
@click.argument("new", default="now")
@_extent
@json_option
def diff(  # numpydoc ignore=PR01
    *, old: SetVersion, new: str, most: int, as_json: bool
) -> None:
    """Compare a version with what its recipe gives now, or with another one.

    OLD is NAME@3 or NAME@LABEL; NAME alone is the newest. NEW is a version of the same
    set, by its number or label, or `newest`, or one of another set as OTHER@3; without
    it, or with `now`, it is what the recipe of OLD gives now.

    Ends with 0 if they are the same, with 1 if they are not, and with 2 if that could
    not be told.
    """
    name, _, version = new.removeprefix("set:").rpartition("@")
    if name in {"", old.name}:
        new = version
    with (
        connected(failed=UNTOLD) as connection,
        hinting(connection, old.name, old.version, new),
    ):
        answer = connection.get(f"{old.path}/diff", {"to": new}).json()
    head = f"{old.name}@{old.version} -> {new}: {text.counts(answer)}"
    lines = [head, *text.difference_lines(answer, most)]
    emit(answer, "\n".join(lines), as_json=as_json, failed=UNTOLD)
    if answer["changed"]:
        raise SystemExit(CHANGED)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@_extent
@json_option
def drift(  # numpydoc ignore=PR01
    *, version: SetVersion, most: int, as_json: bool
) -> None:
    """Tell how a version came to differ from its recipe.

    Shows what the recipe gives now, as `diff` does, and what was said of these rows
    since the version was made.
    """
    with connected() as connection, hinting(connection, *version):
        answer = connection.get(f"{version.path}/drift").json()
    emit(answer, "\n".join(text.drift_lines(answer, most)), as_json=as_json)


@dataidset.command()
@click.argument("version", type=_SET_VERSION)
@json_option
def why(*, version: SetVersion, as_json: bool) -> None:  # numpydoc ignore=PR01
    """Show why each row is in a version.

    For each row: the parts of the recipe that gave it, with the flag, tags, comments
    and ids of the statements behind it. Then what was left out.
    """
    with connected() as connection, hinting(connection, *version):
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
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="File to write; it is left alone if it says the same.  [default: `-`, print]",
)
@json_option
def download(  # numpydoc ignore=PR01
    *, version: SetVersion, written: str | None, output: Path | None, as_json: bool
) -> None:
    """Print or write the rows of a version.

    They are sorted by data ID, the same bytes every time, so the file is fit for git. A
    file is written whole or not at all.
    """
    if output == _STDOUT:
        output = None
    if output is None and as_json:
        raise click.UsageError("--json tells what was written: name a file with -o")
    kind = written or (format_of(output, None) if output is not None else "ecsv")
    if output is not None:
        require_folder(output)
    with connected() as connection, hinting(connection, *version):
        found = connection.get(version.path).json()
        # The very version that was found, whatever is made in between.
        exact = SetVersion(version.name, text.version_of(found))
        content = connection.get(f"{exact.path}/rows", {"format": kind}).content
    if output is None:
        put_out(content)
        return
    changed = put(output, content)
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
    """List all sets; with NAME its versions, the newest first."""
    with connected() as connection:
        if name is None:
            items = [*pages(connection, SETS, "items")]
            lines = [text.set_line(one) for one in items]
        else:
            path = set_path(name)
            items = [*pages(connection, path, "versions")]
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
    """Release a version under a label, as DRP1.

    For curators. A label is one version's at a time. If the version was built from a
    recipe, the service tells from now on when that would give other rows.
    """
    with connected() as connection, hinting(connection, *version):
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
    """Take the release of a version back.

    For curators. The version stays; its label is free again. Says so if it was not
    released, which is no failure.
    """
    with connected() as connection, hinting(connection, *version):
        found = connection.get(version.path).json()
        # The very version that was found: its label is nobody's soon.
        exact = SetVersion(version.name, text.version_of(found))
        body = {"reason": reason}
        answer = connection.post(f"{exact.path}/withdraw", json=body).json()
    name, label = text.version_name(answer), found["label"]
    line = (
        f"{name} was not released; nothing to withdraw"
        if label is None
        else f"{name} is not released as {label} any more"
    )
    emit(answer, line, as_json=as_json)


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
    """Take the words out of a version for good.

    For admins. Its data IDs stay. Tells which versions share its rows and lose their
    words too, and which others of the set hold the same words: those must be named in
    turn.
    """
    draft = {"reason": reason, "data_ids": None if rows is None else json_in(rows)}
    with connected() as connection, hinting(connection, *version):
        answer = connection.post(
            f"{version.path}/redact", asked(dry_run=dry_run), json=draft
        ).json()
    emit(answer, "\n".join(text.redacted_lines(answer)), as_json=as_json)


@dataidset.command()
@click.argument("name")
@click.option("--owner", help="Whose the set is from now on.  [default: as it is]")
@click.option(
    "--editor",
    "editors",
    multiple=True,
    help="Who may make versions too, in place of all editors so far; repeatable."
    "  [default: as it is]",
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
    """Say who may make versions of a set.

    For its owner and curators. The owner is who made the first version, until another
    is named.
    """
    if editors and no_editors:
        raise click.UsageError("--editor and --no-editors exclude each other")
    draft: dict[str, object] = {"owner": owner, "reason": reason}
    if editors or no_editors:
        draft["editors"] = list(editors)
    with connected() as connection:
        path = f"{set_path(name)}/access"
        answer = connection.put(path, draft).json()
    editing = ", ".join(answer["editors"]) or "nobody else"
    line = f"{name}: kept by {answer['owner']}, edited by {editing}"
    emit(answer, line, as_json=as_json)
