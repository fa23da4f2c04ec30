"""How commands end that cannot print."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("told", ["as_json=True", "as_json=False"])
def test_output_that_does_not_fit_is_told(told: str) -> None:
    program = (
        f"from annolog_client._terminal import emit; emit(1, 'a', {told}, failed=2)"
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 2
    reason = "No space left on device"
    assert done.stderr == f"annolog: the output cannot be written: {reason}\n"
