"""Targets: what is annotated, and the one key of each.

A key is `KIND:PART/PART...`. Each part is percent-encoded (UTF-8, capital hexadecimal
digits) but for the unreserved characters of RFC 3986, integers have no leading zeros,
and a key has 512 bytes at most. Case is kept, and so are code points: nothing is
normalised, since the butler tells names apart by code points too. Control characters
are refused.

`parse_key` reads canonical keys only; `annolog.domain.names` reads whatever people and
programs write.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn
from urllib.parse import quote, unquote
from uuid import UUID

from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.instruments import MAX_EXPOSURE_ID, Instruments, is_day_obs

MAX_KEY_BYTES = 512
"""Bytes of a key: keys are ASCII, so characters too."""
MAX_DETECTOR = 2**31 - 1
"""The greatest detector number: a signed 32-bit column."""
MAX_SET_VERSION = 2**31 - 1
"""The greatest number of a data-ID set's version."""
KINDS = (
    "exposure",
    "detector",
    "dataset",
    "record",
    "gap",
    "night",
    "collection",
    "set",
)
"""All kinds of targets."""

FLAGLESS_KINDS = frozenset({"gap", "night"})
"""Kinds that take no flag: they are times, not data."""

_INTEGER = re.compile(r"0|[1-9][0-9]*")
_DIGEST = re.compile(r"[0-9A-F]{8,64}")
_SAFE = "-._~"
_OBS_ID = "obs_id="


def invalid_target(text: object, reason: str) -> InvalidError:
    """Make the error for something that names no target.

    Parameters
    ----------
    text
        What was written.
    reason
        What is wrong and what would be right, for people.
    """
    return InvalidError(
        reason,
        code="invalid_target",
        problems=[Problem("", text, reason, "invalid_target")],
    )


def encode_part(text: str) -> str:
    """Percent-encode one part of a key.

    Raises
    ------
    InvalidError
        If it is empty, holds a control character or is no Unicode text.
    """
    if not text:
        raise invalid_target(text, "a part of a target's name is empty")
    if text.isascii() and text.isalnum():
        return text
    if any(ord(c) < ord(" ") or "\x7f" <= c <= "\x9f" for c in text):
        raise invalid_target(text, f"{text!r:.100} holds a control character")
    try:
        return quote(text, safe=_SAFE)
    except UnicodeEncodeError:
        raise invalid_target(
            repr(text), f"{text!r:.100} holds a lone surrogate, which is no text"
        ) from None


def decode_part(text: str) -> str:
    """Decode one part of a canonical key.

    Raises
    ------
    InvalidError
        If it is not encoded as `encode_part` does it.
    """
    if text.isascii() and text.isalnum():
        return text
    try:
        plain = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise invalid_target(text, f"{text!r:.100} is no percent-encoded UTF-8") from (
            None
        )
    if (wanted := encode_part(plain)) != text:
        raise invalid_target(text, f"write {wanted!r:.200} for {text!r:.200}")
    return plain


def _check_range(value: int, name: str, least: int, greatest: int) -> None:
    # bool is an int to Python and no number to anyone else.
    if isinstance(value, bool) or not least <= value <= greatest:
        raise invalid_target(
            value, f"{name} {value!s:.40} is not between {least} and {greatest}"
        )


def _check_night(day_obs: int) -> None:
    if isinstance(day_obs, bool) or not is_day_obs(day_obs):
        raise invalid_target(
            day_obs, f"day_obs {day_obs!s:.40} is no date written as YYYYMMDD"
        )


def _exposure_part(exposure_id: int | None, obs_id: str | None) -> str:
    if (exposure_id is None) == (obs_id is None):
        raise invalid_target(
            obs_id, "an exposure is named by its integer id or else by its obs_id"
        )
    if obs_id is not None:
        return f"{_OBS_ID}{encode_part(obs_id)}"
    assert exposure_id is not None  # noqa: S101 - what mypy cannot follow
    _check_range(exposure_id, "exposure id", 0, MAX_EXPOSURE_ID)
    return str(exposure_id)


class _Keyed:
    # What all targets share: a key that is made and checked once, when they are.
    __slots__ = ()

    def _keep(self, key: str) -> None:
        if len(key) > MAX_KEY_BYTES:
            raise invalid_target(
                key, f"its key has {len(key)} bytes; at most {MAX_KEY_BYTES} are taken"
            )
        object.__setattr__(self, "key", key)


def _key_field() -> str:
    value: str = field(init=False, repr=False, compare=False)
    return value


@dataclass(frozen=True, slots=True)
class ExposureTarget(_Keyed):
    """One exposure: its integer id, or its obs_id where there is no integer.

    Attributes
    ----------
    instrument
        The butler's name of the instrument.
    exposure_id
        The butler's primary key; None where the obs_id stands for it.
    obs_id
        Only where an instrument's data give no integer.
    key
        The canonical key.
    """

    instrument: str
    exposure_id: int | None
    obs_id: str | None = None
    key: str = _key_field()

    def __post_init__(self) -> None:
        part = _exposure_part(self.exposure_id, self.obs_id)
        self._keep(f"exposure:{encode_part(self.instrument)}/{part}")


@dataclass(frozen=True, slots=True)
class DetectorTarget(_Keyed):
    """One detector of an exposure, which is named as in `ExposureTarget`."""

    instrument: str
    exposure_id: int | None
    detector: int
    obs_id: str | None = None
    key: str = _key_field()

    def __post_init__(self) -> None:
        part = _exposure_part(self.exposure_id, self.obs_id)
        _check_range(self.detector, "detector", 0, MAX_DETECTOR)
        instrument = encode_part(self.instrument)
        self._keep(f"detector:{instrument}/{part}/{self.detector}")

    @property
    def exposure(self) -> ExposureTarget:
        """The exposure that it is a part of."""
        return ExposureTarget(self.instrument, self.exposure_id, self.obs_id)


@dataclass(frozen=True, slots=True)
class DatasetTarget(_Keyed):
    """A dataset of a butler, by its UUID."""

    dataset_id: UUID
    key: str = _key_field()

    def __post_init__(self) -> None:
        self._keep(f"dataset:{self.dataset_id}")


@dataclass(frozen=True, slots=True)
class RecordTarget(_Keyed):
    """A record of any dimension element but exposures and nights.

    Attributes
    ----------
    element
        Name of the dimension element.
    data_id
        Value of each of its required dimensions, in their order.
    key
        The canonical key.
    """

    element: str
    data_id: tuple[tuple[str, int | str], ...]
    key: str = _key_field()

    def __post_init__(self) -> None:
        required = UNIVERSE.required(self.element)
        if required is None:
            raise invalid_target(
                self.element,
                f"{self.element!r:.100} is no dimension element; the elements are "
                + ", ".join(UNIVERSE.names()),
            )
        if self.element in _REWRITTEN:
            raise invalid_target(
                self.element,
                f"write {_REWRITTEN[self.element]}: for a record of {self.element}",
            )
        if tuple(name for name, _ in self.data_id) != required:
            raise invalid_target(
                self.element,
                f"a record of {self.element} is named by {'/'.join(required)}",
            )
        parts = (f"{name}={_dimension(name, value)}" for name, value in self.data_id)
        self._keep("/".join((f"record:{self.element}", *parts)))

    def value(self, dimension: str) -> int | str | None:
        """Give the value of a dimension; None if it is not among the required ones."""
        return dict(self.data_id).get(dimension)


_REWRITTEN = {"exposure": "exposure", "day_obs": "night"}


def _dimension(name: str, value: int | str) -> str:
    if UNIVERSE.is_integer(name):
        if not isinstance(value, int):
            raise invalid_target(value, f"{name} is an integer, not {value!r:.100}")
        _check_range(value, name, 0, MAX_INTEGER)
        return str(value)
    if not isinstance(value, str):
        raise invalid_target(value, f"{name} is a string, not {value!r:.100}")
    return encode_part(value)


@dataclass(frozen=True, slots=True)
class GapTarget(_Keyed):
    """The time after an on-sky exposure of a night until the next.

    Attributes
    ----------
    instrument
        The butler's name of the instrument.
    day_obs
        The night, YYYYMMDD.
    after
        Integer id (or obs_id where there is none) of the exposure that it follows;
        None for the time from the night's start.
    key
        The canonical key.
    """

    instrument: str
    day_obs: int
    after: int | str | None
    key: str = _key_field()

    def __post_init__(self) -> None:
        _check_night(self.day_obs)
        after = "start"
        if isinstance(self.after, str):
            after = _exposure_part(None, self.after)
        elif self.after is not None:
            after = _exposure_part(self.after, None)
        instrument = encode_part(self.instrument)
        self._keep(f"gap:{instrument}/{self.day_obs}/after={after}")

    @property
    def exposure(self) -> ExposureTarget | None:
        """The exposure that it follows; None at the night's start."""
        if self.after is None:
            return None
        if isinstance(self.after, str):
            return ExposureTarget(self.instrument, None, self.after)
        return ExposureTarget(self.instrument, self.after)


@dataclass(frozen=True, slots=True)
class NightTarget(_Keyed):
    """A night of an instrument, or of a declared part (Simonyi, AuxTel, site)."""

    part: str
    day_obs: int
    key: str = _key_field()

    def __post_init__(self) -> None:
        _check_night(self.day_obs)
        self._keep(f"night:{encode_part(self.part)}/{self.day_obs}")


@dataclass(frozen=True, slots=True)
class CollectionTarget(_Keyed):
    """A collection of a repository, by the observatory's label for the repository."""

    repository: str
    name: str
    key: str = _key_field()

    def __post_init__(self) -> None:
        repository = encode_part(self.repository)
        self._keep(f"collection:{repository}/{encode_part(self.name)}")


@dataclass(frozen=True, slots=True)
class SetTarget(_Keyed):
    """A version of a data-ID set.

    Attributes
    ----------
    name
        The set's name.
    version
        Number of the version, from 1 on.
    digest
        Start of its content's digest, eight or more capital hexadecimal digits; None
        where name and number are unique.
    key
        The canonical key.
    """

    name: str
    version: int
    digest: str | None = None
    key: str = _key_field()

    def __post_init__(self) -> None:
        _check_range(self.version, "version", 1, MAX_SET_VERSION)
        if self.digest is not None and not _DIGEST.fullmatch(self.digest):
            raise invalid_target(
                self.digest,
                f"digest {self.digest!r:.100} is not 8 to 64 capital hexadecimal "
                "digits",
            )
        digest = "" if self.digest is None else f"-{self.digest}"
        self._keep(f"set:{encode_part(self.name)}@{self.version}{digest}")


Target = (
    ExposureTarget
    | DetectorTarget
    | DatasetTarget
    | RecordTarget
    | GapTarget
    | NightTarget
    | CollectionTarget
    | SetTarget
)
"""Any target; `match` over the classes, without a default branch."""


def kind_of(key: str) -> str:
    """Give the kind of a canonical key, without reading the rest of it."""
    return key.partition(":")[0]


def parse_key(text: str) -> Target:
    """Read a canonical key; the inverse of `.key`.

    Parameters
    ----------
    text
        A key exactly as annolog writes it.

    Returns
    -------
    Target
        The target whose key this is.

    Raises
    ------
    InvalidError
        If it is none (`invalid_target`), also where only its spelling is not canonical.
    """
    kind, colon, rest = text.partition(":")
    read = _READERS.get(kind) if colon else None
    if read is None:
        raise invalid_target(
            text, f"a key begins with a kind and a colon; kinds are {', '.join(KINDS)}"
        )
    if len(text) > MAX_KEY_BYTES:
        raise invalid_target(
            text, f"a key has {MAX_KEY_BYTES} bytes at most, this one {len(text)}"
        )
    target = read(text, rest)
    if target.key != text:
        raise invalid_target(text, f"write {target.key!r} for {text!r:.200}")
    return target


def exposure_names(key: str) -> tuple[str, str | None]:
    """Read the names in an exposure's key, which is known to be canonical.

    Parameters
    ----------
    key
        A key of the kind `exposure`.

    Returns
    -------
    tuple
        The instrument, and the obs_id where it stands for the integer id.
    """
    instrument, _, part = key.partition(":")[2].partition("/")
    obs_id = unquote(part[len(_OBS_ID) :]) if part.startswith(_OBS_ID) else None
    return unquote(instrument), obs_id


def _refuse(text: str, shape: str) -> NoReturn:
    raise invalid_target(text, f"{text!r:.200} is not like {shape}")


def parse_integer(text: str, name: str) -> int:
    """Read an integer of a key.

    Raises
    ------
    InvalidError
        If it is no decimal number without sign and leading zeros.
    """
    # Beyond 19 digits no column holds it, and Python refuses beyond 4300.
    if len(text) > len(str(MAX_INTEGER)) or not _INTEGER.fullmatch(text):
        raise invalid_target(
            text, f"{name} {text!r:.60} is no integer without leading zeros"
        )
    return int(text)


def _parse_exposure_part(text: str) -> tuple[int | None, str | None]:
    if text.startswith(_OBS_ID):
        return None, decode_part(text.removeprefix(_OBS_ID))
    return parse_integer(text, "exposure id"), None


def _parse_exposure(text: str, rest: str) -> Target:
    match rest.split("/"):
        case [instrument, part]:
            return ExposureTarget(decode_part(instrument), *_parse_exposure_part(part))
        case _:
            _refuse(text, "exposure:LSSTCam/2026111900123")


def _parse_detector(text: str, rest: str) -> Target:
    match rest.split("/"):
        case [instrument, part, number]:
            exposure_id, obs_id = _parse_exposure_part(part)
            detector = parse_integer(number, "detector")
            return DetectorTarget(
                decode_part(instrument), exposure_id, detector, obs_id
            )
        case _:
            _refuse(text, "detector:LSSTCam/2026111900123/94")


def _parse_dataset(text: str, rest: str) -> Target:
    try:
        return DatasetTarget(UUID(rest))
    except ValueError:
        _refuse(text, "dataset:018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f")


def _parse_record(text: str, rest: str) -> Target:
    element, *parts = rest.split("/")
    data_id: list[tuple[str, int | str]] = []
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals:
            _refuse(text, "record:visit/instrument=LSSTCam/visit=2026111900123")
        data_id.append(
            (
                name,
                parse_integer(value, name)
                if UNIVERSE.is_integer(name)
                else decode_part(value),
            )
        )
    return RecordTarget(element, tuple(data_id))


def _parse_gap(text: str, rest: str) -> Target:
    match rest.split("/"):
        case [instrument, day_obs, after] if after.startswith("after="):
            place = after.removeprefix("after=")
            exposure_id, obs_id = (
                (None, None) if place == "start" else _parse_exposure_part(place)
            )
            return GapTarget(
                decode_part(instrument),
                parse_integer(day_obs, "day_obs"),
                exposure_id if obs_id is None else obs_id,
            )
        case _:
            _refuse(text, "gap:LSSTCam/20261119/after=2026111900123")


def _parse_night(text: str, rest: str) -> Target:
    match rest.split("/"):
        case [part, day_obs]:
            return NightTarget(decode_part(part), parse_integer(day_obs, "day_obs"))
        case _:
            _refuse(text, "night:LSSTCam/20261119")


def _parse_collection(text: str, rest: str) -> Target:
    match rest.split("/"):
        case [repository, name]:
            return CollectionTarget(decode_part(repository), decode_part(name))
        case _:
            _refuse(text, "collection:REPO/NAME, in NAME %2F for each slash")


def _parse_set(text: str, rest: str) -> Target:
    name, at, version = rest.rpartition("@")
    if not at:
        _refuse(text, "set:NAME@3-1F0A77C2")
    number, dash, digest = version.partition("-")
    return SetTarget(
        decode_part(name), parse_integer(number, "version"), digest if dash else None
    )


_READERS: Mapping[str, Callable[[str, str], Target]] = {
    "exposure": _parse_exposure,
    "detector": _parse_detector,
    "dataset": _parse_dataset,
    "record": _parse_record,
    "gap": _parse_gap,
    "night": _parse_night,
    "collection": _parse_collection,
    "set": _parse_set,
}


def target_from_data_id(data_id: Mapping[str, int | str]) -> Target:
    """Give the target that a data ID of the butler names.

    Exposures, their detectors and nights have kinds of their own; all else is a record
    of the element with just these required dimensions.

    Parameters
    ----------
    data_id
        Values by dimension, in any order; integers are no strings.

    Raises
    ------
    InvalidError
        If no element has just these dimensions, or a value does not fit.
    """
    names = frozenset(data_id)
    if names == {"instrument", "exposure", "detector"}:
        for name, value in data_id.items():
            _dimension(name, value)
        return DetectorTarget(
            str(data_id["instrument"]),
            int(data_id["exposure"]),
            int(data_id["detector"]),
        )
    element = UNIVERSE.element_of(names)
    required = UNIVERSE.required(element) if element is not None else None
    if element is None or required is None:
        raise invalid_target(
            ", ".join(sorted(names)),
            f"no dimension element is named by {', '.join(sorted(names))!r:.200}",
        )
    for name in required:
        _dimension(name, data_id[name])
    if element == "exposure":
        return ExposureTarget(str(data_id["instrument"]), int(data_id["exposure"]))
    if element == "day_obs":
        return NightTarget(str(data_id["instrument"]), int(data_id["day_obs"]))
    return RecordTarget(element, tuple((name, data_id[name]) for name in required))


class TargetColumns(NamedTuple):
    """What lists filter and sort a target by; None where it has no such thing."""

    kind: str
    instrument: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None
    exposure_id: int | None = None
    detector: int | None = None
    dataset_id: UUID | None = None


def columns(  # noqa: PLR0911 - one return a kind
    target: Target, instruments: Instruments
) -> TargetColumns:
    """Give the columns that a target's row is found by.

    Parameters
    ----------
    target
        Any target, also of an unknown instrument.
    instruments
        Those whose rules tell day_obs and seq_num from an id or obs_id.

    Returns
    -------
    TargetColumns
        The night of a declared part (Simonyi) stands under `instrument` too: it is
        listed beside those of instruments. A gap has the seq_num of the exposure that
        it follows, and 0 at the night's start, so a night's lists put it there.
    """
    match target:
        case ExposureTarget(instrument, exposure_id, obs_id):
            day_obs, seq_num = _located(instrument, exposure_id, obs_id, instruments)
            return TargetColumns("exposure", instrument, day_obs, seq_num, exposure_id)
        case DetectorTarget(instrument, exposure_id, detector, obs_id):
            day_obs, seq_num = _located(instrument, exposure_id, obs_id, instruments)
            return TargetColumns(
                "detector", instrument, day_obs, seq_num, exposure_id, detector
            )
        case DatasetTarget(dataset_id):
            return TargetColumns("dataset", dataset_id=dataset_id)
        case RecordTarget():
            return _record_columns(target)
        case GapTarget(instrument, day_obs, after):
            if after is None:
                return TargetColumns("gap", instrument, day_obs, 0)
            exposure_id = after if isinstance(after, int) else None
            obs_id = after if isinstance(after, str) else None
            _, seq_num = _located(instrument, exposure_id, obs_id, instruments)
            return TargetColumns("gap", instrument, day_obs, seq_num)
        case NightTarget(part, day_obs):
            return TargetColumns("night", part, day_obs)
        case CollectionTarget():
            return TargetColumns("collection")
        case SetTarget():
            return TargetColumns("set")


def _located(
    instrument: str,
    exposure_id: int | None,
    obs_id: str | None,
    instruments: Instruments,
) -> tuple[int | None, int | None]:
    known = instruments.get(instrument)
    if known is None:
        return None, None
    if exposure_id is not None:
        return known.locate(exposure_id) or (None, None)
    parts = known.parse_obs_id(obs_id or "")
    return (parts.day_obs, parts.seq_num) if parts else (None, None)


def _record_columns(target: RecordTarget) -> TargetColumns:
    # A visit's number often looks like an exposure's, but is none: no night from it.
    values = dict(target.data_id)
    instrument = values.get("instrument")
    detector = values.get("detector")
    return TargetColumns(
        "record",
        instrument=instrument if isinstance(instrument, str) else None,
        detector=detector
        if isinstance(detector, int) and detector <= MAX_DETECTOR
        else None,
    )
