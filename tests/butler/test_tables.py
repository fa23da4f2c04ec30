"""The tables in butlers: what is private is there, and who may do what."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from lsst.daf.butler import Butler, ButlerConfig
from lsst.daf.butler import __version__ as butler_version

from annolog.butler import layout, open_reader, tables
from annolog.butler.exporter import Exporter
from annolog.butler.reader import StaleError
from annolog.butler.scopes import Scope
from annolog.butler.tables import PRIVATE, TRIED, NoTablesError, Tables, TablesError
from tests.support.butlers import CAMERA, MadeButler
from tests.support.commands import SERVICE
from tests.support.postgres import PostgresServer
from tests.support.snapshots import TAKEN, Lines

EXPOSURE = f"exposure:{CAMERA}/2026011500001"


def some_lines(made: MadeButler) -> Lines:
    lines = Lines()
    raws = made.ingest([2026011500001])
    lines.say(EXPOSURE, f"dataset:{raws[0].id}", tags=["vignetting"])
    return lines


def export(butler: Butler, lines: Lines) -> None:
    Exporter(butler, Scope(), now=lambda: TAKEN).export(lines.head, lines.lines)


@pytest.fixture
def night(fresh: MadeButler) -> MadeButler:
    fresh.take([1])
    return fresh


# ------------------------------------------------------------ what is private


def test_the_version_that_was_tried_is_the_one_that_is_asked_for() -> None:
    wanted = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()
    assert f'"lsst-daf-butler=={TRIED}"' in wanted
    assert butler_version == TRIED


def test_all_that_is_private_is_there_and_does_what_it_should(
    night: MadeButler,
) -> None:
    one = Tables(night.butler)
    one.make()
    found: Any = night.butler
    assert set(found._registry._db._engine.dialect.name) & set("sqlite")
    inspector = sa.inspect(found._registry._db._engine)
    for name, wanted in layout.LAYOUTS.items():
        columns = {c["name"]: c for c in inspector.get_columns(name)}
        assert set(columns) == set(wanted.names)
        key = inspector.get_pk_constraint(name)["constrained_columns"]
        assert set(key) == set(wanted.key_names)
        for column in (*wanted.key, *wanted.rest):
            assert columns[column.name]["nullable"] is column.nullable
        indexed = {tuple(i["column_names"]) for i in inspector.get_indexes(name)}
        assert indexed >= set(wanted.indexes), name
        foreign = inspector.get_foreign_keys(name)
        if "dataset_id" in wanted.key_names:
            (link,) = foreign
            assert (link["referred_table"], link["options"]) == (
                "dataset",
                {"ondelete": "CASCADE"},
            )
        else:
            assert foreign == []


@pytest.mark.parametrize("path", PRIVATE)
def test_a_butler_that_lacks_something_is_told_apart(path: str) -> None:
    whole: dict[str, Any] = {}
    for one in PRIVATE:
        if one == path or one.startswith(path + "."):
            continue
        place = whole
        for name in one.split("."):
            place = place.setdefault(name, {})
    with pytest.raises(TablesError) as told:
        tables.demand_fitting(_as_object(whole))
    if path == "_registry":
        assert "behind a server" in told.value.detail
    else:
        assert f"it has no {path}," in told.value.detail
        assert TRIED in told.value.detail


def _as_object(members: dict[str, Any]) -> Any:  # noqa: ANN401 - stands for a butler
    return SimpleNamespace(**{n: _as_object(one) for n, one in members.items()})


def test_asking_for_the_reader_does_not_import_the_butler() -> None:
    words = "import sys, annolog.butler; sys.exit('lsst' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(SERVICE)}
    subprocess.run([sys.executable, "-c", words], check=True, env=environment)


# ------------------------------------------------------------ why there is no answer


def test_a_reader_says_why_it_does_not_answer(night: MadeButler) -> None:
    with pytest.raises(NoTablesError, match="nothing was exported into it yet"):
        open_reader(night.butler)
    one = Tables(night.butler)
    one.make()
    with pytest.raises(NoTablesError, match="the first export has not ended"):
        open_reader(night.butler)
    lines = some_lines(night)
    export(night.butler, lines)
    with pytest.raises(StaleError, match="change 7 is asked for"):
        open_reader(night.butler, least_number=7)
    with pytest.raises(StaleError, match="at most 1:00:00"):
        open_reader(night.butler, max_age=timedelta(hours=1))
    found = open_reader(Butler.from_config(night.uri, writeable=False))
    assert found.exposures(CAMERA, ["junk"]) == {2026011500001}


def test_a_layout_of_another_version_is_told_and_replaced(
    night: MadeButler, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = some_lines(night)
    export(night.butler, lines)
    _become_version(2, monkeypatch)
    reopened = Butler.from_config(night.uri, writeable=True)
    with pytest.raises(NoTablesError, match="older layout 1, and this version reads 2"):
        open_reader(reopened)
    export(reopened, lines)
    found = open_reader(reopened)
    assert found.exposures(CAMERA, ["junk"]) == {2026011500001}
    now = Tables(reopened)
    assert now.versions() == [1, 2]
    removed = now.drop_older()
    assert removed == sorted(f"annot_v1_{name}" for name in _stems())
    assert now.versions() == [2]
    assert now.drop_older() == []
    assert found.exposures(CAMERA, ["junk"]) == {2026011500001}
    monkeypatch.undo()
    again = Butler.from_config(night.uri, writeable=True)
    with pytest.raises(NoTablesError, match="newer layout 2, and this version reads 1"):
        open_reader(again)


def _stems() -> list[str]:
    return [name.partition("_")[2].partition("_")[2] for name in layout.LAYOUTS]


def _become_version(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, prefix = layout.PREFIX, f"{layout.STEM}{number}_"
    renamed = {
        name.replace(before, prefix): layout.Layout(
            name.replace(before, prefix), one.key, one.rest, one.indexes
        )
        for name, one in layout.LAYOUTS.items()
    }
    monkeypatch.setattr(layout, "VERSION", number)
    monkeypatch.setattr(layout, "PREFIX", prefix)
    for name in ("snapshot", "statement", "standing", "entry"):
        monkeypatch.setattr(layout, name.upper(), prefix + name)
    monkeypatch.setattr(layout, "LAYOUTS", renamed)
    monkeypatch.setattr("annolog.butler.exporter.LAYOUTS", renamed)


def test_a_table_of_that_name_that_is_another_one_is_told(night: MadeButler) -> None:
    found: Any = night.butler
    with found._registry._db._engine.begin() as connection:
        connection.execute(sa.text(f"create table {layout.STATEMENT} (a integer)"))
    with pytest.raises(TablesError, match="another one than this version makes"):
        Tables(night.butler).make()


# ------------------------------------------------------------ PostgreSQL and its roles


class Repository:
    """A repository on PostgreSQL, and roles that may do little in it."""

    def __init__(self, made: MadeButler, url: str, server: PostgresServer) -> None:
        self.made = made
        self._url = url
        self._server = server
        self._name = url.partition("?")[0].rpartition("/")[2]
        self.roles: list[str] = []
        self._opened = [made.butler]

    def execute(self, statement: str) -> None:
        self._server.execute(statement, database=self._name)

    def role(self, name: str) -> str:
        role = f"{self._name}_{name}"
        self._server.execute(f'CREATE ROLE "{role}" LOGIN')
        self.roles.append(role)
        return role

    def opened(self, role: str, *, writeable: bool) -> Butler:
        config = ButlerConfig(self.made.uri)
        parts = urlsplit(self._url)
        config["registry", "db"] = f"postgresql://{role}@{parts.path}?{parts.query}"
        butler = Butler.from_config(config, writeable=writeable)
        self._opened.append(butler)
        return butler

    def close(self) -> None:
        for butler in self._opened:
            butler.close()
        for role in self.roles:
            self.execute(f'DROP OWNED BY "{role}" CASCADE')
            self.execute(f'DROP ROLE "{role}"')


@pytest.fixture
def repository(
    tmp_path: Path, registry_url: str, butler_postgres: PostgresServer
) -> Iterator[Repository]:
    made = MadeButler.create(tmp_path / "repo", database=registry_url)
    made.take([1])
    one = Repository(made, registry_url, butler_postgres)
    yield one
    one.close()


EXPORTER = (
    "GRANT USAGE, CREATE ON SCHEMA public TO {}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
    "GRANT INSERT ON opaque_meta TO {}",
    "GRANT REFERENCES ON dataset TO {}",
)
"""What docs/facility.md says the exporter's role needs."""


def test_a_role_with_the_documented_privileges_exports(
    repository: Repository,
) -> None:
    documented = Path(__file__).parents[2].joinpath("docs/facility.md").read_text()
    exporter, reader = repository.role("exporter"), repository.role("reader")
    for statement in EXPORTER:
        assert statement.format("annolog_exporter") in documented
        repository.execute(statement.format(f'"{exporter}"'))
    to_read = (
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA public"
            " GRANT SELECT ON TABLES TO {}"
        ),
    )
    repository.execute(to_read[0].format(f'"{reader}"'))
    repository.execute(to_read[1].format(f'"{exporter}"', f'"{reader}"'))
    lines = some_lines(repository.made)
    butler = repository.opened(exporter, writeable=True)
    export(butler, lines)
    export(butler, lines)
    found = open_reader(repository.opened(reader, writeable=False))
    assert found.exposures(CAMERA, ["junk"]) == {2026011500001}
    (dataset_id,) = found.datasets(["junk"], ["vignetting"])
    (said,) = found.statements_of_datasets([dataset_id])[dataset_id]
    assert said.created_at == TAKEN
    # Who removes datasets needs no right on the tables.
    ref = repository.made.butler.get_dataset(dataset_id)
    assert ref is not None
    repository.made.butler.registry.removeDatasets([ref])
    assert found.datasets(["junk"], ["vignetting"]) == set()


@pytest.mark.parametrize("missing", [0, 3])
def test_a_table_that_could_not_be_made_is_told(
    repository: Repository, missing: int
) -> None:
    role = repository.role("exporter")
    for number, statement in enumerate(EXPORTER):
        if number != missing:
            repository.execute(statement.format(f'"{role}"'))
    if missing == 0:
        repository.execute(f'GRANT USAGE ON SCHEMA public TO "{role}"')
    butler = repository.opened(role, writeable=True)
    with pytest.raises(TablesError, match="needs CREATE on that schema and REFERENCES"):
        export(butler, some_lines(repository.made))


def test_a_role_that_may_not_write_is_told(repository: Repository) -> None:
    lines = some_lines(repository.made)
    export(repository.made.butler, lines)
    role = repository.role("reader")
    for statement in EXPORTER:
        repository.execute(statement.format(f'"{role}"'))
    lines.say(EXPOSURE, tags=["donuts"])
    with pytest.raises(TablesError, match="permission denied"):
        export(repository.opened(role, writeable=True), lines)
    assert open_reader(repository.made.butler).number == 1
