"""An exporter that is killed, and one beside another: the tables are always whole."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from lsst.daf.butler import Butler

from annolog.butler import layout
from annolog.butler.exporter import Exporter
from annolog.butler.layout import LAYOUTS
from annolog.butler.reader import Reader
from annolog.butler.scopes import Scope
from annolog.butler.tables import Tables
from annolog.domain.snapshots import write
from tests.support.butlers import CAMERA, MadeButler
from tests.support.relay import PATH
from tests.support.snapshots import TAKEN, Lines

MANY = 300


def written(lines: Lines, path: Path) -> Path:
    encoded = [msgspec.json.encode(one) + b"\n" for one in lines.lines]
    path.write_bytes(write(lines.head) + b"".join(encoded))
    return path


def started(repo: str, path: Path, moment: int = -1) -> "subprocess.Popen[str]":
    """Start an exporter that kills itself the so manieth time that it tells."""
    words = ["tests.support.killed_exporter", repo, str(path), str(moment)]
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=os.environ | {"PYTHONPATH": PATH},
        stdout=subprocess.PIPE,
        text=True,
    )


def content(uri: str) -> dict[str, set[tuple[object, ...]]]:
    with Butler.from_config(uri, writeable=False) as butler:
        tables = Tables(butler)
        tables.open()
        return {
            name: set(tables.rows(name, one.names))
            for name, one in LAYOUTS.items()
            if name != layout.SNAPSHOT
        }


def number(uri: str) -> int:
    with Butler.from_config(uri, writeable=False) as butler:
        return Reader(butler).number


@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_an_exporter_that_is_killed_leaves_the_old_state(
    tmp_path: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url = None
    if database == "PostgreSQL":
        url = request.getfixturevalue("registry_url")
    made = MadeButler.create(tmp_path / "repo", database=url)
    made.take(range(1, MANY + 1))
    keys = [f"exposure:{CAMERA}/{2026011500000 + n}" for n in range(1, MANY + 1)]
    lines = Lines()
    for key in keys:
        lines.say(key, tags=["vignetting"])
    Exporter(made.butler, Scope(), now=lambda: TAKEN).export(lines.head, lines.lines)
    before = content(made.uri)
    lines.said.clear()
    for key in keys[:-50]:
        lines.say(key, flag="questionable", tags=["donuts"])
    path = written(lines, tmp_path / "lines")
    # Each of six tables has rows to remove, to change or to add, in pieces of 50.
    for moment in random.Random(20260115).sample(range(1, 40), 3):
        with started(made.uri, path, moment) as process:
            assert process.wait() == -signal.SIGKILL
        assert content(made.uri) == before
        assert number(made.uri) == MANY
    # And the next one does all of it.
    with started(made.uri, path) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) > 39
    assert number(made.uri) == lines.number
    assert len(content(made.uri)[layout.states("exposure")]) == MANY - 50
    made.close()


def test_two_exporters_at_once_leave_what_the_later_one_wants(
    tmp_path: Path, registry_url: str
) -> None:
    made = MadeButler.create(tmp_path / "repo", database=registry_url)
    made.take(range(1, MANY + 1))
    keys = [f"exposure:{CAMERA}/{2026011500000 + n}" for n in range(1, MANY + 1)]
    lines = Lines()
    lines.say(*keys, tags=["vignetting"])
    path = written(lines, tmp_path / "lines")
    both = [started(made.uri, path) for _ in range(2)]
    for process in both:
        with process:
            assert process.wait() == 0
    found = content(made.uri)
    assert len(found[layout.states("exposure")]) == MANY
    assert len(found[layout.STATEMENT]) == 1
    made.close()
