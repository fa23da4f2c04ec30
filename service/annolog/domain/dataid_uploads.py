"""From an uploaded list to a table of data IDs.

Rows may name an exposure as people do, by obs_id or by day_obs and seq_num. What those
stand for is looked up elsewhere: `names_of` says what must be, `assemble` takes what
was found. Either the whole list becomes a table or none of it does.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from typing_extensions import override

from annolog.domain.dataid_faults import Faults
from annolog.domain.dataid_formats import RawRow, RawTable, text_column
from annolog.domain.dataids import (
    DataIdTable,
    Value,
    as_text,
    describe,
    dimension_order,
    split_columns,
    table,
)
from annolog.domain.dimensions import MAX_INTEGER, UNIVERSE
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import Instruments, is_day_obs
from annolog.domain.targets import encode_part

_DIGITS = re.compile(r"[0-9]{1,19}(\.0+)?")
_EXACT = 2**53
_SEQUENCE = ("day_obs", "seq_num")
_BESIDE = (*_SEQUENCE, "obs_id")
_EXPOSURES = ("exposure", "visit", *_BESIDE)
_NEAR = 0.85
"""How much a column must resemble a name that the list lacks to be a slip."""


@dataclass(frozen=True, slots=True)
class ExposureName:
    """How a row names an exposure without its integer id.

    Attributes
    ----------
    instrument
        The butler's name of the instrument.
    obs_id
        The obs_id; None where the other two name it.
    day_obs, seq_num
        Night and number; None where the obs_id names it.
    """

    instrument: str
    obs_id: str | None = None
    day_obs: int | None = None
    seq_num: int | None = None

    @override
    def __str__(self) -> str:
        """Write it as people do."""
        if self.obs_id is not None:
            return self.obs_id
        return f"{self.day_obs}/{self.seq_num}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A row whose exposure was named otherwise than by its id.

    Attributes
    ----------
    line
        As `RawRow.line`.
    name
        How it was named.
    exposure
        The id that it has.
    """

    line: int
    name: ExposureName
    exposure: int


@dataclass(frozen=True, slots=True)
class Doubled:
    """A row that says the same as one before it and was left out.

    Attributes
    ----------
    line, first
        Both as `RawRow.line`.
    data_id
        What both name.
    """

    line: int
    first: int
    data_id: Mapping[str, int | str]


@dataclass(frozen=True, slots=True)
class Assembled:
    """A table, and what was done to the list that it came from.

    Attributes
    ----------
    table
        The content.
    conversions
        In the order of lines.
    doubled
        In the order of lines.
    notes
        What else was changed, for people; often empty.
    """

    table: DataIdTable
    conversions: tuple[Conversion, ...] = ()
    doubled: tuple[Doubled, ...] = ()
    notes: tuple[str, ...] = ()


def names_of(
    raw: RawTable, instrument: str | None, instruments: Instruments
) -> tuple[ExposureName, ...]:
    """List what must be looked up before `assemble`.

    Parameters
    ----------
    raw
        The list.
    instrument
        Instrument of rows that name none; None: there is no such.
    instruments
        The known ones.

    Returns
    -------
    tuple of ExposureName
        Each once; of rows with faults none, since `assemble` will name those.
    """
    reader = _Reader(raw, instrument, instruments, Faults(as_objects=False))
    names = (reader.read(row)[1] for row in raw.rows)
    return tuple(dict.fromkeys(name for name in names if name is not None))


def assemble(
    raw: RawTable,
    instrument: str | None,
    instruments: Instruments,
    resolved: Mapping[ExposureName, int | str],
) -> Assembled:
    """Make a table out of an uploaded list.

    Parameters
    ----------
    raw
        The list.
    instrument
        Instrument of rows that name none; None: all must name theirs. If it is that of
        all rows, files of the table leave the column out.
    instruments
        The known ones; also their aliases are taken.
    resolved
        For each of `names_of` the exposure's id, or else a sentence why there is none.

    Returns
    -------
    Assembled
        The table; rows that say the same twice are left out and listed.

    Raises
    ------
    InvalidError
        With the line of each fault (the first hundred): no dimensions, unknown
        instruments, unresolved names, values that do not fit, or one data ID with two
        different values.
    """
    faults = Faults(raw.format == "json", raw.place)
    reader = _Reader(raw, instrument, instruments, faults)
    conversions: list[Conversion] = []
    doubled: list[Doubled] = []
    first: dict[tuple[tuple[str, int | str], ...], tuple[int, dict[str, Value]]] = {}
    for row in raw.rows:
        ordered, conversion = reader.identify(row, resolved)
        if conversion is not None:
            conversions.append(conversion)
        if ordered is None:
            continue
        key = tuple(ordered.items())
        values = reader.further(row)
        known = first.setdefault(key, (row.line, values))
        if known[0] != row.line and known[1] == values:
            doubled.append(Doubled(row.line, known[0], ordered))
        elif known[0] != row.line:
            named = describe(ordered)
            place = f"{faults.unit} {known[0]}"
            reason = f"{named} stands in {place} too, with other values"
            faults.add(row.line, None, named, reason, "duplicate_data_id")
    faults.settle()
    of_one = all(dict(key).get("instrument") == instrument for key in first)
    made = table(
        reader.dimensions,
        reader.columns,
        ((dict(key), values) for key, (_, values) in first.items()),
        instrument if of_one and "instrument" in reader.dimensions else None,
    )
    notes = tuple(f"{what} is not kept" for what in raw.ignored)
    return Assembled(made, tuple(conversions), tuple(doubled), notes)


def identify(
    raw: RawTable,
    instrument: str | None,
    instruments: Instruments,
    resolved: Mapping[ExposureName, int | str],
) -> list[dict[str, int | str]]:
    """Give the data ID of each row by its primary keys, in the order of rows.

    Parameters
    ----------
    raw, instrument, instruments, resolved
        As for `assemble`.

    Raises
    ------
    InvalidError
        As `assemble`, but for doubled rows.
    """
    faults = Faults(raw.format == "json", raw.place)
    reader = _Reader(raw, instrument, instruments, faults)
    strange = [name for name in reader.columns if not _is_name(name)]
    for row in raw.rows if strange else ():
        reason = f"{strange[0]:.60} is no dimension, so no part of a data ID"
        faults.add(row.line, strange[0], None, reason, "invalid_data_id")
    faults.settle()
    found = (reader.identify(row, resolved)[0] for row in raw.rows)
    data_ids = [one for one in found if one is not None]
    faults.settle()
    return data_ids


class _Reader:
    """Reads rows of one list, whose columns tell what each of them means."""

    def __init__(
        self,
        raw: RawTable,
        instrument: str | None,
        instruments: Instruments,
        faults: Faults,
    ) -> None:
        self._default = instrument
        self._instruments = instruments
        self._faults = faults
        # A list without rows has no columns in JSON; one of exposures is most likely.
        given = raw.columns or ("exposure",)
        has_sequence = all(name in given for name in _SEQUENCE)
        by_name = "visit" not in given and ("obs_id" in given or has_sequence)
        self._by_obs_id = by_name and "obs_id" in given
        self._by_sequence = by_name and has_sequence
        # Without a column of their own they stand for the id, which takes their place.
        gone: set[str] = set()
        if by_name and "exposure" not in given:
            gone = {"obs_id", *(_SEQUENCE if has_sequence else ())}
        exposure = ("exposure",) if by_name else ()
        dimensions, further = split_columns((*exposure, *given))
        if any(_needs_instrument(name) for name in dimensions):
            dimensions = dimension_order((*dimensions, "instrument"))
        if not dimensions:
            listed = ", ".join(given)
            raise InvalidError.at(
                "line 1",
                listed,
                f"none of the columns {listed:.200} is a dimension; name exposures by "
                "'exposure', 'obs_id' or 'day_obs' and 'seq_num'",
                "no_dimensions",
            )
        self.dimensions = dimensions
        self.columns = tuple(name for name in further if name not in gone)
        self._texts = frozenset(name for name in self.columns if text_column(name))
        _check_spelling(self.dimensions, self.columns)
        # What stands beside an id must agree with it.
        self._beside = tuple(name for name in _BESIDE if name in self.columns)
        if instrument is None and "instrument" not in given and raw.rows:
            self._check_instrument()

    def _check_instrument(self) -> None:
        """Say once, not for each row, that nothing names the instrument."""
        if any(_needs_instrument(name) for name in self.dimensions):
            raise InvalidError.at(
                "instrument",
                None,
                "no instrument is named: the list has no column 'instrument', and none "
                "is given for the list as a whole (parameter 'instrument', "
                "--instrument of the command)",
                "no_instrument",
            )

    def read(self, row: RawRow) -> tuple[dict[str, int | str], ExposureName | None]:
        """Give the data ID as far as it stands there, and what is to be looked up."""
        data_id: dict[str, int | str] = {}
        for name in self.dimensions:
            said = _said(row, name)
            if said is None or name == "instrument":
                continue
            value, reason = _dimension(name, said)
            if value is None:
                self._faults.add(
                    row.line, name, as_text(said), reason, "invalid_data_id"
                )
            else:
                data_id[name] = value
        by_name = _said(row, "exposure") is None and (
            (self._by_obs_id and _said(row, "obs_id") is not None)
            or (self._by_sequence and _has_sequence(row))
        )
        wanted = by_name or any(_needs_instrument(name) for name in data_id)
        if not wanted and _said(row, "instrument") is None:
            return data_id, None
        instrument = self._instrument(row)
        if instrument is None:
            return data_id, None
        data_id["instrument"] = instrument
        return data_id, self._name(row, instrument) if by_name else None

    def identify(
        self, row: RawRow, resolved: Mapping[ExposureName, int | str]
    ) -> tuple[dict[str, int | str] | None, Conversion | None]:
        """Give the data ID, and how it was converted; None where there are faults."""
        before = self._faults.count
        data_id, name = self.read(row)
        conversion = None
        if name is not None:
            exposure = resolved.get(name, "nobody has looked it up")
            if isinstance(exposure, str):
                reason = f"{name}: {exposure}"
                code = "unresolved_exposure"
                self._faults.add(row.line, None, str(name), reason, code)
            else:
                data_id["exposure"] = exposure
                conversion = Conversion(row.line, name, exposure)
        if self._faults.count > before or not self.accepts(row, data_id):
            return None, None
        return {n: data_id[n] for n in self.dimensions if n in data_id}, conversion

    def accepts(self, row: RawRow, data_id: Mapping[str, int | str]) -> bool:
        """Tell whether a data ID names something, and nothing contradicts it."""
        before = self._faults.count
        missing = [
            needed
            for name in data_id
            for needed in UNIVERSE.required(name) or ()
            if needed not in data_id
        ]
        if not data_id.keys() - {"instrument"}:
            self._add(row, "it names no data ID")
        elif missing:
            wanted = " and ".join(dimension_order(missing))
            self._add(row, f"{describe(data_id)} needs {wanted} too")
        else:
            self._check_exposure(row, data_id)
        return self._faults.count == before

    def further(self, row: RawRow) -> dict[str, Value]:
        """Give the values of further columns."""
        values: dict[str, Value] = {}
        for name in self.columns:
            value = row.fields.get(name)
            is_text = name in self._texts and value is not None
            values[name] = as_text(value) if is_text else value
        return values

    def _add(self, row: RawRow, reason: str) -> None:
        self._faults.add(row.line, None, None, reason, "invalid_data_id")

    def _instrument(self, row: RawRow) -> str | None:
        said = _said(row, "instrument")
        wanted = as_text(said).strip() if said is not None else self._default
        if wanted is None:
            reason = "no instrument is named, neither here nor for the list as a whole"
            self._faults.add(row.line, "instrument", None, reason, "no_instrument")
            return None
        try:
            return self._instruments.require(wanted).name
        except InvalidError as error:
            self._faults.add(
                row.line, "instrument", wanted, error.detail, error.reason_code
            )
            return None

    def _name(self, row: RawRow, instrument: str) -> ExposureName | None:
        obs_id = _said(row, "obs_id") if self._by_obs_id else None
        if obs_id is not None:
            return ExposureName(instrument, as_text(obs_id).strip())
        said = [row.fields.get(name) for name in _SEQUENCE]
        day_obs, seq_num = (_whole(value) for value in said)
        if day_obs is None or not is_day_obs(day_obs):
            self._add(row, f"day_obs {as_text(said[0])!r:.40} is no date like 20261119")
        elif seq_num is None:
            self._add(row, f"seq_num {as_text(said[1])!r:.40} is no number")
        else:
            return ExposureName(instrument, None, day_obs, seq_num)
        return None

    def _check_exposure(self, row: RawRow, data_id: Mapping[str, int | str]) -> None:
        """See that an exposure is one of its instrument, and what else is said fits."""
        exposure = data_id.get("exposure")
        known = self._instruments.get(str(data_id.get("instrument")))
        if known is None or known.obs_id_rule is None or not isinstance(exposure, int):
            return
        located = known.locate(exposure)
        if located is None:
            reason = (
                f"{exposure} is no exposure of {known.name}: those are like "
                "2026111900123 (date, then five digits)"
            )
            self._faults.add(row.line, "exposure", exposure, reason, "invalid_data_id")
            return
        for name, right in zip(_SEQUENCE, located, strict=True):
            said = _whole(row.fields.get(name)) if name in self._beside else None
            if said is not None and said != right:
                self._contradicts(row, name, said, f"{exposure} has {name} {right}")
        obs_id = _said(row, "obs_id") if "obs_id" in self._beside else None
        if obs_id is None:
            return
        named = known.parse_obs_id(as_text(obs_id).strip())
        if named is not None and named.exposure_id != exposure:
            self._contradicts(row, "obs_id", obs_id, f"that is {named.exposure_id}")

    def _contradicts(self, row: RawRow, name: str, said: Value, right: str) -> None:
        exposure = row.fields.get("exposure")
        reason = f"{name} {said} stands beside exposure {exposure}, but {right}"
        self._faults.add(row.line, name, said, reason, "contradiction")


def _check_spelling(dimensions: Sequence[str], columns: Sequence[str]) -> None:
    """See that no column is a dimension misspelt: its rows would name more than meant.

    Raises
    ------
    InvalidError
        With the name that is nearest, unless the list has that one too.
    """
    meant = ["instrument", "detector"]
    if not {"exposure", "visit"} & {*dimensions}:
        meant += _EXPOSURES
    missing = [name for name in meant if name not in {*dimensions, *columns}]
    for column in columns:
        near = difflib.get_close_matches(column.lower(), missing, n=1, cutoff=_NEAR)
        if near:
            reason = (
                f"column {column!r:.60} is no dimension; did you mean {near[0]!r}? "
                "Name it otherwise if not"
            )
            raise InvalidError.at("line 1", column, reason, "misspelt_dimension")


def _is_name(column: str) -> bool:
    return column in {"obs_id", *_SEQUENCE} or UNIVERSE.is_dimension(column)


def _needs_instrument(name: str) -> bool:
    return "instrument" in (UNIVERSE.required(name) or ())


def _said(row: RawRow, name: str) -> Value:
    value = row.fields.get(name)
    return None if isinstance(value, str) and not value.strip() else value


def _has_sequence(row: RawRow) -> bool:
    return any(_said(row, name) is not None for name in _SEQUENCE)


def _dimension(name: str, said: Value) -> tuple[int | str | None, str]:
    # The value, or why it is none.
    if not UNIVERSE.is_integer(name):
        text = as_text(said).strip()
        try:
            encode_part(text)
        except InvalidError as error:
            return None, f"{name}: {error.detail}"
        return text, ""
    whole = _whole(said)
    if whole is None:
        return None, f"{name} is an integer, not {as_text(said)!r:.60}"
    if not 0 <= whole <= MAX_INTEGER:
        return None, f"{name} {whole} is not between 0 and {MAX_INTEGER}"
    if name == "day_obs" and not is_day_obs(whole):
        return None, f"day_obs {whole} is no date written as YYYYMMDD"
    return whole, ""


def _whole(said: Value) -> int | None:
    if isinstance(said, bool) or said is None:
        return None
    if isinstance(said, int):
        return said
    if isinstance(said, float):
        # Tables with a hole in a column turn its integers to floats.
        return int(said) if said.is_integer() and abs(said) <= _EXACT else None
    text = said.strip()
    # Spreadsheets cut long numbers (2.02411E+12): those do not come back.
    return int(text.partition(".")[0]) if _DIGITS.fullmatch(text) else None
