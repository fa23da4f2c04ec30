"""The job that keeps a list in git, as the documentation has it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.support.uvicorned import Served, serving

JOB = Path(__file__).parents[2] / "docs" / "examples" / "nightly_list.sh"
RECIPE = {
    "instrument": "LSSTCam",
    "parts": [{"name": "junk", "query": {"flags": ["junk"]}}],
}
NIGHT = 2026111900000


class Repository:
    """A repository with a list, its clone, and a forge that notes what is proposed."""

    def __init__(self, home: Path, served: Served) -> None:
        tools = home / "bin"
        tools.mkdir()
        self._script(tools / "annolog", f'{sys.executable} -m annolog_client "$@"')
        self._script(tools / "propose", f'echo "$1" >> {home}/proposed')
        self.proposed = home / "proposed"
        self.home = home / "clone"
        self.environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ANNOLOG_URL": f"http://127.0.0.1:{served.port}",
            "ANNOLOG_USER": "jdoe",
            "PROPOSE": "propose",
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{
                f"GIT_{who}_{what}": "job@example.org"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        origin = home / "origin.git"
        self._run("git", "init", "--quiet", "--bare", "-b", "main", origin, at=home)
        self._run("git", "init", "--quiet", "-b", "main", self.home, at=home)
        self.git("remote", "add", "origin", str(origin))
        self.git("commit", "--quiet", "--allow-empty", "-m", "Begin")
        self.git("push", "--quiet", "origin", "main")

    @staticmethod
    def _script(file: Path, line: str) -> None:
        file.write_text(f"#!/bin/sh\n{line}\n")
        file.chmod(0o755)

    def _run(self, *words: str | Path, at: Path) -> str:
        done = subprocess.run(
            words,
            cwd=at,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def git(self, *words: str) -> str:
        return self._run("git", *words, at=self.home)

    async def annolog(self, *words: str | Path) -> str:
        command = ("annolog", "dataidset", *words)
        return await asyncio.to_thread(self._run, *command, at=self.home)

    async def night(self) -> str:
        """Let the job run; give what it said."""
        return await asyncio.to_thread(self._run, JOB, "bad", "bad.ecsv", at=self.home)

    def proposed_branch(self) -> str:
        """Tell where the branch to merge is; nothing where there is none."""
        return self.git("ls-remote", "origin", "annolog/bad")

    def proposals(self) -> int:
        if not self.proposed.exists():
            return 0
        return len(self.proposed.read_text().splitlines())

    def merge(self) -> None:
        """Accept what is proposed."""
        self.git("push", "--quiet", "origin", "annolog/bad:main")


async def test_job_proposes_just_what_changed_and_only_then(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url) as served:
        clone = Repository(tmp_path, served)
        recipe = tmp_path / "recipe.json"
        recipe.write_text(json.dumps(RECIPE))
        await served.say(1, text=" i donuts")
        await served.say(3, text="trailed")
        await clone.annolog("build", "bad", "--recipe", recipe)

        await clone.night()
        assert clone.proposals() == 1
        assert (clone.home / "bad.ecsv").read_text().splitlines()[-3:] == [
            "exposure,comment",
            f"{NIGHT + 1}, i donuts",
            f"{NIGHT + 3},trailed",
        ]
        # It waits for review, and then is in.
        assert "proposed already" in await clone.night()
        clone.merge()
        assert "up to date" in await clone.night()
        assert clone.proposals() == 1

        await served.say(2, text="wind")
        assert "1 file changed, 1 insertion(+)" in await clone.night()
        assert clone.proposals() == 2
        said = clone.git("log", "-1", "--format=%B")
        assert "Update bad.ecsv" in said
        assert "written, 3 rows of bad@2-" in said
        changed = clone.git("diff", "--unified=0", "origin/main", "HEAD")
        assert changed.splitlines()[-1] == f"+{NIGHT + 2},wind"


async def test_proposal_that_is_outdated_does_not_wait_to_be_merged(
    database_url: str, tmp_path: Path
) -> None:
    async with serving(database_url) as served:
        clone = Repository(tmp_path, served)
        recipe = tmp_path / "recipe.json"
        recipe.write_text(json.dumps(RECIPE))
        await served.say(1)
        await clone.annolog("build", "bad", "--recipe", recipe)
        await clone.night()
        clone.merge()
        assert "annolog/bad, which is merged or outdated" in await clone.night()
        assert clone.proposed_branch() == ""

        said = await served.client.post(
            "/annolog/v1/annotations",
            json={"targets": [f"exposure:LSSTCam/{NIGHT + 2}"], "flag": "junk"},
        )
        await clone.night()
        assert clone.proposed_branch() != ""
        one = said.json()
        undone = await served.client.post(
            f"/annolog/v1/annotations/{one['annotation_id']}/retract",
            headers={"If-Match": f'"{one["revision_id"]}"'},
        )
        assert undone.is_success, undone.text
        told = await clone.night()
        assert "the list in git is up to date" in told
        assert "deleted the branch annolog/bad" in told
        assert clone.proposed_branch() == ""
        assert "deleted" not in await clone.night()
        # The next change is proposed as the first one was.
        await served.say(3)
        await clone.night()
        assert clone.proposed_branch() != ""
        assert clone.proposals() == 3
