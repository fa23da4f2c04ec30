"""openapi.yaml at the top of the repository is the contract of the running service."""

from pathlib import Path

import yaml
from click.testing import CliRunner

from annolog.api.openapi import document
from annolog.app import create_app
from annolog.cli import openapi
from annolog.settings import Settings

FILE = Path(__file__).parents[2] / "openapi.yaml"


def test_the_file_is_what_the_application_does() -> None:
    found = FILE.read_text(encoding="utf-8")
    assert found == openapi.contract(), "run: annologd openapi"
    assert yaml.safe_load(found) == document(create_app(Settings()))


def test_the_contract_is_written_the_same_every_time() -> None:
    assert openapi.contract() == openapi.contract()


def test_every_reference_leads_somewhere() -> None:
    found = document(create_app(Settings()))
    for reference in _references(found):
        place = found
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def _references(value: object) -> list[str]:
    match value:
        case {"$ref": str(reference)}:
            return [reference]
        case dict():
            return [one for member in value.values() for one in _references(member)]
        case list():
            return [one for member in value for one in _references(member)]
        case _:
            return []


def test_a_stale_file_is_told_and_a_fresh_one_written(tmp_path: Path) -> None:
    path = tmp_path / "openapi.yaml"
    run = CliRunner().invoke

    assert run(openapi.command, ["--check", "--output", str(path)]).exit_code == 1
    path.write_text("openapi: 3.1.0\n", encoding="utf-8")
    stale = run(openapi.command, ["--check", "--output", str(path)])
    assert stale.exit_code == 1
    assert "run annologd openapi" in stale.output
    assert run(openapi.command, ["--output", str(path)]).exit_code == 0
    assert run(openapi.command, ["--check", "--output", str(path)]).exit_code == 0
    assert run(openapi.command, ["--output", "-"]).output == path.read_text("utf-8")
