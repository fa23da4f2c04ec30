"""Records: what was sealed is what its body says."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from annolog.actions.content import content_of
from annolog.domain import records
from annolog.domain.annotations import Content, Observed
from annolog.domain.records import Origin, Record, Sender

NOW = datetime(2026, 11, 19, 3, 12, tzinfo=UTC)
PEER = Record(UUID(int=1), "revision", 1, "summit", "0a1b2c3d", 1, b'{"text":""}', b"")

contents = st.builds(
    Content,
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    tags=st.lists(st.sampled_from(["trailed", "donuts"])),
    urls=st.lists(st.just("https://example.org/a")),
    observed_at=st.none() | st.just(Observed(begin=NOW)),
    seconds_lost=st.none() | st.floats(0, 86_400),
    written_at=st.none() | st.just(NOW),
)


def sealed(content: Content) -> tuple[Record, Mapping[str, Any]]:
    return records.seal(
        kind="revision",
        record_id=UUID(int=1),
        id_field="revision_id",
        origin=Origin("summit", "0a1b2c3d"),
        number=1,
        clock=1,
        now=NOW,
        sender=Sender("ada", "human", "human", None, "none", None),
        voter="ada",
        fields=content_of(content, content.tags),
    )


@given(contents)
def test_a_record_is_sealed_with_the_members_that_its_body_has(
    content: Content,
) -> None:
    record, members = sealed(content)

    assert record.fields() == members


def test_a_copy_with_another_body_gives_what_that_one_says() -> None:
    record, _ = sealed(Content(text="Rings around stars."))

    blanked = structs.replace(record, body=records.blank(record.body, UUID(int=2)))

    assert blanked.fields()["text"] == ""
    assert PEER.fields() == {"text": ""}
