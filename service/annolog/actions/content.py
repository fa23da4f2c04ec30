"""What a statement says: checked, patched and written as its record keeps it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from annolog.domain import flags, records, tags
from annolog.domain.annotations import CONTENT_FIELDS, AnnotationPatch, Content
from annolog.domain.book import Book
from annolog.domain.errors import InvalidError
from annolog.domain.ledger import Wants
from annolog.domain.targets import FLAGLESS_KINDS

_CONTENT = set(CONTENT_FIELDS)


def check_content(
    content: Content,
    keys: Sequence[str],
    book: Book,
    *,
    kept_tags: Sequence[str] = (),
    kept_flag: str | None = None,
) -> tuple[str, ...]:
    """Check what is said against the vocabularies and the kinds of targets.

    Parameters
    ----------
    content
        What is said.
    keys
        Keys of all targets that it is said of.
    book
        Knows the vocabulary and the places of the targets.
    kept_tags, kept_flag
        What the statement said before: kept words are not judged again.

    Returns
    -------
    tuple of str
        The tags to store: aliases resolved, doubles dropped, order kept.

    Raises
    ------
    InvalidError
        Naming the field, the value and what would be right.
    """
    book.require(Wants(keys=frozenset(keys)))
    vocabulary = book.vocabulary
    places = [book.places[key] for key in keys]
    instruments = {place.instrument for place in places if place.instrument is not None}
    kinds = {place.kind for place in places}
    if content.flag is not None:
        flagless = sorted(kinds & FLAGLESS_KINDS)
        if flagless:
            reason = (
                f"a {flagless[0]} takes no flag; say it in text and tags, or flag its "
                "exposures"
            )
            raise InvalidError.at("/flag", content.flag, reason, "flag_not_for_kind")
        if content.flag != kept_flag:
            flags.accept_flag(content.flag, vocabulary, instruments)
    for name in ("cause", "seconds_lost"):
        value = getattr(content, name)
        if value is not None and "gap" not in kinds:
            reason = f"{name} is for gaps; name a gap among the targets or leave it out"
            raise InvalidError.at(f"/{name}", value, reason, "only_for_gaps")
    if content.assignee is not None and content.flag not in vocabulary.asking:
        asking = ", ".join(sorted(vocabulary.asking)) or "none"
        reason = f"an assignee belongs to a flag that asks ({asking})"
        raise InvalidError.at("/assignee", content.assignee, reason, "nothing_asked")
    return tags.accept_tags(content.tags, vocabulary, instruments, kept=kept_tags)


def merged_content(
    before: Mapping[str, Any], patch: AnnotationPatch, changed: set[str]
) -> Content:
    """Lay a patch over what was said; null means the default again."""
    sent = patch.model_dump(mode="python", include=changed)
    kept = {
        name: before.get(name)
        for name in CONTENT_FIELDS
        if name not in changed and before.get(name) is not None
    }
    set_again = {name: value for name, value in sent.items() if value is not None}
    return Content.model_validate({**kept, **set_again})


def moves_votes(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether an edit changes what counts for the targets: flag or tags."""
    return any(before.get(name) != after[name] for name in ("flag", "tags"))


def content_of(content: Content, accepted: Sequence[str]) -> dict[str, Any]:
    """Give what is said as JSON values."""
    dumped = content.model_dump(mode="json", include=_CONTENT)
    for name in ("written_at",):
        moment: datetime | None = getattr(content, name)
        dumped[name] = records.stamp_of(moment) if moment else None
    if content.observed_at is not None:
        begin, end = content.observed_at.begin, content.observed_at.end
        dumped["observed_at"] = {
            "begin": records.stamp_of(begin) if begin else None,
            "end": records.stamp_of(end) if end else None,
        }
    dumped["tags"] = list(accepted)
    return dumped
