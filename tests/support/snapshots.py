"""Lines of snapshots, made without a service."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from annolog.domain.inheritance import TIMED
from annolog.domain.shipped import shipped_entries
from annolog.domain.snapshots import (
    Gone,
    Head,
    Line,
    Stands,
    State,
    Statement,
    Weighing,
)
from annolog.domain.times import Span

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


def weighed() -> list[Line]:
    """Give the flags that annolog comes with, as entries."""
    return [
        Weighing(kind, key, fields)
        for kind, key, fields in shipped_entries()
        if kind == "flag"
    ]


@dataclass
class Lines:
    """Statements and the states that they come to, where each target has one author."""

    number: int = 0
    said: dict[int, Statement] = field(default_factory=dict)
    observed: dict[int, Span] = field(default_factory=dict)

    def say(
        self,
        *keys: str,
        flag: str | None = "junk",
        tags: Sequence[str] = (),
        text: str = "trailed",
        author: str = "jdoe",
        observed: Span | None = None,
    ) -> int:
        self.number += 1
        self.said[self.number] = a_statement(
            self.number, *keys, flag=flag, tags=tags, text=text, author=author
        )
        if observed is not None:
            self.observed[self.number] = observed
        return self.number

    def retract(self, number: int) -> None:
        self.number += 1
        del self.said[number]

    @property
    def head(self) -> Head:
        return a_head(self.number)

    @property
    def lines(self) -> list[Line]:
        return [
            *self.states().values(),
            *self.said.values(),
            *self.standings(self.said),
            *weighed(),
        ]

    def standings(self, numbers: Iterable[int]) -> list[Line]:
        """Give how some of the statements stand on detectors."""
        found: list[Line] = []
        for number in numbers:
            one, time = self.said[number], self.observed.get(number)
            found += [
                Stands(
                    (key,),
                    one.annotation_id,
                    one.annotation_id,
                    one.revision_id,
                    one.author,
                    one.author,
                    one.rank,
                    one.revision_id,
                    number,
                    one.flag,
                    None,
                    one.tags,
                    None if time is None else time.begin,
                    None if time is None else time.end,
                )
                for key in one.counted_for
                if key.startswith(TIMED)
            ]
        return found

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
        new = [n for n, one in self.said.items() if one != earlier.said.get(n)]
        changed += [self.said[n] for n in new]
        changed += self.standings(new)
        gone = [Gone(annotation(n)) for n in earlier.said if n not in self.said]
        return [*changed, *gone]
