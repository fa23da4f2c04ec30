"""The worked example of a consumer as a process, and somebody who gives it work."""

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from annolog.stream.positions import Position
from tests.support.marked import ROOT

EXAMPLE = "docs.examples.junk_exposures"
EXPOSURES = 40

Row: TypeAlias = tuple[Any, ...]


class Speaker:
    """Says junk and takes it back, by every way that there is."""

    def __init__(self, url: str, seed: int) -> None:
        headers = {"X-Annolog-User": "jdoe", "X-Annolog-Kind": "human"}
        self.http = httpx.Client(
            base_url=f"{url}/annolog/v1", headers=headers, timeout=60
        )
        self.dice = random.Random(seed)
        self._said: dict[str, dict[str, Any]] = {}

    def key(self) -> str:
        """Choose an exposure."""
        return f"exposure:LSSTCam/{2026111900001 + self.dice.randrange(EXPOSURES)}"

    def is_junk(self, key: str) -> bool:
        """Tell whether that is what was said last; nobody else speaks."""
        return key in self._said and self._said[key]["flag"] == "junk"

    def say_of_many(self, many: int) -> None:
        """Say junk of so many further exposures at once."""
        keys = [f"exposure:LSSTCam/{2026112000001 + n}" for n in range(many)]
        self._send("POST", "/annotations", {"targets": keys, "flag": "junk"})

    def speak(self, key: str = "") -> None:
        """Change what holds for one exposure, or for the one given."""
        key = key or self.key()
        said = self._said.pop(key, None)
        if said is None:
            flag = self.dice.choice(["junk", "junk", "questionable"])
            tags = self.dice.sample(["donuts", "trailed", "clouds"], 2)
            body = {"targets": [key], "flag": flag, "tags": tags}
            self._said[key] = self._send("POST", "/annotations", body)
            return
        path = f"/annotations/{said['annotation_id']}"
        way = self.dice.randrange(3)
        if way == 0:
            self._send("POST", f"{path}/retract", None, said)
        elif way == 1:
            flag = "good" if said["flag"] == "junk" else "junk"
            self._said[key] = self._send("PATCH", path, {"flag": flag}, said)
        else:
            self._send("PATCH", path, {"flag": None}, said)

    def _send(
        self,
        method: str,
        path: str,
        body: object,
        said: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        headers = {"If-Match": f'"{said["revision_id"]}"'} if said else {}
        answer = self.http.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def junk(self) -> dict[str, Row]:
        """Give what the service says is junk."""
        answer = self.http.get("/targets", params={"flag": "junk", "limit": 1000})
        return {row["key"]: row_of(row) for row in answer.json()["items"]}

    def head(self) -> int:
        head: int = self.http.get("/changes", params={"after": 2**62}).json()["head"]
        return head


def row_of(state: Mapping[str, Any]) -> Row:
    """Give a state as the example keeps it."""
    return (
        state["instrument"],
        state["exposure_id"],
        state["day_obs"],
        state["seq_num"],
        state["flag"],
        json.dumps(state["tags"]),
        state["number"],
    )


class Example:
    """The example as a process, and its table as others see it."""

    def __init__(self, home: Path, bootstrap: str, prefix: str) -> None:
        self.database = home / "junk.sqlite"
        self._out = home / "example.log"
        self._argv = [sys.executable, "-m", EXAMPLE, "--kafka", bootstrap]
        self._argv += ["--prefix", prefix, "--database", str(self.database)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> None:
        with self._out.open("ab") as out:
            self._process = subprocess.Popen(
                [*self._argv, *more],
                env={"PYTHONPATH": f"{ROOT}:{ROOT / 'service'}:{ROOT / 'client'}"},
                stdout=out,
                stderr=out,
            )

    def end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(20)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(60)

    def clean(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.end(signal.SIGKILL)

    def said(self) -> str:
        return self._out.read_text()

    def table(self) -> tuple[dict[str, Row], Position, bool]:
        """Give rows, position and whether it was caught up, all of one moment."""
        connection = sqlite3.connect(self.database)
        try:
            connection.execute("begin")
            rows = connection.execute(
                "select key, instrument, exposure_id, day_obs, seq_num, flag, tags,"
                " number from junk_exposure"
            ).fetchall()
            found = connection.execute(
                "select position, caught_up from reading"
            ).fetchone()
        except sqlite3.OperationalError:
            return {}, Position(), False  # it has not made its tables yet
        finally:
            connection.close()
        position = Position.from_json(found[0]) if found else Position()
        return (
            {key: tuple(row) for key, *row in rows},
            position,
            bool(found and found[1]),
        )
