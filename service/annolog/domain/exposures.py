"""Exposures: what sources say of them, and what that amounts to.

Each source says facts: an event (announce, start, end, cancel, record, remove) and
fields. A fact is a record. `merge` folds any set of facts, in any order, into one
view. Fields come from the first source that gives them in the order butler, camera,
bulk, derived; within a source the latest by (clock, record id) holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from annolog.domain import times
from annolog.domain.annotations import Moment, Part, Word
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import (
    FIRST_DAY_OBS,
    LAST_DAY_OBS,
    MAX_EXPOSURE_ID,
    MAX_SEQ_NUM,
    Instruments,
    is_day_obs,
)
from annolog.domain.names import Named, ObsIdName, SeqName, parse_name
from annolog.domain.targets import ExposureTarget, encode_part, parse_key

END_GRACE = timedelta(minutes=5)
"""Time after the exposure time at which a missing end is called unknown."""
MAX_EXTRA_FIELDS = 64
"""Further fields that one fact may carry."""
MAX_EXPOSURE_TIME = 86_400.0
"""Seconds that an exposure may last: a day."""


class Source(StrEnum):
    """Who says a fact; earlier ones are believed first."""

    BUTLER = "butler"
    CAMERA = "camera"
    BULK = "bulk"
    DERIVED = "derived"


class Event(StrEnum):
    """What a fact says has happened."""

    ANNOUNCE = "announce"
    START = "start"
    END = "end"
    CANCEL = "cancel"
    RECORD = "record"
    REMOVE = "remove"


class ExposureState(StrEnum):
    """How far an exposure has come."""

    NAMED = "named"
    ANNOUNCED = "announced"
    IN_PROGRESS = "in_progress"
    ENDED = "ended"
    INGESTED = "ingested"
    CANCELLED = "cancelled"
    REMOVED = "removed"


_PRECEDENCE = {source: place for place, source in enumerate(Source)}

_TOLERANCES = {
    "exposure_time": 1.0,
    "tracking_ra": 0.1,
    "tracking_dec": 0.1,
    "sky_angle": 0.1,
}
# Camera events carry what was planned, the butler what the headers say: seconds and
# tenths of a degree apart is how they always are, and nothing to look into.
_TIME_TOLERANCE = timedelta(seconds=5)
_TIMES = frozenset({"begin", "end"})
_GREATEST = 1e300
_MAX_COLUMN = 2**31


@dataclass(frozen=True, slots=True)
class ExposureFact:
    """What one source once said of one exposure.

    Attributes
    ----------
    key
        Key of the exposure.
    record_id, clock
        The record that said it, and when.
    source, event
        Who says it and what has happened.
    fields
        What is said, by name; JSON values, times as RFC 3339. Nulls say nothing.
    twin
        Key of the target by which the exposure was known while it had no id; the
        fact makes both one. None where it says nothing of the kind.
    """

    key: str
    record_id: UUID
    clock: int
    source: Source
    event: Event
    fields: Mapping[str, Any]
    twin: str | None = None

    @property
    def obs_id(self) -> str | None:
        """The obs_id that it gives; None if it gives none."""
        value = self.fields.get("obs_id")
        return value if isinstance(value, str) else None

    @property
    def age(self) -> tuple[int, UUID]:
        """What "latest" goes by."""
        return self.clock, self.record_id


def fact_from_record(fields: Mapping[str, Any]) -> ExposureFact:
    """Read the decoded body of a record of the kind `exposure`.

    Parameters
    ----------
    fields
        The body: `record_id`, `clock`, `key`, `source`, `event`, `fields`.

    Raises
    ------
    ValueError
        If the source or event is not known here (a later version's).
    KeyError
        If a member is missing.
    """
    return ExposureFact(
        key=fields["key"],
        record_id=UUID(fields["record_id"]),
        clock=fields["clock"],
        source=Source(fields["source"]),
        event=Event(fields["event"]),
        fields=fields["fields"],
        twin=fields.get("twin"),
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """What one source says of a field.

    Attributes
    ----------
    source
        Who says it.
    value
        What it says, as JSON holds it.
    record_id
        The record that says it; None for what follows from names.
    """

    source: Source
    value: Any
    record_id: UUID | None

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        record_id = None if self.record_id is None else str(self.record_id)
        return {
            "source": self.source.value,
            "value": self.value,
            "record_id": record_id,
        }


@dataclass(frozen=True, slots=True)
class ExposureView:
    """What is known of an exposure: its facts merged.

    Attributes
    ----------
    key, instrument
        What it is.
    state
        How far it has come, as far as facts tell (`end_unknown` depends on now).
    exposure_id, obs_id, day_obs, seq_num
        Its names; None where nobody gave one.
    begin, end
        Times, UTC; None where not known.
    exposure_time
        Seconds.
    observation_type
        Type; None where nobody gave one, which counts as on-sky.
    fields
        All fields shown, by name in order, as JSON holds them.
    sources
        Which source each field is shown from.
    contradictions
        Fields on which sources differ, with what each says.
    started
        When its start was reported (clock of the fact); None if it was not.
    """

    key: str
    instrument: str
    state: ExposureState
    exposure_id: int | None
    obs_id: str | None
    day_obs: int | None
    seq_num: int | None
    begin: datetime | None
    end: datetime | None
    exposure_time: float | None
    observation_type: str | None
    fields: Mapping[str, Any]
    sources: Mapping[str, Source]
    contradictions: Mapping[str, tuple[Claim, ...]]
    started: datetime | None

    def contradictions_as_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Give the contradictions as JSON holds them."""
        return {
            name: [one.as_dict() for one in claims]
            for name, claims in self.contradictions.items()
        }


def merge(
    facts: Iterable[ExposureFact], instruments: Instruments | None = None
) -> ExposureView:
    """Fold what was said of one exposure into one view.

    Parameters
    ----------
    facts
        At least one, all of one exposure, in any order; doubles do not matter.
    instruments
        Those whose rules derive day_obs, seq_num and id from names; None: only what
        the key itself says is derived.

    Returns
    -------
    ExposureView
        The same for the same set of facts.

    Raises
    ------
    ValueError
        If there is no fact.
    """
    known = sorted({one.record_id: one for one in facts}.values(), key=_age)
    if not known:
        msg = "an exposure without facts has no view"
        raise ValueError(msg)
    claims = _claims(known)
    target = parse_key(known[0].key)
    for name, value in _derived(target, instruments).items():
        claims.setdefault(name, []).append(Claim(Source.DERIVED, value, None))
    shown = {name: claims[name][0] for name in sorted(claims)}
    values = {name: one.value for name, one in shown.items()}
    state = _state(known, ended=_moment(values.get("end")) is not None)
    contradictions = {
        name: found
        for name in sorted(claims)
        if (found := _differing(name, claims[name]))
    }
    contradictions |= _doubled_names(known, target, instruments)
    contradictions |= _cancelled_yet_there(known, state)
    starts = [one.clock for one in known if one.event is Event.START]
    return ExposureView(
        key=known[0].key,
        instrument=target.instrument if isinstance(target, ExposureTarget) else "",
        state=state,
        exposure_id=_integer(values.get("exposure_id")),
        obs_id=_word(values.get("obs_id")),
        day_obs=_night_or_none(values.get("day_obs")),
        seq_num=_small(values.get("seq_num")),
        begin=_moment(values.get("begin")),
        end=_moment(values.get("end")),
        exposure_time=_seconds(values.get("exposure_time")),
        observation_type=_word(values.get("observation_type")),
        fields=values,
        sources={name: one.source for name, one in shown.items()},
        contradictions=dict(sorted(contradictions.items())),
        started=times.from_clock(starts[-1]) if starts else None,
    )


def end_unknown(view: ExposureView, now: datetime) -> bool:
    """Tell whether an exposure should have ended and nobody said that it did.

    Parameters
    ----------
    view
        The exposure.
    now
        The present moment; this is never stored.

    Returns
    -------
    bool
        Whether it is in progress for longer than its exposure time (0 if not known)
        and `END_GRACE`.
    """
    began = view.begin or view.started
    if view.state is not ExposureState.IN_PROGRESS or began is None:
        return False
    return now > began + timedelta(seconds=view.exposure_time or 0.0) + END_GRACE


def _age(fact: ExposureFact) -> tuple[int, UUID]:
    return fact.age


def _claims(facts: Sequence[ExposureFact]) -> dict[str, list[Claim]]:
    """Give what each source says of each field now, the first to be believed first."""
    latest: dict[tuple[str, Source], Claim] = {}
    for fact in facts:
        for name, value in fact.fields.items():
            if value is not None:
                latest[name, fact.source] = Claim(fact.source, value, fact.record_id)
    claims: dict[str, list[Claim]] = {}
    for (name, source), claim in sorted(
        latest.items(), key=lambda item: (item[0][0], _PRECEDENCE[item[0][1]])
    ):
        assert source is claim.source  # noqa: S101 - the key of the same claim
        claims.setdefault(name, []).append(claim)
    return claims


def _derived(target: object, instruments: Instruments | None) -> dict[str, Any]:
    if not isinstance(target, ExposureTarget):
        return {}
    known = instruments.get(target.instrument) if instruments is not None else None
    if target.exposure_id is not None:
        located = known.locate(target.exposure_id) if known is not None else None
        named = {"day_obs": located[0], "seq_num": located[1]} if located else {}
        return {"exposure_id": target.exposure_id, **named}
    return {"obs_id": target.obs_id}


def _state(facts: Sequence[ExposureFact], *, ended: bool) -> ExposureState:
    in_butler = [
        one.event
        for one in facts
        if one.source is Source.BUTLER and one.event in {Event.RECORD, Event.REMOVE}
    ]
    if in_butler:
        last = in_butler[-1]
        return ExposureState.INGESTED if last is Event.RECORD else ExposureState.REMOVED
    state = ExposureState.NAMED
    # What was called off and then goes on was not called off; among what goes on the
    # furthest counts, since facts of several sources overtake each other.
    for fact in facts:
        if fact.event is Event.CANCEL:
            state = ExposureState.CANCELLED
        elif fact.event is Event.REMOVE:
            state = ExposureState.REMOVED
        elif fact.source is not Source.DERIVED:
            state = _further(state, _reached(fact))
    if state is ExposureState.IN_PROGRESS and ended:
        return ExposureState.ENDED
    return state


_PROGRESS = (
    ExposureState.NAMED,
    ExposureState.ANNOUNCED,
    ExposureState.IN_PROGRESS,
    ExposureState.ENDED,
)


def _further(state: ExposureState, reached: ExposureState) -> ExposureState:
    if state not in _PROGRESS:
        return reached
    return max(state, reached, key=_PROGRESS.index)


def _reached(fact: ExposureFact) -> ExposureState:
    if fact.event is Event.END:
        return ExposureState.ENDED
    if fact.event is Event.START:
        return ExposureState.IN_PROGRESS
    if fact.event is Event.RECORD and _moment(fact.fields.get("end")) is not None:
        return ExposureState.ENDED
    return ExposureState.ANNOUNCED


def _differing(name: str, claims: Sequence[Claim]) -> tuple[Claim, ...]:
    first = claims[0].value
    if all(_agree(name, first, one.value) for one in claims[1:]):
        return ()
    return tuple(claims)


def _agree(name: str, one: Any, other: Any) -> bool:  # noqa: ANN401 - JSON values
    if one == other:
        return True
    if name in _TIMES:
        a, b = _moment(one), _moment(other)
        return a is not None and b is not None and abs(a - b) <= _TIME_TOLERANCE
    tolerance = _TOLERANCES.get(name)
    a_number, b_number = _number(one), _number(other)
    if tolerance is None or a_number is None or b_number is None:
        return False
    return abs(_degrees(name, a_number - b_number)) <= tolerance


def _degrees(name: str, difference: float) -> float:
    if name in {"tracking_ra", "sky_angle"}:
        # 359.99 and 0.01 are neighbours.
        return (difference + 180.0) % 360.0 - 180.0
    return difference


def _doubled_names(
    facts: Sequence[ExposureFact], target: object, instruments: Instruments | None
) -> dict[str, tuple[Claim, ...]]:
    """Find obs_ids that contradict each other, or the id: even of one source."""
    spoken: dict[tuple[Source, str], Claim] = {}
    for fact in facts:
        if fact.obs_id is not None:
            claim = Claim(fact.source, fact.obs_id, fact.record_id)
            spoken[fact.source, fact.obs_id] = claim
    claims = [spoken[one] for one in sorted(spoken, key=_by_source)]
    found: dict[str, tuple[Claim, ...]] = {}
    if len({one.value for one in claims}) > 1:
        found["obs_id"] = tuple(claims)
    if not isinstance(target, ExposureTarget) or instruments is None:
        return found
    home = instruments.get(target.instrument)
    if home is None or target.exposure_id is None:
        return found
    implied = [
        Claim(one.source, parts.exposure_id, one.record_id)
        for one in claims
        if (parts := home.parse_obs_id(one.value)) is not None
        and parts.exposure_id != target.exposure_id
    ]
    if implied:
        own = Claim(Source.DERIVED, target.exposure_id, None)
        found["exposure_id"] = (*implied, own)
    return found


def _by_source(one: tuple[Source, str]) -> tuple[int, str]:
    return _PRECEDENCE[one[0]], one[1]


def _cancelled_yet_there(
    facts: Sequence[ExposureFact], state: ExposureState
) -> dict[str, tuple[Claim, ...]]:
    others = [one for one in facts if one.source is not Source.BUTLER]
    last = others[-1] if others else None
    if (
        state is not ExposureState.INGESTED
        or last is None
        or last.event is not Event.CANCEL
    ):
        return {}
    record = [
        one
        for one in facts
        if one.source is Source.BUTLER and one.event is Event.RECORD
    ][-1]
    return {
        "state": (
            Claim(record.source, ExposureState.INGESTED.value, record.record_id),
            Claim(last.source, ExposureState.CANCELLED.value, last.record_id),
        )
    }


# Facts of other sites are checked for form only, so a field may hold anything: it is
# shown as it came, and read only where it can be.


def _moment(value: object) -> datetime | None:
    try:
        return times.parse(value) if isinstance(value, str) else None
    except times.InvalidTimeError:
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= _GREATEST else None


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_EXPOSURE_ID else None


def _night_or_none(value: object) -> int | None:
    night = _integer(value)
    return night if night is not None and is_day_obs(night) else None


def _small(value: object) -> int | None:
    number = _integer(value)
    return number if number is not None and number < _MAX_COLUMN else None


def _seconds(value: object) -> float | None:
    seconds = _number(value)
    return (
        seconds if seconds is not None and 0 <= seconds <= MAX_EXPOSURE_TIME else None
    )


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


# ------------------------------------------------------------------------- API input

ExtraName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""Name of a further field."""
ExtraText = Annotated[str, Field(max_length=1_024)]
"""Text of a further field."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that JSON can hold."""


def _night(value: int) -> int:
    if not is_day_obs(value):
        msg = "is no date: write the night as 20261119"
        raise ValueError(msg)
    return value


def _encodable(text: str) -> str:
    try:
        encode_part(text)
    except InvalidError as error:
        raise ValueError(error.detail) from None
    return text


def _whole(value: object) -> object:
    # Past 64 bits an integer would silently become a float that is near it.
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        msg = "is an integer of more than 64 bits"
        raise ValueError(msg)
    return value


def _extra(
    fields: dict[str, bool | int | float | str | None],
) -> dict[str, bool | int | float | str | None]:
    for value in fields.values():
        if isinstance(value, str):
            if "\x00" in value:
                msg = "contains the character NUL (U+0000); leave it out"
                raise ValueError(msg)
            try:
                value.encode()
            except UnicodeEncodeError:
                msg = "contains a lone surrogate, which is no Unicode text"
                raise ValueError(msg) from None
    return fields


ExtraValue = Annotated[bool | int | Finite | ExtraText | None, BeforeValidator(_whole)]
"""Value of a further field."""
Extra = Annotated[dict[ExtraName, ExtraValue], AfterValidator(_extra)]
"""Further fields: scalars by name."""

ObsId = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_encodable)]
"""An obs_id as its instrument writes it."""


class ExposureFactDraft(Part):
    """What somebody says about one exposure: announced, started, ended, recorded."""

    instrument: Word = Field(description="Instrument.", examples=["LSSTCam"])
    exposure_id: Annotated[int, Field(ge=0, le=MAX_EXPOSURE_ID)] | None = Field(
        None, description="The butler's integer id.", examples=[2026111900123]
    )
    obs_id: ObsId | None = Field(
        None, description="The obs_id.", examples=["MC_O_20261119_000123"]
    )
    day_obs: (
        Annotated[int, Field(ge=FIRST_DAY_OBS, le=LAST_DAY_OBS), AfterValidator(_night)]
        | None
    ) = Field(None, description="Night as YYYYMMDD.", examples=[20261119])
    seq_num: Annotated[int, Field(ge=0, le=MAX_SEQ_NUM)] | None = Field(
        None, description="Number within the night."
    )
    event: Event = Field(Event.ANNOUNCE, description="What has happened.")
    source: Literal["butler", "camera", "bulk"] = Field(
        "bulk", description="Who says so; the butler is believed first, bulk last."
    )
    begin: Moment | None = Field(None, description="When it began, UTC.")
    end: Moment | None = Field(None, description="When it ended, UTC.")
    exposure_time: (
        Annotated[float, Field(ge=0, le=MAX_EXPOSURE_TIME, allow_inf_nan=False)] | None
    ) = Field(None, description="Seconds with the shutter open.")
    observation_type: Word | None = Field(
        None, description="Type, as science or bias; not known counts as on-sky."
    )
    observation_reason: Word | None = Field(None, description="Why it is taken.")
    physical_filter: Word | None = Field(None, description="Filter of the instrument.")
    band: Word | None = Field(None, description="Band, as r.")
    target_name: Word | None = Field(None, description="Object or field.")
    science_program: Word | None = Field(None, description="Programme.")
    group: Word | None = Field(None, description="Group of exposures it belongs to.")
    tracking_ra: Annotated[float, Field(ge=0, le=360, allow_inf_nan=False)] | None = (
        Field(None, description="ICRS right ascension of the boresight, degrees.")
    )
    tracking_dec: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] | None = (
        Field(None, description="ICRS declination of the boresight, degrees.")
    )
    sky_angle: Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)] | None = (
        Field(None, description="Angle of the focal plane on the sky, degrees.")
    )
    fields: Extra = Field(
        default={},
        max_length=MAX_EXTRA_FIELDS,
        description="Further fields, scalars by name; shown as they come.",
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        by_number = self.day_obs is not None and self.seq_num is not None
        if self.exposure_id is None and self.obs_id is None and not by_number:
            msg = "needs exposure_id, obs_id, or day_obs with seq_num"
            raise ValueError(msg)
        if self.begin and self.end and self.end < self.begin:
            msg = "ends before it begins"
            raise ValueError(msg)
        doubled = sorted(set(self.fields) & (set(FACT_FIELDS) | _NOT_FIELDS))
        if doubled:
            msg = f"has {', '.join(doubled)} under fields, where only further ones go"
            raise ValueError(msg)
        return self

    def name(
        self, instruments: Instruments, pointer: str = ""
    ) -> Named | SeqName | ObsIdName:
        """Give what it names: the id first, else the obs_id, else night and number.

        Parameters
        ----------
        instruments
            The known instruments.
        pointer
            Where the fact stood in the request.

        Raises
        ------
        InvalidError
            If a name does not fit the instrument. An id and an obs_id that contradict
            each other are taken: that is listed, not refused.
        """
        home = instruments.require(self.instrument, f"{pointer}/instrument").name
        part = encode_part(home)
        named: str | None = None
        if self.obs_id is not None:
            place = f"obs_id={encode_part(self.obs_id)}"
            if self.exposure_id is None:
                return _exposure_name(
                    f"exposure:{part}/{place}", instruments, f"{pointer}/obs_id"
                )
            named = self.obs_id
        if self.exposure_id is not None:
            found = _exposure_name(
                f"exposure:{part}/{self.exposure_id}",
                instruments,
                f"{pointer}/exposure_id",
            )
            assert isinstance(found, Named)  # noqa: S101 - an integer says all
            return Named(found.target, named)
        return _exposure_name(
            f"exposure:{part}/{self.day_obs}/{self.seq_num}", instruments, pointer
        )

    def said(self) -> dict[str, Any]:
        """Give the fields of the fact, as the record holds them; nulls left out."""
        given = self.model_dump(mode="python", include=set(FACT_FIELDS))
        said = {
            name: times.format(value) if isinstance(value, datetime) else value
            for name, value in given.items()
            if value is not None
        }
        extra = {name: one for name, one in self.fields.items() if one is not None}
        return {**said, **extra}


_NOT_FIELDS = frozenset({"instrument", "event", "source", "fields", "state", "key"})

FACT_FIELDS = tuple(
    name for name in ExposureFactDraft.model_fields if name not in _NOT_FIELDS
)
"""Names of the fields that annolog knows the meaning of."""


def _exposure_name(
    text: str, instruments: Instruments, pointer: str
) -> Named | SeqName | ObsIdName:
    found = parse_name(text, instruments, pointer=pointer)
    assert isinstance(found, Named | SeqName | ObsIdName)  # noqa: S101 - no set
    return found
