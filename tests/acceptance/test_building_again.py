"""Whatever is said later, a recipe gives as of a change what it gave then."""

import random
from typing import Any

import pytest

from annolog.actions import dataid_builds
from annolog.domain import dataids
from annolog.domain.dataid_recipes import Recipe
from annolog.domain.entries import Alias, Policy, SameAs
from annolog.storage.database import snapshot
from tests.support.nights import held
from tests.support.service import Service, Shown, author_of

NIGHT = 2026111900000
RECIPE = Recipe.model_validate(
    {
        "instrument": "LSSTCam",
        "columns": ["comment", "flag", "tags", "annotations"],
        "parts": [
            {
                "name": "all",
                "query": {
                    "flags": ["junk", "questionable"],
                    "tags": ["donuts"],
                    "inherited": True,
                    "kinds": ["exposure", "detector", "visit"],
                },
            },
            {"name": "own", "query": {"flags": ["junk"], "day_obs_min": 20261119}},
            {"name": "set", "version": "given"},
        ],
    }
)
TARGETS = (
    *(f"exposure:LSSTCam/{NIGHT + n}" for n in range(1, 6)),
    f"detector:LSSTCam/{NIGHT + 1}/20",
    "record:detector/instrument=LSSTCam/detector=94",
    "record:visit/instrument=LSSTCam/visit=7",
)

running = pytest.fixture(held, name="annolog")


class Crowd:
    """People who say and do this and that."""

    def __init__(self, annolog: Service, seed: int) -> None:
        self.annolog = annolog
        self.random = random.Random(seed)
        self.said: list[Shown] = []

    async def act(self) -> None:
        steps = [self.say] * 4 + [self.edit] * 3 + [self.retract, self.join]
        steps += [self.take, self.visit, self.rule, self.upload]
        await self.random.choice(steps)()

    def content(self) -> dict[str, Any]:
        flag = self.random.choice(["junk", "questionable", "good", None])
        tags = self.random.choice([["donuts"], []])
        return {"flag": flag, "tags": tags, "text": f"t{self.random.random()}"}

    async def say(self) -> None:
        count = self.random.randint(1, 3)
        keys = self.random.sample(TARGETS, count)
        who = self.random.choice(["ann", "bob", "bot:psf"])
        begin = f"2026-11-20T0{self.random.randint(1, 5)}:00:00Z"
        observed = self.random.choice([{"begin": begin, "end": None}, None])
        self.said.append(
            await self.annolog.say(
                *keys, by=who, observed_at=observed, **self.content()
            )
        )

    async def edit(self) -> None:
        if self.said:
            place = self.random.randrange(len(self.said))
            old = self.said[place]
            if old["operation"] != "retract":
                self.said[place] = await self.annolog.edit(old, **self.content())

    async def retract(self) -> None:
        if self.said:
            place = self.random.randrange(len(self.said))
            old = self.said[place]
            back = old["operation"] == "retract"
            step = self.annolog.restore if back else self.annolog.retract
            self.said[place] = await step(old, by=author_of(old))

    async def join(self) -> None:
        a, b = sorted(self.random.sample(TARGETS[:5], 2))
        revoked = self.random.random() < 0.5
        await self.annolog.set_entry(SameAs(key_a=a, key_b=b, revoked=revoked))

    async def take(self) -> None:
        seq_num = self.random.randint(1, 6)
        hour, minute = self.random.randint(0, 6), self.random.randint(0, 5)
        fact = {
            "instrument": "LSSTCam",
            "obs_id": f"MC_O_20261119_{seq_num:06d}",
            "event": "end",
            "source": self.random.choice(["camera", "bulk"]),
            "begin": f"2026-11-20T0{hour}:{minute}0:00Z",
            "end": f"2026-11-20T0{hour}:{minute}5:00Z",
        }
        answer = await self.annolog.post("/exposures", fact)
        assert answer.is_success, answer.text

    async def visit(self) -> None:
        ids = self.random.sample(range(NIGHT + 1, NIGHT + 6), 2)
        visit = {"instrument": "LSSTCam", "visit": 7, "exposures": ids}
        answer = await self.annolog.post("/visits", visit)
        assert answer.is_success, answer.text

    async def rule(self) -> None:
        entries: list[Policy | Alias] = [
            Policy(instrument="LSSTCam", rule="latest"),
            Policy(instrument="LSSTCam", rule="severity"),
            Alias(name="bob", leads_to="ann"),
            Alias(name="bob", leads_to=None),
        ]
        await self.annolog.set_entry(self.random.choice(entries))

    async def upload(self) -> None:
        rows = [
            {"instrument": "LSSTCam", "exposure": NIGHT + n}
            for n in self.random.sample(range(7, 12), 2)
        ]
        answer = await self.annolog.post("/data-id-sets/given/versions", rows)
        assert answer.is_success, answer.text


async def build(annolog: Service, as_of: int | None) -> tuple[int, bytes]:
    async with snapshot(annolog.runtime.reads) as connection:
        found = await dataid_builds.build(connection, RECIPE, as_of)
    return found.as_of, dataids.digest(found.built.table)


@pytest.mark.parametrize("seed", range(3))
async def test_a_recipe_gives_as_of_a_change_what_it_gave_then(
    annolog: Service, seed: int
) -> None:
    crowd = Crowd(annolog, seed)
    await crowd.upload()
    then = []
    for _ in range(40):
        await crowd.act()
        then.append(await build(annolog, None))
    assert len({digest for _, digest in then}) > 20
    for as_of, digest in then:
        assert await build(annolog, as_of) == (as_of, digest)
