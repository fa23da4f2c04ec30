"""Tags: words for conditions, and how a vocabulary takes them.

A tag is an ASCII letter, then letters, digits and `_`, 2 to 64 characters. Annolog's
own interface makes tags lower case, resolves aliases, and refuses what the vocabulary
does not take. Imports, peers and the exposurelog API keep every word as it came. Either
way what is stored keeps its word for good; aliases act again when it is shown or
looked for.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from annolog.domain.entries import TAG_PATTERN
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.vocabulary import Vocabulary, nearest

MOST_FOUND = 256
"""Characters by which a stored tag is found. A tag of today has fewer; what came by an
import or the exposurelog API may be longer than an index can hold."""

_WELL_FORMED = re.compile(TAG_PATTERN, re.ASCII)

_FORM = (
    "a tag is 2 to 64 characters: an ASCII letter, then letters, digits and '_', "
    "as in vignetting"
)


class KeptTags(NamedTuple):
    """Tags that were taken as they came.

    Attributes
    ----------
    tags
        All of them as written, in order, each once.
    uncurated
        Those that annolog's own interface would have refused, in order.
    """

    tags: tuple[str, ...]
    uncurated: tuple[str, ...]


_NO_TAGS = KeptTags((), ())


def is_well_formed(word: str) -> bool:
    """Tell whether a word has the form of a tag.

    Parameters
    ----------
    word
        As it would be stored: upper case is not well-formed.

    Returns
    -------
    bool
        Whether any vocabulary could take it.
    """
    return _WELL_FORMED.fullmatch(word) is not None


def findable(words: Iterable[str]) -> tuple[str, ...]:
    """Give tags as they are found and counted: cut to `MOST_FOUND` characters."""
    return tuple(word[:MOST_FOUND] for word in words)


def accept_tags(
    words: Sequence[str],
    vocabulary: Vocabulary,
    instruments: Iterable[str],
    *,
    kept: Collection[str] = (),
    pointer: str = "/tags",
) -> tuple[str, ...]:
    """Check the tags of a new statement and bring them to their stored form.

    Parameters
    ----------
    words
        Tags as sent; upper case is made lower case.
    vocabulary
        The vocabulary of now.
    instruments
        Those of the targets named; empty where they have none. A tag must be right
        for each of them.
    kept
        Tags that the revision edited has already: they stay as they are, also if
        they were archived since.
    pointer
        Where in the request the list stands.

    Returns
    -------
    tuple of str
        In the order sent, aliases resolved, each once.

    Raises
    ------
    InvalidError
        If a word has not the form of a tag, is archived, is unknown where the
        vocabulary is curated (the error names the nearest known ones), or stands for
        different tags at different instruments. All that is wrong is named at once.
    """
    homes = _homes(instruments)
    accepted: list[str] = []
    problems: list[Problem] = []
    for i, word in enumerate(words):
        if word in kept:
            accepted.append(word)
            continue
        tag, reason, code = _judge(word, vocabulary, homes)
        if reason:
            problems.append(Problem(f"{pointer}/{i}", word, reason, code))
        else:
            accepted.append(tag)
    if problems:
        raise InvalidError(
            "; ".join(one.reason for one in problems),
            code=problems[0].code,
            problems=problems,
        )
    return tuple(dict.fromkeys(accepted))


def keep_tags(
    words: Sequence[str], vocabulary: Vocabulary, instruments: Iterable[str]
) -> KeptTags:
    """Take tags that come through an import, a peer or the exposurelog API.

    Parameters
    ----------
    words
        Tags as sent. None is refused or changed; who has a form to keep checks it
        with `is_well_formed` before.
    vocabulary
        The vocabulary of now.
    instruments
        Those of the targets named; empty where they have none.

    Returns
    -------
    KeptTags
        The tags, and which of them no vocabulary takes.
    """
    tags = tuple(dict.fromkeys(words))
    if not tags:
        return _NO_TAGS
    homes = _homes(instruments)
    return KeptTags(
        tags=tags,
        uncurated=tuple(word for word in tags if _judge(word, vocabulary, homes)[1]),
    )


def expand_tag(
    word: str, vocabulary: Vocabulary, instrument: str | None = None
) -> frozenset[str]:
    """Give all stored words that a filter by one tag must match.

    Parameters
    ----------
    word
        The tag looked for, or an alias of it; case does not matter.
    vocabulary
        The vocabulary to resolve by.
    instrument
        Only targets of this instrument are looked at; None: of any, and then a word
        that means different tags at different instruments matches all of them.

    Returns
    -------
    frozenset of str
        The word, the tag it stands for, and that tag's aliases.
    """
    word = word.lower()
    homes: set[str | None] = {instrument}
    if instrument is None:
        homes |= {home for home, _ in vocabulary.tags}
    found = {word}
    for home in homes:
        tag = vocabulary.tag_name(word, home)
        found.add(tag)
        found.update(
            alias for alias, end in vocabulary.tag_words(home).items() if end == tag
        )
    return frozenset(found)


def _homes(instruments: Iterable[str]) -> tuple[str | None, ...]:
    return tuple(sorted(set(instruments))) or (None,)


def _judge(
    written: str, vocabulary: Vocabulary, homes: Sequence[str | None]
) -> tuple[str, str, str]:
    """Give the tag, and a reason and code where it is not taken ("" where it is)."""
    word = written.lower()
    if not is_well_formed(word) or not written.isascii():
        return word, f"{written[:80]!r} is no tag: {_FORM}", "malformed_tag"
    tag = vocabulary.tag_name(word, homes[0])
    meant = {home: vocabulary.tag_name(word, home) for home in homes[1:]}
    if any(other != tag for other in meant.values()):
        every = {homes[0]: tag} | meant
        told = ", ".join(f"{tag!r} at {home}" for home, tag in every.items())
        return word, f"{word!r} means {told}: write the one meant", "ambiguous_tag"
    for home in homes:
        entry = vocabulary.tag(tag, home)
        if entry is not None and not entry.archived:
            continue
        where = f" for {home}" if home else ""
        if entry is not None:
            reason = f"the tag {tag!r} is archived{where} and takes no new statements"
            return tag, reason + _near(tag, vocabulary, home), "archived_tag"
        if vocabulary.mode(home) == "curated":
            reason = f"{tag!r} is not a known tag{where}"
            return tag, reason + _near(tag, vocabulary, home), "unknown_tag"
    return tag, "", ""


def _near(tag: str, vocabulary: Vocabulary, home: str | None) -> str:
    """Say which tags may have been meant, each by the word that takes statements."""
    in_use = {one.name for one in vocabulary.known_tags(home) if not one.archived}
    words = dict(vocabulary.tag_words(home)) | {name: name for name in in_use}
    words.pop(tag, None)
    near = dict.fromkeys(
        words[word] for word in nearest(tag, words) if words[word] in in_use
    )
    return f"; did you mean {' or '.join(near)}?" if near else ""
