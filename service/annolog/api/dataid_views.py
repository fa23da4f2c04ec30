"""Data-ID sets as everyone sees them: versions, and what leads from one to another."""

from typing import Any
from uuid import UUID

import msgspec

from annolog.domain.dataids import DataIdTable, Difference
from annolog.domain.setrecords import table_of
from annolog.storage.dataids import VersionRow

MAX_LISTED = 10_000
"""Rows of each sort that a comparison lists; their number is said in any case."""

_SHOWN = (
    "name",
    "version",
    "digest",
    "row_count",
    "dimensions",
    "columns",
    "instrument",
    "reason",
    "recipe",
    "as_of",
    "author",
    "author_kind",
    "actor",
    "created_at",
    "clock",
    "site_id",
    "incarnation",
    "record_id",
    "list_id",
    "redacted_by",
)
"""Members of a version's record that are shown as they are."""


class Version:
    """A version with its record.

    Parameters
    ----------
    row
        As storage gives it.
    """

    def __init__(self, row: VersionRow) -> None:
        self.row = row
        self.fields: dict[str, Any] = msgspec.json.decode(row.body)
        self.name: str = self.fields["name"]
        self.version: int = self.fields["version"]
        self.key: str = self.fields["subject"]
        self.digest: str = self.fields["digest"]
        self.record_id = UUID(self.fields["record_id"])
        self.list_id = UUID(self.fields["list_id"])
        self.row_count: int = self.fields["row_count"]
        self.site_id: str = self.fields["site_id"]
        self.instrument: str | None = self.fields.get("instrument")
        self.recipe: dict[str, Any] | None = self.fields["recipe"]
        self.as_of: int | None = self.fields["as_of"]
        self.label = row.label
        own: int = row.number
        self.since = own if self.as_of is None else self.as_of

    def shown(self) -> dict[str, Any]:
        """Give it as the API shows it."""
        return {
            "key": self.key,
            "number": self.row.number,
            "label": self.row.label,
            "drifts": self.row.drifts,
            "drift_told_at": self.row.drift_told_at,
            "rows_redacted_by": self.row.rows_redacted_by,
            **{name: self.fields.get(name) for name in _SHOWN},
        }


def table_read(body: bytes, instrument: str | None) -> DataIdTable:
    """Read the table of a record of rows."""
    return table_of(msgspec.json.decode(body), instrument)


def difference(found: Difference) -> dict[str, Any]:
    """Show what leads from one table to another."""
    return {
        "changed": bool(found),
        "added_count": len(found.added),
        "dropped_count": len(found.dropped),
        "altered_count": len(found.changed),
        "added": [
            {"data_id": one.data_id, "values": one.values}
            for one in found.added[:MAX_LISTED]
        ],
        "dropped": [
            {"data_id": one.data_id, "values": one.values}
            for one in found.dropped[:MAX_LISTED]
        ],
        "altered": [
            {"data_id": one.data_id, "old": one.old, "new": one.new}
            for one in found.changed[:MAX_LISTED]
        ],
        "columns_added": found.columns_added,
        "columns_dropped": found.columns_dropped,
        "complete": max(len(found.added), len(found.dropped), len(found.changed))
        <= MAX_LISTED,
    }
