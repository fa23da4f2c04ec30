"""What one statement will change, worked out before anything is changed."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from annolog.domain import history
from annolog.domain.annotations import CONTENT_FIELDS
from annolog.domain.history import Review, Standings, Version
from annolog.domain.ledger import review_of, version_of


class Plan:
    """What one statement will change.

    Parameters
    ----------
    annotation_id
        The annotation that it is about.
    was, now
        What counts of its annotation before and after it.
    keys
        Targets that it names.
    version, review
        The statement: the one or the other.
    """

    def __init__(
        self,
        annotation_id: UUID,
        was: Standings,
        now: Standings,
        keys: tuple[str, ...],
        *,
        version: Version | None = None,
        review: Review | None = None,
    ) -> None:
        self.annotation_id = annotation_id
        self.now = now
        self.closed = {at: one for at, one in was.items() if now.get(at) != one}
        self.opened = (
            {at: one for at, one in now.items() if was.get(at) != one}
            if was
            else dict(now)
        )
        self.keys = keys
        self.version = version
        self.review = review
        self.added: tuple[str, ...] = ()
        self.removed: tuple[str, ...] = ()
        self.before: Mapping[str, Any] = {}


def plan_of(
    annotation_id: UUID,
    fields: Mapping[str, Any],
    versions: Sequence[Version],
    reviews: Sequence[Review],
    lists: Mapping[UUID, Sequence[str]],
    bodies: Mapping[UUID, bytes],
) -> Plan:
    """Work out what a statement changes; it changes nothing.

    Parameters
    ----------
    annotation_id
        The annotation.
    fields
        The decoded body of a revision or a review.
    versions, reviews
        All of its annotation before it.
    lists
        Lists of targets by id; its own must be among them.
    bodies
        Bodies of revisions by id; that of its parent must be among them.
    """
    was = history.standings(versions, reviews)
    if fields["kind"] == "review":
        review = review_of(fields, lists)
        seen = next((v for v in versions if v.revision_id == review.revision_id), None)
        if review.targets is not None:
            keys = tuple(sorted(review.targets))
        else:
            keys = seen.targets if seen else ()
        now = history.standings(versions, [*reviews, review])
        plan = Plan(annotation_id, was, now, keys, review=review)
    else:
        version = version_of(fields, lists)
        now = history.standings([*versions, version], reviews)
        parent = next((v for v in versions if v.revision_id == version.parent_id), None)
        plan = Plan(annotation_id, was, now, version.targets, version=version)
        if parent is None:
            plan.added = version.targets
        else:
            before, after = set(parent.targets), set(version.targets)
            plan.added = tuple(sorted(after - before))
            plan.removed = tuple(sorted(before - after))
            plan.before = _changed(bodies[parent.revision_id], fields)
    return plan


def _changed(parent: bytes, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the fields that a revision changed, as its parent had them."""
    before = msgspec.json.decode(parent)
    return {
        name: before.get(name)
        for name in CONTENT_FIELDS
        if before.get(name) != fields.get(name)
    }
