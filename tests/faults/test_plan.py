from itertools import pairwise

import pytest

from tests.faults import plan

GROUPS = ("broker", "relay", "service", "postgres")


def test_the_same_seed_gives_the_same_plan_and_another_another() -> None:
    assert plan.make(7, GROUPS, 200) == plan.make(7, GROUPS, 200)
    assert plan.make(7, GROUPS, 200) != plan.make(8, GROUPS, 200)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_comes_and_no_part_is_befallen_twice_at_a_time(seed: int) -> None:
    faults = plan.make(seed, GROUPS, 240)
    kinds = {kind.name: kind for kind in plan.KINDS if kind.group in GROUPS}
    assert {fault.kind for fault in faults} == kinds.keys()
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    by_part: dict[tuple[str, int], list[plan.Fault]] = {}
    for fault in faults:
        by_part.setdefault((fault.part, fault.which), []).append(fault)
    for each in by_part.values():
        for one, next_one in pairwise(each):
            assert one.at + one.lasts < next_one.at
        last = each[-1]
        assert last.at + last.lasts <= 240


def test_the_short_plan_kills_what_it_is_known_for() -> None:
    kinds = [fault.kind for fault in plan.short()]
    assert kinds.count("broker killed") == 5
    assert kinds.count("service killed") == 10
