"""Files that commands write: whole, or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from annolog_client._terminal import FAILED


def require_folder(file: Path) -> None:
    """See to it that a file can be put where it shall be, before it is asked for.

    Parameters
    ----------
    file
        The file, which need not be there.

    Raises
    ------
    click.UsageError
        Its folder is not there, is no folder or may not be written to.
    """
    folder = file.resolve().parent
    if not folder.is_dir():
        raise click.UsageError(f"{file} cannot be written: there is no folder {folder}")
    if not file.exists() and not os.access(folder, os.W_OK | os.X_OK):
        raise click.UsageError(
            f"{file} cannot be written: {folder} may not be written to"
        )


def put(file: Path, content: bytes) -> bool:
    """Make a file say something; it is left alone if it does.

    What reads it finds it as it was or as it becomes, never half of it. A link is
    followed, and what is no file (a device, a pipe) is written to as it is.

    Parameters
    ----------
    file
        The file; its folder is there.
    content
        All that it shall say.

    Returns
    -------
    bool
        Whether it was written.

    Raises
    ------
    SystemExit
        It cannot be written; standard error says why. It is as it was before.
    """
    with _told(file):
        if file.exists() and not file.is_file():
            file.write_bytes(content)
            return True
        if file.exists() and file.read_bytes() == content:
            return False
        _replace(file.resolve(), content)
        return True


def _replace(file: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            # Some file systems tell only now that there is no room.
            os.fsync(stream.fileno())
        mode = file.stat().st_mode if file.exists() else 0o666 & ~_umask()
        Path(name).chmod(mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        click.echo(f"annolog: {file} cannot be written: {reason}", err=True)
        raise SystemExit(FAILED) from None
