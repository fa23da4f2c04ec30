"""Recipes: of what parts a data-ID set is built, again and again.

A recipe names queries, uploaded rows and versions of other sets; parts with `minus`
take away. Rows to `keep` and to `drop` carry a reason and outlast every rebuild: what
is dropped stays out whatever a query finds, and what is kept stays in.

What a recipe finds is looked up by others; `annolog.domain.dataid_builds` makes a table
of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from annolog.domain.annotations import Night, Part, Word
from annolog.domain.dataid_formats import RawRow, RawTable
from annolog.domain.dataid_uploads import (
    ExposureName,
    assemble,
    identify,
    names_of,
)
from annolog.domain.dataids import MAX_ROWS, Value, describe
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments, is_day_obs

MAX_PARTS = 50
"""Parts of one recipe."""
MAX_EXCEPTIONS = 10_000
"""Rows to keep, and as many to drop."""
MAX_REASON = 4_096
"""Characters of a reason."""
MAX_WORDS = 100
"""Flags of one query, and as many tags."""

Column = Literal["comment", "flag", "tags", "annotations"]
"""A further column that queries fill."""
Kind = Literal["exposure", "detector", "visit"]
"""What queries give rows of."""


def _one_of_each(words: list[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _a_date(day_obs: int) -> int:
    if not is_day_obs(day_obs):
        msg = f"{day_obs} is no date written as YYYYMMDD"
        raise ValueError(msg)
    return day_obs


Words = Annotated[list[Word], Field(max_length=MAX_WORDS), AfterValidator(_one_of_each)]
Day = Annotated[Night, AfterValidator(_a_date)]
"""A night that a calendar has."""
GivenRow = dict[str, str | int | float | bool | None]
"""A row as uploaded: the data ID and further columns in one object."""


class SetQuery(Part):
    """Targets by what holds for them as of the build."""

    instrument: Word | None = Field(
        None, description="Instrument, as LSSTCam; null: the recipe's."
    )
    flags: Words = Field([], description="Any of these effective flags.")
    tags: Words = Field([], description="Any of these tags.")
    match: Literal["any", "all"] = Field(
        "any",
        description="`any`: one of the flags or one of the tags; `all`: one of the "
        "flags and one of the tags.",
    )
    day_obs_min: Day | None = Field(None, description="First night (inclusive).")
    day_obs_max: Day | None = Field(None, description="Last night (inclusive).")
    inherited: bool = Field(
        False,
        description="Whether flags and tags count that hold for a target through "
        "another one, as a visit's for its exposures.",
    )
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=3)] = Field(
        ["exposure", "detector"],
        description="What gives rows. A detector's statement with a time gives a row "
        "for each exposure that overlaps it.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.flags and not self.tags:
            msg = "asks for neither flags nor tags; name at least one"
            raise ValueError(msg)
        low, high = self.day_obs_min, self.day_obs_max
        if low and high and low > high:
            msg = f"day_obs_min {low} lies after day_obs_max {high}"
            raise ValueError(msg)
        return self


class RecipePart(Part):
    """One part: a query, uploaded rows or a version of another set."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 ._-]{0,63}$")] = Field(
        description="Name of the part; each row says which parts it came by."
    )
    query: SetQuery | None = None
    rows: Annotated[list[GivenRow], Field(max_length=MAX_ROWS)] | None = Field(
        None, description="Rows as in an upload of JSON."
    )
    version: Word | None = Field(
        None,
        description="Another set: `NAME@3`, or `NAME` for what is newest as of the "
        "build.",
        examples=["DRP1-bad@3"],
    )
    minus: bool = Field(
        False,
        description="Take away what it gives. A whole exposure takes its detectors.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [self.query, self.rows, self.version]
        if sum(one is not None for one in given) != 1:
            msg = "has exactly one of query, rows and version"
            raise ValueError(msg)
        return self


class DropRow(Part):
    """A data ID that stays out, whatever the parts give."""

    data_id: dict[str, str | int] = Field(
        description="By dimension; or by obs_id, or by day_obs and seq_num.",
        examples=[{"instrument": "LSSTCam", "exposure": 2026111900123}],
    )
    reason: Annotated[str, Field(min_length=1, max_length=MAX_REASON)] = Field(
        description="Why."
    )


class KeepRow(DropRow):
    """A data ID that stays in, whatever the parts give or take away."""

    values: GivenRow = Field({}, description="Values of further columns.")


class Recipe(Part):
    """Of what a data-ID set is built.

    The parts without `minus` together, less those with it, less `drop`; then `keep`.
    """

    instrument: Word | None = Field(
        None,
        description="Instrument of queries and rows that name none. If all rows are "
        "of it, CSV and ECSV leave the column out.",
    )
    parts: list[RecipePart] = Field(
        default=[],
        max_length=MAX_PARTS,
        description="Added in this order; those with `minus` taken away after that.",
    )
    keep: list[KeepRow] = Field(
        default=[], max_length=MAX_EXCEPTIONS, description="What stays in."
    )
    drop: list[DropRow] = Field(
        default=[], max_length=MAX_EXCEPTIONS, description="What stays out."
    )
    columns: list[Column] = Field(
        ["comment"],
        max_length=4,
        description="Columns that queries fill: `comment` is the text of what was "
        "said. Rows and versions bring columns of their own.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            msg = "has two parts of one name"
            raise ValueError(msg)
        if not self.keep and all(part.minus for part in self.parts):
            msg = "has nothing to put into the set: no row to keep, no part to add"
            raise ValueError(msg)
        for part in self.parts:
            if part.query and not (part.query.instrument or self.instrument):
                msg = f"part {part.name!r} names no instrument, nor does the recipe"
                raise ValueError(msg)
        return self

    def as_json(self) -> dict[str, Any]:
        """Give it as records keep it: all members, so that no default is implied."""
        return self.model_dump(mode="json")

    @property
    def flags(self) -> frozenset[str]:
        """The flags that parts without `minus` ask for."""
        return frozenset(flag for one in self._queries for flag in one.flags)

    @property
    def inherits(self) -> bool:
        """Whether a part without `minus` asks for what holds through other targets."""
        return any(one.inherited for one in self._queries)

    @property
    def _queries(self) -> list[SetQuery]:
        return [one.query for one in self.parts if one.query and not one.minus]


def names_in(recipe: Recipe, instruments: Instruments) -> tuple[ExposureName, ...]:
    """List what must be looked up before `settle`: exposures not named by their id.

    Parameters
    ----------
    recipe
        As it was sent.
    instruments
        The known ones.
    """
    found: dict[ExposureName, None] = {}
    for raw in _lists(recipe):
        found.update(dict.fromkeys(names_of(raw, recipe.instrument, instruments)))
    return tuple(found)


def settle(
    recipe: Recipe,
    instruments: Instruments,
    resolved: Mapping[ExposureName, int | str],
) -> Recipe:
    """Write all data IDs of a recipe by their primary keys.

    Only such a recipe is kept: it means the same whenever it is built again.

    Parameters
    ----------
    recipe
        As it was sent, or settled before: then nothing changes.
    instruments
        The known ones.
    resolved
        As for `dataid_uploads.assemble`, for `names_in`.

    Raises
    ------
    InvalidError
        With the place of each fault of the first list that has any: as `assemble`, or
        a row that is both to keep and to drop, or twice in one of them.
    """
    instrument = recipe.instrument
    if instrument is not None:
        instrument = instruments.require(instrument, "/instrument").name
    parts = []
    for place, part in enumerate(recipe.parts):
        changed: dict[str, object] = {}
        if part.query is not None:
            changed["query"] = _settled(part.query, instruments, place)
        if part.rows is not None:
            raw = _raw(part.rows, f"/parts/{place}/rows")
            content = assemble(raw, instrument, instruments, resolved).table
            changed["rows"] = [
                {**data_id, **dict(zip(content.columns, row.values, strict=True))}
                for data_id, row in zip(content.data_ids(), content.rows, strict=True)
            ]
        parts.append(part.model_copy(update=changed))
    lists = []
    for where, rows in (("/keep", recipe.keep), ("/drop", recipe.drop)):
        found: dict[int, dict[str, int | str]] = {}
        for raw in _alike(rows, where):
            data_ids = identify(raw, instrument, instruments, resolved)
            lines = (row.line for row in raw.rows)
            found.update(zip(lines, data_ids, strict=True))
        lists.append([found[line] for line in sorted(found)])
    _check_once("/keep", lists[0])
    _check_once("/drop", lists[1])
    both = {_key(one) for one in lists[0]} & {_key(one) for one in lists[1]}
    for place, data_id in enumerate(lists[1]):
        if _key(data_id) in both:
            reason = f"{describe(data_id)} is to be kept and to be dropped"
            raise InvalidError.at(
                f"/drop/{place}", describe(data_id), reason, "duplicate_data_id"
            )
    update: dict[str, object] = {
        "instrument": instrument,
        "parts": parts,
        "keep": _renamed(recipe.keep, lists[0]),
        "drop": _renamed(recipe.drop, lists[1]),
    }
    return recipe.model_copy(update=update)


def _settled(query: SetQuery, instruments: Instruments, place: int) -> SetQuery:
    if query.instrument is None:
        return query
    known = instruments.require(query.instrument, f"/parts/{place}/query/instrument")
    return query.model_copy(update={"instrument": known.name})


def _lists(recipe: Recipe) -> Iterable[RawTable]:
    for place, part in enumerate(recipe.parts):
        if part.rows:
            yield _raw(part.rows, f"/parts/{place}/rows")
    for where, rows in (("/keep", recipe.keep), ("/drop", recipe.drop)):
        yield from _alike(rows, where)


def _alike(rows: Sequence[DropRow], where: str) -> Iterable[RawTable]:
    # A list for each set of names: what a name means depends on those beside it.
    alike: dict[frozenset[str], list[RawRow]] = {}
    for number, row in enumerate(rows, start=1):
        alike.setdefault(frozenset(row.data_id), []).append(RawRow(number, row.data_id))
    for names, found in alike.items():
        yield RawTable("json", tuple(sorted(names)), tuple(found), place=where)


def _raw(rows: Sequence[Mapping[str, Value]], place: str) -> RawTable:
    columns = dict.fromkeys(name for row in rows for name in row)
    numbered = (RawRow(number, row) for number, row in enumerate(rows, start=1))
    return RawTable("json", tuple(columns), tuple(numbered), place=place)


def _key(data_id: Mapping[str, int | str]) -> frozenset[tuple[str, int | str]]:
    return frozenset(data_id.items())


def _check_once(where: str, data_ids: Sequence[Mapping[str, int | str]]) -> None:
    seen = set()
    for place, data_id in enumerate(data_ids):
        if _key(data_id) in seen:
            reason = f"{describe(data_id)} is there twice"
            raise InvalidError.at(
                f"{where}/{place}", describe(data_id), reason, "duplicate_data_id"
            )
        seen.add(_key(data_id))


def _renamed(
    rows: Sequence[DropRow], data_ids: Sequence[Mapping[str, int | str]]
) -> list[DropRow]:
    return [
        row.model_copy(update={"data_id": dict(data_id)})
        for row, data_id in zip(rows, data_ids, strict=True)
    ]
