"""What a change touched, in a few words."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.briefs import MAX_TARGETS, brief_of
from annolog.domain.events import LoggedChange, change_detail
from annolog.domain.records import canonical

KEYS = [f"exposure:LSSTCam/{2026111900000 + number}" for number in range(1, 101)]


def brief(body: dict[str, Any], **detail: Any) -> dict[str, Any]:  # noqa: ANN401 - members
    raw = canonical(body)
    written = brief_of(
        LoggedChange(
            number=7,
            record_id=UUID(int=7),
            kind="revision",
            operation="edit",
            subject="x",
            instruments=("LSSTCam",),
            detail=change_detail(number=7, body_bytes=len(raw), **detail),
            body=raw,
            committed_at=datetime(2026, 11, 19, 12, tzinfo=UTC),
            site_id="summit",
            incarnation="0a1b2c3d",
        )
    )
    assert len(written) < 2048
    assert b"\n" not in written
    found: dict[str, Any] = msgspec.json.decode(written)
    return found


def test_an_edit_of_words_names_what_they_are_about() -> None:
    found = brief({"targets": KEYS[:2], "text": "secret"}, count=2)
    assert (found["targets"], found["complete"]) == (KEYS[:2], True)
    assert "secret" not in str(found)


def test_what_left_is_named_as_well() -> None:
    found = brief({"targets": KEYS[:1]}, removed=KEYS[1:2], count=1)
    assert found["targets"] == [KEYS[1], KEYS[0]]
    assert found["complete"]


def test_of_many_targets_the_first_are_named() -> None:
    found = brief({"list_id": "y"}, added=KEYS, count=100)
    assert found["targets"] == KEYS[: len(found["targets"])]
    assert 40 <= len(found["targets"]) <= MAX_TARGETS
    assert not found["complete"]


def test_targets_in_a_list_of_their_own_are_not_known_after_an_edit() -> None:
    found = brief({"list_id": "y"}, count=20)
    assert (found["targets"], found["complete"]) == ([], False)
    assert brief({"list_id": "y"}, added=KEYS[:20], count=20)["complete"]


def test_a_review_of_all_targets_does_not_name_them() -> None:
    found = brief({"targets": None, "verdict": "confirm"})
    assert (found["targets"], found["complete"]) == ([], False)


def test_the_author_is_named_not_who_sent_it() -> None:
    actor = {"id": "proxy", "kind": "human", "on_behalf_of": "jdoe"}
    assert brief({}, actor=actor)["author"] == "jdoe"
    assert brief({})["author"] is None


def test_records_of_other_kinds_are_briefs_too() -> None:
    found = brief({"targets": {"what": "else"}})
    assert (found["targets"], found["complete"]) == ([], True)
