"""Instruments: how each names its exposures, when it looks at the sky, where it stands.

They are data. Those shipped are in `data/instruments.json`; later entries (records of
the kind `instrument`) replace or add whole instruments. An obs_id gives day_obs,
seq_num and the integer id. The integer gives day_obs and seq_num, never the obs_id:
`2026010800448` may be `MC_O_20260108_000448` or `MC_C_20260108_000448`.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cached_property, lru_cache
from importlib import resources
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from typing_extensions import override

from annolog.domain.errors import InvalidError, Problem

MAX_SEQ_NUM = 99_999
"""The greatest seq_num of a night: five digits of the integer id."""
FIRST_DAY_OBS = 19_000_101
"""The first night that can be named (inclusive)."""
LAST_DAY_OBS = 29_991_231
"""The last night that can be named (inclusive): offsets of controllers add to it."""
MAX_EXPOSURE_ID = 2**63 - 1
"""The greatest integer id: a signed 64-bit column."""

_IDS_A_NIGHT = MAX_SEQ_NUM + 1
_THOUSAND_YEARS = 10_000_000
_RULED_MILLENNIUM = 2
"""Nights of the rule lie in the years 2000 to 2999; what is above came by an offset."""

_OBS_ID = re.compile(r"([A-Za-z0-9]+)_([A-Z])_([0-9]{8})_([0-9]{1,6})")

_NEAREST = 3

Line = Annotated[
    str,
    Field(min_length=1, max_length=64, pattern=r"^[^*/\s\x00-\x1f\x7f]+$"),
]
"""A name of an instrument or of a part of a night: no blanks, no `/`, no `*`."""


class ObsIdParts(NamedTuple):
    """What an obs_id says."""

    obs_id: str
    """The obs_id as its instrument writes it (seq_num in six digits)."""
    controller: str
    """The letter of the controller that took it."""
    day_obs: int
    """Night, YYYYMMDD."""
    seq_num: int
    """Number within the night."""
    exposure_id: int
    """The butler's primary key."""


@lru_cache(maxsize=4096)
def is_day_obs(value: int) -> bool:
    """Tell whether a number is a calendar date YYYYMMDD that can name a night."""
    if not FIRST_DAY_OBS <= value <= LAST_DAY_OBS:
        return False
    try:
        date(value // 10_000, value // 100 % 100, value % 100)
    except ValueError:
        return False
    return True


class _Entry(BaseModel):
    # A frozen model keeps what it derived (`cached_property`) beside its fields.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Controller(_Entry):
    """A machine that takes exposures under a letter of its own."""

    letter: Annotated[str, Field(pattern=r"^[A-Z]$")] = Field(
        description="Its letter in an obs_id.", examples=["O"]
    )
    thousands: int = Field(
        ge=0,
        le=7,
        description="Thousands of years that it adds to the date part of the id.",
    )
    until: int | None = Field(
        default=None,
        description="Last night (inclusive) on which it does so; later it adds "
        "nothing. null: it always does.",
    )

    def thousands_on(self, day_obs: int) -> int:
        """Give the thousands of years that it adds on a night."""
        return self.thousands if self.until is None or day_obs <= self.until else 0


class ObsIdRule(_Entry):
    """How `PREFIX_CONTROLLER_YYYYMMDD_NNNNNN` gives an integer id, and what that says.

    The id is the date part times 100,000 plus the seq_num. The date part is the night
    plus the thousands of years of the controller.
    """

    prefixes: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,8}$")], ...] = Field(
        min_length=1, max_length=8, description="First parts of its obs_ids."
    )
    controllers: tuple[Controller, ...] = Field(
        min_length=1, max_length=26, description="Controllers, each letter once."
    )

    @model_validator(mode="after")
    def _once(self) -> Self:
        letters = [one.letter for one in self.controllers]
        if len(letters) != len(set(letters)):
            msg = "names a controller twice"
            raise ValueError(msg)
        return self

    def parse(self, obs_id: str) -> ObsIdParts | None:
        """Read an obs_id.

        Parameters
        ----------
        obs_id
            `MC_O_20261119_000123`; the seq_num may be written with fewer zeros.

        Returns
        -------
        ObsIdParts or None
            None where it is none of this rule's obs_ids.
        """
        found = _OBS_ID.fullmatch(obs_id)
        if found is None:
            return None
        prefix, letter, night, number = found.groups()
        if prefix not in self.prefixes:
            return None
        day_obs, seq_num = int(night), int(number)
        controller = self.controller(letter)
        if controller is None or not _has_id(day_obs, seq_num):
            return None
        offset = controller.thousands_on(day_obs) * _THOUSAND_YEARS
        return ObsIdParts(
            f"{prefix}_{letter}_{day_obs}_{seq_num:06d}",
            letter,
            day_obs,
            seq_num,
            (day_obs + offset) * _IDS_A_NIGHT + seq_num,
        )

    def locate(self, exposure_id: int) -> tuple[int, int] | None:
        """Read an integer id.

        Parameters
        ----------
        exposure_id
            The butler's primary key.

        Returns
        -------
        tuple of int and int, or None
            The day_obs and seq_num; None where no controller gives such an id.
        """
        date_part, seq_num = divmod(exposure_id, _IDS_A_NIGHT)
        thousands = date_part // _THOUSAND_YEARS - _RULED_MILLENNIUM
        day_obs = date_part - thousands * _THOUSAND_YEARS
        if thousands < 0 or not is_day_obs(day_obs):
            return None
        if all(one.thousands_on(day_obs) != thousands for one in self.controllers):
            return None
        return day_obs, seq_num

    def controller(self, letter: str) -> Controller | None:
        """Give the controller of a letter; None if it has none."""
        return self._by_letter.get(letter)

    @cached_property
    def _by_letter(self) -> Mapping[str, Controller]:
        return {one.letter: one for one in self.controllers}


def _has_id(day_obs: int, seq_num: int) -> bool:
    return (
        is_day_obs(day_obs)
        and day_obs // _THOUSAND_YEARS == _RULED_MILLENNIUM
        and seq_num <= MAX_SEQ_NUM
    )


class Site(_Entry):
    """Where an instrument stands."""

    latitude: float = Field(ge=-90, le=90, description="Degrees, north positive.")
    longitude: float = Field(ge=-180, le=180, description="Degrees, east positive.")
    elevation: float = Field(ge=-500, le=9_000, description="Metres above the sea.")


class Instrument(_Entry):
    """One instrument, as its entry says."""

    name: Line = Field(description="The butler's name.", examples=["LSSTCam"])
    short_name: Line | None = Field(
        default=None, description="What narrow columns show; null: the name."
    )
    aliases: tuple[Line, ...] = Field(
        default=(),
        max_length=16,
        description="What people also write; case does not matter there.",
    )
    obs_id_rule: ObsIdRule | None = Field(
        default=None,
        description="How an obs_id gives the integer id; null: it does not.",
    )
    taken_controllers: Annotated[str, Field(pattern=r"^[A-Z]*$")] | None = Field(
        default=None,
        description="Letters of the controllers whose exposures this installation "
        "takes: a test stand's ids may equal the sky's. null: all.",
    )
    on_sky_types: tuple[Line, ...] = Field(
        default=(),
        max_length=64,
        description="Observation types that look at the sky, for people to read.",
    )
    off_sky_types: tuple[Line, ...] = Field(
        default=(),
        max_length=64,
        description="Observation types that do not; any other counts as on-sky.",
    )
    gap_minimum: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="Seconds between on-sky exposures from which on it is a gap.",
    )
    site: Site | None = Field(
        default=None, description="Where it stands; null: its nights have no edges."
    )
    night_parts: tuple[Line, ...] = Field(
        default=(),
        max_length=8,
        description="Declared parts to which its nights belong, as Simonyi.",
    )
    detector_max: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Bound of detector numbers (exclusive), as in the butler; null: "
        "not known.",
    )

    @cached_property
    def _off_sky(self) -> frozenset[str]:
        return frozenset(one.lower() for one in self.off_sky_types)

    def parse_obs_id(self, obs_id: str) -> ObsIdParts | None:
        """Read an obs_id by this instrument's rule; None where it does not fit."""
        return self.obs_id_rule.parse(obs_id) if self.obs_id_rule else None

    def locate(self, exposure_id: int) -> tuple[int, int] | None:
        """Give day_obs and seq_num of an integer id; None where no rule tells."""
        return self.obs_id_rule.locate(exposure_id) if self.obs_id_rule else None

    def takes(self, controller: str) -> bool:
        """Tell whether this installation takes exposures of a controller."""
        return self.taken_controllers is None or controller in self.taken_controllers

    def is_on_sky(self, observation_type: str | None) -> bool:
        """Tell whether exposures of a type look at the sky; unknown ones do."""
        return observation_type is None or observation_type.lower() not in self._off_sky

    @property
    def label(self) -> str:
        """What narrow columns show."""
        return self.short_name or self.name


class Instruments(Mapping[str, Instrument]):
    """All known instruments by name, and the ways in which people name them.

    Parameters
    ----------
    known
        The instruments; of two with one name the last holds.
    """

    __slots__ = ("_by_name", "_by_prefix", "_folded", "_parts")

    def __init__(self, known: Iterable[Instrument]) -> None:
        self._by_name = {one.name: one for one in known}
        self._folded: dict[str, Instrument] = {}
        self._by_prefix: dict[str, list[Instrument]] = {}
        self._parts: dict[str, list[Instrument]] = {}
        ordered = [self._by_name[name] for name in sorted(self._by_name)]
        # A name beats another instrument's alias, so names are entered last.
        for one in ordered:
            for alias in one.aliases:
                self._folded.setdefault(alias.lower(), one)
        for one in ordered:
            self._folded[one.name.lower()] = one
            for part in one.night_parts:
                self._parts.setdefault(part, []).append(one)
            if one.obs_id_rule:
                for prefix in one.obs_id_rule.prefixes:
                    self._by_prefix.setdefault(prefix, []).append(one)

    @classmethod
    def from_entries(
        cls, entries: Mapping[str, Mapping[str, Any]], *, shipped: bool = True
    ) -> "Instruments":
        """Make the instruments that entries of the vocabulary give.

        Parameters
        ----------
        entries
            Fields of each entry by instrument name; one that cannot be read (a later
            version's, say) is passed over.
        shipped
            Whether those shipped are known too, where no entry replaces them.
        """
        found = {one.name: one for one in _SHIPPED} if shipped else {}
        for name, fields in entries.items():
            try:
                found[name] = Instrument.model_validate({**fields, "name": name})
            except ValidationError:
                continue
        return cls(found.values())

    @override
    def __getitem__(self, name: str) -> Instrument:
        return self._by_name[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    @override
    def __len__(self) -> int:
        return len(self._by_name)

    def find(self, name: str) -> Instrument | None:
        """Find an instrument by its name or an alias, whatever the case; else None."""
        return self._by_name.get(name) or self._folded.get(name.lower())

    def require(self, name: str, pointer: str = "") -> Instrument:
        """Find an instrument or say which names are near.

        Parameters
        ----------
        name
            A name or alias, in any case.
        pointer
            Where it stood in the request.

        Raises
        ------
        InvalidError
            If it is unknown (`unknown_instrument`).
        """
        found = self.find(name)
        if found is not None:
            return found
        near = self.nearest(name)
        wanted = f"did you mean {' or '.join(near)}?" if near else "none is near"
        reason = f"instrument {name[:64]!r} is unknown; {wanted}"
        raise InvalidError(
            reason,
            code="unknown_instrument",
            problems=[Problem(pointer, name, reason, "unknown_instrument")],
            extra={"nearest": near},
        )

    def nearest(self, name: str) -> list[str]:
        """List up to three known instruments whose names are like this one."""
        close = difflib.get_close_matches(
            name[:64].lower(), self._folded, n=2 * _NEAREST, cutoff=0.5
        )
        return list(dict.fromkeys(self._folded[one].name for one in close))[:_NEAREST]

    def of_obs_id(self, obs_id: str) -> tuple[Instrument, ...]:
        """List the instruments whose rule reads an obs_id, by name."""
        known = self._by_prefix.get(obs_id.partition("_")[0], [])
        return tuple(one for one in known if one.parse_obs_id(obs_id) is not None)

    def of_part(self, part: str) -> tuple[Instrument, ...]:
        """List the instruments whose nights belong to a declared part, by name."""
        return tuple(self._parts.get(part, ()))

    def part(self, name: str) -> str | None:
        """Give the declared part that a name means, whatever its case; else None."""
        if name in self._parts:
            return name
        folded = name.lower()
        return next((one for one in self._parts if one.lower() == folded), None)

    @property
    def parts(self) -> tuple[str, ...]:
        """The declared parts of nights by name, sorted."""
        return tuple(sorted(self._parts))


def _load() -> tuple[Instrument, ...]:
    text = resources.files("annolog.domain").joinpath("data/instruments.json")
    raw = json.loads(text.read_text(encoding="utf-8"))
    return tuple(Instrument.model_validate(one) for one in raw)


_SHIPPED = _load()

SHIPPED = Instruments(_SHIPPED)
"""The instruments that annolog knows without being told."""
