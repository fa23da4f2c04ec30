"""The PostgreSQL that a run of the tests is told to use."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_each_process_of_a_parallel_run_uses_the_postgres_asked_for(
    tmp_path: Path,
) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--numprocesses=1", "-pno:cacheprovider"),
            *(f"--postgres={tmp_path}", "tests/storage/test_migrations.py"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 1
    assert f"cannot run {tmp_path / 'postgres'}" in run.stdout
