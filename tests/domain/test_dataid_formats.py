"""Data-ID sets as files."""

import json
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from annolog.domain.dataid_formats import Format, RawTable, parse, write
from annolog.domain.dataids import DataIdTable, Value, digest, table
from annolog.domain.errors import AnnologError, InvalidError
from tests.support.dataids import read, tables

SHIPPED_LIST = Path(__file__).parents[1] / "data" / "LSSTComCam-bad.ecsv"
FORMATS: tuple[Format, ...] = ("json", "csv", "ecsv")

formats = st.sampled_from(FORMATS)


def values_of(raw: RawTable, column: str) -> list[Value]:
    return [row.fields.get(column) for row in raw.rows]


def refused(content: bytes, written: Format = "csv") -> list[str]:
    with pytest.raises(InvalidError) as caught:
        read(content, written)
    return [one.reason for one in caught.value.problems]


def commented(*comments: Value) -> DataIdTable:
    return table(
        ["instrument", "exposure"],
        ["comment"],
        [
            ({"instrument": "LSSTCam", "exposure": number}, {"comment": comment})
            for number, comment in enumerate(comments, start=1)
        ],
        "LSSTCam",
    )


# ------------------------------------------------------------------ all formats


def test_list_that_is_kept_in_git_comes_back_byte_for_byte() -> None:
    content = SHIPPED_LIST.read_bytes()
    found = read(content, "ecsv", "LSSTComCam")
    assert len(found.table.rows) == 158
    assert found.table.rows[0].values == (" i donuts",)
    assert write(found.table, "ecsv") == content
    shuffled = content.splitlines(keepends=True)
    shuffled[8:] = shuffled[:7:-1]
    again = read(b"".join(shuffled), "ecsv", "LSSTComCam")
    assert write(again.table, "ecsv") == content


@given(tables(), formats)
def test_upload_of_a_download_changes_nothing(
    content: DataIdTable, written: Format
) -> None:
    file = write(content, written)
    found = read(file, written, content.instrument).table
    assert digest(found) == digest(content)
    if content.rows:
        assert found == content
        assert found.instrument == content.instrument
        assert write(found, written) == file


@given(tables(of_one=True), formats, formats)
def test_formats_hold_the_same(
    content: DataIdTable, one: Format, other: Format
) -> None:
    first = read(write(content, one), one).table
    second = read(write(first, other), other).table
    assert digest(second) == digest(content)


@given(tables(), formats, st.sampled_from(["\r\n", "\r"]))
def test_ends_of_lines_and_a_byte_order_mark_change_nothing(
    content: DataIdTable, written: Format, end: str
) -> None:
    file = write(content, written).decode()
    # Ends of lines inside of values are values.
    if "\n" in "".join(str(row.values) for row in content.rows).replace("\\n", "\n"):
        return
    found = read(b"\xef\xbb\xbf" + file.replace("\n", end).encode(), written).table
    assert digest(found) == digest(content)


@settings(max_examples=300)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text('exposure,comment 12345"\n\r#%[]{}:', max_size=60).map(str.encode),
        st.text('- {name: a}\n#,"1', max_size=60).map(
            lambda text: b"# %ECSV 1.0\n# ---\n# datatype:\n" + text.encode()
        ),
    ),
    formats,
)
def test_whatever_is_uploaded_is_read_or_refused(
    content: bytes, written: Format
) -> None:
    with suppress(AnnologError):
        read(content, written)


@pytest.mark.parametrize("written", FORMATS)
def test_row_that_is_added_adds_a_line(written: Format) -> None:
    old = write(commented("a", "b", "d"), written).splitlines()
    grown = commented("a", "b", "d", "e")
    rows = [grown.rows[0], *grown.rows[2:]]
    new = write(
        DataIdTable(grown.dimensions, grown.columns, tuple(rows), "LSSTCam"), written
    ).splitlines()
    assert len(new) == len(old)
    assert len(set(new) ^ set(old)) <= 4


@pytest.mark.parametrize("written", FORMATS)
def test_file_with_a_nul_names_the_line(written: Format) -> None:
    assert refused(b"exposure\n1\n2\0\n", written) == ["line 3: the text holds a NUL"]


@pytest.mark.parametrize("written", FORMATS)
def test_file_that_is_no_utf8_names_the_line(written: Format) -> None:
    assert refused("exposure,comment\n1,é".encode("latin-1"), written) == [
        "line 2: the text is no UTF-8"
    ]


def test_file_of_a_spreadsheet_in_utf16_says_what_to_do() -> None:
    assert refused("exposure\n1\n".encode("utf-16")) == [
        "line 1: the file is UTF-16; save it as UTF-8"
    ]


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n"])
def test_empty_file_is_refused(written: Format, content: bytes) -> None:
    assert len(refused(content, written)) == 1


@pytest.mark.parametrize("written", FORMATS)
def test_list_without_rows_is_a_list(written: Format) -> None:
    empty = table(["instrument", "exposure"], ["comment"], [], "LSSTCam")
    found = read(write(empty, written), written)
    assert found.table.rows == ()
    assert write(found.table, "csv") in {b"exposure\n", b"exposure,comment\n"} or (
        written == "json"
    )


# -------------------------------------------------------------------------- CSV


def test_bare_numbers_of_csv_are_numbers_and_quoted_ones_text() -> None:
    raw = parse(
        b'exposure,weight,name,seen,mixed,"note"\r\n'
        b'1,2,"3",true,4,\r\n'
        b'2,2.5,"4",False,x,""\r\n',
        "csv",
    )
    assert values_of(raw, "weight") == [2, 2.5]
    assert values_of(raw, "name") == ["3", "4"]
    assert values_of(raw, "seen") == [True, False]
    assert values_of(raw, "mixed") == ["4", "x"]
    assert values_of(raw, "note") == [None, None]


def test_group_stays_text_whatever_it_looks_like() -> None:
    raw = parse(b"exposure,group,obs_id\n1,12,34\n", "csv")
    assert raw.rows[0].fields == {"exposure": 1, "group": "12", "obs_id": "34"}


def test_numbers_too_long_for_a_column_stay_text() -> None:
    raw = parse(b"exposure,a,b\n1,99999999999999999999,1e999\n", "csv")
    assert values_of(raw, "a") == ["99999999999999999999"]
    assert values_of(raw, "b") == ["1e999"]


def test_line_numbers_count_the_lines_inside_of_quotes() -> None:
    raw = parse(b'exposure,comment\n\n1,"a\nb\r\nc"\n\n2,x\n', "csv")
    assert [row.line for row in raw.rows] == [3, 7]
    assert values_of(raw, "comment") == ["a\nb\r\nc", "x"]


def test_text_that_looks_like_a_number_is_written_in_quotes() -> None:
    assert write(commented("3", "x", None, ' "y", z'), "csv") == (
        b'exposure,comment\n1,"3"\n2,x\n3,\n4," ""y"", z"\n'
    )


@pytest.mark.parametrize("word", ["inf", "-inf", "Infinity"])
def test_infinity_among_numbers_is_refused_and_among_words_is_one(word: str) -> None:
    content = f"exposure,a\n1,1.5\n2,{word}\n".encode()
    assert refused(content) == ["line 3: a: a number is infinite"]
    assert values_of(parse(content.replace(b"1.5", b"x"), "csv"), "a") == ["x", word]


def test_exposures_that_a_spreadsheet_shortened_are_refused_in_every_column() -> None:
    for content in (b"exposure\n2.02411E+12\n", b"exposure\n1\n1e3\n"):
        (reason,) = refused(content)
        assert "exposure is an integer, not" in reason
    header = ecsv(EXPOSURE.replace("uint64", "float64"), "exposure\n2.02411E+12\n")
    (reason,) = refused(header, "ecsv")
    assert "exposure is an integer, not '2.02411E+12'" in reason


def test_name_that_stands_twice_in_an_object_is_refused() -> None:
    assert refused(b'[{"exposure": 1}, {"exposure": 1, "exposure": 2}]', "json") == [
        "object 2: 'exposure' is named twice"
    ]


@pytest.mark.parametrize(
    ("header", "words"), [("a\tb", "tabs"), ("a;b", "semicolons"), ("a|b", "bars")]
)
def test_other_delimiters_are_named(header: str, words: str) -> None:
    assert refused(f"{header}\n1\n".encode()) == [
        f"line 1: cells are separated by commas, not by {words}"
    ]


def test_rows_with_other_cells_than_the_header_are_all_named() -> None:
    assert refused(b"exposure,comment\n1\n2,a\n3,b,c\n") == [
        "line 2: has 1 cell, the header 2",
        "line 4: has 3 cells, the header 2",
    ]


def test_empty_columns_of_a_spreadsheet_are_passed_over() -> None:
    raw = parse(b"exposure,comment,,\n1,a,,\n", "csv")
    assert raw.columns == ("exposure", "comment")


def test_faults_beyond_the_first_hundred_are_counted() -> None:
    with pytest.raises(InvalidError) as caught:
        parse(b"exposure,comment\n" + b"1\n" * 250, "csv")
    assert len(caught.value.problems) == 100
    assert caught.value.extra["problem_count"] == 250
    assert "and 249 more" in caught.value.detail


def test_quote_that_is_not_closed_names_its_line() -> None:
    (reason,) = refused(b'exposure,comment\n1,a\n2,"b\n3,c\n')
    assert reason.startswith("line 3: a quote is opened")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b",exposure", "line 1: column 1 has no name"),
        (b"exposure,exposure", "line 1: 'exposure' is there twice"),
        (b'exposure,"a\nb"', "line 1: column 2 has a name of more than 128"),
        (b"exposure," + b"x" * 129, "line 1: column 2 has a name of more than 128"),
    ],
)
def test_name_of_a_column_that_cannot_be_kept_is_refused(
    header: bytes, reason: str
) -> None:
    (found,) = refused(header + b"\n1,2\n")
    assert found.startswith(reason)


def test_more_columns_than_a_list_has_are_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        parse(",".join(f"c{n}" for n in range(201)).encode(), "csv")
    assert caught.value.reason_code == "too_large"


# ------------------------------------------------------------------------- JSON


def test_json_has_one_object_a_line_with_the_instrument() -> None:
    assert write(commented("a", None), "json") == (
        b'[\n{"instrument": "LSSTCam", "exposure": 1, "comment": "a"},\n'
        b'{"instrument": "LSSTCam", "exposure": 2, "comment": null}\n]\n'
    )


def test_json_leaves_out_what_a_row_does_not_name() -> None:
    content = table(
        ["instrument", "exposure", "detector"],
        [],
        [
            ({"instrument": "LSSTCam", "exposure": 1}, {}),
            ({"instrument": "LSSTCam", "exposure": 1, "detector": 94}, {}),
        ],
    )
    assert json.loads(write(content, "json")) == [
        {"instrument": "LSSTCam", "exposure": 1},
        {"instrument": "LSSTCam", "exposure": 1, "detector": 94},
    ]


def test_json_that_is_no_list_of_objects_is_refused() -> None:
    assert refused(b'{"exposure": 1}', "json") == [
        "line 1: a JSON list of objects is wanted"
    ]
    assert refused(b'[{"exposure": 1},\n 2, {"a": [1]}, {"b": {}}]', "json") == [
        "object 2: this is no object",
        "object 3: 'a' holds more than a value",
        "object 4: 'b' holds more than a value",
    ]


def test_json_with_an_error_names_the_line() -> None:
    (reason,) = refused(b'[\n{"exposure": 1},\n{exposure: 2}]', "json")
    assert reason.startswith("line 3: this is no JSON")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'[{"exposure": ' + b"9" * 5_000 + b"}]",
        b'[{"exposure": 9223372036854775808}]',
        b'[{"w": Infinity}]',
        b'[{"w": "\\ud800"}]',
        b'[{"w": "\\u0000"}]',
        b'[{"a\\u0000": 1}]',
        b'[{"a ": 1, "a": 2}]',
    ],
)
def test_json_that_cannot_be_stored_is_refused(content: bytes) -> None:
    assert len(refused(content, "json")) == 1


def test_text_of_more_characters_than_a_value_has_is_refused() -> None:
    content = json.dumps([{"exposure": 1, "comment": "x" * 65_537}]).encode()
    assert refused(content, "json") == [
        "object 1: comment has more than 65536 characters"
    ]


# ------------------------------------------------------------------------- ECSV


@given(tables(of_one=True))
def test_astropy_reads_what_is_written(content: DataIdTable) -> None:
    file = write(content, "ecsv").decode()
    if not content.rows or any(c in file for c in "\r\u2028\x85\x0b\x0c\x1c\x1d\x1e"):
        # Astropy takes a text apart at these.
        return
    found = Table.read(file, format="ascii.ecsv")
    assert found.colnames == [*content.dimensions[1:], *content.columns]
    assert len(found) == len(content.rows)
    assert [int(one) for one in found["exposure"]] == [
        row.data_id[1] for row in content.rows
    ]


@pytest.mark.parametrize("delimiter", [" ", ","])
def test_what_astropy_writes_is_read(delimiter: str) -> None:
    made = Table(
        {
            "exposure": [2024110500234, 2024110500236],
            "comment": ["two words", 'a "quote", and'],
            "weight": MaskedColumn([0.5, 1.5], mask=[False, True]),
            "seen": [True, False],
            "visit_number": MaskedColumn([1, 2], mask=[True, False], dtype="i2"),
            "e": ["", "x"],
        }
    )
    made["weight"].unit = "s"
    made.meta["author"] = "someone"
    out = StringIO()
    made.write(out, format="ascii.ecsv", delimiter=delimiter)
    raw = parse(out.getvalue().encode(), "ecsv")
    assert [dict(row.fields) for row in raw.rows] == [
        {
            "exposure": 2024110500234,
            "comment": "two words",
            "weight": 0.5,
            "seen": True,
            "visit_number": None,
            "e": None,
        },
        {
            "exposure": 2024110500236,
            "comment": 'a "quote", and',
            "weight": None,
            "seen": False,
            "visit_number": 2,
            "e": "x",
        },
    ]
    assert raw.ignored == ("unit of column weight", "meta")
    assert [row.line for row in raw.rows][1] == raw.rows[0].line + 1


def ecsv(datatype: str, body: str) -> bytes:
    return f"# %ECSV 1.0\n# ---\n# datatype:\n{datatype}{body}".encode()


EXPOSURE = "# - {name: exposure, datatype: uint64}\n# delimiter: ','\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"exposure\n1\n", "line 1: an ECSV file begins with '# %ECSV 1.0'"),
        (b"# %ECSV 1.0\n# {\nexposure\n", "line 2: the header is no YAML"),
        (b"# %ECSV 1.0\n# ---\nexposure\n", "line 2: the header has no list"),
        (ecsv(EXPOSURE, "visit\n1\n"), "line 6: the names of columns are not those"),
        (ecsv(EXPOSURE, "exposure\n1\nx\n"), "line 8: exposure is an integer, not 'x'"),
        (ecsv(EXPOSURE, ""), "line 6: a line with the names of columns is wanted"),
        (
            ecsv("# - {name: a, datatype: complex128}\n", "a\n1\n"),
            "line 2: column 'a' is of type 'complex128', which a list cannot hold",
        ),
        (
            ecsv("# - {name: a, datatype: string, subtype: json}\n", "a\n1\n"),
            "line 2: column 'a' holds more than one value a cell",
        ),
        (
            ecsv("# - {name: a, datatype: bool}\n", "a\nmaybe\n"),
            "line 6: a is True or False, not 'maybe'",
        ),
        (
            ecsv("# - {name: a, datatype: float32}\n", "a\nhalf\n"),
            "line 6: a is a number, not 'half'",
        ),
        (
            ecsv("# - {name: a, datatype: float64}\n", "a\ninf\n"),
            "line 6: a: a number is infinite",
        ),
        (
            ecsv("# - {name: a, datatype: int64}\n# delimiter: '|'\n", "a\n1\n"),
            "line 2: delimiter '|' is neither ',' nor ' '",
        ),
        (b"# %ECSV 1.0\n# " + b"[" * 60_000, "line 2: the header is no YAML"),
        (b"# %ECSV 1.0\n#" + b" " * 70_000, "line 1: the header has more than 65536"),
    ],
)
def test_ecsv_that_cannot_be_read_says_where(content: bytes, reason: str) -> None:
    (found,) = refused(content, "ecsv")
    assert found.startswith(reason)


def test_ecsv_sent_as_csv_says_so() -> None:
    assert refused(SHIPPED_LIST.read_bytes()) == ["line 1: this is ECSV, not CSV"]


def test_names_that_yaml_would_take_for_something_else_are_quoted() -> None:
    content = table(["tract"], ["yes", "a, b", "1"], [({"tract": 1}, {"yes": "x"})])
    header = write(content, "ecsv").decode().splitlines()[3:7]
    assert header == [
        "# - {name: tract, datatype: uint64}",
        '# - {name: "yes", datatype: string}',
        '# - {name: "a, b", datatype: string}',
        '# - {name: "1", datatype: string}',
    ]
