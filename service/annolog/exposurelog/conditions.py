"""Filters and orders of messages as conditions of SQL.

Statements are put together from fixed fragments; what a user sent is bound. The
aliases are `m` (message), `v` (its revision), `s.said` (its body as JSON).
"""

from collections.abc import Iterator

import msgspec

from annolog.domain.tags import findable
from annolog.exposurelog.flags import EXPOSURE_FLAGS, ShownFlags
from annolog.exposurelog.parameters import MessageQuery
from annolog.exposurelog.plans import Plan
from annolog.storage.conditions import Binds, every, fill

_FLAG = """case when v.flag is null or v.flag = any({none}) then 0
    when v.flag = any({junk}) then 1 else 2 end"""
"""Place of a message's flag in `EXPOSURE_FLAGS`."""

_VALID = "(m.date_invalidated is null)"
_HUMAN = "(v.author_kind = 'human')"
_TEXT = "(s.said->>'text')"
_AGENT = "coalesce(s.said->>'user_agent', '')"
_WORDS = "array(select jsonb_array_elements_text(s.said->'{name}'))"

_COLUMNS = {
    "id": "m.message_id",
    "site_id": "m.site_id",
    "obs_id": "m.obs_id",
    "instrument": "m.instrument",
    "day_obs": "m.day_obs",
    "seq_num": "m.seq_num",
    "message_text": _TEXT,
    "level": "v.level",
    "tags": fill(_WORDS, name="tags"),
    "urls": fill(_WORDS, name="urls"),
    "user_id": "v.author",
    "user_agent": _AGENT,
    "is_human": _HUMAN,
    "is_valid": _VALID,
    "exposure_flag": _FLAG,
    "date_added": "m.date_added",
    "date_invalidated": "m.date_invalidated",
    "parent_id": "m.parent_id",
}
"""What each field is in SQL."""

_SPANS = {
    "day_obs": "bigint",
    "seq_num": "bigint",
    "level": "bigint",
    "date_added": "timestamp",
    "date_invalidated": "timestamp",
}
"""Fields with `min_` (inclusive) and `max_` (exclusive)."""

_BOUNDS = tuple(
    (f"{bound}_{name}", f"{_COLUMNS[name]} {test}", kind)
    for name, kind in _SPANS.items()
    for bound, test in (("min", ">="), ("max", "<"))
)
"""The parameters that they are bounded by, and how."""

_CHOICES = {
    "site_ids": "m.site_id",
    "instruments": "m.instrument",
    "user_ids": "v.author",
    "user_agents": _AGENT,
}
"""Parameters that name all values that a field may have."""


class Sql:
    """The parts of a statement that finds messages.

    Parameters
    ----------
    asked
        Which messages.
    plan
        How to look for them.
    flags
        What flags are shown as.
    """

    def __init__(self, asked: MessageQuery, plan: Plan, flags: ShownFlags) -> None:
        self._asked = asked
        self._plan = plan
        self._flags = flags
        self._flag: str | None = None
        self.bind = Binds()

    def where(self) -> str:
        """Give what holds of every message that is asked for."""
        return every(self._conditions())

    def keys(self) -> list[tuple[str, str]]:
        """Give what messages are sorted by, each with its direction."""
        return [
            (self._flag_place() if name == "exposure_flag" else _COLUMNS[name], way)
            for name, descending in self._asked.order
            for way in ["desc" if descending else "asc"]
        ]

    def bodies(self) -> str:
        """Give the join that reads bodies, empty where none is needed."""
        if not self._plan.bodies:
            return ""
        # Finding bytes is much quicker than reading JSON, and what a text contains is
        # in its body as canonical JSON writes it.
        words = self._asked.message_text
        test = "true"
        if words:
            written = self.bind(msgspec.json.encode(words)[1:-1], "bytea")
            test = f"position({written} in b.body) > 0"
        return f"""join record b on b.record_id = m.revision_id
            cross join lateral (
              select convert_from(b.body, 'UTF8')::jsonb as said
               where {test} offset 0) s"""

    def _conditions(self) -> Iterator[str]:
        asked, bind = self._asked, self.bind
        for bound, test, kind in _BOUNDS:
            value = getattr(asked, bound)
            if value is not None:
                yield f"{test} {bind(value, kind)}"
        for name, column in _CHOICES.items():
            values = getattr(asked, name)
            if values is not None:
                yield f"{column} = any({bind.texts(values)})"
        for column, wanted in ((_VALID, asked.is_valid), (_HUMAN, asked.is_human)):
            if wanted != "either":
                yield column if wanted == "true" else f"not {column}"
        for name, known in (
            ("date_invalidated", asked.has_date_invalidated),
            ("parent_id", asked.has_parent_id),
        ):
            if known is not None:
                yield f"m.{name} is {'not null' if known else 'null'}"
        yield from self._contained()

    def _contained(self) -> Iterator[str]:
        asked, bind = self._asked, self.bind
        if asked.obs_id is not None:
            words = bind(asked.obs_id, "text")
            # An index has (length(obs_id), obs_id): this one, and longer ones.
            yield (
                f"(length(m.obs_id) = length({words})"
                f" and left(m.obs_id, 256) = left({words}, 256) and m.obs_id = {words}"
                f" or length(m.obs_id) > length({words})"
                f" and strpos(m.obs_id, {words}) > 0)"
            )
        if asked.message_text is not None:
            yield f"strpos({_TEXT}, {bind(asked.message_text, 'text')}) > 0"
        if asked.tags is not None:
            yield f"v.tags && {bind.texts(findable(asked.tags))}"
        if asked.exclude_tags is not None:
            yield f"not v.tags && {bind.texts(findable(asked.exclude_tags))}"
        if asked.urls is not None:
            yield f"s.said->'urls' ?| {bind.texts(asked.urls)}"
        if asked.exposure_flags is not None:
            places = [EXPOSURE_FLAGS.index(value) for value in asked.exposure_flags]
            yield f"{self._flag_place()} = any({bind(places, 'integer[]')})"

    def _flag_place(self) -> str:
        if self._flag is None:
            none, junk = self._flags.named("none"), self._flags.named("junk")
            self._flag = fill(
                _FLAG, none=self.bind.texts(none), junk=self.bind.texts(junk)
            )
        return self._flag
