"""What a schema of events may become without being another version."""

from typing import Any

WORDS = {"description", "examples", "title", "default", "$comment"}
"""Members of a schema that bind nobody."""


def breaks(old: Any, new: Any, at: str = "#") -> list[str]:  # noqa: ANN401 - of schemas
    """Say where a schema breaks a promise of an older one; within a version nowhere.

    New members and new definitions may come, none of them required; all that was there
    stays as it was, but for words.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        return _of_objects(old, new, at)
    if isinstance(old, list) and isinstance(new, list) and at.endswith("/allOf"):
        # What `after` is, kind by kind: more kinds may come.
        return [f"{at}: lost or changed {one}" for one in old if one not in new]
    return [] if old == new else [f"{at}: was {old!r}, is {new!r}"]


def _of_objects(old: dict[str, Any], new: dict[str, Any], at: str) -> list[str]:
    found: list[str] = []
    if at.endswith(("/properties", "/$defs")):
        for name, was in old.items():
            if name in new:
                found += breaks(was, new[name], f"{at}/{name}")
            else:
                found.append(f"{at}/{name}: is gone")
        return found
    for name in sorted((old.keys() | new.keys()) - WORDS):
        if name == "required":
            was, now = set(old.get(name, ())), set(new.get(name, ()))
            if was != now:
                found.append(f"{at}/required: differs in {sorted(was ^ now)}")
        elif name not in old or name not in new:
            found.append(f"{at}/{name}: {'is gone' if name in old else 'is new'}")
        else:
            found += breaks(old[name], new[name], f"{at}/{name}")
    return found
