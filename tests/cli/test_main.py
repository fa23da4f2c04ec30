import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from annolog.cli.main import COMMANDS, errors_as_lines, main
from annolog.cli.main import FailedError as Failed
from annolog.cli.serve import bind
from annolog.domain.errors import ConflictError
from annolog.storage import database
from annolog.storage import tokens as stored

TOKEN = re.compile(r"al_[0-9a-f]{16}\.[A-Za-z0-9_-]{43}")
NOWHERE = "postgresql://annolog@127.0.0.1:1/annolog"
ROOT = Path(__file__).parents[2]


def run(*arguments: str, **variables: str) -> Result:
    """Run a command in this process; each has a loop of its own, so tests have none."""
    clean: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("ANNOLOG_")
    }
    given = {f"ANNOLOG_{name}": value for name, value in variables.items()}
    return CliRunner().invoke(
        main, arguments, env={**clean, **given}, prog_name="annologd"
    )


def run_json(*arguments: str, url: str) -> Any:  # noqa: ANN401 - what JSON holds
    result = run(*arguments, "--json", DATABASE_URL=url)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def run_apart(
    *arguments: str, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNOLOG_")}
    path = f"{ROOT / 'service'}:{ROOT / 'client'}"
    return subprocess.run(
        [sys.executable, *arguments],
        env={**clean, "PYTHONPATH": path, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_imports_none() -> None:
    code = (
        "import sys; from annolog.cli.main import main\n"
        "try: main(['--help'])\n"
        "finally:\n"
        "  print(*(n for n in ('asyncpg', 'litestar', 'sqlalchemy', 'pydantic',"
        " 'kafka') if n in sys.modules), file=sys.stderr)\n"
    )
    done = run_apart("-c", code)
    assert done.returncode == 0
    assert done.stderr.strip() == ""
    for name in ("migrate", "serve", "token"):
        assert f"  {name} " in done.stdout
        assert COMMANDS[name][1] in done.stdout


def test_a_missing_package_is_one_clear_line() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from annolog.cli.main import main; main(['serve'])"
    )
    done = run_apart("-c", code)
    assert done.returncode == 2
    assert "needs the package 'uvicorn'" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["fly"], ["token", "create"], ["migrate", "--no-such"]]
)
def test_wrong_use_is_exit_code_2(arguments: list[str]) -> None:
    result = run(*arguments, DATABASE_URL=NOWHERE)
    assert result.exit_code == 2
    assert "Usage: annologd" in result.stderr


def test_a_wrong_setting_is_one_line_and_exit_code_2() -> None:
    result = run("migrate", DATABASE_URL=NOWHERE, PORT="eighty")
    assert result.exit_code == 2
    assert result.stderr.startswith("annologd: ANNOLOG_PORT: 'eighty' is not right")
    assert result.stderr.count("\n") == 1
    assert run("migrate").exit_code == 2
    assert "ANNOLOG_DATABASE_URL is not set" in run("migrate").stderr


def test_a_database_that_is_away_is_one_line_and_exit_code_1() -> None:
    for arguments in (["migrate"], ["token", "list"]):
        result = run(*arguments, DATABASE_URL=NOWHERE)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("annologd: The database cannot answer")
        assert result.stderr.count("\n") == 1


def test_only_errors_for_users_become_lines() -> None:
    with pytest.raises(Failed), errors_as_lines():
        raise ConflictError("no")
    with pytest.raises(ZeroDivisionError), errors_as_lines():
        raise ZeroDivisionError
    assert issubclass(Failed, click.ClickException)


def test_migrate_brings_the_schema_and_says_so(empty_database_url: str) -> None:
    check = run("migrate", "--check", DATABASE_URL=empty_database_url)
    assert check.exit_code == 1
    assert "run annologd migrate" in check.stdout

    first = run_json("migrate", url=empty_database_url)
    assert first == {
        "before": None,
        "after": database.SCHEMA,
        "wanted": database.SCHEMA,
        "current": True,
    }
    again = run_json("migrate", url=empty_database_url)
    assert again["before"] == again["after"] == database.SCHEMA
    assert run("migrate", "--check", DATABASE_URL=empty_database_url).exit_code == 0


def test_a_token_is_made_shown_once_listed_and_revoked(database_url: str) -> None:
    made = run_json(
        "token",
        "create",
        "--owner=ada",
        "--role=curator",
        "--instrument=LSSTCam",
        "--instrument=LATISS",
        "--note=night shift",
        url=database_url,
    )
    assert TOKEN.fullmatch(made["token"])
    assert (made["owner"], made["kind"], made["role"]) == ("ada", "human", "curator")
    assert made["instruments"] == ["LATISS", "LSSTCam"]

    (listed,) = run_json("token", "list", url=database_url)
    assert listed == {k: v for k, v in made.items() if k != "token"}
    secret = made["token"].partition(".")[2]
    assert secret not in run("token", "list", DATABASE_URL=database_url).output

    revoked = run_json("token", "revoke", made["token_id"], url=database_url)
    assert revoked["revoked"]
    assert run_json("token", "list", url=database_url) == []
    (kept,) = run_json("token", "list", "--all", url=database_url)
    assert kept["revoked_at"] is not None
    assert kept["token_id"] == made["token_id"]


def test_people_see_the_token_on_a_line_of_its_own(database_url: str) -> None:
    result = run(
        "token",
        "create",
        "--owner=donuts",
        "--kind=bot",
        "--expires=never",
        DATABASE_URL=database_url,
    )
    shown, note = result.stdout.splitlines()
    assert TOKEN.fullmatch(shown)
    assert note == "(shown once; never expires)"
    listed = run("token", "list", DATABASE_URL=database_url).stdout
    assert "donuts  bot/bot  never expires" in listed


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--owner="], 1, "1 to 128 characters"),
        (["--owner=a\nb"], 1, "no control"),
        (["--owner=x", "--kind=bot", "--role=curator"], 1, "A bot has the role"),
        (["--owner=x", "--delegate", "--role=admin"], 1, "A delegate"),
        (["--owner=x", "--role=king"], 2, "'king' is not one of"),
        (["--owner=x", "--expires=soon"], 2, "12h, 90d, 52w or never"),
    ],
)
def test_tokens_that_make_no_sense_are_refused(
    database_url: str, arguments: list[str], code: int, words: str
) -> None:
    result = run("token", "create", *arguments, DATABASE_URL=database_url)
    assert result.exit_code == code
    assert words in result.stderr
    assert run_json("token", "list", url=database_url) == []


def test_revoking_what_is_not_there_fails(database_url: str) -> None:
    result = run("token", "revoke", "al_" + "0" * 16, DATABASE_URL=database_url)
    assert (result.exit_code, result.stderr) == (
        1,
        f"annologd: there is no token {'0' * 16}\n",
    )
    result = run("token", "revoke", "all", DATABASE_URL=database_url)
    assert result.exit_code == 1
    assert "16 hexadecimal digits" in result.stderr


def test_nothing_of_the_secret_is_in_the_table(database_url: str) -> None:

    made = run_json("token", "create", "--owner=ada", url=database_url)
    secret = made["token"].partition(".")[2]

    async def look() -> str:
        connection = await database.connect(database_url, database.WORK)
        row = await connection.fetchval("select t::text from token t")
        found = await stored.find(connection, made["token_id"])
        await connection.close()
        assert found is not None
        assert len(found.secret_hash) == 32
        return str(row)

    row = asyncio.run(look())
    assert secret not in row
    assert secret.encode().hex() not in row


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(click.ClickException) as refused:
            bind("127.0.0.1", port)
    assert refused.value.exit_code == 2
    assert refused.value.message == (
        f"annologd: port {port} of 127.0.0.1 is taken by another program; set"
        f" ANNOLOG_PORT or ANNOLOG_HOST"
    )
    with pytest.raises(click.ClickException, match="no such address"):
        bind("192.0.2.1", 0)
    with bind("127.0.0.1", 0) as free:
        assert free.getsockname()[1] > 0


def test_serve_answers_until_it_is_told_to_stop(database_url: str) -> None:
    with bind("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    variables = {
        "ANNOLOG_DATABASE_URL": database_url,
        "ANNOLOG_AUTH": "none",
        "ANNOLOG_PORT": str(port),
        "ANNOLOG_SITE_ID": "summit",
    }
    code = "from annolog.cli.main import main; main()"
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNOLOG_")}
    path = f"{ROOT / 'service'}:{ROOT / 'client'}"
    with subprocess.Popen(
        [sys.executable, "-c", code, "serve"],
        env={**clean, "PYTHONPATH": path, **variables},
        stdout=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            ready = _wait_for(f"http://127.0.0.1:{port}/health/ready")
            second = run_apart("-c", code, "serve", variables=variables)
        finally:
            service.send_signal(signal.SIGTERM)
            out, _ = service.communicate(timeout=30)
    assert ready.json()["status"] == "ready"
    assert ready.headers["x-request-id"]
    assert "server" not in ready.headers
    assert second.returncode == 2
    assert second.stderr.startswith(f"annologd: port {port} of 127.0.0.1 is taken")
    assert service.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines
    assert all({"severity", "event", "logger"} <= line.keys() for line in lines)


def _wait_for(url: str) -> httpx.Response:
    for _ in range(200):
        try:
            return httpx.get(url)
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(url)


def test_serve_refuses_a_database_that_is_away_or_not_migrated(
    empty_database_url: str,
) -> None:
    away = run("serve", "--port=0", DATABASE_URL=NOWHERE)
    assert away.exit_code == 1
    assert away.stderr.startswith("annologd: The database cannot answer")
    empty = run("serve", "--port=0", DATABASE_URL=empty_database_url)
    assert empty.exit_code == 1
    assert empty.stderr.endswith("run annologd migrate\n")
    assert empty.stderr.count("\n") == 1
