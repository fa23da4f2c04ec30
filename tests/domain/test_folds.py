"""Snapshots put together from events, one event at a time."""

from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.events import (
    CHANGE_SCHEMA,
    STATE_SCHEMA,
    Event,
    source_of,
)
from annolog.domain.folds import Fold
from annolog.domain.snapshots import Gone, SnapshotFilter, State, Statement
from annolog.domain.states import TargetState

KEY = "exposure:LSSTCam/2026111900001"
OTHER = "exposure:LSSTComCam/2026112000001"
ANNOTATION = "019a5c00-0000-7000-8000-000000000001"
LIST = "019a5c00-2222-8000-8000-000000000001"


def event(number: int, key: str, body: object, schema: str = CHANGE_SCHEMA) -> Event:
    attributes = {
        "source": source_of("summit", "0a1b2c3d"),
        "sequence": f"{number:020d}",
        "dataschema": schema,
    }
    return Event(attributes, key, None if body is None else msgspec.json.encode(body))


def state(number: int, key: str = KEY, **members: Any) -> Event:  # noqa: ANN401 - of a state
    told = TargetState(
        key=key,
        kind="exposure",
        number=number,
        site_id="summit",
        notes=1,
        instrument=key.partition(":")[2].partition("/")[0],
        day_obs=int(key.rpartition("/")[2]) // 100_000,
        **members,
    )
    return event(number, key, told.model_dump(mode="json"), STATE_SCHEMA)


def change(
    number: int, kind: str = "revision", after: dict[str, Any] | None = None
) -> Event:
    body = {"kind": kind, "annotation_id": ANNOTATION, "after": after}
    return event(number, ANNOTATION, body)


def revision(number: int = 1, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - of a record
    return {
        "kind": "revision",
        "annotation_id": ANNOTATION,
        "revision_id": f"019a5c00-1111-7000-8000-00000000000{number}",
        "parent_id": None,
        "operation": "create",
        "clock": number,
        "targets": [KEY],
        "flag": "junk",
        "tags": [],
        "text": "trailed",
        "level": 20,
        "author": "jdoe",
        "author_kind": "human",
        "voter": "jdoe",
        "rank": "human",
        "created_at": "2026-11-20T00:00:00.000000Z",
        **members,
    }


def fold(*events: Event, **asked: Any) -> Fold:  # noqa: ANN401 - fields of the filter
    one = Fold(SnapshotFilter(**asked))
    for told in events:
        take = one.take_change
        if told.attributes["dataschema"] == STATE_SCHEMA:
            take = one.take_state
        take(told)
    return one


def test_a_statement_counts_where_there_is_a_state() -> None:
    found = fold(change(1, after=revision()), state(1, flag="junk"))
    told, said = found.whole()
    assert isinstance(told, State)
    assert (told.key, told.flag) == (KEY, "junk")
    assert isinstance(said, Statement)
    assert (said.counted_for, said.text) == ((KEY,), "trailed")
    assert not found.has_changed()


def test_what_is_emptied_and_retracted_is_given_as_gone() -> None:
    found = fold(change(1, after=revision()), state(1, flag="junk"))
    list(found.whole())
    gone = revision(2, operation="retract", parent_id=revision()["revision_id"])
    found.take_change(change(2, after=gone))
    found.take_state(event(2, KEY, None, STATE_SCHEMA))
    told, said = found.changed()
    assert told == State(key=KEY, kind="", number=2, empty=True)
    assert said == Gone(UUID(ANNOTATION))
    assert list(found.whole()) == []


def test_filters_leave_out_states_and_what_counts_for_them_alone() -> None:
    events = [
        change(1, after=revision(targets=[KEY, OTHER])),
        state(1, flag="junk"),
        state(1, OTHER, flag="junk"),
    ]
    for asked in ({"instrument": ("LSSTCam",)}, {"day_obs_max": 20261119}):
        told, said = fold(*events, **asked).whole()
        assert isinstance(told, State)
        assert isinstance(said, Statement)
        assert told.key == KEY
        assert said.counted_for == (KEY,)
    assert list(fold(*events, day_obs_min=20261121).whole()) == []


def test_a_statement_waits_for_its_list_of_targets() -> None:
    record = revision(targets=None, list_id=LIST)
    found = fold(change(1, after=record), state(1, flag="junk"))
    assert found.incomplete == 1
    assert not any(isinstance(one, Statement) for one in found.whole())
    keys = {"kind": "target_list", "list_id": LIST, "keys": [KEY]}
    found.take_change(change(2, "target_list", keys))
    assert found.incomplete == 0
    (said,) = found.changed()
    assert isinstance(said, Statement)


def test_a_statement_whose_record_is_too_large_for_an_event_is_counted() -> None:
    found = fold(change(1, after=revision()), state(1), change(2, after=None))
    assert found.incomplete == 1
    assert not any(isinstance(one, Statement) for one in found.whole())


def test_states_that_are_told_anew_ask_for_the_whole() -> None:
    found = fold(change(1, after=revision()), state(1))
    list(found.whole())
    found.begin_states()
    assert found.needs_whole
    assert not any(isinstance(one, State) for one in found.whole())
    assert not found.needs_whole
