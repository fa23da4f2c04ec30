"""Decisions about data-ID sets: who may make versions, and what is written."""

import pytest

from annolog.actions import dataids as actions
from annolog.actions.dataids import AccessDraft, Proposal, Published, ReleaseDraft
from annolog.actions.desk import Work
from annolog.actions.requests import Request
from annolog.domain import dataids
from annolog.domain.errors import ForbiddenError
from annolog.domain.roles import Actor, Kind, Role, roles_of
from tests.support.nights import held
from tests.support.service import Service

running = pytest.fixture(held, name="annolog")


def a_request(user: str, role: Role = Role.AUTHOR, kind: Kind = "human") -> Request:
    return Request(Actor(user, kind, roles_of(role, kind)), b"", None)


def a_proposal(*seq_nums: int, name: str = "bad") -> Proposal:
    table = dataids.table(
        ["instrument", "exposure"],
        [],
        (
            ({"instrument": "LSSTCam", "exposure": 2026111900000 + one}, {})
            for one in seq_nums
        ),
    )
    return Proposal(name, actions.content_of(table), "")


async def publish(annolog: Service, request: Request, proposal: Proposal) -> Published:
    decide = actions.publish(request, proposal)
    return await annolog.runtime.lane.submit(Work(decide))


async def test_only_those_who_keep_a_set_make_versions_of_it(
    annolog: Service,
) -> None:
    lane = annolog.runtime.lane
    ada, bob = a_request("ada"), a_request("bob")
    nightly = a_request("nightly", Role.BOT, "bot")
    assert (await publish(annolog, ada, a_proposal(1))).version == 1
    for other in (bob, nightly):
        with pytest.raises(ForbiddenError, match="ada"):
            await publish(annolog, other, a_proposal(2))
    curator = a_request("cur", Role.CURATOR)
    assert (await publish(annolog, curator, a_proposal(2))).version == 2
    await lane.submit(Work(actions.share(ada, "bad", AccessDraft(editors=["nightly"]))))
    assert (await publish(annolog, nightly, a_proposal(3))).version == 3
    with pytest.raises(ForbiddenError):
        await lane.submit(
            Work(actions.share(nightly, "bad", AccessDraft(owner="nightly")))
        )


async def test_releasing_is_a_curators_act(annolog: Service) -> None:
    lane = annolog.runtime.lane
    made = await publish(annolog, a_request("ada"), a_proposal(1))
    draft = ReleaseDraft(label="DRP1")
    with pytest.raises(ForbiddenError, match="curator"):
        await lane.submit(
            Work(actions.release(a_request("ada"), "bad", made.key, draft))
        )
    curator = a_request("cur", Role.CURATOR)
    done = await lane.submit(Work(actions.release(curator, "bad", made.key, draft)))
    assert done


async def test_the_same_content_is_written_once_and_its_rows_are_shared(
    annolog: Service,
) -> None:
    ada = a_request("ada")
    first = await publish(annolog, ada, a_proposal(1, 2))
    again = await publish(annolog, ada, a_proposal(2, 1))
    assert (again.written, again.key) == (False, first.key)
    back = [await publish(annolog, ada, a_proposal(*seqs)) for seqs in [(1,), (1, 2)]]
    assert [one.version for one in back] == [2, 3]
    other = await publish(annolog, ada, a_proposal(1, 2, name="good"))
    assert other.version == 1
    async with annolog.runtime.reads.acquire() as connection:
        lists = await connection.fetchval("select count(*) from set_rows")
    assert lists == 2


async def test_who_is_limited_to_an_instrument_makes_sets_of_it_alone(
    annolog: Service,
) -> None:
    roles = roles_of(Role.AUTHOR, "human")
    limited = Actor("ada", "human", roles, frozenset({"LATISS"}))
    with pytest.raises(ForbiddenError, match="LATISS"):
        await publish(annolog, Request(limited, b"", None), a_proposal(1))
    tracts = dataids.table(["skymap", "tract"], [], [({"skymap": "s", "tract": 1}, {})])
    sky = Proposal("sky", actions.content_of(tracts), "")
    with pytest.raises(ForbiddenError, match="without an instrument"):
        await publish(annolog, Request(limited, b"", None), sky)
