"""What names, ids and ranges come to: keys, and what is wrong with the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annolog.domain.annotations import MAX_TARGETS, Ids
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.instruments import Instruments
from annolog.domain.names import (
    Name,
    Named,
    ObsIdName,
    SeqName,
    SetName,
    parse_name,
)
from annolog.domain.targets import ExposureTarget, SetTarget, parse_key
from annolog.storage.targets import Seen

_LISTED = 50
"""Problems that an error lists; their number is said in any case."""


@dataclass(slots=True)
class Resolution:
    """What a list of names, a range or a query comes to.

    Attributes
    ----------
    keys
        Canonical keys in the order asked for, each once.
    obs_ids
        (instrument, obs_id, key) of names that were obs_ids.
    problems
        Names that are no target, are unknown or ambiguous.
    doubled
        Keys that were named more than once.
    holes
        Ranges of sequence numbers for which no exposure is known.
    query
        What chose them, where a query did, as stored in the record.
    written
        The names by which each key was given, as written; empty for ranges and
        queries.
    candidates
        Keys that an ambiguous name may mean, by the name.
    """

    keys: list[str] = field(default_factory=list)
    obs_ids: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    holes: str = ""
    query: Mapping[str, Any] | None = None
    written: dict[str, list[str]] = field(default_factory=dict)
    candidates: dict[str, list[str]] = field(default_factory=dict)

    def accepted(self) -> "Resolution":
        """Give it back if a write may use it.

        Raises
        ------
        InvalidError
            If something could not be resolved, or there are too many targets.
        """
        if self.problems:
            count = len(self.problems)
            what = self.problems[0].reason
            more = f" (and {count - 1} more)" if count > 1 else ""
            raise InvalidError(
                f"{what}{more}",
                code=self.problems[0].code,
                problems=self.problems[:_LISTED],
                extra={"problem_count": count},
            )
        if len(self.keys) > MAX_TARGETS:
            reason = (
                f"names {len(self.keys)} targets; one annotation takes at most "
                f"{MAX_TARGETS}"
            )
            raise InvalidError.at(
                "/targets", len(self.keys), reason, "too_many_targets"
            )
        return self


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the look-ups of a list of names gave.

    Attributes
    ----------
    by_seq
        Exposures by instrument, day_obs and seq_num.
    by_name
        Keys by instrument (empty for any) and obs_id.
    by_version
        Keys and digests of versions by set and number.
    """

    by_seq: Mapping[tuple[str, int, int], list[Seen]]
    by_name: Mapping[tuple[str, str], list[str]]
    by_version: Mapping[tuple[str, int], list[tuple[str, bytes]]]


def read_names(
    names: Sequence[str], instruments: Instruments, pointer: str, default: str | None
) -> tuple[list[tuple[str, str, Name]], Resolution]:
    """Read names, without looking anything up.

    Parameters
    ----------
    names
        As written.
    instruments
        The known ones.
    pointer
        Where in the request they stand.
    default
        Instrument of bare numbers; None: they name nothing.

    Returns
    -------
    tuple
        Where each stands, as written, and what it says; and a resolution that has the
        problems of those that say nothing.
    """
    found = Resolution()
    parsed: list[tuple[str, str, Name]] = []
    for index, text in enumerate(names):
        at = f"{pointer}/{index}"
        try:
            name = parse_name(text, instruments, default=default, pointer=at)
        except InvalidError as error:
            found.problems += error.problems
            continue
        parsed.append((at, text, name))
    return parsed, found


def found_among(
    parsed: Sequence[tuple[str, str, Name]], known: LookedUp, found: Resolution
) -> Resolution:
    """Note the keys that names mean, each once.

    Parameters
    ----------
    parsed
        Where in the request each stands, as written, and what it says.
    known
        What was looked up for them.
    found
        Gets keys, doubles and problems.

    Returns
    -------
    Resolution
        The same `found`.
    """
    seen: set[str] = set()
    for at, text, name in parsed:
        key = _key_of(name, at, text, known, found)
        if key is None:
            continue
        found.written.setdefault(key, []).append(text)
        if key in seen:
            found.doubled.append(key)
        else:
            seen.add(key)
            found.keys.append(key)
    found.doubled = list(dict.fromkeys(found.doubled))
    return found


def _key_of(
    name: Name, at: str, text: str, known: LookedUp, found: Resolution
) -> str | None:
    """Give the key that a name means; None, and a problem, where it means none."""
    match name:
        case Named(target=SetTarget()) | SetName():
            return _key_of_set(name, at, text, known, found)
        case Named():
            if name.obs_id is not None:
                found.obs_ids += _obs_id_of(name)
            return name.target.key
        case SeqName():
            place = (name.instrument, name.day_obs, name.seq_num)
            exposures = known.by_seq.get(place, [])
            if len(exposures) == 1:
                return name.target_of(_exposure(exposures[0].key)).key
            found.problems.append(unclear(at, text, exposures))
            if exposures:
                found.candidates[text] = [one.key for one in exposures]
            return None
        case ObsIdName():
            return _key_of_obs_id(name, at, text, known, found)


def set_of(name: Name) -> tuple[str, int] | None:
    """Give the set and the number where a name is that of a version; else None."""
    match name:
        case Named(target=SetTarget(own, version)) | SetName(own, version):
            return own, version
        case _:
            return None


def _key_of_set(
    name: Name, at: str, text: str, known: LookedUp, found: Resolution
) -> str | None:
    """Give the key of the one version that is meant, by its number or digest too."""
    place = set_of(name)
    wanted = ""
    match name:
        case Named(target=SetTarget(digest=str(digest))):
            wanted = digest
        case _:
            pass
    there = known.by_version.get(place, []) if place is not None else []
    keys = [key for key, digest in there if digest.hex().upper().startswith(wanted)]
    if len(keys) == 1:
        return keys[0]
    if keys:
        found.problems.append(_ambiguous(at, text, keys))
        found.candidates[text] = keys
        return None
    reason = f"no version of a data-ID set is known as {text[:100]!r}"
    found.problems.append(Problem(at, text, reason, "unknown"))
    return None


def _key_of_obs_id(
    name: ObsIdName, at: str, text: str, known: LookedUp, found: Resolution
) -> str | None:
    keys = known.by_name.get((name.instrument or "", name.obs_id), [])
    if len(keys) > 1:
        found.problems.append(_ambiguous(at, text, keys))
        found.candidates[text] = list(keys)
        return None
    target = name.target_of(_exposure(keys[0])) if keys else name.unseen
    if target is not None:
        return target.key
    reason = (
        f"{text[:100]!r} is known to nobody; write its instrument too, as "
        "exposure:HSC/obs_id=HSCA01"
    )
    found.problems.append(Problem(at, text, reason, "unknown"))
    return None


def of_ids(wanted: Ids, instruments: Instruments, pointer: str) -> Resolution:
    """Give the exposures of integer ids; `pointer` says where in the request they are.

    Raises
    ------
    InvalidError
        The instrument is unknown.
    """
    home = instruments.require(wanted.instrument, f"{pointer}/instrument")
    found = Resolution()
    seen: set[str] = set()
    for index, exposure_id in enumerate(wanted.ids):
        at = f"{pointer}/ids/{index}"
        try:
            name = parse_name(
                str(exposure_id), instruments, default=home.name, pointer=at
            )
        except InvalidError as error:
            found.problems += error.problems
            continue
        if not isinstance(name, Named):
            reason = f"{exposure_id} is no exposure id of {home.name}"
            found.problems.append(Problem(at, exposure_id, reason, "invalid_target"))
            continue
        key = name.target.key
        found.written.setdefault(key, []).append(str(exposure_id))
        if key in seen:
            found.doubled.append(key)
        else:
            seen.add(key)
            found.keys.append(key)
    return found


def _obs_id_of(name: Named) -> Iterable[tuple[str, str, str]]:
    match name.target:
        case ExposureTarget() as exposure if name.obs_id is not None:
            yield exposure.instrument, name.obs_id, exposure.key
        case _:
            # The exposure of a detector or gap has no row of its own until it is
            # spoken of, so there is nothing to hang the name on.
            return


def _exposure(key: str) -> ExposureTarget:
    target = parse_key(key)
    if not isinstance(target, ExposureTarget):
        raise TypeError(key)
    return target


def unclear(at: str, text: str, known: Sequence[Seen]) -> Problem:
    """Say that a day_obs and seq_num name none of the known exposures, or several."""
    if known:
        return _ambiguous(at, text, [one.key for one in known])
    reason = (
        f"no exposure is known as {text[:100]!r}; name it by its obs_id or integer id "
        "to annotate it before it is announced"
    )
    return Problem(at, text, reason, "unknown")


def _ambiguous(at: str, text: str, keys: Sequence[str]) -> Problem:
    several = ", ".join(keys[:5])
    reason = f"{text[:100]!r} may be any of {several}: write the one that you mean"
    return Problem(at, text, reason, "ambiguous")
