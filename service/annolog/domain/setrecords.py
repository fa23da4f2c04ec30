"""Records of data-ID sets, and what a decision about a set has to know of it.

A version of a set is a record; its rows are a record of their own, named by the
digest of their content, so that versions and sites with the same rows share them. Who
owns a set, what is released and where a released version began to drift are records
too. A version never changes: all that may change is said beside it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from annolog.domain.dataids import DataIdRow, DataIdTable, data_id_of, target_of
from annolog.domain.errors import InvalidError
from annolog.domain.records import Record, canonical
from annolog.domain.records import digest as digest_of
from annolog.domain.targets import SetTarget

ROWS = "set_rows"
"""Kind of the record that holds the rows of one or more versions."""
VERSION = "set_version"
"""Kind of the record that a version is."""
RELEASE = "set_release"
"""Kind of the record that releases a version under a label, or takes that back."""
ACCESS = "set_access"
"""Kind of the record that says who owns a set and who may edit it."""
DRIFT = "set_drift"
"""Kind of the record that says that a released version began to drift, or ceased."""

REDACTION = "set_redaction"
"""Kind of the record that takes words out of a version: `domain.setredactions`."""

SET_KINDS = frozenset({ROWS, VERSION, RELEASE, ACCESS, DRIFT})
"""All kinds of records that say what sets are."""

MAX_EDITORS = 100
"""Editors of one set."""

KEY_DIGITS = 8
"""Digits of the digest that stand in the key of a version."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def set_name(text: str, pointer: str = "/name") -> str:
    """Check the name of a set.

    Parameters
    ----------
    text
        The name as sent; case matters.
    pointer
        Where it stood.

    Raises
    ------
    InvalidError
        It is not 1 to 100 ASCII letters, digits, `.`, `_` and `-`, the first of them
        a letter or a digit: a name is part of paths and of file names.
    """
    if not _NAME.fullmatch(text):
        reason = (
            f"{text[:100]!r} is no name of a set: write 1 to 100 letters, digits, "
            "'.', '_' or '-', first a letter or digit"
        )
        raise InvalidError.at(pointer, text, reason, "set_name")
    return text


def version_key(name: str, version: int, digest: bytes) -> str:
    """Give the key of a version, as `set:NAME@3-1F0A77C2`."""
    return SetTarget(name, version, digest.hex().upper()[:KEY_DIGITS]).key


def list_of(table: DataIdTable) -> tuple[UUID, bytes]:
    """Name the rows of a version by their content, and write them down.

    Parameters
    ----------
    table
        The content. The same rows with their columns in another order have the same
        digest, but are another list.

    Returns
    -------
    tuple of UUID and bytes
        The list's id (UUIDv8 of the SHA-256) and the body of its record.
    """
    content = {
        "dimensions": table.dimensions,
        "columns": table.columns,
        "rows": [[*row.data_id, *row.values] for row in table.rows],
    }
    raw = bytearray(digest_of(content)[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    own = UUID(bytes=bytes(raw))
    return own, canonical({**content, "kind": ROWS, "list_id": str(own)})


def table_of(body: Mapping[str, Any], instrument: str | None) -> DataIdTable:
    """Read the table that a record of rows holds.

    Parameters
    ----------
    body
        The decoded body.
    instrument
        What the version says of the instrument that files leave out.
    """
    count = len(body["dimensions"])
    rows = (DataIdRow(tuple(row[:count]), tuple(row[count:])) for row in body["rows"])
    return DataIdTable(
        tuple(body["dimensions"]), tuple(body["columns"]), tuple(rows), instrument
    )


def member_key(data_id: Mapping[str, int | str]) -> str:
    """Give the key by which it is found in which versions a data ID is.

    Parameters
    ----------
    data_id
        Values by dimension.

    Returns
    -------
    str
        The key of the target that it names; where it names none, as a detector and a
        tract together do not, `data_id:detector=94/tract=3` with sorted dimensions.
    """
    target = target_of(data_id)
    if target is not None:
        return target.key
    return "data_id:" + "/".join(f"{name}={data_id[name]}" for name in sorted(data_id))


def member_keys(body: Mapping[str, Any]) -> list[str]:
    """Give the keys of all rows that a record of rows holds, in their order."""
    dimensions: Sequence[str] = body["dimensions"]
    count = len(dimensions)
    return [
        member_key(data_id_of(dimensions, tuple(row[:count]))) for row in body["rows"]
    ]


@dataclass(frozen=True, slots=True)
class Held:
    """A version as decisions see it.

    Attributes
    ----------
    record_id, clock
        Its record.
    version
        Its number.
    key
        Its target.
    digest
        SHA-256 of its content.
    author, author_kind
        Who made it.
    list_id
        Its rows.
    recipe
        What it was built from; None for an upload, and where it was not read (it is
        read of the newest version only).
    """

    record_id: UUID
    clock: int
    version: int
    key: str
    digest: bytes
    author: str
    author_kind: str
    list_id: UUID
    recipe: Mapping[str, Any] | None = None

    @property
    def age(self) -> tuple[int, int, UUID]:
        """The order of versions; the greatest is the newest."""
        return self.version, self.clock, self.record_id


@dataclass(frozen=True, slots=True)
class Access:
    """Who owns a set and who may edit it; the latest holds.

    Attributes
    ----------
    record_id, clock
        Its record.
    owner
        Whose the set is: a person's or a program's user name.
    editors
        Who may make versions, beside the owner and curators; sorted.
    """

    record_id: UUID
    clock: int
    owner: str
    editors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Released:
    """What was said about the release of a version; of each version the latest holds.

    Attributes
    ----------
    record_id, clock
        Its record.
    key
        The version.
    label
        Its label.
    holds
        False where the release is taken back.
    """

    record_id: UUID
    clock: int
    key: str
    label: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Drifted:
    """That a released version drifts, or ceased to; of each version the latest holds.

    Attributes
    ----------
    record_id, clock
        Its record.
    key
        The version.
    drifts
        False where it gives its own rows again.
    """

    record_id: UUID
    clock: int
    key: str
    drifts: bool


@dataclass(frozen=True, slots=True)
class HeldSet:
    """A set as decisions see it: a function of the set of its records.

    Attributes
    ----------
    name
        Its name.
    versions
        All its versions, the oldest first.
    access
        Who owns it; None where nobody said so: then who made its first version.
    releases, drifts
        What was said last of each version, by its key.
    """

    name: str
    versions: tuple[Held, ...] = ()
    access: Access | None = None
    releases: Mapping[str, Released] = field(default_factory=dict)
    drifts: Mapping[str, Drifted] = field(default_factory=dict)

    def plus(self, one: Held | Access | Released | Drifted) -> "HeldSet":
        """Give it with one more record; the order in which they come is all one."""
        match one:
            case Held():
                known = {v.record_id: v for v in (*self.versions, one)}
                versions = tuple(sorted(known.values(), key=lambda v: v.age))
                return replace(self, versions=versions)
            case Access():
                return replace(self, access=_later(self.access, one))
            case Released():
                releases = _later(self.releases.get(one.key), one)
                return replace(self, releases={**self.releases, one.key: releases})
            case Drifted():
                drifts = _later(self.drifts.get(one.key), one)
                return replace(self, drifts={**self.drifts, one.key: drifts})

    @property
    def newest(self) -> Held | None:
        """The newest version; None where there is none."""
        return self.versions[-1] if self.versions else None

    @property
    def owner(self) -> str | None:
        """Whose it is: as was said, else who made its first version; None: nobody's."""
        if self.access is not None:
            return self.access.owner
        return self.versions[0].author if self.versions else None

    @property
    def editors(self) -> tuple[str, ...]:
        """Who may make versions, beside the owner and curators; sorted."""
        return () if self.access is None else self.access.editors

    def label_of(self, key: str) -> str | None:
        """Give the label under which a version is released; None if it is not."""
        said = self.releases.get(key)
        return said.label if said is not None and said.holds else None


_Latest = TypeVar("_Latest", Access, Released, Drifted)


def _later(before: _Latest | None, one: _Latest) -> _Latest:
    if before is None:
        return one
    return max(before, one, key=lambda each: (each.clock, each.record_id))


def view_row(record: Record, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Give the row of the view that a record of a set makes, and the view's name.

    Parameters
    ----------
    record
        A record of one of `SET_KINDS`.
    body
        Its decoded body.
    """
    view, columns = _VIEWS[record.kind]
    row = {name: body.get(name) for name in columns}
    if record.kind == ROWS:
        row["keys"] = member_keys(body)
    return view, row


_SAID = ("subject", "name", "author", "clock")

_VIEWS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        ROWS: ("set_rows", ("dimensions", "columns")),
        VERSION: (
            "set_versions",
            (*_SAID, "version", "digest", "list_id", "row_count", "as_of"),
        ),
        RELEASE: ("set_releases", (*_SAID, "label", "operation")),
        ACCESS: ("set_accesses", (*_SAID, "owner", "editors")),
        DRIFT: ("set_drifts", (*_SAID, "operation", "as_of")),
    }
)
"""The view of each kind, and which members of its records are columns there."""


def of_record(
    record: Record, fields: Mapping[str, Any]
) -> Held | Access | Released | Drifted | None:
    """Read of a record what decisions need; None where it is none of a set's.

    Parameters
    ----------
    record
        A record of any kind.
    fields
        Its decoded body.
    """
    own, clock = record.record_id, record.clock
    match record.kind:
        case "set_version":
            return Held(
                own,
                clock,
                fields["version"],
                fields["subject"],
                bytes.fromhex(fields["digest"]),
                fields["author"],
                fields["author_kind"],
                UUID(fields["list_id"]),
                fields["recipe"],
            )
        case "set_release":
            holds = fields["operation"] == "release"
            return Released(own, clock, fields["subject"], fields["label"], holds)
        case "set_access":
            return Access(own, clock, fields["owner"], tuple(fields["editors"]))
        case "set_drift":
            return Drifted(
                own, clock, fields["subject"], fields["operation"] == "drift"
            )
        case _:
            return None
