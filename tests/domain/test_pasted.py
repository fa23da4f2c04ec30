"""Pasted lists."""

import pytest

from annolog.domain import pasted
from annolog.domain.errors import TooLargeError
from annolog.domain.instruments import SHIPPED
from annolog.domain.names import Named, ObsIdName, SeqName
from annolog.domain.pasted import PastedEntry, PastedNumbers, parse_pasted
from annolog.domain.seqnums import SeqNums


def shown(entry: PastedEntry) -> str:
    match entry.name:
        case Named(target):
            return target.key
        case SeqName(_, _, day_obs, seq_num):
            return f"{day_obs}/{seq_num}"
        case PastedNumbers(_, day_obs, numbers):
            return f"{day_obs}/{numbers}"
        case ObsIdName(_, _, obs_id):
            return f"?{obs_id}"
        case _:
            return f"!{entry.text}"


def read(text: str, default: str | None = "LSSTComCam") -> list[tuple[str, str]]:
    entries = parse_pasted(text, SHIPPED, default=default)
    return [(shown(one), one.comment) for one in entries]


def test_ecsv_table_keeps_comments_and_their_blanks() -> None:
    text = (
        "# %ECSV 1.0\n# ---\n# delimiter: ','\nexposure,comment\n"
        "2024110500234, i donuts\n2024110600178, r tracking stopped\n"
    )
    assert read(text) == [
        ("exposure:LSSTComCam/2024110500234", " i donuts"),
        ("exposure:LSSTComCam/2024110600178", " r tracking stopped"),
    ]


def test_comment_after_an_id_is_kept() -> None:
    assert read("2024110500234, i donuts\n2024110500236 see 2024110500234\n") == [
        ("exposure:LSSTComCam/2024110500234", " i donuts"),
        ("exposure:LSSTComCam/2024110500236", " see 2024110500234"),
    ]


def test_many_names_of_all_sorts_stand_on_one_line() -> None:
    text = (
        "MC_O_20261119_000123, 2024110500234; 20261119/5\t"
        "018F4C5E-1B7A-7C3D-9E2F-5A6B7C8D9E0F night:LSSTCam/20261119 bad seeing"
    )
    assert read(text) == [
        ("exposure:LSSTCam/2026111900123", ""),
        ("exposure:LSSTComCam/2024110500234", ""),
        ("20261119/5", ""),
        ("dataset:018f4c5e-1b7a-7c3d-9e2f-5a6b7c8d9e0f", ""),
        ("night:LSSTCam/20261119", " bad seeing"),
    ]


def test_table_takes_instrument_detector_night_and_number_from_columns() -> None:
    text = (
        "instrument,day_obs,seq_num,detector,comment\n"
        'LSSTCam,20261119,123,94,"hot, very"\nLATISS,2026-11-19,5,,\n'
    )
    entries = parse_pasted(text, SHIPPED)
    assert [one.name for one in entries] == [
        SeqName("detector", "LSSTCam", 20261119, 123, 94),
        SeqName("exposure", "LATISS", 20261119, 5),
    ]
    assert entries[0].comment == "hot, very"


def test_obs_id_column_with_detector_names_detectors() -> None:
    text = "obs_id\tdetector\nMC_O_20261119_000123\t94\n"
    assert read(text, None) == [("detector:LSSTCam/2026111900123/94", "")]


def test_ranges_are_read_where_the_night_is_known() -> None:
    entries = parse_pasted(
        "100-140,150\n20261118/7-9", SHIPPED, default="LSSTCam", day_obs=20261119
    )
    assert [one.name for one in entries] == [
        PastedNumbers("LSSTCam", 20261119, SeqNums(((100, 140),))),
        SeqName("exposure", "LSSTCam", 20261119, 150),
        PastedNumbers("LSSTCam", 20261118, SeqNums(((7, 9),))),
    ]


def test_what_cannot_be_read_comes_back_with_its_line() -> None:
    entries = parse_pasted("\n\n2024110500234\nno idea\n", SHIPPED, default="LATISS")
    assert [(one.line, one.text, one.name is None) for one in entries] == [
        (3, "2024110500234", False),
        (4, "no", True),
    ]
    assert entries[1].error is not None


def test_doubled_names_are_marked_in_any_spelling() -> None:
    text = "MC_O_20261119_000123\r\nMC_O_20261119_123\r\n\ufeff"
    entries = parse_pasted("\ufeff" + text, SHIPPED)
    assert [one.doubled for one in entries[:2]] == [False, True]


def test_empty_text_holds_no_names() -> None:
    assert parse_pasted(" \n# only a remark\n", SHIPPED) == ()
    assert parse_pasted("exposure,comment\n", SHIPPED) == ()


def test_too_many_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasted, "MAX_PASTED", 3)
    with pytest.raises(TooLargeError, match="parts"):
        parse_pasted("20261119/1 20261119/2 20261119/3 20261119/4", SHIPPED)
    monkeypatch.setattr(pasted, "MAX_PASTED_CHARACTERS", 3)
    with pytest.raises(TooLargeError):
        parse_pasted("2024", SHIPPED)
