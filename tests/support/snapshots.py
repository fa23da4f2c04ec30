"""Lines of snapshots, made without a service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from annolog.domain.snapshots import Gone, Head, Line, State, Statement

SITE = "summit"
LIFE = "0a1b2c3d"
TAKEN = datetime(2026, 1, 16, 12, tzinfo=UTC)


def annotation(number: int) -> UUID:
    return UUID(int=0x019A5C00_0000_7000_8000_000000000000 + number)


def revision(number: int) -> UUID:
    return UUID(int=0x019A5C00_1111_7000_8000_000000000000 + (number << 14))


def a_head(
    number: int = 10, *, after: int | None = None, site: str = SITE, life: str = LIFE
) -> Head:
    moment = TAKEN + timedelta(seconds=number)
    return Head(1, site, life, number, moment, after)


def a_statement(
    number: int,
    *keys: str,
    flag: str | None = "junk",
    tags: Sequence[str] = (),
    text: str = "trailed",
    author: str = "jdoe",
) -> Statement:
    return Statement(
        annotation(number),
        revision(number),
        author,
        "human",
        "human",
        TAKEN,
        tuple(keys),
        None,
        flag,
        tuple(tags),
        text,
    )


@dataclass
class Lines:
    """Statements and the states that they come to, where each target has one author."""

    number: int = 0
    said: dict[int, Statement] = field(default_factory=dict)

    def say(
        self,
        *keys: str,
        flag: str | None = "junk",
        tags: Sequence[str] = (),
        text: str = "trailed",
    ) -> int:
        self.number += 1
        self.said[self.number] = a_statement(
            self.number, *keys, flag=flag, tags=tags, text=text
        )
        return self.number

    def retract(self, number: int) -> None:
        self.number += 1
        del self.said[number]

    @property
    def head(self) -> Head:
        return a_head(self.number)

    @property
    def lines(self) -> list[Line]:
        return [*self.states().values(), *self.said.values()]

    def states(self) -> dict[str, State]:
        found: dict[str, State] = {}
        for number, one in self.said.items():
            for key in one.counted_for:
                before = found.get(key)
                tags = {*one.tags, *(before.tags if before else ())}
                found[key] = State(
                    key=key,
                    kind=key.partition(":")[0],
                    number=number,
                    flag=one.flag or (before.flag if before else None),
                    tags=tuple(sorted(tags)),
                    notes=1 + (before.notes if before else 0),
                )
        return found

    def since(self, earlier: "Lines") -> list[Line]:
        """Give the lines of what changed, as `after` has them."""
        then, now = earlier.states(), self.states()
        changed: list[Line] = [now[key] for key in now if now[key] != then.get(key)]
        changed += [
            State(key=key, kind="", number=self.number, empty=True)
            for key in then
            if key not in now
        ]
        changed += [one for n, one in self.said.items() if one != earlier.said.get(n)]
        gone = [Gone(annotation(n)) for n in earlier.said if n not in self.said]
        return [*changed, *gone]
