"""What a filter of annotations comes to in SQL.

The alias r is the revision that is looked at, s what names candidates for it.
"""

from collections.abc import Sequence
from typing import Literal

from annolog.domain.queries import NO_FLAG, AnnotationFilter
from annolog.storage.conditions import (
    INSTRUMENTS,
    Binds,
    asks_tags,
    at_nights,
    at_place,
    every,
    fill,
    has_flag,
    has_tags,
    is_same,
)

CURRENT = "r.current_from is not null and r.current_to is null"
"""What is true of a revision that holds now; indexes are on just that."""

Way = Literal["revision", "nights", "said"]
"""Where candidates come from: a revision's own columns, its nights, its targets."""

_SAID_INSTRUMENTS = INSTRUMENTS.format(table="said", test="to_number is null")
_TARGET_INSTRUMENTS = INSTRUMENTS.format(table="target", test="true")

# A scalar subquery, not EXISTS: it is never turned into a join that would read the
# whole table `said` for one page.
_SAID_OF = """coalesce((
    select true {said} limit 1
), false)"""

_STATEMENT = "s.source_id = s.annotation_id"


class AnnotationConditions:
    """The conditions of one filter."""

    def __init__(self, asked: AnnotationFilter) -> None:
        self.asked = asked
        self.all_revisions = asked.revisions == "all"
        self.ever = self.all_revisions or asked.counted == "all"
        self.base = "true" if self.all_revisions else CURRENT

    # ------------------------------------------------- what kind of search

    @property
    def narrow(self) -> bool:
        """Whether what is asked of targets names candidates by an index."""
        asked = self.asked
        return bool(
            asked.target
            or asked.instrument
            or any(asked.nights)
            or asked.effective_flag
            or asked.disputed
        )

    @property
    def only_place(self) -> bool:
        """Whether a target must have nothing but a place, which its row has too."""
        asked = self.asked
        return asked.asks_targets and not (
            asked.target
            or asked.target_kind
            or asked.effective_flag
            or asked.disputed is not None
        )

    @property
    def only_instrument(self) -> bool:
        """Whether the instrument is all that an index could look for."""
        if not self.asked.instrument:
            return False
        rest = self.asked.model_copy(update={"instrument": ()})
        return not rest.asks_targets

    @property
    def listed(self) -> bool:
        """Whether a revision's own words or tags name candidates."""
        asked = self.asked
        other = asked.reply_to or self.narrow
        return not other and bool(asked.words or asked.phrase or asks_tags(asked))

    @property
    def flagged(self) -> bool:
        """Whether the flag alone names candidates."""
        flags = self.asked.flag
        return bool(flags) and not self.ever and not {NO_FLAG, "withdraw"} & {*flags}

    @property
    def lane(self) -> tuple[str, str, object] | None:
        """The column, cast and value whose own index is in the order asked for."""
        asked = self.asked
        if asked.ordering.name != "created" or self.all_revisions:
            return None
        if asked.reply_to:
            return "r.reply_to", "uuid", asked.reply_to
        if len(asked.author) == 1:
            return "left(r.author, 256)", "text", asked.author[0][:256]
        if len(asked.check) == 1:
            return 'r."check"', "text", asked.check[0]
        return None

    @property
    def ways(self) -> Sequence[Way]:
        """The ways to find candidates, the better first; empty where no index helps."""
        asked = self.asked
        if asked.reply_to:
            return () if self.lane else ("revision",)
        if self.narrow:
            fewer = self.ever or self.flagged or asked.seq_nums
            by_night = any(asked.nights) and self.only_place and not fewer
            return ("nights", "said") if by_night else ("said",)
        if self.listed:
            return ("revision",)
        if self.flagged:
            return ("said",)
        named = (asked.author or asked.check) and not self.all_revisions
        return ("revision",) if named and not self.lane else ()

    # --------------------------------------------------------- candidates

    def revisions(self, columns: str, way: Way, bind: Binds) -> str:
        """Give a query of the revisions that are candidates."""
        return " union all ".join(
            f"select {columns} from revision r where {self.base} and {test}"  # noqa: S608 # fragments of ours
            for test in self._tests(way, bind)
        )

    def _tests(self, way: Way, bind: Binds) -> list[str]:
        asked = self.asked
        if way == "nights":
            begin_there = every(at_nights(asked, bind, "r"))
            low, _ = asked.nights
            return [begin_there] if low is None else [begin_there, reaching(low, bind)]
        if asked.reply_to:
            return [f"r.reply_to = {bind(asked.reply_to, 'uuid')}"]
        if asked.words or asked.phrase:
            return [every(self.texts(bind))]
        if asks_tags(asked):
            return [every(has_tags(asked, bind, "r"))]
        if asked.author:
            authors = bind.texts([author[:256] for author in asked.author])
            return [f"left(r.author, 256) = any({authors})"]
        # Said twice, as the index is on what is not null.
        checks = bind.texts(asked.check)
        return [f'r."check" is not null and r."check" = any({checks})']

    def statements(self, bind: Binds, *, probing: bool = False) -> str:
        """Give, from `from` on, the rows of `said` (alias s) that name candidates.

        A probe does not tell statements from confirming reviews, whose rows name an
        annotation too, so that the index alone answers it.
        """
        asked = self.asked
        if self.narrow:
            said = self.said(bind, None if probing else _STATEMENT)
            if self.flagged:
                said += f" and s.flag = any({bind.texts(asked.flag)})"
            return said
        return (
            f"from said s where {_STATEMENT} and s.to_number is null"
            f" and s.flag = any({bind.texts(asked.flag)})"
            f" and (s.instrument is null or s.instrument = any({_SAID_INSTRUMENTS}))"
        )

    def said(self, bind: Binds, link: str | None) -> str:
        """Say from where and by which conditions a target is what is asked for."""
        asked = self.asked
        tables = "from said s"
        conditions = [link] if link else []
        stated = asked.effective_flag or asked.disputed is not None
        if self.ever or asked.target_kind or stated:
            tables += " join target t on t.target_id = s.target_id"
        if stated:
            tables += " left join target_state h on h.target_id = t.class_id"
        if self.ever:
            # Closed intervals are in no index by night, but their targets are.
            conditions += at_place(asked, bind, "t", _TARGET_INSTRUMENTS)
        else:
            conditions.append("s.to_number is null")
            conditions += at_place(asked, bind, "s", _SAID_INSTRUMENTS)
        if asked.target:
            conditions.append(is_same("s.target_id", asked, bind))
        if asked.target_kind:
            conditions.append(f"t.kind = any({bind.texts(asked.target_kind)})")
        if asked.effective_flag:
            conditions.append(has_flag("h.flag", asked.effective_flag, bind))
        if asked.disputed is not None:
            is_so = "is true" if asked.disputed else "is not true"
            conditions.append(f"h.disputed {is_so}")
        return f"{tables} where {every(conditions)}"

    # ---------------------------------------------------- of one revision

    def rest(self, bind: Binds, way: Way | None) -> str:
        """Give all that candidates found this way (None: walked) must still be."""
        asked = self.asked
        found = [] if self.ever else ["r.counted"]
        if asked.asks_targets and not (way == "said" and self.narrow):
            found.append(self._has_target(bind))
        if asked.flag:
            found.append(has_flag("r.flag", asked.flag, bind))
        found += has_tags(asked, bind, "r")
        return every([*found, *self.of_revision(bind)])

    def _has_target(self, bind: Binds) -> str:
        said_of = fill(_SAID_OF, said=self.said(bind, "s.source_id = r.annotation_id"))
        if self.ever or not self.only_place:
            return said_of
        # The place of a revision is that of its least target: most have no other.
        here = every(at_place(self.asked, bind, "r"))
        return f"case when r.target_count = 1 then {here} else {said_of} end"

    def of_revision(self, bind: Binds) -> list[str]:
        """Give the conditions on what one column of the revision holds."""
        asked = self.asked
        tests = (
            ("r.author = any({})", [*asked.author] or None, "text[]"),
            ("r.author_kind = {}", asked.author_kind, "text"),
            ('r."check" = any({})', [*asked.check] or None, "text[]"),
            ("r.level >= {}", asked.level_min, "int"),
            ("r.level <= {}", asked.level_max, "int"),
            ("r.operation = any({})", [*asked.operation] or None, "text[]"),
            ("r.reply_to = {}", asked.reply_to, "uuid"),
        )
        found = [
            test.format(bind(value, cast))
            for test, value, cast in tests
            if value is not None
        ]
        found += self.texts(bind)
        if asked.observed_from or asked.observed_to:
            found += self._observed(bind)
        if asked.replies != "all":
            absent = "is null" if asked.replies == "none" else "is not null"
            found.append(f"r.reply_to {absent}")
        return found

    def _observed(self, bind: Binds) -> list[str]:
        """Ask for the span: both half-open; a moment is a span of no length."""
        asked = self.asked
        found = ["(r.observed_begin is not null or r.observed_end is not null)"]
        if asked.observed_from:
            begin = bind(asked.observed_from, "timestamptz")
            found.append(
                f"(r.observed_end is null or r.observed_end > {begin}"
                f" or r.observed_begin >= {begin})"
            )
        if asked.observed_to:
            end = bind(asked.observed_to, "timestamptz")
            found.append(f"(r.observed_begin is null or r.observed_begin < {end})")
        return found

    def texts(self, bind: Binds) -> list[str]:
        """Ask for words."""
        asks = (
            ("websearch_to_tsquery", self.asked.words),
            ("phraseto_tsquery", self.asked.phrase),
        )
        return [
            f"r.words @@ {reader}('simple', {bind(words, 'text')})"
            for reader, words in asks
            if words
        ]

    def times(self, bind: Binds) -> list[str]:
        """Ask for when it was created and changed."""
        asked = self.asked
        bounds = (
            ("r.annotation_created_at >=", asked.created_from),
            ("r.annotation_created_at <", asked.created_to),
            ("r.created_at >=", asked.changed_from),
            ("r.created_at <", asked.changed_to),
        )
        return [
            f"{test} {bind(moment, 'timestamptz')}" for test, moment in bounds if moment
        ]


def reaching(low: int, bind: Binds) -> str:
    """Ask for what begins before a night and names a target there or later."""
    first = bind(low, "int")
    return f"r.day_last <> r.day_obs and r.day_last >= {first} and r.day_obs < {first}"
