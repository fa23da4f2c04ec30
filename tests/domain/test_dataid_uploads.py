"""From uploaded lists to tables."""

import pytest

from annolog.domain.dataid_formats import Format, parse
from annolog.domain.dataid_uploads import ExposureName, names_of
from annolog.domain.errors import InvalidError
from annolog.domain.instruments import SHIPPED
from tests.support.dataids import read

BY_OBS_ID = ExposureName("LSSTCam", "MC_O_20261119_000123")
BY_NUMBER = ExposureName("LSSTCam", None, 20261119, 124)
RESOLVED = {BY_OBS_ID: 2026111900123, BY_NUMBER: 2026111900124}


def refused(
    content: bytes, instrument: str | None = "LSSTCam", written: Format = "csv"
) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        read(content, written, instrument, RESOLVED)
    return [one.reason for one in caught.value.problems]


def misplaced(content: bytes) -> list[str]:
    """Give the faults of a list whose instruments say what ids they have."""
    with pytest.raises(InvalidError) as caught:
        read(content, instruments=SHIPPED)
    return [one.reason for one in caught.value.problems]


def wanted(content: bytes) -> tuple[ExposureName, ...]:
    return names_of(parse(content, "csv"), "LSSTCam", SHIPPED)


def test_obs_ids_become_exposures_and_are_reported() -> None:
    content = b"obs_id,comment\nMC_O_20261119_000123,a\n"
    assert wanted(content) == (BY_OBS_ID,)
    found = read(content, resolved=RESOLVED)
    assert found.table.columns == ("comment",)
    assert list(found.table.data_ids()) == [
        {"instrument": "LSSTCam", "exposure": 2026111900123}
    ]
    (one,) = found.conversions
    assert (one.line, str(one.name), one.exposure) == (
        2,
        "MC_O_20261119_000123",
        2026111900123,
    )


def test_night_and_number_become_exposures() -> None:
    content = b"day_obs,seq_num,detector\n20261119,124,94\n"
    assert wanted(content) == (BY_NUMBER,)
    found = read(content, resolved=RESOLVED)
    assert list(found.table.data_ids()) == [
        {"instrument": "LSSTCam", "exposure": 2026111900124, "detector": 94}
    ]
    assert found.table.columns == ()
    assert str(found.conversions[0].name) == "20261119/124"


def test_each_row_may_name_its_exposure_in_another_way() -> None:
    content = (
        b'[{"exposure": "2026111900125", "obs_id": "kept"},'
        b'{"obs_id": "MC_O_20261119_000123"},'
        b'{"day_obs": 20261119, "seq_num": 124}]'
    )
    found = read(content, "json", resolved=RESOLVED)
    assert [row.data_id[1] for row in found.table.rows] == [
        2026111900123,
        2026111900124,
        2026111900125,
    ]
    # Beside a column of ids the names are further columns.
    assert found.table.columns == ("obs_id", "day_obs", "seq_num")
    assert len(found.conversions) == 2


def test_night_alone_is_a_data_id() -> None:
    found = read(b"day_obs,comment\n20261119,cloudy\n")
    assert list(found.table.data_ids()) == [
        {"instrument": "LSSTCam", "day_obs": 20261119}
    ]


def test_any_dimensions_are_taken() -> None:
    found = read(b"skymap,tract,patch\nlsst_cells_v1,9813,5\n", instrument=None)
    assert found.table.dimensions == ("skymap", "tract", "patch")
    found = read(b"htm7\n1000\n", instrument=None)
    assert found.table.dimensions == ("htm7",)
    found = read(b"visit,day_obs,seq_num\n2026111900123,20261119,9\n")
    assert found.table.dimensions == ("instrument", "visit")
    assert found.table.columns == ("day_obs", "seq_num")


def test_aliases_of_instruments_become_their_names() -> None:
    found = read(b"instrument,exposure\nlsstcam,1\nLATISS,1\n", instrument=None)
    assert [row.data_id for row in found.table.rows] == [("LATISS", 1), ("LSSTCam", 1)]
    assert found.table.instrument is None


def test_files_leave_an_instrument_out_only_where_all_rows_have_it() -> None:
    assert read(b"exposure\n1\n").table.instrument == "LSSTCam"
    assert read(b"instrument,exposure\nLSSTCam,1\n").table.instrument == "LSSTCam"
    assert read(b"instrument,exposure\nLATISS,1\n,2\n").table.instrument is None


def test_rows_that_say_the_same_are_kept_once_and_listed() -> None:
    found = read(b"exposure,comment\n1,a\n2,b\n1,a\n")
    assert len(found.table.rows) == 2
    assert [(one.line, one.first) for one in found.doubled] == [(4, 2)]


def test_rows_that_contradict_each_other_are_refused() -> None:
    assert refused(b"exposure,comment\n1,a\n2,b\n1,c\n") == [
        "line 4: LSSTCam exposure 1 stands in line 2 too, with other values"
    ]


def test_all_faults_are_named_at_once_with_their_lines() -> None:
    content = (
        b"instrument,exposure,detector\n"
        b"LSSTCam,1,2\n"
        b"LSSTCan,1,2\n"
        b"LSSTCam,2.02411E+12,2\n"
        b"LSSTCam,1,-3\n"
        b"LSSTCam,,\n"
        b",5,\n"
        b"LSSTCam,99999999999999999999,\n"
    )
    found = refused(content, instrument=None)
    assert [one.partition(": ")[0] for one in found] == [
        f"line {n}" for n in range(3, 9)
    ]
    assert "did you mean LSSTCam" in found[0]
    assert "exposure is an integer, not '2.02411E+12'" in found[1]
    assert "detector -3 is not between 0 and" in found[2]
    assert "it names no data ID" in found[3]
    assert "no instrument is named" in found[4]
    assert "exposure is an integer, not '99999999999999999999'" in found[5]


def test_name_that_nobody_knows_is_a_fault() -> None:
    with pytest.raises(InvalidError) as caught:
        read(b"obs_id\nMC_O_1\n", resolved={ExposureName("LSSTCam", "MC_O_1"): "why"})
    assert caught.value.reason_code == "unresolved_exposure"
    assert caught.value.detail == "line 2: MC_O_1: why"


def test_night_or_number_that_is_none_is_a_fault() -> None:
    assert refused(b"day_obs,seq_num\n20261319,1\n20261119,x\n") == [
        "line 2: day_obs '20261319' is no date like 20261119",
        "line 3: seq_num 'x' is no number",
    ]
    assert wanted(b"day_obs,seq_num\n20261319,1\n20261119,x\n") == ()


def test_number_beside_an_exposure_must_be_its_own() -> None:
    (reason,) = misplaced(b"exposure,day_obs,seq_num\n2026111900123,20261119,124\n")
    assert reason == (
        "line 2: seq_num 124 stands beside exposure 2026111900123, but 2026111900123 "
        "has seq_num 123"
    )
    (reason,) = misplaced(b"exposure,obs_id\n2026111900123,MC_O_20261119_000124\n")
    assert reason == (
        "line 2: obs_id MC_O_20261119_000124 stands beside exposure 2026111900123, but "
        "that is 2026111900124"
    )
    found = read(b"exposure,day_obs,seq_num\n2026111900123,20261119,123\n")
    assert found.table.columns == ("day_obs", "seq_num")


@pytest.mark.parametrize("exposure", [b"0", b"2026139900001", b"2026110000000"])
def test_exposure_that_its_instrument_cannot_have_is_refused(exposure: bytes) -> None:
    (reason,) = misplaced(b"exposure\n" + exposure + b"\n")
    assert f"{exposure.decode()} is no exposure of LSSTCam" in reason


@pytest.mark.parametrize(
    ("content", "meant"),
    [
        (b"expsoure,detector\n2026111900123,3\n", "exposure"),
        (b"Exposure,detector\n2026111900123,3\n", "exposure"),
        (b"exposure,detecter\n2026111900123,3\n", "detector"),
    ],
)
def test_misspelt_dimension_does_not_widen_what_is_named(
    content: bytes, meant: str
) -> None:
    (reason,) = misplaced(content)
    assert f"did you mean {meant!r}?" in reason


def test_columns_that_resemble_dimensions_which_the_list_has_are_kept() -> None:
    found = read(b"exposure,exposures,visits\n1,2,3\n")
    assert found.table.columns == ("exposures", "visits")


def test_list_without_any_instrument_says_so_once() -> None:
    (reason,) = refused(b"exposure\n1\n2\n", instrument=None)
    assert "no instrument is named: the list has no column 'instrument'" in reason


def test_patch_needs_its_tract() -> None:
    assert refused(b"patch,comment\n5,x\n", instrument=None) == [
        "line 2: patch 5 needs skymap and tract too"
    ]


def test_list_without_dimensions_is_refused() -> None:
    (reason,) = refused(b"expId,comment\n1,x\n")
    assert "none of the columns expId, comment is a dimension" in reason


def test_integers_that_a_hole_turned_into_floats_are_integers() -> None:
    found = read(b"exposure,detector\n2026111900123,94.0\n2026111900124,\n")
    assert [row.data_id[2] for row in found.table.rows] == [94, None]


def test_what_a_file_says_beside_its_values_is_reported() -> None:
    content = (
        b"# %ECSV 1.0\n# ---\n# datatype:\n# - {name: exposure, datatype: int64}\n"
        b"# - {name: exptime, unit: s, datatype: float64}\nexposure exptime\n1 30\n"
    )
    found = read(content, "ecsv")
    assert found.notes == ("unit of column exptime is not kept",)
    assert found.table.rows[0].values == (30.0,)
