"""What goes between this process and the child that asks a butler: JSON lines.

The child first says `Opened`. Each `Ask` is answered by one or more `Answer` with its
number; the last of them has `more` false. An answer to an earlier question may still
come where the asker has gone, and is passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from annolog.domain.registries import ExposureQuery, RegistryExposure

CHUNK = 1_000
"""Rows of one answer, which so stays well under `LINE`."""

LINE = 64 * 1024 * 1024
"""Bytes of a line at most."""

Scalar: TypeAlias = bool | int | float | str
"""A further field's value."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An exposure as read: what registries answer with, and what else is known.

    Attributes
    ----------
    exposure
        The exposure.
    more
        Further fields of the record, by the names that facts have; nulls left out.
    """

    exposure: RegistryExposure
    more: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True)
class VisitDefinition:
    """A visit, and the ids of all its exposures in order."""

    visit: int
    exposures: tuple[int, ...]


class Instruments(msgspec.Struct, frozen=True, tag="instruments"):
    """Ask for the names of all instruments, sorted."""


class Exposures(msgspec.Struct, frozen=True, tag="exposures"):
    """Ask for exposures by a query."""

    query: ExposureQuery


class Named(msgspec.Struct, frozen=True, tag="named"):
    """Ask for exposures by their obs_ids, by id."""

    instrument: str
    obs_ids: tuple[str, ...]


class Page(msgspec.Struct, frozen=True, tag="page"):
    """Ask for the exposures with the least ids after one."""

    instrument: str
    after: int
    limit: int


class Visits(msgspec.Struct, frozen=True, tag="visits"):
    """Ask for the visits that have an exposure in a range of ids, both inclusive.

    Each comes whole, with its exposures outside of the range.
    """

    instrument: str
    first: int
    last: int


class Count(msgspec.Struct, frozen=True, tag="count"):
    """Ask for the number of exposures, or exposures of visits, before an id."""

    instrument: str
    before: int
    visits: bool


Question: TypeAlias = Instruments | Exposures | Named | Page | Visits | Count
"""All that a child can be asked."""


class Ask(msgspec.Struct, frozen=True):
    """A question with its number."""

    number: int
    question: Question


class Answer(msgspec.Struct, frozen=True):
    """A part of an answer; `error` where there is none."""

    number: int
    rows: msgspec.Raw = msgspec.Raw(b"[]")
    more: bool = False
    error: str | None = None


class Opened(msgspec.Struct, frozen=True):
    """What the child says first: how the butler was opened, or why not."""

    universe: int = 0
    error: str | None = None
