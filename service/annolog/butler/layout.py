"""The tables that the exporter keeps in a butler: their names, columns and keys.

Everything here is plain values, so that what belongs into the tables can be worked out
without a butler. `annolog.butler.tables` makes tables of it.

Names carry the version of the layout. Another layout is another set of tables, which
is filled beside the old one, since there is no way to alter tables under readers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from annolog.domain.errors import InvalidError
from annolog.domain.targets import (
    CollectionTarget,
    DatasetTarget,
    DetectorTarget,
    ExposureTarget,
    GapTarget,
    NightTarget,
    RecordTarget,
    SetTarget,
    parse_key,
)

VERSION = 1
"""Version of the layout."""

STEM = "annot_v"
"""What the names of all tables of all versions begin with."""

PREFIX = f"{STEM}{VERSION}_"
"""What the names of all tables begin with."""

SNAPSHOT = PREFIX + "snapshot"
"""Table of one row: whose snapshot is in the tables, and of when."""

STATEMENT = PREFIX + "statement"
"""Table of the statements that count."""

Type = Literal["text", "integer", "boolean", "uuid", "moment"]
"""Type of a column: `integer` has 64 bits, `moment` is naive UTC."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes
    ----------
    name
        Its name.
    type
        Its type.
    nullable
        Whether it may be null; columns of the key may not.
    """

    name: str
    type: Type
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """One table.

    Attributes
    ----------
    name
        Its name.
    key
        Columns of the primary key. One that is called `dataset_id` is a foreign key:
        when the butler forgets the dataset, the row vanishes.
    rest
        Other columns; where there are any, the last one is `digest`, which tells
        whether a row is as it should be.
    indexes
        Columns of each further index.
    """

    name: str
    key: tuple[Column, ...]
    rest: tuple[Column, ...] = ()
    indexes: tuple[tuple[str, ...], ...] = ()

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the key's columns."""
        return tuple(column.name for column in self.key)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in (*self.key, *self.rest))


SET_VERSION = PREFIX + "set_version"
"""Table of versions of data-ID sets."""

SET_MEMBER = PREFIX + "set_member"
"""Table of their rows, one a data ID."""

STANDING = PREFIX + "standing"
"""Table of what stands on detectors as such, with the time that it is about."""

ENTRY = PREFIX + "entry"
"""Table of the entries by which votes are weighed."""

_DIGEST = Column("digest", "integer")
_INSTRUMENT = Column("instrument", "text")
_EXPOSURE = Column("exposure", "integer")

KINDS: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {
        "exposure": (_INSTRUMENT, _EXPOSURE),
        "detector": (_INSTRUMENT, _EXPOSURE, Column("detector", "integer")),
        "visit": (_INSTRUMENT, Column("visit", "integer")),
        "dataset": (Column("dataset_id", "uuid"),),
        "record": (Column("element", "text"), Column("record_key", "text")),
        "collection": (Column("collection", "text"),),
        "data_id_set": (Column("name", "text"), Column("set_key", "text")),
    }
)
"""Kinds of targets that have tables, and what names a target there. `record_key` and
`set_key` are the target's canonical key; a collection has its name in this butler."""

FOUND_BY: Mapping[str, str] = MappingProxyType(
    {
        "exposure": "exposure",
        "detector": "exposure",
        "visit": "visit",
        "dataset": "dataset_id",
        "record": "record_key",
        "collection": "collection",
        "data_id_set": "name",
    }
)
"""The column of a kind by which a few of its rows are found."""


def states(kind: str) -> str:
    """Name the table of the states of a kind."""
    return PREFIX + kind


def tags(kind: str) -> str:
    """Name the table of the tags of a kind: one row a (target, tag)."""
    return f"{PREFIX}{kind}_tag"


def links(kind: str) -> str:
    """Name the table that says for which targets of a kind a statement counts."""
    return f"{PREFIX}{kind}_statement"


def _of_kind(kind: str) -> list[Layout]:
    key = KINDS[kind]
    # A key of one column is an index by itself.
    found_by = ((FOUND_BY[kind],),) if len(key) > 1 else ()
    return [
        Layout(
            states(kind),
            key,
            (
                Column("flag", "text", nullable=True),
                Column("disputed", "boolean"),
                Column("bots_differ", "boolean"),
                Column("notes", "integer"),
                Column("number", "integer"),
                _DIGEST,
            ),
            (("flag",), *found_by),
        ),
        Layout(
            tags(kind), (*key, Column("tag", "text")), (), (("tag",), (FOUND_BY[kind],))
        ),
        Layout(
            links(kind),
            (*key, Column("annotation_id", "uuid")),
            (),
            (("annotation_id",), (FOUND_BY[kind],)),
        ),
    ]


_SNAPSHOT = Layout(
    SNAPSHOT,
    (Column("site_id", "text"),),
    (
        Column("incarnation", "text"),
        Column("number", "integer"),
        Column("taken_at", "moment"),
        Column("exported_at", "moment"),
        Column("schema_version", "integer"),
        Column("scope", "text"),
        Column("waiting", "integer"),
    ),
)
_STATEMENT = Layout(
    STATEMENT,
    (Column("annotation_id", "uuid"),),
    (
        Column("revision_id", "uuid"),
        Column("author", "text"),
        Column("author_kind", "text"),
        Column("author_rank", "text"),
        Column("check_name", "text", nullable=True),
        Column("flag", "text", nullable=True),
        Column("tags", "text"),
        Column("level", "integer"),
        Column("text", "text"),
        Column("created_at", "moment"),
        _DIGEST,
    ),
    (("author",),),
)

_STANDINGS = (
    Layout(
        STANDING,
        (_INSTRUMENT, Column("detector", "integer"), Column("source_id", "uuid")),
        (
            Column("annotation_id", "uuid"),
            Column("revision_id", "uuid"),
            Column("author", "text"),
            Column("voter", "text"),
            Column("author_rank", "text"),
            Column("flag", "text", nullable=True),
            Column("vote_id", "uuid"),
            Column("vote_clock", "integer"),
            Column("contested", "text", nullable=True),
            Column("tags", "text"),
            Column("observed_begin", "moment", nullable=True),
            Column("observed_end", "moment", nullable=True),
            _DIGEST,
        ),
        (("annotation_id",),),
    ),
    Layout(
        ENTRY,
        (Column("kind", "text"), Column("entry_key", "text")),
        (Column("fields", "text"), _DIGEST),
    ),
)

_SETS = (
    Layout(
        SET_VERSION,
        (Column("set_key", "text"),),
        (
            Column("name", "text"),
            Column("version", "integer"),
            Column("content", "text"),
            Column("author", "text"),
            Column("reason", "text"),
            Column("labels", "text"),
            Column("created_at", "moment"),
            _DIGEST,
        ),
        (("name",),),
    ),
    Layout(
        SET_MEMBER,
        (Column("set_key", "text"), Column("place", "integer")),
        (Column("data_id", "text"), Column("more", "text"), _DIGEST),
    ),
)

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        one.name: one
        for one in (
            _SNAPSHOT,
            _STATEMENT,
            *_STANDINGS,
            *_SETS,
            *(layout for kind in KINDS for layout in _of_kind(kind)),
        )
    }
)
"""All tables by their name, in the order in which they are made."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target stands in the tables.

    Attributes
    ----------
    kind
        Which tables: one of `KINDS`.
    key
        The values that name it there.
    """

    kind: str
    key: tuple[object, ...]


def place_of(  # noqa: PLR0911 - one return a kind
    key: str, label: str | None
) -> Place | None:
    """Say where a target stands.

    Parameters
    ----------
    key
        Its canonical key.
    label
        The observatory's label for the butler, by which collections are named; None:
        no collection is of this one.

    Returns
    -------
    Place or None
        None for what has no place: nights, gaps, exposures without an integer id,
        collections of other butlers, and keys of kinds that came later.
    """
    try:
        target = parse_key(key)
    except InvalidError:
        return None
    match target:
        case ExposureTarget(instrument, int(exposure)):
            return Place("exposure", (instrument, exposure))
        case DetectorTarget(instrument, int(exposure), detector):
            return Place("detector", (instrument, exposure, detector))
        case DatasetTarget(dataset_id):
            return Place("dataset", (dataset_id,))
        case RecordTarget("visit", data_id):
            values = dict(data_id)
            return Place("visit", (values["instrument"], values["visit"]))
        case RecordTarget(element):
            return Place("record", (element, key))
        case CollectionTarget(repository, name) if repository == label:
            return Place("collection", (name,))
        case SetTarget(name):
            return Place("data_id_set", (name, key))
        case (
            ExposureTarget()
            | DetectorTarget()
            | CollectionTarget()
            | GapTarget()
            | NightTarget()
        ):
            return None


def detector_of(key: str) -> tuple[str, int] | None:
    """Give the instrument and number of a detector as such.

    Parameters
    ----------
    key
        Canonical key of a target.

    Returns
    -------
    tuple or None
        None for any other target.
    """
    match parse_key(key):
        case RecordTarget("detector", data_id):
            values = dict(data_id)
            return str(values["instrument"]), int(values["detector"])
        case _:
            return None
