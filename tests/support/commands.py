"""`annologd` as a process, for tests whose loop runs already."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SERVICE = Path(__file__).parents[2] / "service"


async def annologd(
    *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; settings are named as variables are, in lower case."""
    return await asyncio.to_thread(_run, arguments, settings)


async def annologd_json(*arguments: str, **settings: str) -> Any:  # noqa: ANN401 - JSON
    """Run a command that must succeed, and give what it prints for programs."""
    done = await annologd(*arguments, "--json", **settings)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def environment(settings: dict[str, str]) -> dict[str, str]:
    """Give the environment of a command with these settings and no others."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("ANNOLOG_")}
    given = {f"ANNOLOG_{name.upper()}": value for name, value in settings.items()}
    return clean | given | {"PYTHONPATH": str(SERVICE)}


def _run(
    arguments: tuple[str, ...], settings: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "annolog.cli", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
