"""Lists that people paste: ids out of notebooks, files, chats and tables.

One name a line with a comment after it, several names on a line, or a table whose
header says which column holds what. Nothing that is written is lost: what cannot be
read comes back with its line and the reason.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from annolog.domain.errors import InvalidError, TooLargeError
from annolog.domain.instruments import Instruments
from annolog.domain.names import KIND_PREFIXES, Name, SeqName, parse_name
from annolog.domain.seqnums import SeqNums, parse_ranges

MAX_PASTED = 20_000
"""Names that one pasted list may hold, doubled ones counted."""
MAX_PASTED_CHARACTERS = 4_000_000
"""Characters of a pasted list, comments counted."""

_ID_COLUMNS = (
    "target",
    "key",
    "dataset_id",
    "uuid",
    "exposure",
    "exposure_id",
    "expid",
    "obs_id",
    "obsid",
    "id",
)
_INSTRUMENT_COLUMNS = ("instrument", "camera")
_DETECTOR_COLUMNS = ("detector", "ccd")
_DAY_COLUMNS = ("day_obs", "dayobs")
_SEQ_COLUMNS = ("seq_num", "seqnum", "seq")
_HEADINGS = frozenset(
    {
        *_ID_COLUMNS,
        *_INSTRUMENT_COLUMNS,
        *_DETECTOR_COLUMNS,
        *_DAY_COLUMNS,
        *_SEQ_COLUMNS,
    }
)

_COMMENT_COLUMN = "comment"

_TOKEN = re.compile(r"[^\s,;]+")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_ID = re.compile(r"[0-9]{9,19}")
_NIGHT_AND_NUMBERS = re.compile(r"([0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{1,6})")
_NIGHT_AND_RANGE = re.compile(
    r"([0-9]{8}|[0-9]{4}-[0-9]{2}-[0-9]{2})/([0-9]{1,6}-[0-9]{1,6})"
)
_RANGE = re.compile(r"[0-9]{1,6}(-[0-9]{1,6})?")
# Of words that no rule reads, those with as many digits look like an obs_id.
_OBS_ID_LIKE = re.compile(r"(?=(?:.*[0-9]){4})(?=.*[A-Za-z])[A-Za-z0-9._+-]{5,64}")


@dataclass(frozen=True, slots=True)
class PastedNumbers:
    """A closed range of a night among pasted names: its known exposures.

    Attributes
    ----------
    instrument, day_obs
        Whose night.
    numbers
        Sequence numbers.
    """

    instrument: str
    day_obs: int
    numbers: SeqNums


@dataclass(frozen=True, slots=True)
class PastedEntry:
    """One name of a pasted list.

    Attributes
    ----------
    line
        Line that it stood in, from 1 on.
    text
        As written.
    name
        What it says; None where it could not be read.
    error
        Why not; None where it could.
    comment
        What stood after it, blanks and all but the separator; empty if nothing did.
    doubled
        Whether the same name stood further up (another spelling of it may still).
    """

    line: int
    text: str
    name: Name | PastedNumbers | None
    error: InvalidError | None
    comment: str = ""
    doubled: bool = False


def parse_pasted(
    text: str,
    instruments: Instruments,
    *,
    default: str | None = None,
    day_obs: int | None = None,
    pointer: str = "",
) -> tuple[PastedEntry, ...]:
    """Read a pasted list.

    Parameters
    ----------
    text
        Names apart by line ends, blanks, tabs, commas or semicolons; lines that begin
        with `#` and empty ones do not matter. On a line the first word that does not
        look like a name begins the comment on the name before it (`2024110500234, i
        donuts`). A first line of column names (`exposure,comment`) makes it a table.
    instruments
        The known instruments.
    default
        Instrument of bare integers and of `20261119/123`; None: such are refused.
    day_obs
        Night of bare sequence numbers and ranges (`100-140`); None: they are refused.
    pointer
        Where the list stood in the request, for errors.

    Returns
    -------
    tuple of PastedEntry
        In the order of the text; empty if there is no name in it.

    Raises
    ------
    TooLargeError
        If it has more than `MAX_PASTED` names or `MAX_PASTED_CHARACTERS`.
    """
    if len(text) > MAX_PASTED_CHARACTERS:
        raise TooLargeError.at(
            pointer, None, f"has more than {MAX_PASTED_CHARACTERS} characters"
        )
    reader = _Reader(instruments, default, day_obs, pointer)
    seen: set[Name | PastedNumbers] = set()
    entries: list[PastedEntry] = []
    for entry in reader.entries(text):
        if len(entries) == MAX_PASTED:
            raise TooLargeError.at(
                pointer, None, f"holds more than {MAX_PASTED} names; send it in parts"
            )
        if entry.name is not None and entry.name in seen:
            entries.append(_doubled(entry))
            continue
        if entry.name is not None:
            seen.add(entry.name)
        entries.append(entry)
    return tuple(entries)


def _doubled(entry: PastedEntry) -> PastedEntry:
    return PastedEntry(
        entry.line, entry.text, entry.name, entry.error, entry.comment, doubled=True
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    instruments: Instruments
    default: str | None
    day_obs: int | None
    pointer: str

    def entries(self, text: str) -> Iterator[PastedEntry]:
        columns: Sequence[str] | None = None
        begun = False
        # A byte order mark is what spreadsheets begin their files with.
        lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            if not begun:
                begun = True
                columns = _heading(line)
                if columns is not None:
                    continue
            if columns is None:
                yield from self._line(number, line)
            else:
                yield self._row(number, line, columns)

    def _line(self, number: int, line: str) -> Iterator[PastedEntry]:
        tokens = list(_TOKEN.finditer(line))
        if not tokens:
            return
        # The first word is taken for a name whatever it looks like: an error is
        # better than silence.
        count = 1
        while count < len(tokens) and self._looks_like_a_name(tokens[count].group()):
            count += 1
        for token in tokens[: count - 1]:
            yield self._entry(number, token.group(), "")
        last = tokens[count - 1]
        comment = line[last.end() :].rstrip()
        if comment[:1] in {",", ";", "\t"}:
            comment = comment[1:]
        yield self._entry(number, last.group(), comment if comment.strip() else "")

    def _looks_like_a_name(self, token: str) -> bool:
        if token.partition(":")[0].lower() in KIND_PREFIXES and ":" in token:
            return True
        if self.day_obs is not None and _RANGE.fullmatch(token):
            return True
        if _UUID.fullmatch(token) or _ID.fullmatch(token):
            return True
        if _NIGHT_AND_NUMBERS.fullmatch(token) or _NIGHT_AND_RANGE.fullmatch(token):
            return True
        first, slash, _ = token.partition("/")
        if slash and self.instruments.find(first) is not None:
            return True
        return bool(self.instruments.of_obs_id(token) or _OBS_ID_LIKE.fullmatch(token))

    def _row(self, number: int, line: str, columns: Sequence[str]) -> PastedEntry:
        cells = next(csv.reader([line], delimiter=_delimiter(line, columns)), [])
        row = dict(zip(columns, cells, strict=False))
        comment = row.get(_COMMENT_COLUMN, "")
        instrument = _first(row, _INSTRUMENT_COLUMNS) or self.default
        detector = _first(row, _DETECTOR_COLUMNS)
        name = _first(row, _ID_COLUMNS)
        day, seq = _first(row, _DAY_COLUMNS), _first(row, _SEQ_COLUMNS)
        if not name and day and seq:
            name = f"{day}/{seq}"
        if not name:
            return self._entry(number, line.strip(), comment)
        plain = ":" not in name and not _UUID.fullmatch(name)
        if detector and plain:
            known = self.instruments.of_obs_id(name)
            home = known[0].name if len(known) == 1 else instrument
            if home is not None:
                name = f"detector:{home}/{name}/{detector}"
        return self._entry(number, name, comment, instrument)

    def _entry(
        self, number: int, text: str, comment: str, instrument: str | None = None
    ) -> PastedEntry:
        try:
            name = self._read(text, instrument or self.default)
        except InvalidError as error:
            return PastedEntry(number, text, None, error, comment)
        return PastedEntry(number, text, name, None, comment)

    def _read(self, text: str, instrument: str | None) -> Name | PastedNumbers:
        at = self.pointer
        if instrument is not None:
            ranged = _NIGHT_AND_RANGE.fullmatch(text)
            if ranged is not None:
                day_obs = int(ranged[1].replace("-", ""))
                home = self.instruments.require(instrument, at).name
                return PastedNumbers(home, day_obs, parse_ranges(ranged[2], pointer=at))
            if self.day_obs is not None and _RANGE.fullmatch(text):
                numbers = parse_ranges(text, pointer=at)
                home = self.instruments.require(instrument, at).name
                if "-" in text:
                    return PastedNumbers(home, self.day_obs, numbers)
                return SeqName("exposure", home, self.day_obs, next(iter(numbers)))
        return parse_name(text, self.instruments, default=instrument, pointer=at)


def _heading(line: str) -> Sequence[str] | None:
    delimiter = next((one for one in (",", ";", "\t") if one in line), None)
    words = [line] if delimiter is None else line.split(delimiter)
    names = [one.strip().strip('"').strip().lower() for one in words]
    if len(names) == 1:
        names = names[0].split() or names
    if not any(one in _HEADINGS for one in names):
        return None
    # A comment that begins with such a word still follows a name.
    return names if all(not one[:1].isdigit() for one in names) else None


def _delimiter(line: str, columns: Sequence[str]) -> str:
    if len(columns) == 1:
        return ","
    found = next((one for one in (",", ";", "\t") if one in line), None)
    return found or " "


def _first(row: dict[str, str], names: Sequence[str]) -> str:
    for name in names:
        value = row.get(name, "").strip()
        if value:
            return value
    return ""
