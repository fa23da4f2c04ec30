"""The butler's dimension elements and what it takes to name a record of each.

They are data (`data/dimensions.json`): the default universe of the butler, version 8.
Repositories of older universes name their records by the same elements or by fewer.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

MAX_INTEGER = 2**63 - 1
"""The greatest value of an integer dimension: a signed 64-bit column."""

_PIXEL_SYSTEM = re.compile(r"([a-z]+)(0|[1-9][0-9]?)")


@dataclass(frozen=True, slots=True)
class Universe:
    """All elements of one version of the butler's dimensions.

    Attributes
    ----------
    version
        The butler's number for it.
    elements
        Required dimensions of each element, in the order in which keys name them.
    integers
        Dimensions whose values are integers; those of all others are strings.
    pixel_systems
        Families of sky pixels (`htm`) with their greatest level (inclusive); a level
        of one (`htm7`) is an element whose only dimension is itself, an integer.
    """

    version: int
    elements: Mapping[str, tuple[str, ...]]
    integers: frozenset[str]
    pixel_systems: Mapping[str, int]

    def required(self, element: str) -> tuple[str, ...] | None:
        """Give the dimensions that name a record of an element, in order.

        Parameters
        ----------
        element
            Name of a dimension element, as `visit` or `htm7`; case matters.

        Returns
        -------
        tuple of str or None
            Never empty; None if there is no such element.
        """
        known = self.elements.get(element)
        if known is None and self._is_pixel(element):
            return (element,)
        return known

    def is_integer(self, dimension: str) -> bool:
        """Tell whether values of a dimension are integers (else strings)."""
        return dimension in self.integers or self._is_pixel(dimension)

    def is_dimension(self, name: str) -> bool:
        """Tell whether a name is that of a dimension, which may stand in a data ID."""
        known = any(name in required for required in self.elements.values())
        return known or self._is_pixel(name)

    def element_of(self, dimensions: frozenset[str]) -> str | None:
        """Find the element whose records just these dimensions name.

        Parameters
        ----------
        dimensions
            Names of the dimensions of a data ID.

        Returns
        -------
        str or None
            None where no element has just these required dimensions.
        """
        for element, required in self.elements.items():
            if dimensions == frozenset(required):
                return element
        if len(dimensions) == 1:
            (only,) = dimensions
            return only if self._is_pixel(only) else None
        return None

    def names(self) -> tuple[str, ...]:
        """List the elements by name, and one level of each pixel system."""
        pixels = (f"{name}{top}" for name, top in self.pixel_systems.items())
        return (*sorted(self.elements), *pixels)

    def _is_pixel(self, name: str) -> bool:
        found = _PIXEL_SYSTEM.fullmatch(name)
        return found is not None and int(found[2]) <= self.pixel_systems.get(
            found[1], -1
        )


def _load() -> Universe:
    text = resources.files("annolog.domain").joinpath("data/dimensions.json")
    raw = json.loads(text.read_text(encoding="utf-8"))
    return Universe(
        version=raw["version"],
        elements=MappingProxyType({k: tuple(v) for k, v in raw["elements"].items()}),
        integers=frozenset(raw["integers"]),
        pixel_systems=MappingProxyType(raw["pixel_systems"]),
    )


UNIVERSE = _load()
"""The dimensions that keys of records are made of."""
