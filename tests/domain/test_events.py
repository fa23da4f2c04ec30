"""Events: envelopes round bytes, the same for Kafka, `/changes` and live feeds."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from annolog.domain import events
from annolog.domain.errors import MalformedError
from annolog.domain.events import (
    MAX_EVENT_BYTES,
    Event,
    LoggedChange,
    LoggedState,
    blank_detail,
    change_detail,
    change_event,
    from_message,
    site_of,
    source_of,
    state_event,
    type_of,
)
from annolog.domain.records import Sender
from annolog.domain.states import TargetState

ANNOTATION = UUID("019a5c00-0000-7000-8000-000000000000")
REVISION = UUID("019a5c00-0001-7000-8000-000000004000")
PARENT = UUID("019a5c00-0000-7000-8000-000000004000")
NIGHT = datetime(2026, 11, 20, 3, 12, 0, 250_001, tzinfo=UTC)
EXPOSURE = "exposure:LSSTCam/2026111900123"


def a_detail(**given: Any) -> bytes:  # noqa: ANN401 - a builder
    return change_detail(
        **{
            "number": 1024,
            "body_bytes": 500,
            "actor": {
                "id": "jdoe",
                "kind": "human",
                "on_behalf_of": None,
                "authenticated_by": "none",
            },
            "annotation_id": ANNOTATION,
            "revision_id": REVISION,
            "parent_id": PARENT,
            "before": {"flag": "junk"},
            "added": [EXPOSURE],
            "count": 1,
            **given,
        }
    )


def a_change(**given: Any) -> LoggedChange:  # noqa: ANN401 - a builder
    return LoggedChange(
        **{
            "number": 1024,
            "record_id": REVISION,
            "kind": "revision",
            "operation": "edit",
            "subject": str(ANNOTATION),
            "instruments": ("LSSTCam",),
            "detail": a_detail(),
            "body": b'{"flag":"good","text":"caf\xc3\xa9 \xe2\x98\x95"}',
            "committed_at": NIGHT,
            "site_id": "summit",
            "incarnation": "0a1b2c3d",
            **given,
        }
    )


def a_state(*, empty: bool = False, **given: Any) -> LoggedState:  # noqa: ANN401 - a builder
    state = TargetState(
        **{
            "key": EXPOSURE,
            "kind": "exposure",
            "instrument": "LSSTCam",
            "number": 1024,
            "site_id": "summit",
            **given,
        }
    )
    return LoggedState(state, empty, NIGHT, "0a1b2c3d")


def body_of(event: Event) -> dict[str, Any]:
    body = event.body()
    assert body is not None
    return body


def read_by_sdk(event: Event) -> BaseCloudEvent:
    message = KafkaMessage(
        dict(event.headers()), event.key.encode(), event.data or b"null"
    )
    return from_binary(message, JSONFormat())


def test_a_change_has_the_documented_body() -> None:
    assert body_of(change_event(a_change())) == {
        "schema_version": 1,
        "number": 1024,
        "site_id": "summit",
        "incarnation": "0a1b2c3d",
        "timestamp": 1_795_144_320_250_001,
        "operation": "edit",
        "kind": "revision",
        "subject": str(ANNOTATION),
        "annotation_id": str(ANNOTATION),
        "revision_id": str(REVISION),
        "parent_id": str(PARENT),
        "before": {"flag": "junk"},
        "before_complete": True,
        "targets": {
            "added": [EXPOSURE],
            "removed": [],
            "added_count": 1,
            "removed_count": 0,
            "count": 1,
            "complete": True,
            "link": None,
        },
        "actor": {
            "id": "jdoe",
            "kind": "human",
            "on_behalf_of": None,
            "authenticated_by": "none",
        },
        "reason": None,
        "after": {"flag": "good", "text": "café ☕"},
        "after_link": None,
    }


def test_a_change_is_read_by_the_cloudevents_sdk() -> None:
    read = read_by_sdk(change_event(a_change()))
    assert read.get_specversion() == "1.0"
    assert read.get_id() == str(REVISION)
    assert read.get_source() == "urn:annolog:summit:0a1b2c3d"
    assert read.get_type() == "org.lsst.annolog.annotation.edited.v1"
    assert read.get_subject() == str(ANNOTATION)
    assert read.get_time() == NIGHT
    assert read.get_datacontenttype() == "application/json"
    assert read.get_dataschema() == "urn:annolog:schema:change:1"
    assert read.get_extension("sequence") == "00000000000000001024"
    assert read.get_extension("partitionkey") == str(ANNOTATION)
    assert read.get_extension("authtype") == "user"
    assert read.get_extension("authid") == "jdoe"
    assert read.get_data() == change_event(a_change()).body()


def test_a_state_is_read_by_the_cloudevents_sdk() -> None:
    event = state_event(a_state(flag="junk", tags=["donuts"], notes=2))
    read = read_by_sdk(event)
    assert read.get_id() == f"1024/{EXPOSURE}"
    assert read.get_type() == "org.lsst.annolog.target.changed.v1"
    assert read.get_subject() == EXPOSURE
    assert read.get_extension("partitionkey") == EXPOSURE == event.key
    data = read.get_data()
    assert isinstance(data, dict)
    assert data == body_of(event)
    assert TargetState(**data) == a_state(flag="junk", tags=["donuts"], notes=2).state


def test_a_tombstone_keeps_its_headers_and_has_no_value() -> None:
    event = state_event(a_state(empty=True))
    assert event.data is None
    assert event.body() is None
    assert dict(event.headers())["ce_sequence"] == b"00000000000000001024"
    assert event.type == "org.lsst.annolog.target.emptied.v1"
    assert "data" not in json.loads(event.structured())


@pytest.mark.parametrize("empty", [False, True])
def test_an_event_comes_back_from_its_message(empty: bool) -> None:  # noqa: FBT001
    for sent in (change_event(a_change()), state_event(a_state(empty=empty))):
        got = from_message(sent.key.encode(), sent.data, sent.headers())
        assert got == sent
        assert got.number == 1024


def test_a_structured_event_is_read_by_the_cloudevents_sdk() -> None:
    event = change_event(a_change())
    read = JSONFormat().read(None, event.structured())
    assert read.get_attributes() == read_by_sdk(event).get_attributes()
    assert read.get_data() == event.body()


def test_the_record_travels_unopened() -> None:
    body = b'{"b" : 1, "a":1.50}'
    event = change_event(a_change(body=body))
    assert event.data is not None
    assert body in event.data
    assert body in event.structured()


def test_the_same_change_gives_the_same_event_each_time() -> None:
    assert change_event(a_change()) == change_event(a_change())


def test_each_part_of_a_long_refresh_has_an_id_of_its_own() -> None:
    one = change_event(a_change(kind="policy", operation="refresh", number=7))
    two = change_event(a_change(kind="policy", operation="refresh", number=8))
    assert (one.id, two.id) == (f"{REVISION}/7", f"{REVISION}/8")


def test_ten_thousand_targets_stay_below_256_kib() -> None:
    keys = [f"exposure:LSSTCam/{2026111900000 + n}" for n in range(10_000)]
    text = "x" * 65_536
    body = json.dumps({"text": text}).encode()
    detail = a_detail(
        body_bytes=len(body),
        added=keys,
        removed=["exposure:LSSTCam/1"],
        count=10_000,
        before={"text": text, "flag": None},
    )
    event = change_event(a_change(detail=detail, body=body))
    assert event.size < MAX_EVENT_BYTES
    targets = body_of(event)["targets"]
    assert len(targets["added"]) > 1_000
    assert targets["added"] == keys[: len(targets["added"])]
    assert targets["removed"] == ["exposure:LSSTCam/1"]
    assert targets["added_count"] == targets["count"] == 10_000
    assert targets["complete"] is False
    assert targets["link"] == (f"/annolog/v1/annotations/{ANNOTATION}/revisions")
    assert body_of(event)["after"] == {"text": text}
    assert body_of(event)["before"] == {"text": text, "flag": None}


@pytest.mark.parametrize("body_bytes", [2, 100_000, 230_000, 240_000, 262_144, 9**7])
@pytest.mark.parametrize("keys", [0, 10_000])
def test_no_event_grows_too_large(body_bytes: int, keys: int) -> None:
    body = b'"%s"' % (b"x" * (body_bytes - 2))
    key = "record:visit/instrument=LSSTCam/visit=" + "9" * 440
    detail = a_detail(
        body_bytes=len(body),
        added=[key] * keys,
        removed=[key] * keys,
        before={"text": "\x01" * 65_536, "level": 20},
        reason="y" * 1_000,
    )
    change = a_change(detail=detail, body=body, subject="é" * 256)
    event = change_event(change)
    assert event.size < MAX_EVENT_BYTES
    if body_of(event)["after"] is None:
        assert body_of(event)["after_link"] == (
            "/annolog/v1/changes?after=1023&limit=1&whole=true"
        )
        assert len(body) > 230_000
    whole = body_of(change_event(change, whole=True))
    assert len(whole["after"]) == body_bytes - 2


def test_a_cut_list_of_no_annotation_links_to_the_log() -> None:
    detail = a_detail(annotation_id=None, added=["k" * 500] * 10_000)
    link = body_of(change_event(a_change(detail=detail)))["targets"]["link"]
    assert link == "/annolog/v1/changes?after=1023&limit=1&whole=true"


def test_a_state_that_is_too_large_is_cut_and_says_so() -> None:
    many = [UUID(int=n) for n in range(10_000)]
    event = state_event(a_state(decided_by=many, outvoted=many, follow_ups=many))
    assert event.size < MAX_EVENT_BYTES
    assert body_of(event)["complete"] is False
    assert body_of(event)["decided_by"] == [str(one) for one in many[:200]]


def test_a_change_without_detail_has_all_members() -> None:
    event = change_event(a_change(detail=None))
    assert set(body_of(event)) == set(body_of(change_event(a_change())))
    assert "authid" not in event.attributes


def test_redaction_blanks_the_words_of_a_detail() -> None:
    before = {"text": "secret", "urls": ["https://secret"], "flag": "junk"}
    blanked = json.loads(blank_detail(a_detail(before=before, reason="secret")))
    assert blanked["before"] == {"text": "", "urls": [], "flag": "junk"}
    assert b"secret" not in blank_detail(a_detail(before=before, reason="secret"))
    assert blanked["actor"]["id"] == "jdoe"


def test_the_actor_is_who_sent_it_and_names_for_whom() -> None:
    sender = Sender("jdoe", "human", "human", "relay-bot", "token:al_1", None)
    assert events.actor_of(sender) == {
        "id": "relay-bot",
        "kind": "human",
        "on_behalf_of": "jdoe",
        "authenticated_by": "token:al_1",
    }


@pytest.mark.parametrize(
    ("kind", "operation", "expected"),
    [
        ("revision", "create", "annotation.created"),
        ("revision", "retract", "annotation.retracted"),
        ("revision", "restore", "annotation.restored"),
        ("review", "confirm", "review.confirmed"),
        ("review", "closed", "review.closed"),
        ("exposure", "announce", "exposure.announced"),
        ("exposure", "cancel", "exposure.cancelled"),
        ("tag_vocabulary", "set", "tag_vocabulary.set"),
        ("same_as", "apply", "same_as.applied"),
    ],
)
def test_types_say_what_has_happened(kind: str, operation: str, expected: str) -> None:
    assert type_of(kind, operation) == f"org.lsst.annolog.{expected}.v1"


def test_a_source_names_site_and_incarnation() -> None:
    assert site_of(source_of("sum:mit", "0a")) == ("sum:mit", "0a")
    assert site_of("https://elsewhere") is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_id", b"\xff")],
        [(n, b"1") for n in ("ce_specversion", "ce_id", "ce_source", "ce_type")],
        [
            *((n, b"1") for n in ("ce_specversion", "ce_id", "ce_source", "ce_type")),
            ("ce_sequence", b"minus one"),
        ],
    ],
)
def test_a_foreign_message_is_malformed(headers: list[tuple[str, bytes]]) -> None:
    with pytest.raises(MalformedError):
        from_message(b"key", b"{}", headers)
