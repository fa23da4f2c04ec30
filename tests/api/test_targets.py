"""One target over HTTP: its state now and then, its history, what it inherits."""

import msgspec

from annolog.domain.entries import Alias, Policy, SameAs
from tests.support.service import Service, Shown, service

EXPOSURE = "exposure:LSSTCam/2026111900123"
SISTER = "exposure:LSSTCam/2026111900124"


async def announce(annolog: Service, exposure_id: int, **facts: str) -> None:
    body = {"instrument": "LSSTCam", "exposure_id": exposure_id, **facts}
    answer = await annolog.post("/exposures", body)
    assert answer.status_code in {200, 201}, answer.text


# ------------------------------------------------------------------ what holds


async def test_target_shows_votes_with_the_part_each_played(database_url: str) -> None:
    async with service(database_url) as annolog:
        junk = await annolog.say(EXPOSURE, flag="junk", tags=["donuts"])
        good = await annolog.say(EXPOSURE, flag="good", by="ann")
        bot = await annolog.say(EXPOSURE, flag="junk", by="bot:pinger", check="psf")
        shown = await annolog.target(EXPOSURE)

    assert (shown["state"]["flag"], shown["state"]["disputed"]) == ("junk", True)
    assert [(v["voter"], v["flag"], v["part"], v["rank"]) for v in shown["votes"]] == [
        ("pinger#psf", "junk", "agrees", "bot"),
        ("ann", "good", "outvoted", "human"),
        ("jdoe", "junk", "decided", "human"),
    ]
    assert [v["revision_id"] for v in shown["votes"]] == [
        bot["revision_id"],
        good["revision_id"],
        junk["revision_id"],
    ]
    (tag,) = shown["tags"]
    assert (tag["tag"], [one["author"] for one in tag["said_by"]]) == (
        "donuts",
        ["jdoe"],
    )


async def test_confirming_review_is_a_vote_of_the_reviewer(database_url: str) -> None:
    async with service(database_url) as annolog:
        junk = await annolog.say(EXPOSURE, flag="junk")
        review = await annolog.review(junk, "confirm", by="ann")
        votes = (await annolog.target(EXPOSURE))["votes"]

    assert [(v["voter"], v["review_id"], v["revision_id"]) for v in votes] == [
        ("ann", review["record_id"], None),
        ("jdoe", None, junk["revision_id"]),
    ]


async def test_annotations_that_count_come_first_and_those_taken_back_last(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        kept = await annolog.say(EXPOSURE, text="kept")
        taken = await annolog.retract(await annolog.say(EXPOSURE, text="taken back"))
        moved = await annolog.say(EXPOSURE, SISTER, text="moved")
        await annolog.edit(moved, targets={"remove": [EXPOSURE]})
        shown = (await annolog.target(EXPOSURE))["annotations"]

    assert [(a["annotation_id"], a["counted_here"]) for a in shown] == [
        (kept["annotation_id"], True),
        (moved["annotation_id"], False),
        (taken["annotation_id"], False),
    ]


async def test_target_is_found_by_any_of_its_names(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say("exposure:LSSTCam/MC_O_20261119_000123", flag="junk")
        for name in ("MC_O_20261119_000123", EXPOSURE, "exposure:LSSTCam/20261119/123"):
            assert (await annolog.target(name))["key"] == EXPOSURE
        assert (await annolog.target(EXPOSURE))["names"] == ["MC_O_20261119_000123"]


async def test_target_of_which_nobody_heard_is_missing_and_names_what_is_near(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
        answer = await annolog.get("/target", key=SISTER)

    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_target"
    assert answer.json()["near"] == [EXPOSURE]


async def test_etag_changes_with_the_state_and_with_the_words(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        junk = await annolog.say(EXPOSURE, flag="junk")
        first = await annolog.get("/target", key=EXPOSURE)
        edited = await annolog.edit(junk, text="trailed")
        second = await annolog.get("/target", key=EXPOSURE)

    assert first.headers["etag"] == f'"{junk["number"]}"'
    assert second.headers["etag"] == f'"{edited["number"]}"'
    # Text moves no vote: the state is still that of the first change.
    assert second.json()["state"]["number"] == junk["number"]


async def test_joined_targets_are_shown_as_one(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
        await annolog.say(SISTER, flag="good", by="ann")
        await annolog.set_entry(SameAs(key_a=EXPOSURE, key_b=SISTER))
        for key in (EXPOSURE, SISTER):
            shown = await annolog.target(key)
            assert shown["joined"] == [EXPOSURE, SISTER]
            assert shown["state"]["key"] == EXPOSURE
            assert shown["state"]["disputed"]
            assert len(shown["votes"]) == 2


async def test_allowed_says_that_gaps_and_nights_take_no_flag(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        await annolog.say("night:LSSTCam/20261119", text="windy")
        night = await annolog.target("night:LSSTCam/20261119")
        assert (night["allowed"]["create"], night["allowed"]["flag"]) == (True, False)
        unnamed = await annolog.client.get(
            "/annolog/v1/target", params={"key": "night:LSSTCam/20261119"}
        )
        assert unnamed.json()["allowed"]["create"] is False


# ------------------------------------------------------------------ as of then


async def test_as_of_a_number_or_time_gives_what_was_answered_then(
    database_url: str,
) -> None:
    seen: list[tuple[int, str, Shown]] = []

    async with service(database_url) as annolog:

        async def look() -> None:
            shown = await annolog.target(EXPOSURE)
            head = shown["as_of"]
            at = await annolog.runtime.reads.fetchval(
                "select committed_at::text from change where number = $1", head
            )
            moment = at.replace(" ", "T").replace("+00", "Z")
            seen.append((head, moment, shown))

        junk = await annolog.say(EXPOSURE, SISTER, flag="junk", tags=["donuts"])
        await look()
        good = await annolog.say(EXPOSURE, flag="good", by="ann")
        await look()
        junk = await annolog.edit(junk, text="trailed", tags=["bad_focus"])
        await look()
        await annolog.review(junk, "reject", by="sci", targets=[EXPOSURE])
        await look()
        await annolog.review(good, "confirm", by="sci")
        await look()
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="latest"))
        await look()
        good = await annolog.retract(good)
        await look()
        await annolog.set_entry(Alias(name="sci", leads_to="jdoe"))
        await look()
        await annolog.restore(good)
        await look()
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="severity"))
        await look()
        junk = await annolog.edit(junk, targets={"remove": [EXPOSURE]})
        await look()
        await annolog.say(EXPOSURE, flag="questionable", by="bot:psf", check="psf")
        await look()
        await annolog.say(SISTER, flag="junk", by="ann")
        await annolog.set_entry(SameAs(key_a=EXPOSURE, key_b=SISTER))
        await look()
        await annolog.set_entry(SameAs(key_a=EXPOSURE, key_b=SISTER, revoked=True))
        await look()
        await annolog.say(EXPOSURE, flag="good", by="cur", settle=True)
        await look()

        for head, moment, shown in seen:
            for then in (str(head), moment):
                again = await annolog.target(EXPOSURE, as_of=then)
                assert _timeless(again) == _timeless(shown), (head, then)

    assert len({msgspec.json.encode(_timeless(s)) for _, _, s in seen}) == len(seen)


def _timeless(shown: Shown) -> Shown:
    """Leave out what depends on when states were refreshed after an entry."""
    state = {k: v for k, v in shown["state"].items() if k != "number"}
    return {**{k: v for k, v in shown.items() if k != "number"}, "state": state}


async def test_as_of_before_the_first_word_is_empty(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
        shown = await annolog.target(EXPOSURE, as_of="2026-01-01T00:00:00Z")

    assert (shown["as_of"], shown["state"]["flag"], shown["annotations"]) == (
        0,
        None,
        [],
    )


async def test_as_of_what_cannot_be_is_refused(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
        for wrong in ("yesterday", "-1", "9" * 30, "2026-11-19"):
            answer = await annolog.get("/target", key=EXPOSURE, as_of=wrong)
            assert answer.status_code == 422, wrong
            assert answer.json()["errors"][0]["pointer"] == "?as_of"


# ------------------------------------------------------------------ flag history


async def test_flag_history_tells_each_step_and_the_flag_after_it(
    database_url: str,
) -> None:
    async with service(database_url) as annolog:
        junk = await annolog.say(EXPOSURE, SISTER, flag="junk")
        await annolog.say(EXPOSURE, flag="good", by="ann")
        junk = await annolog.edit(junk, text="trailed")
        await annolog.set_entry(Policy(instrument="LSSTCam", rule="latest"))
        await annolog.set_entry(Policy(instrument="LATISS", rule="latest"))
        await annolog.set_entry(Alias(name="nobody", leads_to="somebody"))
        await annolog.review(junk, "reject", by="sci", targets=[SISTER])
        await annolog.review(junk, "confirm", by="sci", targets=[EXPOSURE])
        junk = await annolog.retract(junk)
        await annolog.say(EXPOSURE, flag="withdraw", by="ann")
        await annolog.restore(junk)
        shown = (await annolog.get("/target/flag-history", key=EXPOSURE)).json()

    steps = [(s["what"], s["by"], s["flag"], s["disputed"]) for s in shown["items"]]
    assert steps == [
        ("vote", "jdoe", "junk", False),
        ("vote", "ann", "junk", True),
        ("edit", "jdoe", "junk", True),
        ("policy", "admin", "good", False),
        ("review", "sci", "junk", False),
        ("retract", "jdoe", "good", False),
        ("withdraw", "ann", None, False),
        ("restore", "jdoe", "junk", False),
    ]
    numbers = [s["number"] for s in shown["items"]]
    assert numbers == sorted(numbers)


async def test_flag_history_is_read_page_by_page(database_url: str) -> None:
    async with service(database_url) as annolog:
        for author in "abcde":
            await annolog.say(EXPOSURE, flag="junk", by=f"user_{author}")
        path = f"/annolog/v1/target/flag-history?key={EXPOSURE}&limit=2"
        found: list[str] = []
        while path:
            answer = await annolog.client.get(path)
            assert answer.status_code == 200, answer.text
            found += [step["by"] for step in answer.json()["items"]]
            path = answer.links.get("next", {}).get("url", "")

    assert found == [f"user_{author}" for author in "abcde"]


async def test_damaged_cursor_of_a_history_is_refused(database_url: str) -> None:
    async with service(database_url) as annolog:
        await annolog.say(EXPOSURE, flag="junk")
        answer = await annolog.get("/target/flag-history", key=EXPOSURE, cursor="x")
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor_damaged")


# ------------------------------------------------------------------ inherited


async def test_visit_inherits_of_its_snaps_and_never_one_snap_of_the_other(
    database_url: str,
) -> None:
    visit = "record:visit/instrument=LSSTCam/visit=2026111900123"
    async with service(database_url) as annolog:
        for number in (2026111900123, 2026111900124):
            await announce(annolog, number)
        body = {
            "instrument": "LSSTCam",
            "visit": 2026111900123,
            "exposures": [EXPOSURE, SISTER],
        }
        answer = await annolog.post("/visits", body)
        assert answer.status_code in {200, 201}, answer.text
        await annolog.say(SISTER, flag="junk", tags=["trailed"])
        await annolog.say(visit, by="bot:qa", tags=["clouds"])

        of_visit = (await annolog.get("/target/inherited", key=visit)).json()
        of_first = (await annolog.get("/target/inherited", key=EXPOSURE)).json()
        of_second = await annolog.target(SISTER)

    assert (of_visit["flag"], of_visit["tags"]) == ("junk", ["trailed"])
    assert of_visit["sources"][0]["path"] == [
        {"source": SISTER, "target": visit, "relation": "visit", "direction": "up"}
    ]
    assert (of_first["flag"], of_first["tags"]) == (None, ["clouds"])
    assert of_second["state"]["flag"] == "junk"
    assert of_second["inherited"]["flag"] is None


async def test_detector_inherits_of_its_record_while_the_times_overlap(
    database_url: str,
) -> None:
    record = "record:detector/instrument=LSSTCam/detector=94"
    async with service(database_url) as annolog:
        for day, number in (("19", 2026111900123), ("25", 2026112500007)):
            await announce(
                annolog,
                number,
                begin=f"2026-11-{day}T03:00:00Z",
                end=f"2026-11-{day}T03:00:30Z",
            )
        await announce(annolog, 2026112100001)
        bad = await annolog.say(
            record, flag="junk", observed_at={"begin": "2026-11-20T12:00:00Z"}
        )

        async def flag_of(exposure: int, detector: int = 94) -> str | None:
            key = f"detector:LSSTCam/{exposure}/{detector}"
            flag: str | None = (await annolog.target(key))["inherited"]["flag"]
            return flag

        assert await flag_of(2026111900123) is None
        assert await flag_of(2026112500007) == "junk"
        assert await flag_of(2026112500007, detector=93) is None
        # Nobody knows when it was taken: its night decides.
        assert await flag_of(2026112100001) == "junk"

        before = (await annolog.target(record))["as_of"]
        span = {"begin": "2026-11-20T12:00:00Z", "end": "2026-11-24T00:00:00Z"}
        await annolog.edit(bad, observed_at=span)
        assert await flag_of(2026112500007) is None
        assert await flag_of(2026112100001) == "junk"

        key = "detector:LSSTCam/2026112500007/94"
        then = await annolog.get("/target/inherited", key=key, as_of=before)
        assert then.json()["flag"] == "junk"


async def test_exposure_inherits_words_of_its_night(database_url: str) -> None:
    async with service(database_url) as annolog:
        await announce(annolog, 2026111900123)
        await annolog.say("night:LSSTCam/20261119", tags=["clouds"], text="clouds")
        shown = (await annolog.get("/target/inherited", key=EXPOSURE)).json()

    (source,) = shown["sources"]
    assert (source["source"], source["words_only"], source["flag"]) == (
        "night:LSSTCam/20261119",
        True,
        None,
    )
    assert [a["text"] for a in source["annotations"]] == ["clouds"]


# ------------------------------------------------------------------ resolving


async def test_resolve_of_ten_thousand_pasted_ids_says_what_is_odd(
    database_url: str,
) -> None:
    known = [2026111900001 + i for i in range(9_900)]
    async with service(database_url) as annolog:
        answer = await annolog.post(
            "/annotations",
            {
                "targets": {"instrument": "LSSTCam", "ids": known},
                "flag": "junk",
            },
        )
        assert answer.status_code == 201
        await announce(annolog, 2026112000007)
        await annolog.say("exposure:LSSTCam/4026112000007", text="another controller")
        before = await annolog.runtime.reads.fetchval("select count(*) from target")
        lines = [f"{one}, i donuts" if one % 3 else str(one) for one in known]
        lines[5:5] = ["", "# a comment"]
        lines += ["2026111900001", "MC_O_20261119_000002"]  # said before
        lines += ["2026113000001", "2026113000002"]  # nobody knows them
        lines += ["20261120/7"]  # of two controllers
        lines += ["LSSTCam/20261120/8"]  # none
        answer = await annolog.post(
            "/targets/resolve",
            {"text": "\n".join(lines), "instrument": "LSSTCam"},
        )
        after = await annolog.runtime.reads.fetchval("select count(*) from target")

    assert answer.status_code == 200, answer.text[:500]
    found = answer.json()
    assert before == after
    assert (found["count"], found["accepted"]) == (9_902, False)
    assert [one["key"] for one in found["targets"][:2]] == [
        "exposure:LSSTCam/2026111900001",
        "exposure:LSSTCam/2026111900002",
    ]
    first = found["targets"][0]
    assert (first["known"], first["state"]["flag"]) == (True, "junk")
    assert first["comment"] == " i donuts"
    assert {one["name"] for one in found["unknown"]} == {
        "2026113000001",
        "2026113000002",
        "LSSTCam/20261120/8",
    }
    assert found["ambiguous"] == [
        {
            "name": "20261120/7",
            "candidates": [
                "exposure:LSSTCam/2026112000007",
                "exposure:LSSTCam/4026112000007",
            ],
        }
    ]
    assert [one["key"] for one in found["doubled"]] == [
        "exposure:LSSTCam/2026111900001",
        "exposure:LSSTCam/2026111900002",
    ]


async def test_resolve_of_a_range_lists_its_holes(database_url: str) -> None:
    async with service(database_url) as annolog:
        for number in (2026111900123, 2026111900125):
            await announce(annolog, number)
        ranged = {"instrument": "LSSTCam", "day_obs": 20261119, "seq_nums": "123-126"}
        by_range = (await annolog.post("/targets/resolve", ranged)).json()
        text = {"instrument": "LSSTCam", "day_obs": 20261119, "text": "123-125,126"}
        by_text = (await annolog.post("/targets/resolve", text)).json()

    hole = {"instrument": "LSSTCam", "day_obs": 20261119}
    assert by_range["holes"] == [{**hole, "seq_nums": "124,126"}]
    assert by_range["accepted"]
    assert [one["key"] for one in by_range["targets"]] == [
        "exposure:LSSTCam/2026111900123",
        "exposure:LSSTCam/2026111900125",
    ]
    assert by_text["holes"] == [{**hole, "seq_nums": "124"}]
    assert [one["name"] for one in by_text["unknown"]] == ["126"]


async def test_resolve_takes_one_way_of_naming(database_url: str) -> None:
    async with service(database_url) as annolog:
        for wrong in (
            {},
            {"names": [EXPOSURE], "text": "x"},
            {"ids": [1]},
            {"seq_nums": "1-2", "instrument": "LSSTCam"},
        ):
            answer = await annolog.post("/targets/resolve", wrong)
            assert answer.status_code == 422, wrong
        answer = await annolog.post("/targets/resolve", {"names": [EXPOSURE, "???"]})
        assert [one["pointer"] for one in answer.json()["problems"]] == ["/names/1"]
        assert answer.json()["targets"][0]["known"] is False
