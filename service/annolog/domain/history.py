"""What the revisions and reviews of one annotation amount to.

An annotation is a set of revisions that point at their parents, and a set of reviews.
Everything here is a function of those sets: the order in which they arrived, and the
site at which one looks, make no difference (design.md, sections 3 and 7).
"""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from annolog.domain.annotations import Operation, Verdict
from annolog.domain.flags import WITHDRAW, Rank, Said


class Version(msgspec.Struct, frozen=True):
    """What the views need of one revision.

    Attributes
    ----------
    targets
        Canonical keys, sorted.
    content_id
        The revision in which what it says of its targets last changed.
    continues
        The message that it continues (`domain.messages`); None for most.
    """

    revision_id: UUID
    annotation_id: UUID
    parent_id: UUID | None
    clock: int
    operation: Operation
    targets: tuple[str, ...]
    flag: str | None
    tags: tuple[str, ...]
    author: str
    author_kind: str
    voter: str
    rank: Rank
    content_id: UUID
    continues: UUID | None = None

    @property
    def order(self) -> tuple[int, UUID]:
        """What decides which of two revisions is the later one."""
        return (self.clock, self.revision_id)

    @property
    def named(self) -> tuple[str, ...]:
        """Give the targets it speaks of: none once it is retracted."""
        return () if self.operation is Operation.RETRACT else self.targets


class Review(msgspec.Struct, frozen=True):
    """What the views need of one review.

    Attributes
    ----------
    targets
        Keys that it is about; None for all of the revision reviewed.
    """

    review_id: UUID
    annotation_id: UUID
    revision_id: UUID
    verdict: Verdict
    targets: frozenset[str] | None
    reviewer: str
    rank: Rank
    clock: int

    @property
    def order(self) -> tuple[int, UUID]:
        """What decides which of two reviews is the later one."""
        return (self.clock, self.review_id)


class Standing(msgspec.Struct, frozen=True):
    """How a statement, or a review that confirms it, stands on one target now.

    Attributes
    ----------
    ordinal
        Place of the target in its annotation, for ever: 0 for the first.
    tags
        Tags that it says, sorted; none for a confirming review.
    """

    said: Said
    ordinal: int
    tags: tuple[str, ...]


class _Vote(msgspec.Struct, frozen=True):
    """Who said this flag on this target first, without a break until now."""

    voter: str
    author: str
    rank: Rank
    vote_id: UUID
    clock: int


Standings = Mapping[tuple[UUID, str], Standing]
"""Standings by (source id, target key)."""

NONE: Standings = {}
"""Nothing stands."""


def current(versions: Iterable[Version]) -> Version:
    """Choose the revision that holds: the greatest (clock, id).

    Retractions and restores count like any other. Of several creates with one id only
    the first began the annotation: a retry at another site never undoes later edits.

    Parameters
    ----------
    versions
        All known revisions of one annotation; at least one.
    """
    known = list(versions)
    if len(known) == 1:
        return known[0]
    first = root(known)
    return max(
        (v for v in known if v is first or v.operation is not Operation.CREATE),
        key=lambda version: version.order,
    )


def root(versions: Iterable[Version]) -> Version:
    """Choose the revision that began the annotation.

    It is the create with the least (clock, id), or the least of all while no create
    has arrived yet.
    """
    known = list(versions)
    if len(known) == 1:
        return known[0]
    known.sort(key=lambda version: version.order)
    return next((v for v in known if v.operation is Operation.CREATE), known[0])


def chain(versions: Iterable[Version]) -> list[Version]:
    """Follow the parents of the current revision.

    Returns
    -------
    list of Version
        From the first known ancestor to the current revision; where a parent has not
        arrived yet, the chain starts behind the hole.
    """
    known = {version.revision_id: version for version in versions}
    if len(known) == 1:
        return list(known.values())
    step: Version | None = current(known.values())
    found: list[Version] = []
    while step is not None:
        found.append(step)
        parent = known.get(step.parent_id) if step.parent_id else None
        # A hostile peer could send a ring; an ancestor is always older.
        step = parent if parent and parent.order < step.order else None
    found.reverse()
    return found


def forks(versions: Sequence[Version]) -> list[Version]:
    """Find revisions that stand beside the current line: edits made at the same time.

    Returns
    -------
    list of Version
        Those that no later revision answers and that are not current, oldest first.
    """
    answered = {version.parent_id for version in versions}
    now = current(versions)
    return sorted(
        (v for v in versions if v.revision_id not in answered and v is not now),
        key=lambda version: version.order,
    )


def standings(versions: Sequence[Version], reviews: Sequence[Review] = ()) -> Standings:
    """Work out where an annotation counts, and with which votes.

    Parameters
    ----------
    versions
        All known revisions of one annotation, any order.
    reviews
        All known reviews of it, any order.

    Returns
    -------
    mapping
        (annotation id, target key) -> how the statement stands there, and
        (review id, target key) -> the vote of a review that confirms it. Targets on
        which it does not count are absent.

    Notes
    -----
    design.md section 3: a vote's time is that of the revision that last changed this
    flag on this target; a review counts on a target while the current revision names
    it with the flag and tags of the revision reviewed.
    """
    if not versions:
        return NONE
    line = chain(versions)
    now = line[-1]
    named = now.named
    if not named:
        return NONE
    ordinals, since, votes = _walk(line)
    tags = now.tags if len(now.tags) < 2 else tuple(sorted(set(now.tags)))  # noqa: PLR2004
    words = _reviews_by_target(now, versions, reviews)
    found: dict[tuple[UUID, str], Standing] = {}
    for key in named:
        vote = votes[key]
        spoken = words.get(key, ())
        flag, stands, contested = now.flag, True, None
        if spoken:
            flag, stands, contested = _after(spoken, flag, vote.rank)
        if stands:
            found[now.annotation_id, key] = Standing(
                Said(  # by place, as nearly every statement comes here
                    now.annotation_id,
                    now.annotation_id,
                    since[key],
                    vote.author,
                    vote.voter,
                    vote.rank,
                    flag,
                    vote.vote_id,
                    vote.clock,
                    contested,
                ),
                ordinals[key],
                tags,
            )
        if flag is None or flag == WITHDRAW:
            continue
        for review in spoken:
            if review.verdict is Verdict.CONFIRM:
                found[review.review_id, key] = Standing(
                    Said(
                        source_id=review.review_id,
                        annotation_id=now.annotation_id,
                        revision_id=since[key],
                        author=review.reviewer,
                        voter=review.reviewer,
                        rank=review.rank,
                        flag=flag,
                        vote_id=review.review_id,
                        vote_clock=review.clock,
                        contested=None,
                    ),
                    ordinals[key],
                    (),
                )
    return found


def _after(
    spoken: Iterable[Review], flag: str | None, rank: Rank
) -> tuple[str | None, bool, Rank | None]:
    """Give what reviews leave of a flag, whether it stands, and who contests it."""
    stands, contested = True, None
    for review in spoken:
        if review.verdict is Verdict.CLOSED:
            flag = None
        elif review.verdict is Verdict.REJECT and review.rank > rank:
            stands = False
        elif review.verdict is Verdict.REJECT and review.rank == rank:
            contested = rank
    return flag, stands, contested


def _walk(
    line: Sequence[Version],
) -> tuple[dict[str, int], dict[str, UUID], dict[str, _Vote]]:
    """Follow ordinals, appearances and votes along a line of revisions."""
    if len(line) == 1:  # as of nearly all
        return _begun_with(line[0])
    ordinals: dict[str, int] = {}
    since: dict[str, UUID] = {}
    votes: dict[str, _Vote] = {}
    before: Version | None = None
    for version in line:
        for key in version.targets:
            ordinals.setdefault(key, len(ordinals))
        fresh = _Vote(
            version.voter,
            version.author,
            version.rank,
            version.revision_id,
            version.clock,
        )
        same = before is not None and (before.flag, before.voter) == (
            version.flag,
            version.voter,
        )
        kept_since: dict[str, UUID] = {}
        kept_votes: dict[str, _Vote] = {}
        for key in version.named:
            kept_since[key] = since.get(key, version.revision_id)
            vote = votes.get(key)
            # Only a settled word outweighs the same vote said before; an edit of the
            # text neither renews a vote nor takes its weight.
            kept = same and vote is not None and version.rank <= vote.rank
            kept_votes[key] = vote if kept and vote is not None else fresh
        since, votes, before = kept_since, kept_votes, version
    return ordinals, since, votes


def _begun_with(
    version: Version,
) -> tuple[dict[str, int], dict[str, UUID], dict[str, _Vote]]:
    """Give what `_walk` gives for one revision."""
    own, named = version.revision_id, version.named
    vote = _Vote(version.voter, version.author, version.rank, own, version.clock)
    ordinals = {key: number for number, key in enumerate(version.targets)}
    return ordinals, dict.fromkeys(named, own), dict.fromkeys(named, vote)


def _reviews_by_target(
    now: Version, versions: Sequence[Version], reviews: Sequence[Review]
) -> dict[str, list[Review]]:
    """Keep of each reviewer the latest review that applies to each target."""
    if not reviews:
        return {}
    known = {version.revision_id: version for version in versions}
    named = frozenset(now.named)
    latest: dict[tuple[str, str], Review] = {}
    for review in sorted(reviews, key=lambda review: review.order):
        seen = known.get(review.revision_id)
        if seen is None or seen.flag != now.flag or set(seen.tags) != set(now.tags):
            continue
        about = seen.targets if review.targets is None else review.targets
        for key in about:
            if key in named and (review.targets is None or key in seen.targets):
                latest[key, review.reviewer] = review
    found: dict[str, list[Review]] = {}
    for (key, _), review in latest.items():
        found.setdefault(key, []).append(review)
    return found
