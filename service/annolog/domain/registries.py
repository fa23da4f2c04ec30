"""Exposures as a butler's registry has them, and how they are asked for.

The registry's words stay as they are: times are TAI, `group` is called `group_name`
in every dimension universe, and what a universe does not have is None.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import msgspec

from annolog.domain.errors import InvalidError

MAX_REGISTRIES = 3
"""Butlers that a site may have."""

ORDER_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "id": "exposure_id",
        "obs_id": "obs_id",
        "observation_type": "observation_type",
        "observation_reason": "observation_reason",
        "day_obs": "day_obs",
        "seq_num": "seq_num",
        "group_name": "group_name",
        "target_name": "target_name",
        "science_program": "science_program",
        "tracking_ra": "tracking_ra",
        "tracking_dec": "tracking_dec",
        "sky_angle": "sky_angle",
        "timespan_begin": "timespan_begin",
        "timespan_end": "timespan_end",
    }
)
"""What exposures may be ordered by: the name in a query, and that of our value."""


_MOST = 2**62
_NUMBERS = (
    "min_day_obs",
    "max_day_obs",
    "min_seq_num",
    "max_seq_num",
    "offset",
    "limit",
)
_TEXTS = ("group_names", "observation_reasons", "observation_types")


class RegistryExposure(msgspec.Struct, frozen=True, gc=False):
    """One exposure as a butler's registry has it.

    Thousands are read and written at once, so it is a structure that is its own JSON,
    in the order and with the names of exposurelog's API.

    Attributes
    ----------
    obs_id
        The observatory's name.
    exposure_id
        The butler's integer, unique within the instrument; `id` in JSON.
    instrument
        The butler's name of the instrument.
    observation_type, observation_reason, group_name, target_name, science_program
        Words of the registry; None where it has none.
    day_obs, seq_num
        Night and number in it; None where the registry has none.
    tracking_ra, tracking_dec, sky_angle
        Degrees; None for what did not look at the sky.
    timespan_begin, timespan_end
        TAI, naive, rounded to microseconds; None where the span is open or missing.
    """

    obs_id: str
    exposure_id: int = msgspec.field(name="id")
    instrument: str
    observation_type: str | None = None
    observation_reason: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None
    group_name: str | None = None
    target_name: str | None = None
    science_program: str | None = None
    tracking_ra: float | None = None
    tracking_dec: float | None = None
    sky_angle: float | None = None
    timespan_begin: datetime | None = None
    timespan_end: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExposureQuery:
    """Which exposures of an instrument are wanted, in which order.

    Attributes
    ----------
    instrument
        The butler's name; of one that it does not know there are no exposures.
    min_day_obs, max_day_obs, min_seq_num, max_seq_num
        Inclusive and exclusive; None for no bound. What has none is in no range.
    group_names, observation_reasons, observation_types
        Any of these; empty for no condition.
    min_date, max_date
        TAI, naive: what overlaps the time from the one (inclusive) to the other
        (exclusive), or lasts at the one moment where both are equal; None where that
        is open. What has no timespan overlaps nothing.
    order_by
        Names out of `ORDER_FIELDS`, `-` before those that shall descend; the id is
        the last one unless it is named. Text goes by code points; nulls come last,
        descending first.
    offset
        Exposures to pass over.
    limit
        At most so many; None for all.

    Raises
    ------
    InvalidError
        If an order is not known.
    """

    instrument: str
    min_day_obs: int | None = None
    max_day_obs: int | None = None
    min_seq_num: int | None = None
    max_seq_num: int | None = None
    group_names: tuple[str, ...] = ()
    observation_reasons: tuple[str, ...] = ()
    observation_types: tuple[str, ...] = ()
    min_date: datetime | None = None
    max_date: datetime | None = None
    order_by: tuple[str, ...] = ()
    offset: int = 0
    limit: int | None = 50

    def __post_init__(self) -> None:
        for name in _NUMBERS:
            value = getattr(self, name)
            if value is not None:
                # Beyond these there is nothing, and no database takes them.
                within = min(max(value, -_MOST), _MOST)
                object.__setattr__(self, name, within)
        for name in _TEXTS:
            if not all(map(storable, getattr(self, name))):
                reason = "contains the character NUL or a lone surrogate; leave it out"
                raise InvalidError.at(f"?{name}", None, reason, "characters")
        if not storable(self.instrument):
            reason = "contains the character NUL or a lone surrogate; leave it out"
            raise InvalidError.at("?instrument", None, reason, "characters")
        for word in self.order_by:
            if word.removeprefix("-") not in ORDER_FIELDS:
                reason = (
                    f"{word!r} is nothing that exposures are ordered by; known are "
                    f"{', '.join(ORDER_FIELDS)}, with - before to descend"
                )
                raise InvalidError.at("?order_by", word, reason, "order_by")

    @property
    def is_empty(self) -> bool:
        """Whether the dates leave no time in between."""
        return (
            self.min_date is not None
            and self.max_date is not None
            and self.min_date > self.max_date
        )

    def order(self) -> tuple[tuple[str, bool], ...]:
        """Give the whole order.

        Returns
        -------
        tuple of (str, bool)
            Names of our values, and whether they descend; the id among them.
        """
        found = [
            (ORDER_FIELDS[word.removeprefix("-")], word.startswith("-"))
            for word in self.order_by
        ]
        if all(name != "exposure_id" for name, _ in found):
            found.append(("exposure_id", False))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Position:
    """How far an instrument of a registry has been read.

    Attributes
    ----------
    since_id
        Exposures from this id on are read again each time: the last nights, of which
        records come late or change.
    exposures_before, visits_before
        Exposures, and exposures of visits, with lesser ids when they were read. Where
        the registry has another number by now, all is read again.
    """

    since_id: int
    exposures_before: int
    visits_before: int


def storable(text: str) -> bool:
    """Tell whether a text may stand in a database at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text
