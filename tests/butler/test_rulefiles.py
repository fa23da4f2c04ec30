"""Files of rules: read, and what is wrong in them said so that it can be put right."""

from pathlib import Path
from typing import Any

import pytest

from annolog.butler import rulefiles
from annolog.butler.rulefiles import RulesError
from annolog.butler.rules import (
    FlaggedRule,
    Nights,
    SetRule,
    UsableRule,
)

YAML = """\
version: 1
rules:
  junk-raws:
    sort: flagged
    instrument: LSSTCam
    flag: junk
    inherited: true
    source: LSSTCam/raw/all
    dataset_types: raw
  usable-raws:
    sort: usable
    instrument: LSSTCam
    flags: [junk]
    tags: vignetting
    inherited: true
    source: [LSSTCam/raw/all]
    dataset_types: [raw]
    nights: {first: 20260101, last: 20260131}
    where: exposure.observation_type = 'science'
  drp1:
    sort: set
    set: DRP1
    version: 3
    source: [LSSTCam/runs/w2, LSSTCam/runs/w1]
    dataset_types: [post_isr, visit_summary]
    collection: sets/DRP1
"""

TOML = """\
version = 1
[rules.junk-raws]
sort = "flagged"
instrument = "LSSTCam"
flag = "junk"
inherited = true
source = "LSSTCam/raw/all"
dataset_types = "raw"
"""

GOOD: dict[str, dict[str, Any]] = {
    "flagged": {
        "sort": "flagged",
        "instrument": "LSSTCam",
        "flag": "junk",
        "inherited": True,
        "source": "LSSTCam/raw/all",
        "dataset_types": "raw",
    },
    "usable": {
        "sort": "usable",
        "instrument": "LSSTCam",
        "flags": "junk",
        "inherited": True,
        "source": "LSSTCam/raw/all",
        "dataset_types": "raw",
        "nights": {"first": 20260101},
    },
    "set": {
        "sort": "set",
        "set": "DRP1",
        "source": "LSSTCam/raw/all",
        "dataset_types": "raw",
    },
}


def written(folder: Path, text: str, name: str = "rules.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def wrong(sort: str, without: str, /, **fields: object) -> str:
    """Give the one line that a rule with these fields is refused with."""
    rule = {k: v for k, v in GOOD[sort].items() if k != without} | fields
    with pytest.raises(RulesError) as refused:
        rulefiles.checked("r.yaml", {"version": 1, "rules": {"mine": rule}})
    assert len(refused.value.problems) == 1, refused.value.detail
    return refused.value.detail


def test_a_file_of_rules_is_read(tmp_path: Path) -> None:
    read = rulefiles.read(written(tmp_path, YAML))
    flagged, usable, a_set = read.rules
    assert isinstance(flagged, FlaggedRule)
    assert (flagged.name, flagged.collection) == (
        "junk-raws",
        "flags/junk/LSSTCam/raw/all",
    )
    assert (flagged.flags, flagged.tags, flagged.nights) == (("junk",), (), None)
    assert isinstance(usable, UsableRule)
    assert usable.collection == "usable/LSSTCam/raw/all"
    assert (usable.source, usable.dataset_types) == (("LSSTCam/raw/all",), ("raw",))
    assert (usable.flags, usable.tags) == (("junk",), ("vignetting",))
    assert usable.nights == Nights(first=20260101, last=20260131)
    assert isinstance(a_set, SetRule)
    assert (a_set.set, a_set.version, a_set.collection) == ("DRP1", 3, "sets/DRP1")
    assert a_set.source == ("LSSTCam/runs/w2", "LSSTCam/runs/w1")


def test_toml_says_the_same(tmp_path: Path) -> None:
    from_toml = rulefiles.read(written(tmp_path, TOML, "rules.toml"))
    from_yaml = rulefiles.read(written(tmp_path, YAML))
    assert from_toml.rules[0] == from_yaml.rules[0]


def test_collections_are_named_after_their_rule() -> None:
    def name(sort: str, without: str = "", **fields: object) -> str:
        rule = {k: v for k, v in GOOD[sort].items() if k != without} | fields
        read = rulefiles.checked("r.yaml", {"version": 1, "rules": {"mine": rule}})
        return read.rules[0].collection

    assert name("flagged") == "flags/junk/LSSTCam/raw/all"
    assert name("flagged", "flag", tag="trailed") == "tags/trailed/LSSTCam/raw/all"
    assert name("usable") == "usable/LSSTCam/raw/all"
    assert name("set") == "sets/DRP1"
    assert name("set", version=3) == "sets/DRP1/3"
    assert name("set", collection="u/jdoe/mine") == "u/jdoe/mine"


def test_a_rule_has_a_digest_that_changes_with_it_alone() -> None:
    def digest(name: str, **fields: object) -> str:
        rule = GOOD["usable"] | fields
        return (
            rulefiles.checked("r", {"version": 1, "rules": {name: rule}})
            .rules[0]
            .digest
        )

    assert digest("mine") == digest("yours")
    assert digest("mine", flags=["junk"]) == digest("mine")
    assert digest("mine", inherited=False) != digest("mine")


def test_rules_are_chosen_by_name(tmp_path: Path) -> None:
    read = rulefiles.read(written(tmp_path, YAML))
    assert [one.name for one in rulefiles.only(read, ["drp1", "junk-raws"]).rules] == [
        "junk-raws",
        "drp1",
    ]
    assert rulefiles.only(read, []) == read
    with pytest.raises(RulesError, match="rule drp2: 'drp2': it is not known; did you"):
        rulefiles.only(read, ["drp2"])


@pytest.mark.parametrize(
    ("sort", "without", "fields", "line"),
    [
        (
            "usable",
            "",
            {"nights": {"first": 20260132}},
            (
                "field nights.first: 20260132: it is no date; it should be a"
                " night, YYYYMMDD, such as 20260115"
            ),
        ),
        (
            "usable",
            "",
            {"nights": {"first": "20260101"}},
            (
                "field nights.first: '20260101': input should be a valid"
                " integer; it should be a night, YYYYMMDD, such as 20260115"
            ),
        ),
        (
            "usable",
            "",
            {"nights": {"first": 20260102, "last": 20260101}},
            (
                "field nights: {'first': 20260102, 'last': 20260101}: the first"
                " lies after the last; it should be {first: 20260101, last:"
                " 20260131}, both included"
            ),
        ),
        (
            "usable",
            "",
            {"nights": {"from": 20260102}},
            ("field nights.from: 20260102: it is not known; there are first, last"),
        ),
        (
            "usable",
            "nights",
            {},
            (
                "a whole survey is too much for one collection: bound it by"
                " nights: {first: 20260101, last: 20260131} or by a where"
            ),
        ),
        (
            "usable",
            "flags",
            {},
            ("neither flags, tags nor sets say what is left out: flags: [junk]"),
        ),
        (
            "usable",
            "",
            {"flags": ["junk", "junk"]},
            (
                "field flags: ['junk', 'junk']: junk stands there twice; it"
                " should be the flags that leave a dataset out, such as [junk]"
            ),
        ),
        (
            "usable",
            "",
            {"flags": ["Junk!"]},
            (
                "field flags.0: 'Junk!': string should match pattern"
                " '^[a-z][a-z0-9_]{1,63}$'; it should be the flags that leave a"
                " dataset out, such as [junk]"
            ),
        ),
        (
            "usable",
            "inherited",
            {},
            (
                "field inherited: it is missing; it should be true: what is"
                " said of a dataset's exposure, detector or visit counts for it;"
                " false: only what is said of the dataset itself"
            ),
        ),
        (
            "usable",
            "instrument",
            {},
            ("inherited needs an instrument beside it: instrument: LSSTCam"),
        ),
        (
            "flagged",
            "",
            {"tag": "trailed"},
            (
                "either a flag or a tag makes the collection: flag: junk, or"
                " tag: vignetting"
            ),
        ),
        (
            "flagged",
            "",
            {"datasettypes": "raw"},
            (
                "field datasettypes: 'raw': it is not known; did you mean"
                " dataset_types? there are collection, dataset_types, flag,"
                " inherited, instrument, nights, sort, source, tag, where"
            ),
        ),
        (
            "flagged",
            "",
            {"source": "LSSTCam/*"},
            (
                "field source.0: 'LSSTCam/*': string should match pattern"
                " '^[^\\s*?\\[\\],]+$'; it should be the collections that are"
                " searched, in this order, without wildcards, such as"
                " LSSTCam/raw/all"
            ),
        ),
        (
            "flagged",
            "",
            {"source": ["a", "b"]},
            (
                "field collection: it must be named where source has not"
                " exactly one collection"
            ),
        ),
        (
            "flagged",
            "",
            {"collection": "x" * 65},
            (
                "field collection:"
                f" '{'x' * 65}':"
                " string should have at most 64 characters; it should be the"
                " TAGGED collection that is filled, at most 64 characters,"
                " without blanks and wildcards"
            ),
        ),
        (
            "flagged",
            "",
            {"source": "x" * 60},
            (
                "field collection:"
                f" 'flags/junk/{'x' * 60}':"
                " string should have at most 64 characters; it should be the"
                " TAGGED collection that is filled, at most 64 characters,"
                " without blanks and wildcards"
            ),
        ),
        (
            "set",
            "",
            {"set": "DRP1@3"},
            (
                "field set: 'DRP1@3': string should match pattern '^[^\\s/@]+$';"
                " it should be the name of a data-ID set, without version"
            ),
        ),
        (
            "set",
            "",
            {"file": "a.csv", "version": 3},
            "a file is one version: leave out either version or file",
        ),
        (
            "set",
            "",
            {"instrument": "LSSTCam"},
            "instrument is for the rows of a file: name one as file",
        ),
        (
            "set",
            "",
            {"sort": "sets"},
            ("field sort: 'sets': it should be one of flagged, usable, set"),
        ),
    ],
)
def test_an_error_names_file_rule_field_value_and_what_would_be_right(
    sort: str, without: str, fields: dict[str, object], line: str
) -> None:
    assert wrong(sort, without, **fields) == f"r.yaml: rule mine: {line}"


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = YAML.replace("flag: junk", "flagg: junk").replace("version: 3", "version: 0")
    text = text.replace("version: 1", "version: 2") + "more: 1\n"
    path = written(tmp_path, text)
    with pytest.raises(RulesError) as refused:
        rulefiles.read(path)
    assert [problem.pointer for problem in refused.value.problems] == [
        "/more",
        "/version",
        "/rules/junk-raws/flagg",
        "/rules/drp1/version",
    ]
    assert f"{path}: field version: 2: it should be 1\n" in refused.value.detail


def test_no_two_rules_fill_the_same_collection() -> None:
    with pytest.raises(RulesError) as refused:
        rulefiles.checked(
            "r.yaml", {"version": 1, "rules": {"a": GOOD["set"], "b": GOOD["set"]}}
        )
    assert refused.value.detail == (
        "r.yaml: rule b: field collection: 'sets/DRP1': rule a fills it too; name"
        " another one for one of them"
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("r.yaml", "rules: [", "it is no YAML: while parsing"),
        ("r.toml", "rules = [", "it is no TOML: "),
        ("r.yaml", "", "it has no rules; it should begin with 'version: 1'"),
        ("r.yaml", "rules: []", "it has no rules"),
        ("r.yaml", "version: 1\nrules: {}", "field rules: {}: it should hold a rule"),
        ("r.yaml", "version: 1\nrules: {a: b}", "rule a: 'b': it should be fields by"),
        ("r.yaml", "rules:\n  a: {}\n  a: {}\n", "'a' stands there twice"),
        ("r.yaml", "!!python/object/apply:os.getcwd []", "it is no YAML"),
    ],
)
def test_what_is_no_file_of_rules_is_refused(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = written(tmp_path, text, name)
    with pytest.raises(RulesError) as refused:
        rulefiles.read(path)
    assert refused.value.detail.startswith(f"{path}: ")
    assert words in refused.value.detail


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot be read: No such file"):
        rulefiles.read(tmp_path / "none.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"# \xe9\n")
    with pytest.raises(RulesError, match="cannot be read: it is not UTF-8"):
        rulefiles.read(path)
