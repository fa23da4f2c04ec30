"""Detectors that are bad for a time: from the tables of a butler to its collections."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from astropy.time import TimeDelta
from lsst.daf.butler import DatasetRef, Timespan

from annolog.butler import collections, during, expressions, open_reader, rulefiles
from annolog.butler.exporter import Exporter
from annolog.butler.rules import FlaggedRule, SetRule, UsableRule
from annolog.butler.scopes import Scope
from annolog.butler.search import UPLOAD_SQLITE, Repository
from annolog.domain.times import MICROSECOND, Span
from tests.support.butlers import CAMERA, Clone
from tests.support.postgres import PostgresServer
from tests.support.snapshots import Lines
from tests.support.tagged_butlers import TAKEN, HeldButler

RAWS = "LSSTCam/raw/all"
CHIP = f"record:detector/instrument={CAMERA}/detector=1"
FLAGGED: Mapping[str, object] = {
    "sort": "flagged",
    "instrument": CAMERA,
    "flag": "junk",
    "inherited": True,
    "source": RAWS,
    "dataset_types": ["raw", "preliminary_visit_image", "visit_summary"],
}
USABLE: Mapping[str, object] = {
    "sort": "usable",
    "instrument": CAMERA,
    "flags": ["junk"],
    "inherited": True,
    "source": RAWS,
    "dataset_types": ["raw"],
    "nights": {"first": 20260115, "last": 20260115},
}
Part = tuple[str, int, int | None]
"""A dataset: its exposure or visit, and its detector."""


@dataclass
class Night:
    """Six exposures of two detectors, and one of the next night."""

    held: HeldButler

    @classmethod
    def make(
        cls, root: Path, universe: int | None = None, database: str | None = None
    ) -> "Night":
        held = HeldButler.create(root, universe=universe, database=database)
        exposures = held.made.take(range(1, 7))
        later = held.made.take([1], day_obs=20260116)
        one, two, three, *_ = exposures
        held.made.define_visits({one: [one, two], three: [three]})
        held.add("raw", RAWS, [*exposures, *later])
        held.add("preliminary_visit_image", RAWS, [one, three])
        held.add("visit_summary", RAWS, [one, three])
        return cls(held)

    @property
    def repository(self) -> Repository:
        return Repository(self.held.butler, UPLOAD_SQLITE)

    def time(self, seq_num: int) -> Span:
        """Give when an exposure was taken, in UTC."""
        [record] = self.held.butler.query_dimension_records(
            "exposure", instrument=CAMERA, exposure=2026011500000 + seq_num
        )
        span = record.timespan
        begin, end = (one.utc.to_datetime() for one in (span.begin, span.end))
        found = during.window(record)
        assert found is not None
        assert found.begin is not None
        assert found.end is not None
        # As astropy has it, which rounds otherwise.
        for mine, its in ((found.begin, begin), (found.end, end)):
            assert abs(mine.replace(tzinfo=None) - its) <= MICROSECOND
        return found

    def begin(self, seq_num: int) -> datetime:
        begin = self.time(seq_num).begin
        assert begin is not None
        return begin

    def export(self, lines: Lines) -> None:
        exporter = Exporter(self.held.butler, Scope(), now=lambda: TAKEN)
        exporter.export(lines.head, lines.lines)

    def filled(self, rule: Mapping[str, object]) -> set[Part]:
        rules = rulefiles.checked("rules.yaml", {"version": 1, "rules": {"rule": rule}})
        said = open_reader(self.held.butler)
        [done] = collections.refresh(self.repository, said, rules, lambda: TAKEN)
        assert done.error is None
        return self.parts(self.held.members(done.collection))

    def parts(self, ids: set[UUID]) -> set[Part]:
        return {_part(ref) for ref in self.held.butler.get_many_datasets(ids)}

    def flagged_by(self, *spans: Span) -> set[Part]:
        """Say junk of detector 1 for some times, and give what that reaches."""
        lines = Lines()
        for span in spans:
            lines.say(CHIP, observed=span)
        self.export(lines)
        return self.filled(FLAGGED)


def _part(ref: DatasetRef) -> Part:
    data_id = ref.dataId.required
    one = data_id.get("exposure", data_id.get("visit"))
    detector = data_id.get("detector")
    assert isinstance(one, int)
    assert isinstance(detector, int | None)
    return ref.datasetType.name, one - 2026011500000, detector


@pytest.fixture(scope="module")
def nights(
    butlers: Path, butler_postgres: PostgresServer, butler_template: str
) -> Mapping[str, Night]:
    url = butler_postgres.create("lasting", template=butler_template)
    found = {
        "today": Night.make(butlers / "lasting today"),
        "universe 0": Night.make(butlers / "lasting universe 0", 0),
        "postgresql": Night.make(butlers / "lasting postgresql", database=url),
    }
    found["postgresql"].held.made.close()
    return found


@pytest.fixture(params=["today", "universe 0", "postgresql"])
def night(
    nights: Mapping[str, Night],
    clone: Clone,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Night]:
    database = clone("lasting") if request.param == "postgresql" else None
    held = nights[request.param].held.copy(tmp_path / "repo", database=database)
    found = replace(nights[request.param], held=held)
    with found.held.butler:
        yield found


@pytest.fixture
def tonight(nights: Mapping[str, Night], tmp_path: Path) -> Iterator[Night]:
    found = Night(nights["today"].held.copy(tmp_path / "repo"))
    with found.held.butler:
        yield found


def raws(*seq_nums: int, detector: int = 1) -> set[Part]:
    return {("raw", one, detector) for one in seq_nums}


def images(*visits: int, detector: int = 1) -> set[Part]:
    return {("preliminary_visit_image", one, detector) for one in visits}


NEXT = 100_001
"""The exposure of the next night, as the parts name it."""


def test_what_was_taken_meanwhile_is_flagged_of_that_detector_alone(
    night: Night,
) -> None:
    lines = Lines()
    bad = lines.say(CHIP, observed=Span(night.begin(2), night.begin(4)))
    night.export(lines)
    # Exposure 2 is the second snap of visit 1.
    assert night.filled(FLAGGED) == raws(2, 3) | images(1, 3)
    assert night.filled(USABLE) == raws(1, 2, 3, 4, 5, 6, detector=0) | raws(1, 4, 5, 6)
    alone = {**FLAGGED, "inherited": False}
    del alone["instrument"]
    assert night.filled(alone) == set()
    # It goes on: the same statement, without an end.
    lines.observed[bad] = Span(night.begin(2), None)
    lines.number += 1
    night.export(lines)
    assert night.filled(FLAGGED) == raws(2, 3, 4, 5, 6, NEXT) | images(1, 3)
    # What comes later is flagged when it has come.
    more = night.held.made.take([7])
    night.held.add("raw", RAWS, more)
    assert night.filled(FLAGGED) == raws(2, 3, 4, 5, 6, 7, NEXT) | images(1, 3)
    lines.retract(bad)
    night.export(lines)
    assert night.filled(FLAGGED) == set()
    both = range(1, 8)
    assert night.filled(USABLE) == raws(*both, detector=0) | raws(*both)


def test_times_are_utc_and_the_butlers_are_tai(tonight: Night) -> None:
    begin, end = tonight.begin(3), tonight.time(3).end
    assert end is not None
    assert tonight.flagged_by(Span(None, begin)) == raws(1, 2) | images(1)
    found = tonight.flagged_by(Span(None, begin + MICROSECOND))
    assert found == raws(1, 2, 3) | images(1, 3)
    assert tonight.flagged_by(Span(end, tonight.begin(4))) == set()
    assert tonight.flagged_by(Span(begin, begin)) == raws(3) | images(3)


def test_times_that_no_butler_has_do_no_harm(tonight: Night) -> None:
    years = [datetime(year, 1, 1, tzinfo=UTC) for year in (1, 1960, 2150, 9999)]
    ancient, old, late, latest = years
    everything = raws(1, 2, 3, 4, 5, 6, NEXT) | images(1, 3)
    assert tonight.flagged_by(Span(ancient, latest)) == everything
    assert tonight.flagged_by(Span(old, None)) == everything
    assert tonight.flagged_by(Span(None, late)) == everything
    for span in (Span(ancient, old), Span(late, latest), Span(late, None)):
        assert tonight.flagged_by(span) == set()


def test_without_a_time_it_holds_always(tonight: Night) -> None:
    lines = Lines()
    lines.say(CHIP)
    tonight.export(lines)
    everything = raws(1, 2, 3, 4, 5, 6, NEXT) | images(1, 3)
    assert tonight.filled(FLAGGED) == everything


def test_of_each_exposure_only_the_votes_count_that_hold_for_it(
    tonight: Night,
) -> None:
    lines = Lines()
    lines.say(CHIP, observed=Span(tonight.begin(1), tonight.begin(6)))
    # The same person took it back for one exposure; another one's word does not.
    lines.say(CHIP, flag="good", observed=tonight.time(4))
    lines.say(CHIP, flag="good", author="alice", observed=tonight.time(5))
    # Nobody speaks of the whole detector here, and a tag is no flag.
    lines.say(CHIP, flag=None, tags=["glow"], observed=tonight.time(6))
    tonight.export(lines)
    assert tonight.filled(FLAGGED) == raws(1, 2, 3, 5) | images(1, 3)
    tagged = {k: v for k, v in FLAGGED.items() if k != "flag"} | {"tag": "glow"}
    assert tonight.filled(tagged) == raws(6)


def test_what_has_no_time_has_that_of_its_night(tonight: Night) -> None:
    butler = tonight.held.butler
    [record] = butler.query_dimension_records(
        "exposure", instrument=CAMERA, exposure=2026011500004
    )
    fields = record.toDict() | {"timespan": None}
    butler.registry.insertDimensionData("exposure", fields, replace=True)
    hour = timedelta(hours=1)
    begin = tonight.begin(1)
    assert tonight.flagged_by(Span(begin - 2 * hour, begin - hour)) == raws(4)
    far = timedelta(days=1)
    assert tonight.flagged_by(Span(begin - 3 * far, begin - 2 * far)) == set()


def test_a_visit_whose_exposures_are_not_here_goes_by_its_own_time(
    tonight: Night,
) -> None:
    visit = 2026011500005
    tonight.held.made.define_visits({visit: []})
    tonight.held.add("preliminary_visit_image", RAWS, [visit])
    butler = tonight.held.butler
    [record] = butler.query_dimension_records("visit", instrument=CAMERA, visit=visit)
    [exposure] = butler.query_dimension_records(
        "exposure", instrument=CAMERA, exposure=visit
    )
    later = TimeDelta(3600.0, format="sec")
    span = Timespan(exposure.timespan.begin + later, exposure.timespan.end + later)
    fields = record.toDict() | {"timespan": span}
    butler.registry.insertDimensionData("visit", fields, replace=True)
    hour = timedelta(hours=1)
    assert tonight.flagged_by(tonight.time(5)) == raws(5)
    begin = tonight.begin(5) + hour
    assert tonight.flagged_by(Span(begin, begin + hour)) == images(5)


def a_rule(fields: Mapping[str, object]) -> FlaggedRule | UsableRule | SetRule:
    content = {"version": 1, "rules": {"rule": fields}}
    return rulefiles.checked("rules.yaml", content).rules[0]


def test_expressions_name_what_is_there_and_say_that_more_may_come(
    tonight: Night,
) -> None:
    tonight.flagged_by(Span(tonight.begin(2), None))
    said = open_reader(tonight.held.butler)
    for fields in (USABLE, FLAGGED):
        rule = a_rule(fields)
        written = expressions.write(tonight.repository, said, rule, "raw")
        assert written.lasting == (1,)
        found = tonight.held.butler.query_datasets(
            "raw", RAWS, where=written.where, bind=dict(written.bind), explain=False
        )
        filled = {one for one in tonight.filled(fields) if one[0] == "raw"}
        assert tonight.parts({ref.id for ref in found}) == filled
    # No detector of it is bad: it is of a whole visit.
    rule = a_rule(FLAGGED)
    written = expressions.write(tonight.repository, said, rule, "visit_summary")
    assert written.lasting == ()
