"""The messages and schemas of every released version, as files.

`python -m tests.golden` writes those of the present version from what the service
publishes; from its release on they never change.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annolog.domain.events import Event, from_message
from annolog.domain.schemas import FILES
from tests.support.published import Published

HOME = Path(__file__).parents[1] / "data" / "events"
TOPICS = ("changes", "targets")


@dataclass(frozen=True, slots=True)
class Message:
    """A message as Kafka has it."""

    key: str
    headers: tuple[tuple[str, str], ...]
    value: Any

    @property
    def event(self) -> Event:
        """Read it as today's consumers do."""
        return from_message(
            self.key.encode(),
            None if self.value is None else json.dumps(self.value).encode(),
            [(name, content.encode()) for name, content in self.headers],
        )


def versions() -> list[str]:
    """Give the versions of which there is a set, in no order."""
    return sorted(folder.name for folder in HOME.iterdir())


def messages(version: str, topic: str) -> list[Message]:
    """Read the messages of a version."""
    content = json.loads((HOME / version / f"{topic}.json").read_text("utf-8"))
    return [
        Message(one["key"], tuple(one["headers"].items()), one["value"])
        for one in content
    ]


def schema(version: str, name: str) -> dict[str, Any]:
    """Read a schema as it was released."""
    found: dict[str, Any] = json.loads((HOME / version / name).read_text("utf-8"))
    return found


def write(version: str, published: Published, schemas: dict[str, bytes]) -> None:
    """Keep the set of a version."""
    folder = HOME / version
    folder.mkdir(parents=True, exist_ok=True)
    sets = (published.changes, published.states)
    for topic, events in zip(TOPICS, sets, strict=True):
        content = [
            {
                "key": event.key,
                "headers": {name: value.decode() for name, value in event.headers()},
                "value": event.body(),
            }
            for event in events
        ]
        written = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{topic}.json").write_text(written, "utf-8")
    for name in FILES:
        (folder / name).write_bytes(schemas[name])
