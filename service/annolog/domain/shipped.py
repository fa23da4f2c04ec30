"""The flags and tags that annolog comes with.

A new installation says them once, as ordinary entries; from then on they are its own,
to describe, archive and add to.
"""

import json
from importlib import resources
from typing import Any

from annolog.domain.entries import FlagEntry, TagEntry, fields_of


def shipped_entries() -> tuple[tuple[str, str, dict[str, Any]], ...]:
    """Read the shipped flags and starter tags.

    Returns
    -------
    tuple of (str, str, dict)
        Kind, key and fields of each entry: the flags `good`, `follow_up`,
        `questionable` and `junk` by severity, then the tags by quick rank.
    """
    flags = [FlagEntry.model_validate(one) for one in _read("flags.json")]
    tags = [TagEntry.model_validate(one) for one in _read("tags.json")]
    return (
        *(("flag", one.key, fields_of(one)) for one in flags),
        *(("tag", one.key, fields_of(one)) for one in tags),
    )


def _read(name: str) -> list[dict[str, Any]]:
    file = resources.files("annolog.domain") / "data" / name
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return found
