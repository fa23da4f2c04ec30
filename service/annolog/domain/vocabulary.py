"""Vocabularies: the entries that hold at one moment, made ready for look-ups.

A `Vocabulary` never changes: a new entry gives a new vocabulary. It takes whatever
entries there are, also contradictory ones that two sites made apart, and depends on
their set only. What may be said anew is stricter: `check_entry` tells.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any
from uuid import UUID

from annolog.domain.entries import (
    WITHDRAW,
    Alias,
    AnyEntry,
    Entry,
    ExposureFlag,
    FlagEntry,
    Mode,
    Policy,
    Rule,
    SameAs,
    TagEntry,
    TagVocabulary,
    UnreadableEntryError,
    read_entry,
)
from annolog.domain.errors import ConflictError, Problem

__all__ = [
    "UNKNOWN_SEVERITY",
    "WITHDRAW",
    "Alias",
    "AnyEntry",
    "Entry",
    "FlagEntry",
    "Policy",
    "SameAs",
    "TagEntry",
    "TagVocabulary",
    "Vocabulary",
    "check_entry",
    "check_flag",
    "nearest",
]

UNKNOWN_SEVERITY = 1_001
"""Severity of a flag whose entry has not come yet: above all that may be declared."""


@dataclass(frozen=True)
class Vocabulary:
    """All entries of one moment. Make it with `from_entries`.

    Attributes
    ----------
    flags
        Known flags by name.
    tags
        Known tags by (instrument or None, name), archived ones too.
    tag_vocabularies
        Modes by instrument, under None for all others.
    instruments
        Fields of each instrument's entry by name.
    policies
        Rules by instrument, under None for all others.
    alias_steps
        The name that each alias leads to at once, as its entry has it.
    aliases
        The author that each alias leads to in the end. Where sites made aliases in
        a circle, its least name is the author.
    joined
        For each target that is one with others: all keys of the group, sorted, its
        own included.
    asking
        Names of the flags that ask.
    unreadable
        Entries that this version cannot read; the latest readable one holds.
    """

    flags: Mapping[str, FlagEntry]
    tags: Mapping[tuple[str | None, str], TagEntry]
    tag_vocabularies: Mapping[str | None, Mode]
    instruments: Mapping[str, Mapping[str, Any]]
    policies: Mapping[str | None, Rule]
    alias_steps: Mapping[str, str]
    aliases: Mapping[str, str]
    joined: Mapping[str, tuple[str, ...]]
    asking: frozenset[str]
    unreadable: tuple[Entry, ...]
    _severities: Mapping[str, int] = field(repr=False)
    _standing: Mapping[tuple[str, str], tuple[Entry, AnyEntry | None]] = field(
        repr=False
    )

    @classmethod
    def from_entries(cls, entries: Iterable[Entry]) -> "Vocabulary":
        """Make the vocabulary that a set of entries gives.

        Parameters
        ----------
        entries
            Any number of each kind and key, in any order; for a moment of the past,
            those that had come by then.

        Returns
        -------
        Vocabulary
            Of each kind and key the readable entry with the greatest (clock,
            record_id) holds.
        """
        return cls._of({}, (), entries)

    def with_entry(self, entry: Entry) -> "Vocabulary":
        """Give the vocabulary with one entry more.

        Parameters
        ----------
        entry
            The entry that came; known or late ones change nothing.

        Returns
        -------
        Vocabulary
            Equal to that of all entries at once. The same object where nothing
            changed.
        """
        held = self._standing.get((entry.kind, entry.key))
        if held is not None and _age(entry) <= _age(held[0]):
            return self
        return self._of(self._standing, self.unreadable, (entry,))

    @classmethod
    def _of(
        cls,
        standing: Mapping[tuple[str, str], tuple[Entry, AnyEntry | None]],
        unreadable: Iterable[Entry],
        entries: Iterable[Entry],
    ) -> "Vocabulary":
        found = dict(standing)
        odd = {entry.record_id: entry for entry in unreadable}
        for entry in entries:
            held = found.get((entry.kind, entry.key))
            if held is not None and _age(entry) <= _age(held[0]):
                continue
            try:
                found[entry.kind, entry.key] = (entry, read_entry(entry))
            except UnreadableEntryError:
                odd[entry.record_id] = entry
        said = [model for _, model in found.values() if model is not None]
        flags = {one.name: one for one in said if isinstance(one, FlagEntry)}
        steps = {
            one.name: one.leads_to
            for one in said
            if isinstance(one, Alias) and one.leads_to is not None
        }
        return cls(
            flags=MappingProxyType(dict(sorted(flags.items()))),
            tags=MappingProxyType(
                {
                    (one.instrument, one.name): one
                    for one in sorted(
                        (one for one in said if isinstance(one, TagEntry)),
                        key=lambda one: (one.name, one.instrument or ""),
                    )
                }
            ),
            tag_vocabularies=MappingProxyType(
                {
                    one.instrument: one.mode
                    for one in said
                    if isinstance(one, TagVocabulary)
                }
            ),
            instruments=MappingProxyType(
                {
                    key: MappingProxyType(dict(entry.fields))
                    for (kind, key), (entry, _) in sorted(found.items(), key=_first)
                    if kind == "instrument"
                }
            ),
            policies=MappingProxyType(
                {one.instrument: one.rule for one in said if isinstance(one, Policy)}
            ),
            alias_steps=MappingProxyType(steps),
            aliases=MappingProxyType(_ends(steps)),
            joined=MappingProxyType(
                _groups(
                    (one.key_a, one.key_b)
                    for one in said
                    if isinstance(one, SameAs) and not one.revoked
                )
            ),
            asking=frozenset(name for name, one in flags.items() if one.asks),
            unreadable=tuple(sorted(odd.values(), key=_age)),
            _severities=MappingProxyType(
                {name: one.severity for name, one in flags.items()}
            ),
            _standing=MappingProxyType(found),
        )

    def entry(self, kind: str, key: str) -> Entry | None:
        """Give the entry that holds, or None where there is none.

        Parameters
        ----------
        kind
            Kind of entry.
        key
            Its key, as the model's `key` gives it.

        Returns
        -------
        Entry or None
            The record's part; `Entry.clock` is what a new one must exceed.
        """
        held = self._standing.get((kind, key))
        return held[0] if held else None

    def entries(self, kind: str | None = None) -> tuple[Entry, ...]:
        """List the entries that hold.

        Parameters
        ----------
        kind
            Only of this kind; None for all.

        Returns
        -------
        tuple of Entry
            By kind and key; empty where there is none.
        """
        return tuple(
            entry
            for (found, _), (entry, _) in sorted(self._standing.items(), key=_first)
            if kind is None or found == kind
        )

    @cached_property
    def exposure_flags(self) -> Mapping[str | None, ExposureFlag]:
        """What each flag is to clients of exposurelog; None is the absence of one."""
        shown: dict[str | None, ExposureFlag] = {
            name: entry.exposurelog_value for name, entry in self.flags.items()
        }
        return MappingProxyType({**shown, None: "none", WITHDRAW: "none"})

    def severity(self, flag: str) -> int:
        """Tell how much a flag weighs.

        Parameters
        ----------
        flag
            A flag's name.

        Returns
        -------
        int
            0 to `MAX_SEVERITY`, or `UNKNOWN_SEVERITY` where the name is not known.
        """
        return self._severities.get(flag, UNKNOWN_SEVERITY)

    def rule(self, instrument: str | None) -> Rule:
        """Tell which of differing votes stands.

        Parameters
        ----------
        instrument
            The target's; None where it has none.

        Returns
        -------
        str
            The instrument's rule, else that for all, else `severity`.
        """
        if not self.policies:
            return "severity"
        return self.policies.get(instrument) or self.policies.get(None, "severity")

    def mode(self, instrument: str | None) -> Mode:
        """Tell whether tags outside the vocabulary are taken.

        Parameters
        ----------
        instrument
            The target's; None where it has none.

        Returns
        -------
        str
            The instrument's mode, else that for all, else `open`.
        """
        return self.tag_vocabularies.get(instrument) or self.tag_vocabularies.get(
            None, "open"
        )

    def author(self, name: str) -> str:
        """Give the author that a name leads to.

        Parameters
        ----------
        name
            An author as statements name one.

        Returns
        -------
        str
            The end of all aliases; the name itself where it is none.
        """
        return self.aliases.get(name, name)

    def names_of(self, name: str) -> frozenset[str]:
        """Give all names under which an author may have spoken.

        Parameters
        ----------
        name
            Any of them.

        Returns
        -------
        frozenset of str
            The name, the author it leads to, and all that lead to the same one.
        """
        author = self.author(name)
        others = (alias for alias, end in self.aliases.items() if end == author)
        return frozenset({name, author, *others})

    def voter(self, voter: str) -> str:
        """Give the voter that a voter's name leads to.

        Parameters
        ----------
        voter
            As `annolog.domain.flags.voter_of` writes it.

        Returns
        -------
        str
            The same with the author's aliases resolved; a bot's check is kept.
        """
        if not self.aliases:
            return voter
        return self._voters.setdefault(voter, self._voter(voter))

    @cached_property
    def _voters(self) -> dict[str, str]:
        # Remembered: the same few people and bots vote on thousands of targets.
        return {}

    def _voter(self, voter: str) -> str:
        escaped, check = _split_voter(voter)
        author = self.aliases.get(escaped.replace("##", "#"))
        if author is None:
            return voter
        return author.replace("#", "##") + check

    def tag(self, name: str, instrument: str | None) -> TagEntry | None:
        """Give the entry of a tag, archived or not.

        Parameters
        ----------
        name
            The tag, in lower case; aliases are not resolved.
        instrument
            Whose vocabulary; None for the one for all.

        Returns
        -------
        TagEntry or None
            The instrument's own, else that for all, else None.
        """
        if instrument is not None:
            own = self.tags.get((instrument, name))
            if own is not None:
                return own
        return self.tags.get((None, name))

    def known_tags(self, instrument: str | None) -> tuple[TagEntry, ...]:
        """List the tags of an instrument.

        Parameters
        ----------
        instrument
            Its own and those for all; None for the latter only.

        Returns
        -------
        tuple of TagEntry
            By name, archived ones too; quick tags are those with a `quick_rank`.
        """
        found = {name: one for (of, name), one in self.tags.items() if of is None}
        if instrument is not None:
            found |= {
                name: one for (of, name), one in self.tags.items() if of == instrument
            }
        return tuple(found[name] for name in sorted(found))

    def tag_name(self, word: str, instrument: str | None) -> str:
        """Give the tag that a word stands for.

        Parameters
        ----------
        word
            A tag as stored, or as typed and made lower case.
        instrument
            Whose vocabulary; None for the one for all.

        Returns
        -------
        str
            The tag that the word is an alias of, through all aliases; the word
            itself where it is none. A word that is a tag in use stands for itself,
            whoever else claims it.
        """
        if not self.tags:
            return word
        words = self._tag_words.get(instrument)
        if words is None:
            words = self._tag_words[instrument] = self._resolve_tags(instrument)
        return words.get(word, word)

    def tag_words(self, instrument: str | None) -> Mapping[str, str]:
        """Give every alias of an instrument's tags with the tag it stands for.

        Parameters
        ----------
        instrument
            Whose vocabulary; None for the one for all.

        Returns
        -------
        Mapping
            From alias to tag, chains followed to their ends; empty without aliases.
        """
        self.tag_name("", instrument)
        return MappingProxyType(self._tag_words.get(instrument, {}))

    @cached_property
    def _tag_words(self) -> dict[str | None, dict[str, str]]:
        return {}

    def _resolve_tags(self, instrument: str | None) -> dict[str, str]:
        """Follow all aliases to their ends.

        Of several tags that claim a word one in use wins, then one of the instrument's
        own, then the first by name.
        """
        known = self.known_tags(instrument)
        claims: dict[str, list[tuple[bool, bool, str]]] = {}
        for one in known:
            for alias in one.aliases:
                claims.setdefault(alias, []).append(
                    (one.archived, one.instrument is None, one.name)
                )
        in_use = {one.name for one in known if not one.archived}
        return _ends(
            {
                alias: min(claim)[2]
                for alias, claim in claims.items()
                if alias not in in_use
            }
        )


def check_entry(proposed: AnyEntry, vocabulary: Vocabulary) -> None:
    """Refuse a new entry that would contradict the ones that hold.

    Parameters
    ----------
    proposed
        What somebody wants to say now. Entries of other sites are never checked.
    vocabulary
        The vocabulary of now.

    Raises
    ------
    ConflictError
        If a flag would change its severity, excludes or asks; if an alias would lead
        back to itself; if a tag's alias is a tag in use or another tag's alias, or
        if a tag in use would carry the name of another tag's alias.
    """
    match proposed:
        case FlagEntry():
            check_flag(proposed, vocabulary.flags.get(proposed.name))
        case TagEntry():
            _check_tag(proposed, vocabulary)
        case Alias():
            _check_alias(proposed, vocabulary)
        case TagVocabulary() | Policy() | SameAs():
            pass


def check_flag(proposed: FlagEntry, current: FlagEntry | None) -> None:
    """Refuse to give a flag's name another meaning.

    Parameters
    ----------
    proposed
        The new entry.
    current
        The one that holds; None for a new name, which is always right.

    Raises
    ------
    ConflictError
        If severity, excludes or asks differ.
    """
    if current is None:
        return
    problems = [
        Problem(
            f"/{name}",
            getattr(proposed, name),
            f"{name} of the flag {proposed.name!r} is {getattr(current, name)!r} for "
            "good; take a new name instead",
            "flag_meaning_is_fixed",
        )
        for name in ("severity", "excludes", "asks")
        if getattr(proposed, name) != getattr(current, name)
    ]
    if problems:
        raise ConflictError(
            "; ".join(one.reason for one in problems),
            code="flag_meaning_is_fixed",
            problems=problems,
        )


def _check_tag(proposed: TagEntry, vocabulary: Vocabulary) -> None:
    problems = []
    others = [
        one
        for one in vocabulary.known_tags(proposed.instrument)
        if one.name != proposed.name
    ]
    in_use = {one.name for one in others if not one.archived}
    owner_of = {alias: one.name for one in others for alias in one.aliases}
    for i, alias in enumerate(proposed.aliases):
        if alias in in_use:
            reason = f"{alias!r} is a tag in use; archive it before it becomes an alias"
        elif alias in owner_of:
            reason = f"{alias!r} is an alias of {owner_of[alias]!r} already"
        else:
            continue
        problems.append(Problem(f"/aliases/{i}", alias, reason, "alias_taken"))
    if not proposed.archived and proposed.name in owner_of:
        reason = (
            f"{proposed.name!r} is an alias of {owner_of[proposed.name]!r}; take it "
            "from there first"
        )
        problems.append(Problem("/name", proposed.name, reason, "alias_taken"))
    if problems:
        raise ConflictError(
            "; ".join(one.reason for one in problems),
            code="alias_taken",
            problems=problems,
        )


def _check_alias(proposed: Alias, vocabulary: Vocabulary) -> None:
    target = proposed.leads_to
    if target is None:
        return
    steps = {
        name: step
        for name, step in vocabulary.alias_steps.items()
        if name != proposed.name
    }
    if _ends(steps).get(target, target) == proposed.name:
        reason = (
            f"{target!r} leads to {proposed.name!r} already; an alias in a circle "
            "leads nowhere"
        )
        raise ConflictError(
            reason,
            code="alias_circle",
            problems=[Problem("/leads_to", target, reason, "alias_circle")],
        )


def nearest(word: str, known: Iterable[str], most: int = 3) -> tuple[str, ...]:
    """Find the known words that a mistyped one may have meant.

    Parameters
    ----------
    word
        What was written.
    known
        What could have been written.
    most
        How many to give at most.

    Returns
    -------
    tuple of str
        The likeliest first; empty where none is near.
    """
    return tuple(difflib.get_close_matches(word, sorted(set(known)), n=most))


def _age(entry: Entry) -> tuple[int, UUID]:
    return entry.clock, entry.record_id


def _first(
    item: tuple[tuple[str, str], tuple[Entry, AnyEntry | None]],
) -> tuple[str, str]:
    return item[0]


def _ends(steps: Mapping[str, str]) -> dict[str, str]:
    """Follow each step to where it ends; a circle ends at its least name."""
    ends: dict[str, str] = {}
    for start in steps:
        path = [start]
        seen = {start}
        end = start
        while path[-1] in steps:
            following = steps[path[-1]]
            if following in seen:
                end = min(path[path.index(following) :])
                break
            path.append(following)
            seen.add(following)
        else:
            end = path[-1]
        if end != start:
            ends[start] = end
    return ends


def _groups(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Join pairs into groups; each member is given with its whole group, sorted."""
    groups: dict[str, set[str]] = {}
    for a, b in pairs:
        joined = groups.get(a, {a}) | groups.get(b, {b})
        for member in joined:
            groups[member] = joined
    return {key: tuple(sorted(groups[key])) for key in sorted(groups)}


def _split_voter(voter: str) -> tuple[str, str]:
    """Cut a voter into its escaped author and the rest: `#check`, or nothing."""
    i = 0
    while (i := voter.find("#", i)) >= 0:
        if voter[i + 1 : i + 2] != "#":
            return voter[:i], voter[i:]
        i += 2
    return voter, ""
