"""What compares would be of no use if it overlooked anything."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.findings import Findings, Log, of_ledger, of_log
from tests.faults.ledger import Ledger, Said

Json = dict[str, Any]
KEY = "exposure:LSSTCam/2026111900001"
CONTENT = {"flag": "junk", "tags": ["trailed"], "text": "wind"}


def an_item(number: int, *, operation: str = "create", of: int | None = None) -> Json:
    body = {
        "revision_id": f"r{number}",
        "annotation_id": f"a{of or number}",
        "list_id": None,
        "targets": [KEY],
        **CONTENT,
    }
    return {
        "id": f"r{number}",
        "sequence": f"{number:020d}",
        "data": {
            "kind": "revision",
            "number": number,
            "operation": operation,
            "annotation_id": body["annotation_id"],
            "after": body,
        },
    }


def a_log(count: int = 3) -> Log:
    return Log(1, count, [an_item(number) for number in range(1, count + 1)], {})


def a_ledger(count: int = 3) -> Ledger:
    ledger = Ledger()
    ledger.said = [
        Said("create", f"a{n}", f"r{n}", n, CONTENT, frozenset({KEY}))
        for n in range(1, count + 1)
    ]
    return ledger


def found(log: Log, ledger: Ledger) -> list[str]:
    findings = Findings()
    of_log(log, findings)
    of_ledger(log, ledger, findings)
    return findings.wrong


def test_nothing_is_found_where_the_log_has_what_was_acknowledged() -> None:
    assert found(a_log(), a_ledger()) == []


def lose(log: Log, _: Ledger) -> None:
    del log.items[1]


def store_twice(log: Log, _: Ledger) -> None:
    log.items[2]["data"]["after"]["annotation_id"] = "a1"
    log.items[2]["data"]["annotation_id"] = "a1"


def alter(log: Log, _: Ledger) -> None:
    log.items[0]["data"]["after"]["text"] = "clouds"


def move(log: Log, _: Ledger) -> None:
    log.items[0]["data"]["after"]["targets"] = [KEY, KEY[:-1] + "2"]


def swap(log: Log, _: Ledger) -> None:
    log.items.reverse()


def invent(_: Log, ledger: Ledger) -> None:
    del ledger.said[2]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose, ["log: lacks 2", "acknowledged: create 2 of a2 is lost"]),
        (store_twice, ["log: creates a1 twice"]),
        (alter, ["acknowledged: create 1 of a1: text is 'clouds' and not 'wind'"]),
        (move, ["acknowledged: create 1 of a1: targets is"]),
        (swap, ["log: is not in order"]),
        (invent, ["log: has a create of a3 that nobody said"]),
    ],
)
def test_what_is_lost_altered_or_there_twice_is_found(
    harm: Callable[[Log, Ledger], None], words: list[str]
) -> None:
    log, ledger = a_log(), a_ledger()
    harm(log, ledger)
    wrong = found(log, ledger)
    for each in words:
        assert any(one.startswith(each) for one in wrong), wrong


def test_what_was_given_up_may_be_there_once() -> None:
    log, ledger = a_log(), a_ledger(2)
    ledger.given_up = [("create", "a3")]
    assert found(log, ledger) == []
