"""Random histories: records as several sites could have made them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from annolog.domain import dataids, messages, records
from annolog.domain.entries import (
    Alias,
    AnyEntry,
    FlagEntry,
    Policy,
    SameAs,
    fields_of,
)
from annolog.domain.flags import voter_of
from annolog.domain.records import Origin, Record, Sender
from annolog.domain.setrecords import list_of, version_key

BEGUN = datetime(2026, 11, 19, tzinfo=UTC)
KEYS = (
    *(f"exposure:LSSTCam/20261119{n:05}" for n in range(1, 20)),
    "exposure:HSC/7",
    "exposure:HSC/obs_id=HSCA01",
    "detector:LSSTCam/2026111900001/94",
    "dataset:018f0000-0000-7000-8000-000000000001",
    "night:LSSTCam/20261119",
)
HSC, TWIN = KEYS[19], KEYS[20]
PEOPLE = ("ada", "bob", "eve", "bob@host")
FLAGS = (None, "good", "junk", "questionable", "follow_up", "withdraw", "odd")
ENTRIES: tuple[AnyEntry, ...] = (
    FlagEntry(name="good", severity=0),
    FlagEntry(name="questionable", severity=50),
    FlagEntry(name="junk", severity=100, excludes=True),
    FlagEntry(name="follow_up", severity=10, asks=True),
    FlagEntry(name="odd", severity=60),
    Policy(rule="latest"),
    Policy(instrument="LSSTCam", rule="severity"),
    Policy(instrument="LSSTCam", rule="latest"),
    Alias(name="bob@host", leads_to="bob"),
    Alias(name="bob@host", leads_to=None),
    Alias(name="bob", leads_to="eve"),
    SameAs(key_a=KEYS[0], key_b=KEYS[1]),
    SameAs(key_a=KEYS[0], key_b=KEYS[1], revoked=True),
    SameAs(key_a=KEYS[1], key_b=KEYS[2]),
    SameAs(key_a=KEYS[1], key_b=KEYS[2], revoked=True),
    SameAs(key_a=KEYS[2], key_b=HSC),
)


@dataclass(frozen=True)
class Step:
    """One thing that somebody does; the numbers are taken modulo what there is."""

    what: str
    who: int
    which: int
    how: int
    pause: int


def steps(most: int = 30) -> st.SearchStrategy[list[Step]]:
    """Give random things that people, bots and instruments do."""
    what = st.sampled_from(
        ["create"] * 4
        + ["edit"] * 6
        + ["retract", "restore"]
        + ["review"] * 4
        + ["again", "redact", "fact", "visit", "checked"]
        + ["set"] * 2
        + ["about set", "redact set"]
        + ["entry"] * 3
    )
    number = st.integers(0, 400)
    return st.lists(
        st.builds(Step, what, number, number, number, st.integers(0, 2)),
        min_size=1,
        max_size=most,
    )


def history(done: Sequence[Step]) -> list[Record]:
    """Write down what was done, as records in the order of their births."""
    scribe = _Scribe()
    for step in done:
        scribe.take(step)
    return scribe.records


class _Scribe:
    def __init__(self) -> None:
        self.records: list[Record] = []
        self.revisions: list[dict[str, Any]] = []
        self._lists: set[UUID] = set()
        self._versions: list[dict[str, Any]] = []
        self._clock = 1_760_000_000_000_000
        self._count = 0
        self._parents: dict[str | None, dict[str, Any]] = {}

    def take(self, step: Step) -> None:  # noqa: C901, PLR0912 - one case a kind of step
        self._clock += step.pause
        match step.what:
            case "create":
                self._create(step, self._new_id())
            case "again" if self.revisions:
                old = self.revisions[step.which % len(self.revisions)]
                self._create(step, UUID(old["annotation_id"]))
            case "edit" if self.revisions:
                self._revise(step, "edit", self._edited(step))
            case "retract" | "restore" if self.revisions:
                parent = self.revisions[step.which % len(self.revisions)]
                self._revise(step, step.what, parent)
            case "review" if self.revisions:
                self._review(step)
            case "redact" if self.revisions:
                old = self.revisions[step.which % len(self.revisions)]
                self._seal(
                    "redaction",
                    {
                        "annotation_id": old["annotation_id"],
                        "revisions": [old["revision_id"]],
                        "reason": "",
                    },
                    "ada",
                )
            case "fact":
                self._fact(step)
            case "visit":
                number = 1 + step.how % 3
                self._seal(
                    "visit",
                    {
                        "operation": "define",
                        "subject": f"record:visit/visit={step.which % 2}",
                        "instruments": ["LSSTCam"],
                        "days": [20261119],
                        "exposures": list(KEYS[:number]),
                    },
                    "camera",
                )
            case "checked":
                self._seal(
                    "checked",
                    {
                        "operation": "check",
                        "subject": "night:LSSTCam/20261119",
                        "instruments": ["LSSTCam"],
                        "days": [20261119],
                        "instrument": "LSSTCam",
                        "day_obs": 20261119,
                        "seq_first": step.which,
                        "seq_last": step.which + step.how,
                        "tags": ["donuts"],
                        "revokes": None,
                    },
                    "ada",
                )
            case "set":
                self._set_version(step)
            case "redact set" if self._versions:
                self._redact_set(step)
            case "about set":
                self._about_set(step)
            case "entry":
                entry = ENTRIES[step.which % len(ENTRIES)]
                kind = {
                    "FlagEntry": "flag",
                    "Policy": "policy",
                    "Alias": "alias",
                    "SameAs": "same_as",
                }[type(entry).__name__]
                fields = {"key": entry.key, "fields": fields_of(entry), "reason": ""}
                self._seal(kind, fields, "ada")
            case _:
                pass

    def _set_version(self, step: Step) -> None:
        data_ids: list[dict[str, int | str | None]] = [
            {"instrument": "LSSTCam", "exposure": 2026111900001 + n}
            for n in range(step.how % 4)
        ]
        values = [{"comment": f"c{step.which % 2}"}] * len(data_ids)
        rows = dataids.table(
            ["instrument", "exposure"],
            ["comment"],
            zip(data_ids, values, strict=True),
        )
        digest = dataids.digest(rows)
        list_id, body = list_of(rows)
        if list_id not in self._lists:
            self._lists.add(list_id)
            number = len(self.records) + 1
            self.records.append(
                Record.unplaced(list_id, "set_rows", body).placed(_ORIGIN, number)
            )
        version = 1 + step.which % 3
        record_id = self._new_id()
        dropped = {"data_id": {"exposure": 1}, "reason": "needed"}
        fields = {
            "operation": "create",
            "subject": version_key("bad", version, digest),
            "instruments": ["LSSTCam"],
            "days": [],
            "name": "bad",
            "version": version,
            "digest": digest.hex(),
            "list_id": str(list_id),
            "row_count": len(data_ids),
            "dimensions": list(rows.dimensions),
            "columns": list(rows.columns),
            "instrument": None,
            "reason": "because",
            "recipe": {"parts": [], "keep": [], "drop": [dropped]},
            "as_of": None,
        }
        self._versions.append({**fields, "record_id": str(record_id)})
        self._seal("set_version", fields, "ada", record_id=record_id)

    def _redact_set(self, step: Step) -> None:
        version = self._versions[step.which % len(self._versions)]
        first = {"instrument": "LSSTCam", "exposure": 2026111900001 + step.who % 3}
        self._seal(
            "set_redaction",
            {
                "operation": "redact",
                "subject": version["subject"],
                "instruments": ["LSSTCam"],
                "days": [],
                "name": "bad",
                "version": version["version"],
                "versions": [version["record_id"]],
                "lists": [version["list_id"]],
                "data_ids": [first] if step.how % 2 else None,
                "reason": "a secret",
            },
            "ada",
        )

    def _about_set(self, step: Step) -> None:
        common = {"name": "bad", "instruments": [], "days": [], "reason": "so"}
        subject = version_key("bad", 1 + step.which % 3, b"\x1f" * 32)
        kinds: tuple[tuple[str, dict[str, Any]], ...] = (
            ("set_release", {"operation": "release", "label": "DRP1"}),
            ("set_release", {"operation": "withdraw", "label": "DRP1"}),
            ("set_access", {"operation": "share", "owner": "ada", "editors": ["bob"]}),
            (
                "set_drift",
                {
                    "operation": "drift",
                    "version": 1,
                    "label": "DRP1",
                    "as_of": step.how,
                    "added": 1,
                    "dropped": 0,
                    "changed": 0,
                    "digest": "1f",
                },
            ),
        )
        kind, fields = kinds[step.how % len(kinds)]
        self._seal(kind, {**common, "subject": subject, **fields}, "ada")

    def _new_id(self) -> UUID:
        # Not in the order of birth: ids decide between equal clocks.
        self._count += 1
        raw = bytearray(hashlib.sha256(b"%d" % self._count).digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x70
        raw[8] = raw[8] & 0x3F | 0x80
        raw[14:] = bytes([raw[14] & 0xC0, 0])  # where messages have their ordinals
        return UUID(bytes=bytes(raw))

    def _create(self, step: Step, annotation_id: UUID) -> None:
        size = (1, 2, 3, 17, 20)[step.which % 5]
        start = step.how % len(KEYS)
        named = [KEYS[(start + n) % len(KEYS)] for n in range(size)]
        flag = FLAGS[step.how % len(FLAGS)]
        self._write(
            step,
            {
                "annotation_id": str(annotation_id),
                "parent_id": None,
                "operation": "create",
                "keys": sorted(named),
                "text": f"text {step.how}",
                "tags": [["donuts"], [], ["wind", "donuts"]][step.which % 3],
                "flag": flag,
                "level": 20,
                "urls": ["https://example.org/"],
                "reply_to": None,
                "observed_at": None,
            },
        )

    def _edited(self, step: Step) -> dict[str, Any]:
        """Give an older revision with something changed."""
        old = dict(self.revisions[step.which % len(self.revisions)])
        match step.how % 6:
            case 0:
                old["text"] = f"other {step.who}"
            case 1:
                old["flag"] = FLAGS[step.who % len(FLAGS)]
            case 2:
                old["tags"] = [["donuts"], [], ["wind"]][step.who % 3]
            case 3:
                old["keys"] = old["keys"][: max(1, len(old["keys"]) - 1)]
            case 4:
                more = {KEYS[step.who % len(KEYS)], KEYS[step.how % len(KEYS)]}
                old["keys"] = sorted({*old["keys"], *more})
            case _:
                old["flag"] = None
        return old

    def _revise(self, step: Step, operation: str, said: Mapping[str, Any]) -> None:
        fields = {
            **said,
            "operation": operation,
            "parent_id": self.revisions[step.which % len(self.revisions)][
                "revision_id"
            ],
        }
        fields.pop("revision_id")
        self._write(step, fields, step.who + step.which)

    def _write(
        self, step: Step, fields: Mapping[str, Any], who: int | None = None
    ) -> None:
        author = PEOPLE[(step.who if who is None else who) % len(PEOPLE)]
        bot = step.who % 5 == 4
        record_id = self._new_id()
        rest = {k: v for k, v in fields.items() if k != "keys"}
        keys = fields["keys"]
        placed = self._placed(keys, {"target_count": len(keys)})
        check = "donut_finder" if bot else None
        speaker = "robot" if bot else author
        says = {**rest, "author": speaker, "author_kind": "bot" if bot else "human"}
        rest["content_id"] = str(
            messages.content_id(record_id, says, self._parents.get(rest["parent_id"]))
        )
        self._parents[str(record_id)] = {
            **says,
            "revision_id": str(record_id),
            "content_id": rest["content_id"],
        }
        rank = "bot" if bot else "curator" if step.who % 7 == 6 else "human"
        self._seal(
            "revision",
            {**rest, **placed, "check": check},
            speaker,
            rank=rank,
            record_id=record_id,
            check=check,
        )
        self.revisions.append(
            {**rest, "keys": list(keys), "revision_id": str(record_id)}
        )

    def _placed(self, keys: Sequence[str], more: Mapping[str, Any]) -> dict[str, Any]:
        if len(keys) <= records.MAX_INLINE_TARGETS:
            return {"targets": list(keys), "list_id": None, **more}
        list_id, written = records.list_of(keys)
        if list_id not in self._lists:
            self._lists.add(list_id)
            number = len(self.records) + 1
            self.records.append(records.list_record(list_id, written, _ORIGIN, number))
        return {"list_id": str(list_id), **more}

    def _review(self, step: Step) -> None:
        old = self.revisions[step.which % len(self.revisions)]
        keys: Sequence[str] | None = None
        if step.how % 3:
            keys = old["keys"][step.how % 2 :: 2] or old["keys"]
            if step.how % 5 == 0:
                keys = [f"exposure:LSSTCam/20261119{n:05}" for n in range(1, 18)]
        placed: Mapping[str, Any] = {"targets": None, "list_id": None}
        if keys is not None:
            placed = self._placed(sorted(keys), {})
        self._seal(
            "review",
            {
                "annotation_id": old["annotation_id"],
                "revision_id": old["revision_id"],
                "verdict": ("confirm", "reject", "closed")[step.how % 3],
                "reason": "because",
                "targets": None,
                **placed,
            },
            PEOPLE[step.who % len(PEOPLE)],
            rank="curator" if step.who % 3 == 0 else "human",
        )

    def _fact(self, step: Step) -> None:
        key = (KEYS[0], KEYS[1], HSC, TWIN)[step.which % 4]
        fields: dict[str, Any] = {"exposure_time": float(step.how % 3 * 15)}
        twin = None
        if key == HSC:
            fields |= {"exposure_id": 7, "obs_id": "HSCA01"}
            twin = TWIN
        if key == KEYS[0] and step.how % 2:
            fields |= {"obs_id": "MC_O_20261119_000001"}
        self._seal(
            "exposure",
            {
                "key": key,
                "source": ("butler", "camera", "bulk")[step.who % 3],
                "event": ("announce", "start", "end", "cancel", "record", "remove")[
                    step.how % 6
                ],
                "fields": fields,
                "twin": twin,
            },
            "camera",
        )

    def _seal(
        self,
        kind: str,
        fields: Mapping[str, Any],
        author: str,
        *,
        rank: str = "human",
        record_id: UUID | None = None,
        check: str | None = None,
    ) -> None:
        number = len(self.records) + 1
        human = rank != "bot"
        record, _ = records.seal(
            kind=kind,
            record_id=record_id or self._new_id(),
            id_field="revision_id" if kind == "revision" else "record_id",
            origin=_ORIGIN,
            number=number,
            clock=self._clock,
            now=BEGUN + timedelta(seconds=number),
            sender=Sender(
                author, "human" if human else "bot", rank, None, "none", None
            ),
            voter=voter_of(author, "human" if human else "bot", check),
            fields=fields,
            request_digest=hashlib.sha256(b"%d" % number).digest(),
        )
        self.records.append(record)


_ORIGIN = Origin("summit", "0a1b2c3d")
