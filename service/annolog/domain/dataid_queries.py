"""What the queries of recipes find, out of what was known as of a change.

Storage reads what stood after the change and what lies around it; here it is judged by
the rules of then. The same records up to a number give the same rows whenever they are
asked for, so a version can be built again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from annolog.domain.dataid_builds import Found, Why
from annolog.domain.dataid_recipes import SetQuery
from annolog.domain.history import Standing
from annolog.domain.inheritance import Inherited, Relations, holds, inherited
from annolog.domain.ledger import State, state_of
from annolog.domain.tags import expand_tag
from annolog.domain.targets import (
    DetectorTarget,
    ExposureTarget,
    RecordTarget,
    Target,
    parse_key,
)
from annolog.domain.times import Span
from annolog.domain.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Stood:
    """A statement that stood on a target after the change.

    Attributes
    ----------
    key
        The target.
    standing
        How it stood.
    observed
        The time that it is about; None where it gives none.
    """

    key: str
    standing: Standing
    observed: Span | None


@dataclass(frozen=True, slots=True)
class Around:
    """What was known after a change, as far as one query asks.

    Attributes
    ----------
    number
        The change.
    vocabulary
        Flags, policies, aliases and joins of then.
    stood
        All that stood on targets that may matter, and on all that are one with them.
    joins
        Pairs of targets that facts had shown to be one.
    exposures
        Known exposures by key with their times; of those that a detector's statement
        may concern. None: nobody knows it.
    relations
        What lies around the targets that may inherit.
    reach
        Keys of targets that may inherit something.
    days
        Nights of exposures by key.
    """

    number: int
    vocabulary: Vocabulary
    stood: Sequence[Stood] = ()
    joins: Sequence[tuple[str, str]] = ()
    exposures: Mapping[str, Span | None] = field(default_factory=dict)
    relations: Relations = field(default_factory=Relations)
    reach: Sequence[str] = ()
    days: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Class:
    """Targets that were one, with what stood on them.

    Attributes
    ----------
    keys
        Sorted.
    stood
        Oldest vote first.
    """

    keys: tuple[str, ...]
    stood: tuple[Stood, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """What a query finds of a target, before its texts are read.

    Attributes
    ----------
    key
        The target that gives the row.
    flag
        The flag that was asked for and holds; None: tags alone.
    tags
        Those asked for that hold, sorted.
    annotations
        The statements behind them, the first said first.
    source
        Key of the target that they are about, where it is not the row's own.
    """

    key: str
    flag: str | None
    tags: tuple[str, ...]
    annotations: tuple[UUID, ...]
    source: str | None = None


def words_of(
    query: SetQuery, instrument: str, vocabulary: Vocabulary
) -> frozenset[str]:
    """Give the tags that a query asks for with all words that mean the same."""
    return frozenset(
        word for tag in query.tags for word in expand_tag(tag, vocabulary, instrument)
    )


def classes_of(around: Around) -> list[Class]:
    """Put targets that were one after the change together."""
    by_key: dict[str, list[Stood]] = {}
    for one in around.stood:
        by_key.setdefault(one.key, []).append(one)
    edges: dict[str, set[str]] = {key: set() for key in by_key}
    for key in by_key:
        edges[key].update(around.vocabulary.joined.get(key, ()))
    for a, b in around.joins:
        edges.setdefault(a, set()).add(b)
        edges.setdefault(b, set()).add(a)
    found: list[Class] = []
    seen: set[str] = set()
    for key in sorted(by_key):
        if key in seen:
            continue
        keys = {key}
        wave = [key]
        while wave:
            following = {
                n
                for k in wave
                for n in (*edges.get(k, ()), *around.vocabulary.joined.get(k, ()))
            }
            wave = sorted(following - keys)
            keys.update(wave)
        seen |= keys
        stood = [one for k in sorted(keys) for one in by_key.get(k, ())]
        stood.sort(
            key=lambda one: (one.standing.said.vote_clock, one.standing.said.source_id)
        )
        found.append(Class(tuple(sorted(keys)), tuple(stood)))
    return found


def flags_of(
    around: Around, keys: Iterable[str], *, inherits: bool
) -> dict[str, tuple[str, ...]]:
    """Give the flags that hold for targets.

    Parameters
    ----------
    around
        What was known of all of them and of what lies around them; `exposures` has the
        times of those to which detectors belong.
    keys
        The targets.
    inherits
        Whether flags count that hold through another target, as a visit's. That of a
        detector as such always does, for the exposures that its time overlaps.

    Returns
    -------
    dict
        By key: its own effective flag, then those of other targets, each once.
    """
    by_key = {key: one for one in classes_of(around) for key in one.keys}
    found: dict[str, tuple[str, ...]] = {}
    for key in keys:
        target = parse_key(key)
        instrument = getattr(target, "instrument", None)
        if isinstance(target, RecordTarget):
            instrument = dict(target.data_id).get("instrument")
        here = by_key.get(key)
        lists: list[Sequence[Stood]] = [here.stood if here is not None else ()]
        if isinstance(target, DetectorTarget):
            window = around.exposures.get(target.exposure.key)
            said = by_key.get(detector_key(target))
            stood = said.stood if said is not None else ()
            lists.append([one for one in stood if holds(one.observed, window)])
        for one in inherited(target, around.relations) if inherits else ():
            source = by_key.get(one.source)
            if source is not None and not one.timed and not one.words_only:
                lists.append(source.stood)
        states = (
            state_of((one.standing for one in stood), around.vocabulary, instrument)
            for stood in lists
            if stood
        )
        found[key] = tuple(dict.fromkeys(one.flag for one in states if one.flag))
    return found


class Named(NamedTuple):
    """Targets whose flags are wanted, with what else must be known of detectors.

    Attributes
    ----------
    targets
        All of them.
    detectors
        Keys of detectors as such, of which some are cases.
    exposures
        Keys of the exposures to which these cases belong.
    """

    targets: Sequence[Target]
    detectors: frozenset[str]
    exposures: frozenset[str]


def named(keys: Iterable[str]) -> Named:
    """Read the keys of targets whose flags are wanted."""
    targets = [parse_key(one) for one in keys]
    cases = [one for one in targets if isinstance(one, DetectorTarget)]
    kinds = {(one.instrument, one.detector): one for one in cases}
    return Named(
        targets,
        frozenset(detector_key(one) for one in kinds.values()),
        frozenset(one.exposure.key for one in cases),
    )


def sources_of(targets: Iterable[Target], relations: Relations) -> set[str]:
    """Give the keys of all targets whose statements may hold for these."""
    return {one.source for each in targets for one in inherited(each, relations)}


def detector_key(target: DetectorTarget) -> str:
    """Give the key of a detector as such, of which one exposure's is a case."""
    said = (("instrument", target.instrument), ("detector", target.detector))
    return RecordTarget("detector", said).key


class Judge:
    """Finds what a query asks for.

    Parameters
    ----------
    query
        What is asked for.
    instrument
        Of what instrument.
    around
        What was known.
    """

    def __init__(self, query: SetQuery, instrument: str, around: Around) -> None:
        self._query = query
        self._instrument = instrument
        self._around = around
        self._flags = frozenset(query.flags)
        self._tags = words_of(query, instrument, around.vocabulary)
        self._by_key = {key: one for one in classes_of(around) for key in one.keys}
        self._states: dict[tuple[UUID, ...], State] = {}

    def hits(self) -> list[Hit]:
        """Give all that the query finds, by key of the row and of the source."""
        found = [*self._own(), *self._timed()]
        if self._query.inherited:
            found += self._inherited()
        unique = {(one.key, one.source or ""): one for one in found}
        return [unique[at] for at in sorted(unique)]

    def sources(self) -> list[str]:
        """Give the targets themselves that have what is asked for, sorted."""
        return sorted(
            key
            for key, one in self._by_key.items()
            if self._found(key, one.stood, None) is not None
        )

    def _own(self) -> Iterator[Hit]:
        for key, one in self._by_key.items():
            if self._gives_row(parse_key(key)) and self._in_nights(key):
                hit = self._found(key, one.stood, None)
                if hit is not None:
                    yield hit

    def _timed(self) -> Iterator[Hit]:
        if "detector" not in self._query.kinds:
            return
        for key, one in self._by_key.items():
            detector = _detector_of(parse_key(key))
            if detector is None:
                continue
            for exposure, window in self._around.exposures.items():
                target = parse_key(exposure)
                if not isinstance(target, ExposureTarget) or target.exposure_id is None:
                    continue
                if not self._in_nights(exposure):
                    continue
                holding = [s for s in one.stood if holds(s.observed, window)]
                own = DetectorTarget(
                    target.instrument, target.exposure_id, detector
                ).key
                hit = self._found(own, holding, key)
                if hit is not None:
                    yield hit

    def _inherited(self) -> Iterator[Hit]:
        for key in self._around.reach:
            target = parse_key(key)
            if not self._gives_row(target) or not self._in_nights(key):
                continue
            own = self._by_key.get(key)
            for one in inherited(target, self._around.relations):
                if one.timed or (own is not None and one.source in own.keys):
                    continue  # what is timed was looked at by itself
                hit = self._of_source(key, one)
                if hit is not None:
                    yield hit

    def _of_source(self, key: str, one: Inherited) -> Hit | None:
        known = self._by_key.get(one.source)
        if known is None:
            return None
        return self._found(key, known.stood, one.source, words_only=one.words_only)

    def _found(
        self,
        key: str,
        stood: Sequence[Stood],
        source: str | None,
        *,
        words_only: bool = False,
    ) -> Hit | None:
        """Tell what of the wanted holds by these statements; None: not enough."""
        if not stood:
            return None
        state = self._state(stood)
        flag = None if words_only or state.flag not in self._flags else state.flag
        tags = tuple(sorted(self._tags.intersection(state.tags)))
        wants = [bool(flag)] if self._flags else []
        wants += [bool(tags)] if self._tags or self._query.tags else []
        enough = all(wants) if self._query.match == "all" else any(wants)
        if not enough:
            return None
        deciding = {*state.decided_by, *state.follow_ups} if flag else set()
        behind = dict.fromkeys(
            one.standing.said.annotation_id
            for one in stood
            if one.standing.said.vote_id in deciding
            or not self._tags.isdisjoint(one.standing.tags)
        )
        return Hit(key, flag, tags, tuple(behind), source)

    def _state(self, stood: Sequence[Stood]) -> State:
        at = tuple(one.standing.said.source_id for one in stood)
        state = self._states.get(at)
        if state is None:
            state = state_of(
                (one.standing for one in stood),
                self._around.vocabulary,
                self._instrument,
            )
            self._states[at] = state
        return state

    def _gives_row(self, target: Target) -> bool:
        kinds = self._query.kinds
        match target:
            case ExposureTarget(instrument, int(), _):
                return "exposure" in kinds and instrument == self._instrument
            case DetectorTarget(instrument, int(), _, _):
                return "detector" in kinds and instrument == self._instrument
            case RecordTarget("visit", data_id):
                mine = dict(data_id).get("instrument") == self._instrument
                return "visit" in kinds and mine
            case _:
                return False

    def _in_nights(self, key: str) -> bool:
        low, high = self._query.day_obs_min, self._query.day_obs_max
        if low is None and high is None:
            return True
        target = parse_key(key)
        keys: Iterable[str] = (key,)
        if isinstance(target, DetectorTarget):
            keys = (target.exposure.key,)
        elif isinstance(target, RecordTarget):
            keys = self._around.relations.exposures_of.get(key, ())
        days = [self._around.days[one] for one in keys if one in self._around.days]
        return any((low or 0) <= day <= (high or day) for day in days)


def _detector_of(target: Target) -> int | None:
    match target:
        case RecordTarget("detector", data_id):
            detector = dict(data_id).get("detector")
            return detector if isinstance(detector, int) else None
        case _:
            return None


def data_id_of(key: str) -> dict[str, int | str]:
    """Give the data ID of a row.

    Parameters
    ----------
    key
        Of an exposure or detector with an id, or of a record.
    """
    match parse_key(key):
        case ExposureTarget(instrument, int(exposure), _):
            return {"instrument": instrument, "exposure": exposure}
        case DetectorTarget(instrument, int(exposure), detector, _):
            return {
                "instrument": instrument,
                "exposure": exposure,
                "detector": detector,
            }
        case RecordTarget(_, data_id):
            return dict(data_id)
        case _:
            raise ValueError(key)


def rows_of(part: str, hits: Iterable[Hit], texts: Mapping[UUID, str]) -> list[Found]:
    """Give what a part of a recipe gives.

    Parameters
    ----------
    part
        Its name.
    hits
        What its query found.
    texts
        Texts of the statements, by annotation.
    """
    return [
        Found(
            data_id_of(one.key),
            Why(
                part,
                one.flag,
                one.tags,
                tuple(texts.get(at, "") for at in one.annotations),
                tuple(str(at) for at in one.annotations),
                () if one.source is None else (one.source,),
            ),
        )
        for one in hits
    ]
