"""Snapshots put together from events, one event at a time."""

from datetime import UTC, datetime
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
from annolog.domain.snapshots import (
    Gone,
    Line,
    SnapshotFilter,
    Stands,
    State,
    Statement,
    Weighing,
)
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


def statements(found: Fold) -> list[Line]:
    """Give the whole, but for the entries that everybody has."""
    return [one for one in found.whole() if not isinstance(one, Weighing)]


def test_a_statement_counts_where_there_is_a_state() -> None:
    found = fold(change(1, after=revision()), state(1, flag="junk"))
    told, said = statements(found)
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
    assert statements(found) == []


def test_filters_leave_out_states_and_what_counts_for_them_alone() -> None:
    events = [
        change(1, after=revision(targets=[KEY, OTHER])),
        state(1, flag="junk"),
        state(1, OTHER, flag="junk"),
    ]
    for asked in ({"instrument": ("LSSTCam",)}, {"day_obs_max": 20261119}):
        told, said = statements(fold(*events, **asked))
        assert isinstance(told, State)
        assert isinstance(said, Statement)
        assert told.key == KEY
        assert said.counted_for == (KEY,)
    assert statements(fold(*events, day_obs_min=20261121)) == []


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


def test_what_stands_on_a_detector_comes_with_its_time() -> None:
    chip = "record:detector/instrument=LSSTCam/detector=94"
    begin = "2026-11-01T00:00:00.000000Z"
    record = revision(targets=[chip], observed_at={"begin": begin, "end": None})
    told = TargetState(key=chip, kind="record", number=1, site_id="summit", notes=1)
    found = fold(
        change(1, after=record),
        event(1, chip, told.model_dump(mode="json"), STATE_SCHEMA),
    )
    (stood,) = (one for one in found.whole() if isinstance(one, Stands))
    assert (stood.keys, stood.flag, stood.vote_clock) == ((chip,), "junk", 1)
    assert (stood.observed_begin, stood.observed_end) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        None,
    )
    # It ends: the same statement with another time, and afterwards none.
    first = revision()["revision_id"]
    ended = {"begin": begin, "end": "2026-11-30T00:00:00.000000Z"}
    edit = {"operation": "edit", "parent_id": first, "observed_at": ended}
    found.take_change(change(2, after=revision(2, **record | edit)))
    _, later = found.changed()
    assert isinstance(later, Stands)
    assert later.observed_end == datetime(2026, 11, 30, tzinfo=UTC)
    assert later.vote_clock == 1
    gone = {"operation": "retract", "parent_id": edit["parent_id"]}
    found.take_change(change(3, after=revision(3, **record | gone)))
    assert list(found.changed()) == [Gone(UUID(ANNOTATION))]


def test_entries_that_weigh_votes_are_told_when_they_come() -> None:
    found = fold()
    shipped = {one.key: one for one in found.whole() if isinstance(one, Weighing)}
    assert {"good", "questionable", "junk"} <= shipped.keys()
    fields = {"instrument": None, "rule": "latest"}
    said = {"kind": "policy", "key": "*", "clock": 9, "fields": fields}
    found.take_change(change(4, "policy", said | {"record_id": ANNOTATION}))
    assert found.has_changed()
    assert list(found.changed()) == [Weighing("policy", "*", fields)]
    assert not found.has_changed()
