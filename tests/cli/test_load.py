"""`annologd load` and `annologd sample`: lists become annotations, once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from annolog.cli import load
from annolog.cli.main import main

LIST = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: exposure, datatype: uint64}
# - {name: comment, datatype: string}
# delimiter: ','
# schema: astropy-2.0
exposure,comment
2024110500234, i donuts
2024110500236, i donuts
2024110600163, r slew during exposure
2024110600178,"tracking, stopped"
2024110500234, i donuts
"""

Run = Callable[..., Result]


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("ANNOLOG_DATABASE_URL", database_url)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, arguments)

    return invoke


def test_read_rows_keeps_comments_to_the_letter() -> None:
    rows = load.read_rows(LIST.splitlines())
    assert [row.comment for row in rows] == [
        " i donuts",
        " i donuts",
        " r slew during exposure",
        "tracking, stopped",
        " i donuts",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the list is empty"),
        ("exposure,words\n1,a\n", "no column comment"),
        ("exposure,comment\n12,a\nx13,b\n", "line 3: 'x13' is no exposure id"),
        ("exposure,comment\n12\n", "line 2 has 1 columns"),
    ],
)
def test_read_rows_names_the_line_that_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load.read_rows(text.splitlines())


def test_a_list_becomes_one_annotation_for_each_comment_and_only_once(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "bad.ecsv"
    file.write_text(LIST)
    arguments = (str(file), "--instrument", "LSSTComCam", "--author", "lists", "--json")
    first = json.loads(run("load", *arguments).stdout)
    assert first == {
        "exposures": 4,
        "annotations": 3,
        "created": 3,
        "nights": {"20241105": 2, "20241106": 2},
    }
    again = json.loads(run("load", *arguments).stdout)
    assert again == {**first, "created": 0}


def test_a_list_with_a_wrong_id_loads_nothing(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("exposure,comment\n2024110500234,a\n77,b\n")
    done = run("load", str(file), "--instrument", "LSSTComCam", "--author", "lists")
    assert done.exit_code == 1
    assert "77" in done.stderr
    file.write_text("exposure,comment\n2024110500234,a\n")
    arguments = (str(file), "--instrument", "LSSTComCam", "--author", "lists", "--json")
    assert json.loads(run("load", *arguments).stdout)["created"] == 1


def test_the_sample_night_is_the_same_after_a_second_load(run: Run) -> None:
    first = json.loads(run("sample", "--json").stdout)
    assert first["exposures"] == 314
    assert json.loads(run("sample", "--json").stdout) == first
    check = run("check", "--json")
    assert check.exit_code == 0, check.output
