"""Flags and tags that recipes ask for, held against the vocabulary.

A mistyped word finds nothing, and a list that nobody looks at is empty from then on. No
flag can be said that is not in the vocabulary. Tags can where the vocabulary is open,
and what came by an import or a peer may have any; such a one is unknown only if
no statement has it, which storage tells.
"""

from collections.abc import Collection
from dataclasses import dataclass

from annolog.domain.dataid_recipes import Recipe
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.tags import expand_tag
from annolog.domain.vocabulary import Vocabulary, nearest


@dataclass(frozen=True, slots=True)
class NewTag:
    """A tag that a recipe asks for and the vocabulary does not have.

    Attributes
    ----------
    part
        Name of the part that asks.
    pointer
        Where it stands in the recipe.
    tag
        As it was written.
    words
        All stored words that it finds.
    curated
        Whether nobody can say it now: the vocabulary of the instrument is closed.
    near
        Words of the vocabulary that may have been meant, the likeliest first.
    """

    part: str
    pointer: str
    tag: str
    words: frozenset[str]
    curated: bool
    near: tuple[str, ...]

    @property
    def told(self) -> str:
        """That no statement has it, and what may have been meant, for people."""
        hint = f"; did you mean {' or '.join(self.near)}?" if self.near else ""
        return f"part {self.part!r}: no statement has the tag {self.tag!r}{hint}"


def check_flags(recipe: Recipe, vocabulary: Vocabulary) -> None:
    """Refuse flags that the vocabulary does not have.

    Parameters
    ----------
    recipe
        As it was sent.
    vocabulary
        That of now.

    Raises
    ------
    InvalidError
        With the place of each and the nearest flags (`unknown_flag`).
    """
    problems = []
    for place, part in enumerate(recipe.parts):
        for at, flag in enumerate(part.query.flags if part.query else ()):
            if flag in vocabulary.flags:
                continue
            near = nearest(flag.lower(), vocabulary.flags)
            hint = f"did you mean {' or '.join(near)}?"
            if not near:
                hint = f"known are {', '.join(sorted(vocabulary.flags))}"
            reason = f"part {part.name!r}: {flag!r} is not a known flag; {hint}"
            pointer = f"/parts/{place}/query/flags/{at}"
            problems.append(Problem(pointer, flag, reason, "unknown_flag"))
    _refuse(problems)


def new_tags(recipe: Recipe, vocabulary: Vocabulary) -> list[NewTag]:
    """List the tags that the vocabulary does not have.

    Parameters
    ----------
    recipe
        A settled recipe.
    vocabulary
        That of now; aliases and archived tags are in it.
    """
    found = []
    for place, part in enumerate(recipe.parts):
        if part.query is None:
            continue
        home = part.query.instrument or recipe.instrument
        known = {one.name for one in vocabulary.known_tags(home)}
        aliases = vocabulary.tag_words(home)
        for at, tag in enumerate(part.query.tags):
            words = expand_tag(tag, vocabulary, home)
            if not known.isdisjoint(words):
                continue
            near = nearest(tag.lower(), {*known, *aliases})
            meant = tuple(dict.fromkeys(aliases.get(one, one) for one in near))
            pointer = f"/parts/{place}/query/tags/{at}"
            curated = vocabulary.mode(home) == "curated"
            found.append(NewTag(part.name, pointer, tag, words, curated, meant))
    return found


def check_tags(tags: Collection[NewTag]) -> None:
    """Refuse tags that nobody has said and nobody can say now.

    Parameters
    ----------
    tags
        Those of a recipe that no statement has.

    Raises
    ------
    InvalidError
        With the place of each and the nearest tags (`unknown_tag`).
    """
    _refuse(
        [
            Problem(one.pointer, one.tag, one.told, "unknown_tag")
            for one in tags
            if one.curated
        ]
    )


def _refuse(problems: list[Problem]) -> None:
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidError(
            f"{problems[0].reason}{more}", code=problems[0].code, problems=problems
        )
