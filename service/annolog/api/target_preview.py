"""What a write would touch, as the caller sees it."""

from collections.abc import Sequence
from typing import Any

from annolog.actions.preview import Pasted, Previewed
from annolog.actions.resolution import Resolution
from annolog.api.target_views import state_shown
from annolog.domain.annotations import MAX_TARGETS
from annolog.domain.errors import Problem


def preview_shown(
    wanted: Pasted,
    shown: Sequence[Previewed],
    site_id: str,
    night: tuple[str, int] | None,
) -> dict[str, Any]:
    """Put the answer about what a write would touch together.

    Parameters
    ----------
    wanted
        What the names, the text, the range ... came to.
    shown
        Its targets.
    site_id
        The site whose view it is.
    night
        Instrument and day_obs of a range; None for all else.
    """
    found = wanted.found
    unknown: list[dict[str, Any]] = [
        {"name": one.value, "key": None, "reason": one.reason}
        for one in found.problems
        if one.code == "unknown"
    ]
    unknown += [
        {
            "name": _name(found, one.key),
            "key": one.key,
            "reason": "nobody has announced it or said anything about it yet",
        }
        for one in shown
        if not one.known
    ]
    holes = {at: str(numbers) for at, numbers in wanted.holes.items()}
    if night is not None and found.holes:
        holes[night] = found.holes
    problems = [one.as_dict() for one in found.problems]
    if len(found.keys) > MAX_TARGETS:
        reason = f"one annotation takes at most {MAX_TARGETS} targets"
        one = Problem("", len(found.keys), reason, "too_many_targets")
        problems.append(one.as_dict())
    return {
        "count": len(found.keys),
        "accepted": bool(found.keys) and not problems,
        "targets": [_previewed(one, wanted, site_id) for one in shown],
        "unknown": unknown,
        "ambiguous": [
            {"name": name, "candidates": keys}
            for name, keys in found.candidates.items()
        ],
        "doubled": [
            {"key": key, "names": found.written.get(key, [])} for key in found.doubled
        ],
        "holes": [
            {"instrument": at[0], "day_obs": at[1], "seq_nums": numbers}
            for at, numbers in sorted(holes.items())
        ],
        "problems": problems,
    }


def _name(found: Resolution, key: str) -> str:
    return found.written.get(key, [key])[0]


def _previewed(one: Previewed, wanted: Pasted, site_id: str) -> dict[str, Any]:
    state = None
    if one.overview is not None and one.state is not None and not one.state.empty:
        names = one.overview.names
        place = one.overview.member
        state = state_shown(place, one.state, one.number, names, site_id)
    shown = {
        "key": one.key,
        "name": _name(wanted.found, one.key),
        "known": one.known,
        "state": state and state.model_dump(mode="json"),
    }
    if one.key in wanted.comments:
        shown["comment"] = wanted.comments[one.key]
    return shown
