"""Files that commands write."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from annolog_client._files import put, require_folder


def test_file_is_written_once_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    assert put(file, b"1\n")
    file.chmod(0o640)
    assert not put(file, b"1\n")
    assert put(file, b"2\n")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"2\n", 0o640)
    assert [*tmp_path.iterdir()] == [file]


def test_link_is_followed(tmp_path: Path) -> None:
    file, link = tmp_path / "bad.csv", tmp_path / "link.csv"
    link.symlink_to(file.name)
    assert put(link, b"1\n")
    assert link.is_symlink()
    assert file.read_bytes() == b"1\n"


def test_device_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert put(pipe, b"1\n")
        assert os.read(reader, 10) == b"1\n"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("place", ["nowhere/bad.csv", "file/bad.csv"])
def test_folder_must_be_there(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(click.UsageError, match="cannot be written: there is no folder"):
        require_folder(tmp_path / place)


def test_folder_must_take_new_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is denied to root, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(click.UsageError, match="may not be written to"):
        require_folder(tmp_path / "bad.csv")
    (tmp_path / "bad.csv").touch()
    require_folder(tmp_path / "bad.csv")


@pytest.mark.parametrize("before", [None, b"old\n"])
def test_file_that_does_not_fit_leaves_all_as_it_was(
    before: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "bad.csv"
    if before is not None:
        file.write_bytes(before)
    # No file may grow: as on a full disk, it is found out while writing.
    program = (
        "import resource, sys; from pathlib import Path;"
        " resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        " from annolog_client._files import put;"
        " put(Path(sys.argv[1]), bytes(100))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program, file],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == f"annolog: {file} cannot be written: File too large\n"
    assert done.returncode == 1
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [before] * bool(before)
