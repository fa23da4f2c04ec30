"""What rules ask a snapshot: what bears a flag or a tag, and what is in a set."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

from annolog.butler.scopes import NightRange
from annolog.domain.lasting import Lasting


class Flagged(Protocol):
    """One snapshot of what annolog says, as the reader of a repository has it.

    A thing is given if it has any of the flags as its effective flag, or any of the
    tags. What it inherits does not count. Of the nights that are named nothing is
    missing, or it is refused; None means every night.

    Attributes
    ----------
    number
        The change up to which the snapshot goes.
    taken_at
        When it was taken, in UTC.
    """

    @property
    def number(self) -> int: ...  # noqa: D102 - said above

    @property
    def taken_at(self) -> datetime: ...  # noqa: D102 - said above

    def demand(
        self,
        instrument: str | None,
        flags: Collection[str],
        tags: Collection[str] = (),
        nights: NightRange | None = None,
    ) -> None:
        """Refuse what the snapshot cannot answer."""

    def tags(self) -> set[str]:
        """Give all tags that something has."""

    def datasets(self, flags: Collection[str], tags: Collection[str] = ()) -> set[UUID]:
        """Give ids of datasets, whether or not this repository has them."""

    def exposures(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[int]:
        """Give integer ids of exposures."""

    def detectors(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[tuple[int, int]]:
        """Give detectors of exposures, the exposure first."""

    def visits(
        self,
        instrument: str,
        flags: Collection[str],
        tags: Collection[str] = (),
        *,
        nights: NightRange | None = None,
    ) -> set[int]:
        """Give integer ids of visits."""

    def lasting(
        self, instrument: str, flags: Collection[str], tags: Collection[str] = ()
    ) -> Mapping[int, Lasting]:
        """Give detectors, by number, of which it was said for a time, or always."""

    def demand_set(self, name: str, version: int | None = None) -> None:
        """Refuse a set that the snapshot has not."""

    def members(
        self, name: str, version: int | None = None
    ) -> list[dict[str, int | str]]:
        """Give the data IDs of a set; None is its latest version."""
