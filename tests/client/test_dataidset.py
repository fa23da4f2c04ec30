"""The command `annolog dataidset` against a running service."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from annolog.domain.errors import (
    ConflictError,
    InvalidError,
    UnauthenticatedError,
    UnavailableError,
)
from annolog_client._cli import main
from annolog_client._connection import PAUSES, Connection
from tests.support.uvicorned import Served, serving

BAD = Path(__file__).parents[1] / "data" / "LSSTComCam-bad.ecsv"
NIGHT = 2026111900000


class Command:
    """Runs `annolog dataidset` as somebody."""

    def __init__(self, served: Served) -> None:
        self.served = served

    async def __call__(
        self, *words: str | Path, code: int = 0, user: str = "jdoe", sent: str = ""
    ) -> Result:
        options = ["--url", f"http://127.0.0.1:{self.served.port}", "--user", user]
        arguments = [*options, "dataidset", *(str(one) for one in words)]
        done = await asyncio.to_thread(CliRunner().invoke, main, arguments, input=sent)
        assert done.exit_code == code, done.output
        return done

    async def json(self, *words: str | Path, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        return json.loads((await self(*words, "--json", code=code)).stdout)


@asynccontextmanager
async def commanding(database_url: str) -> AsyncIterator[Command]:
    async with serving(database_url) as served:
        yield Command(served)


def a_list(tmp_path: Path, *lines: str, name: str = "bad.csv") -> Path:
    file = tmp_path / name
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def a_recipe(tmp_path: Path, **members: object) -> Path:
    file = tmp_path / "recipe.json"
    recipe = {
        "instrument": "LSSTCam",
        "parts": [{"name": "junk", "query": {"flags": ["junk"]}}],
        **members,
    }
    file.write_text(json.dumps(recipe))
    return file


async def test_list_in_git_goes_up_and_comes_back_byte_for_byte(
    database_url: str, tmp_path: Path
) -> None:
    async with commanding(database_url) as run:
        made = await run("upload", "bad", BAD, "--instrument", "LSSTComCam")
        assert "made, 158 added" in made.stdout
        copy = tmp_path / "copy.ecsv"
        first = await run("download", "bad", "-o", copy)
        assert "written, 158 rows of bad@1-" in first.stdout
        assert copy.read_bytes() == BAD.read_bytes()
        before = copy.stat()
        told = await run.json("download", "bad@1", "-o", copy)
        assert (told["changed"], told["version"]) == (False, 1)
        assert copy.stat().st_mtime_ns == before.st_mtime_ns
        whole = await run("download", "bad", "-o", "-")
        assert whole.stdout_bytes == BAD.read_bytes()
        # The instrument is that of the version before.
        again = await run.json("upload", "bad", copy)
        assert again["unchanged"]
        for kind in ("json", "csv", "ecsv"):
            printed = await run("download", "bad", "--format", kind)
            sent = await run.json("upload", "bad", a_file(tmp_path, kind, printed))
            assert sent["unchanged"], kind


def a_file(tmp_path: Path, kind: str, printed: Result) -> Path:
    file = tmp_path / f"list.{kind}"
    file.write_bytes(printed.stdout_bytes)
    return file


async def test_nightly_job_sees_what_changed_and_rewrites_its_list(
    database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "bad.ecsv"
    async with commanding(database_url) as run:
        await run.served.say(1, text=" i donuts")
        await run.served.say(2, text="trailed")
        drop = [{"data_id": {"exposure": NIGHT + 2}, "reason": "it is fine"}]
        made = await run("build", "bad", "--recipe", a_recipe(tmp_path, drop=drop))
        assert f"+ LSSTCam exposure {NIGHT + 1}" in made.stdout
        # A data ID reads the same, whether the recipe comes from here or from there.
        dropped = f"drop LSSTCam exposure {NIGHT + 2}: is flagged junk now (it is fine)"
        assert dropped in made.stdout
        assert dropped in (await run("build", "bad")).stdout
        await run("download", "bad", "-o", file)
        assert file.read_text().endswith(f"exposure,comment\n{NIGHT + 1}, i donuts\n")

        same = await run("diff", "bad@1", "now")
        assert "no difference" in same.stdout
        await run.served.say(3, text="wind, gusts")
        changed = await run("diff", "bad@1", "now", code=1)
        assert "1 added" in changed.stdout
        assert (await run.json("diff", "bad", code=1))["added_count"] == 1
        tried = await run("build", "bad", "--dry-run")
        assert "would be made, 1 added" in tried.stdout
        assert (await run("diff", "bad@1", "bad@newest")).exit_code == 0
        # Who moves over wants to see a recipe beside the list that was kept by hand.
        await run("upload", "kept", file, "--instrument", "LSSTCam")
        assert "no difference" in (await run("diff", "kept@1", "bad@1")).stdout

        built = await run.json("build", "bad", "--reason", "nightly", "--parent", "1")
        assert (built["written"], built["version"]["version"]) == (True, 2)
        await run("download", "bad", "-o", file)
        assert file.read_text().splitlines()[-1] == f'{NIGHT + 3},"wind, gusts"'
        assert (await run.json("build", "bad"))["unchanged"]
        stale = await run("build", "bad", "--parent", "7", "--as-of", "1", code=1)
        assert "annolog: the newest version of bad is 2" in stale.stderr


async def test_recipe_may_be_toml_which_takes_comments(
    database_url: str, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'instrument = "LSSTCam"\ncolumns = ["flag"]  # no words\n'
        '[[parts]]\nname = "junk"\nquery = { flags = ["junk"] }\n'
    )
    async with commanding(database_url) as run:
        await run.served.say(1, text="bad")
        await run("build", "bad", "--recipe", recipe)
        printed = await run("download", "bad", "--format", "csv")
        assert printed.stdout == f"exposure,flag\n{NIGHT + 1},junk\n"
        again = await run.json("build", "bad", "--recipe", recipe)
        assert again["unchanged"]


async def test_versions_are_listed_released_and_withdrawn(
    database_url: str, tmp_path: Path
) -> None:
    async with commanding(database_url) as run:
        assert "there are none" in (await run("list")).stdout
        await run.served.say(1)
        await run("build", "bad", "--recipe", a_recipe(tmp_path), "--reason", "first")
        told = await run("release", "bad@1", "DRP1", "--reason", "for DRP1")
        assert "is released as DRP1" in told.stdout
        assert "released: DRP1" in (await run("list")).stdout
        (version,) = await run.json("list", "bad")
        assert (version["label"], version["reason"]) == ("DRP1", "first")
        assert "released as DRP1" in (await run("list", "bad")).stdout
        await run.served.say(2)
        drift = (await run("drift", "bad@DRP1")).stdout
        assert f"+ LSSTCam exposure {NIGHT + 2}" in drift
        assert f"since then, exposure:LSSTCam/{NIGHT + 2}: jdoe create" in drift
        why = (await run("why", "bad@DRP1")).stdout
        assert f"LSSTCam exposure {NIGHT + 1}: part junk: flag junk (" in why
        assert "is not released as DRP1 any" in (await run("withdraw", "bad@1")).stdout
        again = await run("withdraw", "bad@1")
        assert "was not released; nothing to withdraw" in again.stdout
        shared = await run("share", "bad", "--editor", "ann", "--editor", "bob")
        assert "kept by jdoe, edited by ann, bob" in shared.stdout
        alone = await run("share", "bad", "--no-editors")
        assert "edited by nobody else" in alone.stdout


async def test_faults_of_a_list_are_told_with_their_lines(
    database_url: str, tmp_path: Path
) -> None:
    faulty = a_list(tmp_path, "exposure,comment", f"{NIGHT + 1},a", "x,b", "y,c")
    async with commanding(database_url) as run:
        refused = await run("upload", "bad", faulty, "--instrument", "LSSTCam", code=1)
        assert "line 3: exposure is an integer, not 'x'" in refused.stderr
        assert "line 4: exposure is an integer, not 'y'" in refused.stderr
        assert (await run.json("list")) == []
        nameless = await run("upload", "bad", faulty, code=1)
        assert "say it, as in --instrument LSSTCam" in nameless.stderr
        doubled = a_list(tmp_path, "exposure", f"{NIGHT + 1}", f"{NIGHT + 1}")
        made = await run("upload", "bad", doubled, "--instrument", "LSSTCam")
        assert "line 3: says the same as line 2, left out" in made.stdout


async def test_list_comes_from_standard_input_too(database_url: str) -> None:
    async with commanding(database_url) as run:
        words = ("upload", "bad", "-", "--format", "csv", "--instrument", "LSSTCam")
        made = await run(*words, "--dry-run", sent="exposure\n2026111900001\n")
        assert "would be made, 1 added" in made.stdout
        assert (await run.json("list")) == []


async def test_long_lists_are_told_by_their_first_rows(
    database_url: str, tmp_path: Path
) -> None:
    long = a_list(tmp_path, "exposure", *(f"{NIGHT + n}" for n in range(1, 31)))
    words = ("upload", "bad", long, "--instrument", "LSSTCam", "--dry-run")
    async with commanding(database_url) as run:
        some = (await run(*words)).stdout.splitlines()
        assert len(some) == 22
        assert some[-2] == f"+ LSSTCam exposure {NIGHT + 20}"
        assert some[-1] == "... and 10 more (--all shows them)"
        assert len((await run(*words, "--all")).stdout.splitlines()) == 31
        quiet = await run(*words, "--quiet")
        assert quiet.stdout == "bad: would be made, 30 added\n"
        assert len((await run.json(*words, "--quiet"))["added"]) == 30


async def test_version_that_is_not_there_is_told_with_those_that_are(
    database_url: str, tmp_path: Path
) -> None:
    async with commanding(database_url) as run:
        await run.served.say(1)
        await run("build", "bad", "--recipe", a_recipe(tmp_path))
        assert "labels of bad: none; version 1" in (await wrong(run, "bad@2")).stderr
        await run("release", "bad@1", "DRP1")
        await run.served.say(2)
        await run("build", "bad")
        (newest, _) = await run.json("list", "bad")
        digest = newest["digest"][:8].upper()
        known = "labels of bad: DRP1; versions 1 to 2"
        told = (await wrong(run, "bad@drp1")).stderr
        assert f"'drp1'; did you mean bad@DRP1? ({known})" in told
        told = (await wrong(run, f"bad@{digest}")).stderr
        assert f"did you mean bad@2-{digest}? ({known})" in told
        told = (await run("diff", "bad@1", "DRP2", code=2)).stderr
        assert f"no version 'DRP2'; {known}" in told
        assert "there is no data-ID set no" in (await wrong(run, "no@1")).stderr
        assert "there is no data-ID set no" in (await run("build", "no", code=1)).stderr


async def wrong(run: Command, version: str) -> Result:
    for command in (("why",), ("drift",), ("withdraw",), ("release", "DRP9")):
        await run(command[0], version, *command[1:], code=1)
    return await run("download", version, code=1)


async def test_address_may_be_that_of_the_api(database_url: str) -> None:
    async with commanding(database_url) as run:
        url = f"http://127.0.0.1:{run.served.port}/annolog/v1"
        words = ["--url", url, "dataidset", "list"]
        done = await asyncio.to_thread(CliRunner().invoke, main, words)
        assert (done.exit_code, done.stdout) == (0, "there are none\n")


async def test_failures_are_no_changes(database_url: str) -> None:
    async with commanding(database_url) as run:
        await run("diff", "unknown@1", "now", code=2)
        await run("download", "unknown", code=1)
        await run("build", "unknown", code=1)


@pytest.mark.parametrize(
    "words",
    [
        ("diff", "@3"),
        ("diff", "bad@"),
        ("download",),
        ("download", "bad", "--json"),
        ("download", "bad", "--json", "-o", "-"),
        ("download", "bad", "-o", "list.txt"),
        ("download", "bad", "-o", "/nowhere/list.csv"),
        ("upload", "bad", "/nowhere/list.csv"),
        ("upload", "bad", "-"),
        ("build", "bad", "--recipe", "-"),
        ("share", "bad", "--editor", "ann", "--no-editors"),
        ("unknown",),
    ],
)
def test_wrong_use_ends_with_two(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(main, ["dataidset", *words], input="{")
    assert done.exit_code == 2, done.output


def test_address_that_is_none_is_wrong_use() -> None:
    done = CliRunner().invoke(main, ["--url", "annolog", "dataidset", "list"])
    assert done.exit_code == 2
    assert "is no address like" in done.stderr


# ------------------------------------------------------------------ the connection


def asking(
    *answers: httpx.Response | Exception,
) -> tuple[Connection, list[float], list[httpx.Request]]:
    left, slept, seen = list(answers), list[float](), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    connection = Connection(
        "http://annolog.example.org",
        token="al_token",
        user="ann",
        agent="test",
        transport=httpx.MockTransport(answer),
        sleep=slept.append,
    )
    return connection, slept, seen


def problem(
    status: int, headers: Mapping[str, str] = {}, **body: object
) -> httpx.Response:
    return httpx.Response(status, headers=headers, json=body)


def test_call_is_made_again_where_the_service_is_away_or_busy() -> None:
    connection, slept, seen = asking(
        httpx.ConnectError("refused"),
        problem(429, {"Retry-After": "7"}),
        httpx.Response(200, json={}),
    )
    with connection:
        assert connection.get("/flags").json() == {}
    assert slept == [PAUSES[0], 7.0]
    assert seen[0].headers["authorization"] == "Bearer al_token"
    assert seen[0].headers["x-annolog-user"] == "ann"
    assert seen[0].url.path == "/annolog/v1/flags"


def test_service_that_stays_away_is_told() -> None:
    connection, _, seen = asking(*[httpx.ConnectError("refused")] * 3)
    with connection, pytest.raises(UnavailableError, match="cannot be reached: refus"):
        connection.get("/flags")
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (problem(409, detail="taken", code="label_taken"), ConflictError, "taken"),
        (problem(422, title="bad"), InvalidError, "bad"),
        (httpx.Response(409, text="<html>"), ConflictError, "the service answers 409"),
        (httpx.Response(400, json=[1]), InvalidError, "the service answers 400"),
        (
            httpx.Response(302, headers={"Location": "https://login"}),
            UnauthenticatedError,
            "redirect to https://login: is a token missing",
        ),
    ],
)
def test_errors_come_back_as_themselves(
    answer: httpx.Response, kind: type[Exception], told: str
) -> None:
    connection, slept, _ = asking(answer)
    with connection, pytest.raises(kind, match=told):
        connection.post("/x", json={})
    assert slept == []


def test_problems_and_codes_come_back() -> None:
    errors = [{"pointer": "/0", "value": 1, "reason": "no", "code": "c"}, "odd"]
    connection, _, _ = asking(problem(422, detail="d", code="c", errors=errors))
    with connection, pytest.raises(InvalidError) as caught:
        connection.get("/x")
    assert caught.value.reason_code == "c"
    assert [one.as_dict() for one in caught.value.problems] == errors[:1]


def test_busy_service_does_not_make_a_job_wait_for_long() -> None:
    connection, slept, _ = asking(*[problem(503, {"Retry-After": "3600"})] * 3)
    with connection, pytest.raises(UnavailableError):
        connection.get("/x")
    assert slept == [30.0, 30.0]


async def test_words_are_taken_out_of_a_version_and_copies_are_named(
    database_url: str, tmp_path: Path
) -> None:
    async with commanding(database_url) as run:
        first = a_list(tmp_path, "exposure,comment", f"{NIGHT + 1},swordfish")
        await run("upload", "bad", first, "--instrument", "LSSTCam")
        await run("upload", "other", first, "--instrument", "LSSTCam")
        more = a_list(
            tmp_path,
            "exposure,comment",
            f"{NIGHT + 1},swordfish",
            f"{NIGHT + 2},new",
            name="more.csv",
        )
        await run("upload", "bad", more)
        tried = await run("redact", "bad@1", "--reason", "a password", "--dry-run")
        assert "would lose its words" in tried.stdout
        row = tmp_path / "rows.json"
        row.write_text(json.dumps([{"exposure": NIGHT + 1}]))
        done = await run("redact", "bad@1", "--reason", "a password", "--rows", row)
        lines = done.stdout.splitlines()
        assert lines[0].endswith(": the words are gone")
        assert lines[1].startswith("the same rows, and so the same words: other@1-")
        assert lines[2].startswith("a copy, to be redacted too: bad@2-")
        assert lines[2].endswith("(1 row)")
        assert "swordfish" not in (await run("download", "bad@1")).stdout
        again = await run("redact", "bad@1", "--reason", "once more", "--rows", row)
        assert "the words are gone already" in again.stdout
        row.write_text("[")
        assert (
            "is no JSON"
            in (
                await run("redact", "bad@1", "--reason", "x", "--rows", row, code=2)
            ).output
        )
