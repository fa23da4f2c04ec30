"""State is a function of the set of records: in any order, batched and doubled."""

from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from annolog.domain import views
from annolog.domain.records import Record
from tests.support.histories import Step, history, steps
from tests.support.memory import Memory


def delivered(records: Sequence[Record], chance: Random) -> list[list[Record]]:
    """Shuffle, double and cut records into batches."""
    arrivals = list(records)
    if arrivals:
        arrivals += chance.choices(records, k=len(records) // 3)
    chance.shuffle(arrivals)
    batches: list[list[Record]] = []
    while arrivals:
        size = chance.choice((1, 2, 5, 50))
        batches.append(arrivals[:size])
        del arrivals[:size]
    return batches


def digest_of(found: views.Views, records: Sequence[Record]) -> bytes:
    return views.digest(found, {(one.record_id, one.hash) for one in records})


def held(memory: Memory) -> list[views.Difference]:
    return list(
        views.differences(views.views(memory.records.values()), memory.stored())
    )


@settings(max_examples=400)
@given(steps(), st.randoms(use_true_random=False))
def test_records_in_any_order_give_the_same_views(
    done: list[Step], chance: Random
) -> None:
    records = history(done)
    wanted = views.views(records)
    memory = Memory()
    for batch in delivered(records, chance):
        memory.receive(batch)
    memory.refresh()

    assert list(views.differences(wanted, memory.stored())) == []
    assert digest_of(memory.stored(), records) == digest_of(wanted, records)
    assert memory.log == sorted(memory.log)
    assert {one.hash for one in memory.records.values()} == {o.hash for o in records}


@settings(max_examples=100)
@given(steps(), st.randoms(use_true_random=False))
def test_views_hold_after_every_batch(done: list[Step], chance: Random) -> None:
    records = history(done)
    memory = Memory()
    for batch in delivered(records, chance):
        memory.receive(batch)
        memory.refresh()

        assert held(memory) == []


@settings(max_examples=100)
@given(steps(), st.randoms(use_true_random=False))
def test_the_same_words_are_left_whatever_the_order(
    done: list[Step], chance: Random
) -> None:
    records = history(done)
    first, second = Memory(), Memory()
    first.receive(records)
    for batch in delivered(records, chance):
        second.receive(batch)

    left = {one.record_id: one.body for one in first.records.values()}
    assert left == {one.record_id: one.body for one in second.records.values()}


@settings(max_examples=100)
@given(steps(), st.randoms(use_true_random=False))
def test_the_full_computation_does_not_depend_on_order(
    done: list[Step], chance: Random
) -> None:
    records = history(done)
    shuffled = [one for batch in delivered(records, chance) for one in batch]

    assert views.views(records) == views.views(shuffled)


@settings(max_examples=50)
@given(steps(), st.randoms(use_true_random=False))
def test_a_log_with_blanked_words_gives_the_same_views(
    done: list[Step], chance: Random
) -> None:
    first, second = Memory(), Memory()
    for batch in delivered(history(done), chance):
        first.receive(batch)
    second.receive(list(first.records.values()))
    second.refresh()
    first.refresh()

    assert list(views.differences(first.stored(), second.stored())) == []
