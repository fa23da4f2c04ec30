"""How messages are looked for: by the shape of what is asked for, never by its values.

The calls that clients make every minute are answered from the table of messages and
its indexes. All other combinations are answered too, but apart from these: few at a
time, with a limit of time.
"""

from dataclasses import dataclass

from annolog.exposurelog.parameters import MessageQuery

WHOLE_OBS_ID = 12
"""Characters from which on an obs_id is taken for a whole one, or nearly.

Few others contain it then. Those of LSST have 20; of a shorter one no index knows
where it is contained.
"""

_SAID = frozenset({"message_text", "urls", "user_agent", "tags"})
"""Fields that are sorted by what the body of a record says."""

_REVISED = frozenset({"level", "user_id", "is_human", "exposure_flag"})
"""Fields that are sorted by what the table of revisions says."""

_UNFILTERED = frozenset({"is_human", "is_valid", "order_by", "offset", "limit"})
"""Parameters that leave out no message, or invalid ones alone."""

_WALKED = {
    (("date_added", True), ("id", False)): "date_added",
    (("day_obs", True), ("id", False)): "day_obs",
    (("id", False),): "id",
    (("id", True),): "id",
}
"""Orders that are those of an index, and the field that it begins with."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to look for messages.

    Attributes
    ----------
    quick
        Whether an index leads to the few messages that matter.
    fenced
        Whether those are gathered first and sorted then. Left to itself, PostgreSQL
        may walk the index of the order through years of messages to find those of one
        night.
    revisions, bodies
        Whether filters or orders need the table of revisions; the bodies of records.
    """

    quick: bool
    fenced: bool = False
    revisions: bool = False
    bodies: bool = False


def plan_of(asked: MessageQuery) -> Plan:
    """Say how to look for messages.

    Quick is what asks for nothing but columns of the table of messages, and has both
    ends of a span of nights or of time, or a whole obs_id; and what takes messages in
    the order of an index from its beginning, invalid ones left out at most.

    Parameters
    ----------
    asked
        What is asked for.
    """
    fields = {name for name, _ in asked.order}
    bodies = bool(fields & _SAID) or _any(
        asked.message_text, asked.urls, asked.user_agents
    )
    revisions = (
        bool(fields & _REVISED)
        or asked.is_human != "either"
        or _any(asked.min_level, asked.max_level, asked.tags, asked.exclude_tags)
        or _any(asked.user_ids, asked.exposure_flags)
    )
    if bodies or revisions:
        return Plan(quick=False, revisions=revisions, bodies=bodies)
    walked = _WALKED.get(asked.order)
    bounds = _bounds(asked)
    if bounds:
        return Plan(quick=True, fenced=bounds != {walked})
    return Plan(
        quick=walked is not None
        and asked.is_valid != "false"
        and not (asked.model_fields_set - _UNFILTERED)
    )


def _bounds(asked: MessageQuery) -> set[str]:
    """Name the fields that keep what is asked for within a stretch of their index."""
    found = set()
    if None not in (asked.min_day_obs, asked.max_day_obs):
        found.add("day_obs")
    if None not in (asked.min_date_added, asked.max_date_added):
        found.add("date_added")
    if asked.obs_id is not None and len(asked.obs_id) >= WHOLE_OBS_ID:
        found.add("obs_id")
    return found


def _any(*values: object) -> bool:
    return values.count(None) < len(values)
