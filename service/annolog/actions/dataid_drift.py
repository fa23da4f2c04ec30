"""Watching released versions of data-ID sets: telling when one begins to drift.

A released version drifts while its recipe gives other rows than its own. When that
begins, and when it ceases, a record says so, and the log's followers hear of it as of
anything else; of one version at most once an hour. Only the site that built a version
watches it: its recipe goes by that site's numbers.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn
from uuid import UUID

import msgspec
from pydantic import ValidationError

from annolog.actions import dataid_builds
from annolog.actions.dataids import enter
from annolog.actions.desk import Desk, Work
from annolog.actions.lane import Lane
from annolog.actions.requests import Request
from annolog.domain import dataids, times
from annolog.domain.dataid_recipes import Recipe
from annolog.domain.dataids import Difference
from annolog.domain.errors import AnnologError, NotFoundError
from annolog.domain.ledger import Wants
from annolog.domain.roles import Actor, Role, roles_of
from annolog.domain.setrecords import DRIFT, table_of
from annolog.storage import changes
from annolog.storage import dataids as stored
from annolog.storage.database import Pool, reading, snapshot

INTERVAL = timedelta(hours=1)
"""Of one version it is said no more often than this that it drifts or ceased to."""

LOOK = 300.0
"""Seconds between two looks; a look builds every released recipe, if the log grew."""

WATCHER = Actor("annolog", "bot", roles_of(Role.BOT, "bot"), authenticated_by="service")
"""Who says that a version drifts: the service itself."""

_log = logging.getLogger(__name__)


async def follow(lane: Lane, reads: Pool, site_id: str) -> NoReturn:
    """Look at released versions for as long as the process serves.

    Parameters
    ----------
    lane
        The way of all writes.
    reads
        For looking.
    site_id
        This site.
    """
    seen = -1
    while True:
        await asyncio.sleep(LOOK)
        try:
            async with reading(reads) as connection:
                head = await changes.head(connection)
            if head != seen:
                await look(lane, reads, site_id)
                seen = head
        except AnnologError as error:
            _log.info("drift could not be looked at, and will be later: %s", error)
        except Exception:  # noqa: BLE001 - the task outlives any failure
            _log.exception("drift could not be looked at, and will be later")


async def look(
    lane: Lane, reads: Pool, site_id: str, *, interval: timedelta = INTERVAL
) -> list[str]:
    """Look once at every released version.

    Parameters
    ----------
    lane, reads, site_id
        As for `follow`.
    interval
        The least time between two records of one version.

    Returns
    -------
    list of str
        Keys of the versions of which something was said.
    """
    async with reading(reads) as connection:
        rows = await stored.released(connection)
    told = []
    for row in rows:
        fields = msgspec.json.decode(row.body)
        if fields["recipe"] is None or fields["site_id"] != site_id:
            continue
        try:
            found = await _drift(reads, fields, row.label or "")
        except (AnnologError, ValidationError) as error:
            # One recipe that cannot be built keeps no other from being watched.
            _log.warning("%s cannot be built: %s", fields["subject"], error)
            continue
        decide = _decision(found, interval)
        wants = Wants(sets=frozenset({found.name}))
        if found.drifts != bool(row.drifts) and await lane.submit(Work(decide, wants)):
            told.append(found.key)
    return told


@dataclass(frozen=True, slots=True)
class _Found:
    """How far a version has drifted."""

    name: str
    key: str
    version: int
    label: str
    as_of: int
    changes: Difference
    digest: bytes

    @property
    def drifts(self) -> bool:
        return bool(self.changes)


async def _drift(reads: Pool, fields: Mapping[str, Any], label: str) -> _Found:
    recipe = Recipe.model_validate(fields["recipe"])
    async with snapshot(reads) as connection:
        body = await stored.rows(connection, UUID(fields["list_id"]))
        if body is None:
            msg = f"the rows of {fields['subject']} are not here"
            raise NotFoundError(msg, code="rows_not_here")
        outcome = await dataid_builds.build(connection, recipe, None)
        old = table_of(msgspec.json.decode(body), fields.get("instrument"))
        new = outcome.built.table
        list_id = UUID(fields["list_id"])
        found = await dataid_builds.told_apart(connection, list_id, old, new)
    return _Found(
        fields["name"],
        fields["subject"],
        fields["version"],
        label,
        outcome.as_of,
        found,
        dataids.digest(new),
    )


def _decision(found: _Found, interval: timedelta) -> Callable[[Desk], bool]:
    def decide(desk: Desk) -> bool:
        desk.book.require(Wants(sets=frozenset({found.name})))
        held = desk.book.sets[found.name]
        said = held.drifts.get(found.key)
        if held.label_of(found.key) is None:
            return False
        if (said is not None and said.drifts) == found.drifts:
            return False
        now = times.to_clock(desk.now)
        if said is not None and now - said.clock < interval // _MICROSECOND:
            return False
        fields: dict[str, Any] = {
            "operation": "drift" if found.drifts else "settle",
            "subject": found.key,
            "instruments": [],
            "days": [],
            "name": found.name,
            "version": found.version,
            "label": found.label,
            "as_of": found.as_of,
            "added": len(found.changes.added),
            "dropped": len(found.changes.dropped),
            "changed": len(found.changes.changed),
            "digest": found.digest.hex(),
        }
        request = Request(WATCHER, found.digest, None)
        enter(desk, request, DRIFT, fields, 0 if said is None else said.clock)
        return True

    return decide


_MICROSECOND = timedelta(microseconds=1)
