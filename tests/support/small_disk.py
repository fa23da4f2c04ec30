"""Disks that are soon full: a file system in memory with room for little."""

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

_PIECE = b"\0" * 65_536


class SmallDisk:
    """A file system of a few megabytes, mounted by root, and a ballast to fill it."""

    def __init__(self, place: Path, megabytes: int) -> None:
        self.place = place
        self._ballast = place / "ballast"
        place.mkdir(parents=True)
        subprocess.run(
            [
                *("/bin/mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755"),
                *("annolog-faults", str(place)),
            ],
            check=True,
        )

    @property
    def free(self) -> int:
        """How many bytes are left."""
        return shutil.disk_usage(self.place).free

    def fill(self) -> None:
        """Take all room that is left."""
        with contextlib.suppress(OSError), self._ballast.open("ab", 0) as ballast:
            while True:
                ballast.write(_PIECE)

    def release(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; what still has files open there holds nothing up."""
        subprocess.run(["/bin/umount", "--lazy", str(self.place)], check=True)


def may_mount() -> bool:
    """Tell whether this process may make such disks."""
    return os.geteuid() == 0 and Path("/bin/mount").exists() and _has_right()


def _has_right() -> bool:
    # Root of a container is often without it.
    status = Path("/proc/self/status").read_text("ascii", "replace")
    held = next(
        int(line.split()[1], 16)
        for line in status.splitlines()
        if line.startswith("CapEff:")
    )
    return bool(held >> 21 & 1)
