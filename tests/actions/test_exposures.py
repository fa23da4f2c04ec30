"""Decisions about exposures that need no service: permission, twins, the same again."""

from uuid import UUID

import pytest

from annolog.actions import coverage, exposures, visits
from annolog.actions.coverage import CheckedDraft
from annolog.actions.requests import Request
from annolog.actions.visits import VisitDraft
from annolog.domain.errors import ForbiddenError, InvalidError
from annolog.domain.exposures import ExposureFactDraft
from annolog.domain.instruments import SHIPPED, Instrument, Instruments
from annolog.domain.roles import Actor, Role, roles_of
from annolog.storage.nights import Mark

INSTRUMENTS = Instruments([*SHIPPED.values(), Instrument(name="HSC")])
MARK = Mark(
    UUID(int=1), 7, "LSSTCam", 20251119, 1, 9, (), "jdoe", "human", 5, "", revoked=False
)


def request(role: Role, *, only: str | None = None, user: str = "jdoe") -> Request:
    limit = None if only is None else frozenset({only})
    actor = Actor(user, "human", roles_of(role, "human"), instruments=limit)
    return Request(actor, b"\0" * 32, None)


def a_draft(**said: object) -> ExposureFactDraft:
    return ExposureFactDraft.model_validate(
        {"instrument": "LSSTCam", "exposure_id": 2025111900001, **said}
    )


def test_authors_announce_and_importers_alone_speak_for_the_butler() -> None:
    exposures.permit(request(Role.AUTHOR), a_draft(source="camera"), "LSSTCam")
    exposures.permit(request(Role.IMPORTER), a_draft(source="butler"), "LSSTCam")
    with pytest.raises(ForbiddenError, match="importer"):
        exposures.permit(request(Role.AUTHOR), a_draft(source="butler"), "LSSTCam")
    with pytest.raises(ForbiddenError, match="author"):
        exposures.permit(request(Role.VIEWER), a_draft(), "LSSTCam")


def test_who_is_limited_to_an_instrument_says_nothing_of_another() -> None:
    limited = request(Role.AUTHOR, only="LATISS")
    with pytest.raises(ForbiddenError, match="LATISS"):
        exposures.permit(limited, a_draft(), "LSSTCam")
    draft = CheckedDraft(instrument="LSSTCam", day_obs=20251119)
    with pytest.raises(ForbiddenError, match="LATISS"):
        coverage.check(limited, draft, "LSSTCam", [])
    visit = VisitDraft(instrument="LSSTCam", visit=1, exposures=[1])
    with pytest.raises(ForbiddenError, match="LATISS"):
        visits.permit(limited, visit, "LSSTCam")


def test_a_mark_is_taken_back_by_its_author_or_a_curator() -> None:
    coverage.revoke(request(Role.AUTHOR), MARK)
    coverage.revoke(request(Role.CURATOR, user="ann"), MARK)
    with pytest.raises(ForbiddenError, match="curator"):
        coverage.revoke(request(Role.AUTHOR, user="ann"), MARK)


def test_an_id_and_an_obs_id_are_twins_only_where_no_rule_joins_them() -> None:
    hsc = ExposureFactDraft(instrument="HSC", exposure_id=904010, obs_id="HSCA01")
    twin = exposures.twin_of("exposure:HSC/904010", hsc, INSTRUMENTS)
    assert twin == "exposure:HSC/obs_id=HSCA01"
    unknown = exposures.twin_of("exposure:HSC/obs_id=HSCA01", hsc, INSTRUMENTS)
    assert unknown is None
    ruled = a_draft(obs_id="MC_O_20251119_000001")
    key = "exposure:LSSTCam/2025111900001"
    assert exposures.twin_of(key, ruled, INSTRUMENTS) is None


def test_a_visit_is_made_of_exposures_of_its_own_instrument() -> None:
    draft = VisitDraft(instrument="LSSTCam", visit=5, exposures=[2025111900001])
    made = visits.visit_of(
        draft,
        "LSSTCam",
        ["exposure:LSSTCam/2025112000001", "exposure:LSSTCam/2025111900001"],
        b"",
        "",
        INSTRUMENTS,
    )
    assert made.key == "record:visit/instrument=LSSTCam/visit=5"
    assert made.days == (20251119, 20251120)
    assert made.exposures == (
        "exposure:LSSTCam/2025111900001",
        "exposure:LSSTCam/2025112000001",
    )
    with pytest.raises(InvalidError, match="no exposure of LSSTCam"):
        visits.visit_of(draft, "LSSTCam", ["exposure:HSC/1"], b"", "/3", INSTRUMENTS)
