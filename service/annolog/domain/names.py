"""Names of targets: whatever people and programs write where a key is wanted.

A name is read with the known instruments and gives its target, or says what must be
looked up first. Names are written like keys: `exposure:LSSTCam/MC_O_20261119_000123`,
`exposure:LSSTCam/20261119/123`, `detector:LSSTCam/20261119/123/94`,
`gap:LSSTCam/MC_O_20261119_000123`. Bare ones are taken too: an obs_id, a UUID, an
integer id or `20261119/123` (these two with a default instrument), `LSSTCam/...`, a
data ID as `instrument=LSSTCam, exposure=2026111900123, detector=94`.

In a name `%XX` always stands for a percent-encoded byte, as in a key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote
from uuid import UUID

from annolog.domain.dimensions import UNIVERSE
from annolog.domain.errors import InvalidError, Problem
from annolog.domain.instruments import (
    MAX_SEQ_NUM,
    Instrument,
    Instruments,
    is_day_obs,
)
from annolog.domain.targets import (
    KINDS,
    CollectionTarget,
    DatasetTarget,
    DetectorTarget,
    ExposureTarget,
    GapTarget,
    NightTarget,
    RecordTarget,
    SetTarget,
    Target,
    invalid_target,
    parse_integer,
    parse_key,
    target_from_data_id,
)

MAX_NAME_CHARACTERS = 2_048
"""Characters of one name: a key of 512 bytes, each percent-encoded, and some blanks."""

KIND_PREFIXES = frozenset(KINDS)
"""Words that may stand before the colon of a name."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DAY = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})")
_SEQ = re.compile(r"[0-9]{1,6}")
_DIGITS = re.compile(r"[0-9]+")
_WORD = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RULED_SHAPE = re.compile(r"[A-Za-z0-9]{1,8}_[A-Za-z]_[0-9]+_[0-9]+")
_WITHOUT_SLASH = UNIVERSE.integers | {"instrument"}
_DIMENSION = re.compile(r"[a-z][a-z0-9_]*")


# ----------------------------------------------------------------- what a name says


@dataclass(frozen=True, slots=True)
class Named:
    """A name that said all.

    Attributes
    ----------
    target
        What it names.
    obs_id
        The obs_id by which it named its exposure, in its instrument's spelling; None
        where it did not use one. Keep it: the integer id never gives it back.
    """

    target: Target
    obs_id: str | None = None


@dataclass(frozen=True, slots=True)
class SeqName:
    """A night and number: the one known exposure there, if there is just one.

    Attributes
    ----------
    kind
        `exposure`, `detector` or `gap`: what is named, by way of the exposure.
    instrument
        The butler's name of the instrument.
    day_obs, seq_num
        Night and number within it.
    detector
        Only for detectors.
    """

    kind: str
    instrument: str
    day_obs: int
    seq_num: int
    detector: int | None = None

    def target_of(self, exposure: ExposureTarget) -> Target:
        """Give what is named, once the exposure has been found."""
        return _by_way_of(exposure, self.kind, self.detector, self.day_obs)


@dataclass(frozen=True, slots=True)
class ObsIdName:
    """An obs_id that no rule turns into an integer id: look it up.

    Attributes
    ----------
    kind
        `exposure`, `detector` or `gap`.
    instrument
        The instrument that was named; None if none was: any may know it.
    obs_id
        As written.
    detector
        Only for detectors.
    day_obs
        Only for gaps.
    """

    kind: str
    instrument: str | None
    obs_id: str
    detector: int | None = None
    day_obs: int | None = None

    def target_of(self, exposure: ExposureTarget) -> Target:
        """Give what is named, once the exposure has been found."""
        return _by_way_of(exposure, self.kind, self.detector, self.day_obs)

    @property
    def unseen(self) -> Target | None:
        """The target where nobody knows the obs_id yet; None without instrument."""
        if self.instrument is None:
            return None
        return self.target_of(ExposureTarget(self.instrument, None, self.obs_id))


@dataclass(frozen=True, slots=True)
class SetName:
    """A version of a data-ID set by number alone: the one known with it, if just one.

    Attributes
    ----------
    name
        The set's name.
    version
        Number of the version.
    """

    name: str
    version: int

    @property
    def unseen(self) -> SetTarget:
        """The target whose key has no digest."""
        return SetTarget(self.name, self.version)


Name = Named | SeqName | ObsIdName | SetName
"""What a name says: a target, or what must be looked up to find it."""


def _by_way_of(
    exposure: ExposureTarget, kind: str, detector: int | None, day_obs: int | None
) -> Target:
    if kind == "detector" and detector is not None:
        return DetectorTarget(
            exposure.instrument, exposure.exposure_id, detector, exposure.obs_id
        )
    if kind == "gap" and day_obs is not None:
        after = exposure.obs_id or exposure.exposure_id
        return GapTarget(exposure.instrument, day_obs, after)
    return exposure


# -------------------------------------------------------------------------- reading


def parse_name(
    text: str,
    instruments: Instruments,
    *,
    default: str | None = None,
    pointer: str = "",
) -> Name:
    """Read a name of a target.

    Parameters
    ----------
    text
        Any name or key; blanks around it do not matter.
    instruments
        The known instruments.
    default
        Instrument of bare integer ids and of `20261119/123`; None: such are refused.
    pointer
        Where it stood in the request, for the error.

    Returns
    -------
    Name
        The target, or what must be looked up.

    Raises
    ------
    InvalidError
        If it names nothing (`invalid_target`), an unknown instrument
        (`unknown_instrument`, with the nearest names under `nearest`), an exposure of
        a controller that is not taken here (`controller_not_taken`), or needs a
        default instrument (`instrument_needed`).
    """
    name = text.strip()
    try:
        if not name:
            raise invalid_target(text, "a target's name is empty")
        if len(name) > MAX_NAME_CHARACTERS:
            raise invalid_target(
                text,
                f"a target's name has {MAX_NAME_CHARACTERS} characters at most, this "
                f"one {len(name)}",
            )
        return _parse(name, instruments, default)
    except InvalidError as error:
        raise InvalidError(
            error.detail,
            code=error.reason_code,
            problems=[Problem(pointer, text, error.detail, error.reason_code)],
            extra=error.extra,
        ) from None


def _parse(name: str, instruments: Instruments, default: str | None) -> Name:
    kind, colon, rest = name.partition(":")
    read = _READERS.get(kind.strip().lower()) if colon else None
    if read is not None:
        return read(rest.strip(), instruments)
    if _UUID.fullmatch(name):
        return Named(DatasetTarget(UUID(name)))
    if "=" in name and _DIMENSION.fullmatch(name.partition("=")[0].strip()):
        return _data_id(_assignments(re.split(r"[,;/\s]+", name)), instruments)
    first, slash, _ = name.partition("/")
    if slash and instruments.find(first) is not None:
        return _exposure(name, instruments)
    if colon:
        raise invalid_target(
            name, f"{kind!r:.60} is no kind of target; kinds are {', '.join(KINDS)}"
        )
    return _bare(name, instruments, default)


def _bare(name: str, instruments: Instruments, default: str | None) -> Name:
    owners = instruments.of_obs_id(name)
    home = None if default is None else instruments.require(default)
    if owners:
        if home is not None and home in owners:
            return _place([name], home)
        if len(owners) == 1:
            return _place([name], owners[0])
        likely = " or ".join(f"exposure:{one.name}/{name}" for one in owners)
        raise InvalidError(
            f"{name!r} is an obs_id of several instruments: write {likely}",
            code="instrument_needed",
        )
    parts = name.split("/")
    if all(_DIGITS.fullmatch(part.replace("-", "")) for part in parts):
        if home is None:
            raise InvalidError(
                f"{name!r:.100} needs its instrument: write exposure:INSTRUMENT/"
                f"{name:.60}",
                code="instrument_needed",
            )
        return _place(parts, home)
    if _RULED_SHAPE.fullmatch(name):
        _no_obs_id(name, instruments, home)
    if _WORD.fullmatch(name):
        unruled = home is not None and home.obs_id_rule is None
        return ObsIdName("exposure", home.name if home and unruled else None, name)
    raise invalid_target(
        name,
        f"{name!r:.100} names no target: write a key, an obs_id, a dataset's UUID, or "
        "for example exposure:LSSTCam/20261119/123",
    )


def _no_obs_id(
    name: str, instruments: Instruments, home: Instrument | None
) -> NoReturn:
    prefix = name.partition("_")[0]
    ruled = [
        one
        for one in instruments.values()
        if one.obs_id_rule and prefix in one.obs_id_rule.prefixes
    ]
    owner = ruled[0] if ruled else home
    if owner is not None:
        _misfit(name, owner)
    raise invalid_target(name, f"no instrument has obs_ids like {name!r:.100}")


def _misfit(name: str, instrument: Instrument) -> NoReturn:
    rule = instrument.obs_id_rule
    like = "an obs_id"
    if rule is not None:
        letters = "".join(one.letter for one in rule.controllers)
        prefix = rule.prefixes[0]
        like = (
            f"{prefix}_{rule.controllers[0].letter}_20261119_000123 (controllers "
            f"{letters}) or 2026111900123"
        )
    raise invalid_target(
        name,
        f"{name!r:.100} is no exposure of {instrument.name}: those are like {like}",
    )


def _place(parts: list[str], home: Instrument) -> Named | SeqName | ObsIdName:
    # The one place that reads how an exposure is named within its instrument.
    text = "/".join(parts)
    if parts[0].startswith("obs_id="):
        return _obs_id(unquote(text.removeprefix("obs_id=")), home)
    match [unquote(part).strip() for part in parts]:
        case [only] if _DIGITS.fullmatch(only):
            exposure_id = parse_integer(only, "exposure id")
            if home.obs_id_rule is not None and home.locate(exposure_id) is None:
                if is_day_obs(exposure_id):
                    raise invalid_target(
                        text,
                        f"{only} is a night: write night:{home.name}/{only}, or "
                        f"{only}/123 for an exposure",
                    )
                _misfit(text, home)
            return Named(ExposureTarget(home.name, exposure_id))
        case [only]:
            return _obs_id(only, home)
        case [day, seq] if _DAY.fullmatch(day) and _SEQ.fullmatch(seq):
            return SeqName("exposure", home.name, parse_day(day), _seq_num(seq))
        case _:
            _misfit(text, home)


def _obs_id(text: str, home: Instrument) -> Named | ObsIdName:
    if home.obs_id_rule is None:
        if text.isdigit():
            # Else the key that it would get could not be told from an integer's name.
            raise invalid_target(text, f"{text!r:.100} is no obs_id but a number")
        return ObsIdName("exposure", home.name, text)
    found = home.parse_obs_id(text)
    if found is None:
        _misfit(text, home)
    if not home.takes(found.controller):
        raise InvalidError(
            f"{text} was taken by controller {found.controller}, whose exposures of "
            f"{home.name} are not taken here (but of {home.taken_controllers})",
            code="controller_not_taken",
        )
    return Named(ExposureTarget(home.name, found.exposure_id), found.obs_id)


def parse_day(text: str) -> int:
    """Read a night as people write it.

    Parameters
    ----------
    text
        `20261119` or `2026-11-19`.

    Raises
    ------
    InvalidError
        If it is no date.
    """
    found = _DAY.fullmatch(text.strip())
    value = int("".join(found.groups())) if found else 0
    if not is_day_obs(value):
        raise invalid_target(
            text, f"{text!r:.60} is no night: write the date as 20261119"
        )
    return value


def _seq_num(text: str) -> int:
    value = int(text)
    if value > MAX_SEQ_NUM:
        raise invalid_target(text, f"seq_num {value} is above {MAX_SEQ_NUM}")
    return value


def _exposure(rest: str, instruments: Instruments) -> Named | SeqName | ObsIdName:
    first, *parts = rest.split("/")
    if not parts:
        raise invalid_target(
            rest, "write the exposure after its instrument: LSSTCam/2026111900123"
        )
    return _place(parts, instruments.require(unquote(first).strip()))


def _detector(rest: str, instruments: Instruments) -> Name:
    place, _, last = rest.rpartition("/")
    if "/" not in place:
        raise invalid_target(
            rest, "write a detector as detector:LSSTCam/2026111900123/94"
        )
    found = _exposure(place, instruments)
    home = instruments.require(unquote(rest.partition("/")[0]).strip())
    detector = parse_integer(last.strip(), "detector")
    _check_detector(detector, home)
    match found:
        case Named(ExposureTarget() as exposure, obs_id):
            return Named(_by_way_of(exposure, "detector", detector, None), obs_id)
        case SeqName(_, instrument, day_obs, seq_num):
            return SeqName("detector", instrument, day_obs, seq_num, detector)
        case ObsIdName(_, instrument, name):
            return ObsIdName("detector", instrument, name, detector)
        case Named():
            raise AssertionError(found)


def _check_detector(detector: int, home: Instrument) -> None:
    if home.detector_max is not None and detector >= home.detector_max:
        raise invalid_target(
            detector,
            f"{home.name} has no detector {detector}: they are 0 to "
            f"{home.detector_max - 1}",
        )


def _gap(rest: str, instruments: Instruments) -> Name:
    first, *parts = rest.split("/")
    home = instruments.require(unquote(first).strip())
    if not parts:
        raise invalid_target(rest, "write a gap as gap:LSSTCam/20261119/after=start")
    if not _DAY.fullmatch(parts[0].strip()):
        found = _place(parts, home)
        located = _night_of(found, home)
        if located is None:
            raise invalid_target(
                rest, f"write the night too: gap:{home.name}/20261119/after={parts[0]}"
            )
        return _after(found, located)
    day_obs = parse_day(parts[0])
    place = "/".join(parts[1:]).strip().removeprefix("after=")
    if place == "start":
        return Named(GapTarget(home.name, day_obs, None))
    if len(parts) == 2 and _SEQ.fullmatch(place) and home.obs_id_rule is not None:  # noqa: PLR2004 - night and exposure
        return SeqName("gap", home.name, day_obs, _seq_num(place))
    found = _place(place.split("/"), home)
    located = _night_of(found, home)
    if located is not None and located != day_obs:
        raise invalid_target(
            rest, f"{place!r:.60} is of the night {located}, not of {day_obs}"
        )
    return _after(found, day_obs)


def _night_of(found: Named | SeqName | ObsIdName, home: Instrument) -> int | None:
    match found:
        case SeqName(day_obs=day_obs):
            return day_obs
        case Named(ExposureTarget(exposure_id=int(exposure_id))):
            located = home.locate(exposure_id)
            return located[0] if located else None
        case Named() | ObsIdName():
            return None


def _after(found: Named | SeqName | ObsIdName, day_obs: int) -> Name:
    match found:
        case Named(ExposureTarget() as exposure, obs_id):
            return Named(_by_way_of(exposure, "gap", None, day_obs), obs_id)
        case SeqName(_, instrument, _, seq_num):
            return SeqName("gap", instrument, day_obs, seq_num)
        case ObsIdName(_, instrument, name):
            return ObsIdName("gap", instrument, name, day_obs=day_obs)
        case Named():
            raise AssertionError(found)


def _night(rest: str, instruments: Instruments) -> Name:
    first, slash, day = rest.rpartition("/")
    if not slash:
        raise invalid_target(rest, "write a night as night:LSSTCam/20261119")
    part = unquote(first).strip()
    known = instruments.find(part)
    name = known.name if known else instruments.part(part)
    if name is None:
        try:
            instruments.require(part)
        except InvalidError as error:
            raise InvalidError(
                f"{error.detail}; declared parts are "
                f"{', '.join(instruments.parts) or 'none'}",
                code=error.reason_code,
                extra=error.extra,
            ) from None
        raise AssertionError(part)
    return Named(NightTarget(name, parse_day(day)))


def _dataset(rest: str, _instruments: Instruments) -> Name:
    if not _UUID.fullmatch(rest):
        raise invalid_target(
            rest, "write a dataset as dataset:018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f"
        )
    return Named(DatasetTarget(UUID(rest)))


def _assignments(parts: list[str]) -> dict[str, str]:
    # A part without its own `dimension=` belongs to the value before it, which holds
    # a slash; two dimensions of one name contradict each other.
    found: dict[str, str] = {}
    last: str | None = None
    for part in parts:
        name, equals, value = part.partition("=")
        name = name.strip()
        if equals and UNIVERSE.is_dimension(name):
            if name in found:
                raise invalid_target(part, f"{name} is given twice")
            found[name] = value
            last = name
        elif equals and (last is None or last in _WITHOUT_SLASH):
            raise invalid_target(part, f"{name!r:.60} is no dimension of the butler")
        elif last is not None and part:
            found[last] += "/" + part
        elif part:
            raise invalid_target(
                part, f"{part!r:.60} is not like instrument=LSSTCam or visit=12"
            )
    return found


def _data_id(assigned: Mapping[str, str], instruments: Instruments) -> Name:
    values: dict[str, int | str] = {}
    for name, text in assigned.items():
        plain = unquote(text).strip()
        if UNIVERSE.is_integer(name):
            values[name] = parse_integer(plain, name)
        elif name == "instrument":
            values[name] = instruments.require(plain).name
        else:
            values[name] = plain
    target = target_from_data_id(values)
    home = instruments.get(str(values.get("instrument")))
    detector = values.get("detector")
    if home is not None and isinstance(detector, int):
        _check_detector(detector, home)
    if home is not None and isinstance(target, ExposureTarget | DetectorTarget):
        _place([str(target.exposure_id)], home)
    return Named(target)


def _record(rest: str, instruments: Instruments) -> Name:
    element, _, values = rest.partition("/")
    required = UNIVERSE.required(element)
    if required is None:
        raise invalid_target(
            element,
            f"{element!r:.60} is no dimension element; the elements are "
            + ", ".join(UNIVERSE.names()),
        )
    assigned = _assignments(values.split("/"))
    given = set(assigned)
    of_detector = {"instrument", "exposure", "detector"}
    if given != set(required) and not (
        element in {"exposure", "detector"} and given == of_detector
    ):
        example = "/".join(f"{name}=..." for name in required)
        raise invalid_target(
            rest, f"a record of {element} is named by record:{element}/{example}"
        )
    return _data_id(assigned, instruments)


def _collection(rest: str, _instruments: Instruments) -> Name:
    repository, _, name = rest.partition("/")
    if not name:
        raise invalid_target(rest, "write a collection as collection:REPO/NAME")
    return Named(CollectionTarget(unquote(repository), unquote(name)))


def _set(rest: str, _instruments: Instruments) -> Name:
    name, at, version = rest.rpartition("@")
    if not at:
        raise invalid_target(rest, "write a version of a set as set:NAME@3")
    number, dash, digest = version.partition("-")
    found = SetTarget(
        unquote(name),
        parse_integer(number, "version"),
        digest.upper() if dash else None,
    )
    return Named(found) if dash else SetName(found.name, found.version)


_READERS: Mapping[str, Callable[[str, Instruments], Name]] = {
    "exposure": _exposure,
    "detector": _detector,
    "dataset": _dataset,
    "record": _record,
    "gap": _gap,
    "night": _night,
    "collection": _collection,
    "set": _set,
}


# ------------------------------------------------------------------- in a page's path


def path_of_key(key: str) -> str:
    """Write a key as the last part of a page's path.

    Each `%` becomes `!`, which no key holds and paths may: `collection:main/a!2Fb`.
    Servers decode a path once or twice before anyone sees it, then merge `//` and cut
    a `/` at the end, so neither `%2F` nor `%252F` would come through.

    Parameters
    ----------
    key
        A canonical key.
    """
    return key.replace("%", "!")


def key_of_path(path: str) -> str:
    """Recover the key from the last part of a page's path.

    Parameters
    ----------
    path
        As the server gives it: decoded, `//` merged, without a `/` at its end; a `/`
        before it does not matter.

    Returns
    -------
    str
        The canonical key. What `path_of_key` wrote comes back exactly; a key that
        somebody pasted into the address as it is comes back too, unless its name holds
        `//`, a `/` at its end, a percent-encoded `%`, or `!` before hexadecimal digits.

    Raises
    ------
    InvalidError
        If it is no key; it may still be a name.
    """
    text = path.strip("/")
    try:
        return parse_key(text.replace("!", "%")).key
    except InvalidError as error:
        # It was pasted as it is, so it came decoded: its parts are plain text.
        kind, _, rest = text.partition(":")
        found = _plain(kind, rest)
        if found is None:
            raise error from None
        return found.key


def _plain(  # noqa: PLR0911 - one return a kind
    kind: str, rest: str
) -> Target | None:
    first, _, after = rest.partition("/")
    match kind:
        case "exposure" if after.startswith("obs_id="):
            return ExposureTarget(first, None, after.removeprefix("obs_id="))
        case "exposure" if _DIGITS.fullmatch(after):
            return ExposureTarget(first, parse_integer(after, "exposure id"))
        case "detector":
            return _plain_detector(first, after)
        case "gap":
            return _plain_gap(first, after)
        case "night":
            part, _, day = rest.rpartition("/")
            return NightTarget(part, parse_integer(day, "day_obs"))
        case "collection":
            return CollectionTarget(first, after)
        case "record":
            return _plain_record(first, after)
        case "set":
            name, _, version = rest.rpartition("@")
            number, dash, digest = version.partition("-")
            return SetTarget(
                name, parse_integer(number, "version"), digest if dash else None
            )
        case _:
            return None


def _plain_detector(instrument: str, rest: str) -> Target | None:
    place, _, number = rest.rpartition("/")
    detector = parse_integer(number, "detector")
    if place.startswith("obs_id="):
        obs_id = place.removeprefix("obs_id=")
        return DetectorTarget(instrument, None, detector, obs_id)
    return DetectorTarget(instrument, parse_integer(place, "exposure id"), detector)


def _plain_gap(instrument: str, rest: str) -> Target | None:
    day, _, place = rest.partition("/after=")
    day_obs = parse_integer(day, "day_obs")
    if place == "start":
        return GapTarget(instrument, day_obs, None)
    if place.startswith("obs_id="):
        return GapTarget(instrument, day_obs, place.removeprefix("obs_id="))
    return GapTarget(instrument, day_obs, parse_integer(place, "exposure id"))


def _plain_record(element: str, rest: str) -> Target | None:
    required = UNIVERSE.required(element) or ()
    assigned = _assignments(rest.split("/"))
    if tuple(assigned) != required:
        return None
    return RecordTarget(
        element,
        tuple(
            (name, parse_integer(text, name) if UNIVERSE.is_integer(name) else text)
            for name, text in assigned.items()
        ),
    )
