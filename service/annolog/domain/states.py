"""What now holds for a target, as everyone sees it.

`TargetState` is declared here, once: the API answers with it, the topic of target
states carries it and files hold it, under the same names.
"""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
"""Version of the layout of a state. Within it members are only ever added."""


class TargetState(BaseModel):
    """The view of one target: its flag, what decided it, its tags and counts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str = Field(
        description="Canonical key of the target.",
        examples=["exposure:LSSTCam/2026111900123"],
    )
    kind: str = Field(description="Kind of the target, the first part of its key.")
    instrument: str | None = Field(
        default=None, description="Butler name of the instrument; null if it has none."
    )
    day_obs: int | None = Field(
        default=None, description="Night as YYYYMMDD; null if unknown or many."
    )
    seq_num: int | None = Field(
        default=None, description="Number within the night; null if unknown or none."
    )
    exposure_id: int | None = Field(
        default=None, description="The butler's integer exposure id, if there is one."
    )
    detector: int | None = Field(
        default=None, description="Detector number, for one detector of an exposure."
    )
    dataset_id: UUID | None = Field(
        default=None, description="Butler dataset UUID, for datasets."
    )
    names: tuple[str, ...] = Field(
        default=(), description="Other names (obs_ids), in the order of their letters."
    )
    flag: str | None = Field(
        default=None,
        description="Effective flag; null means that nobody has an opinion.",
    )
    decided_by: tuple[UUID, ...] = Field(
        default=(),
        description="Revisions or reviews whose votes gave the effective flag.",
    )
    outvoted: tuple[UUID, ...] = Field(
        default=(), description="Revisions or reviews that voted for another flag."
    )
    disputed: bool = Field(
        default=False, description="Whether people of the deciding rank disagree."
    )
    bots_differ: bool = Field(
        default=False, description="Whether bots disagree and no person decided."
    )
    follow_ups: tuple[UUID, ...] = Field(
        default=(), description="Annotations that ask for somebody's attention."
    )
    tags: tuple[str, ...] = Field(
        default=(),
        description="Union of the tags of all counted annotations, sorted.",
    )
    notes: int = Field(default=0, ge=0, description="How many annotations count here.")
    number: int = Field(
        description="Number of the last change of this site that changed the state."
    )
    complete: bool = Field(
        default=True,
        description="False where lists were cut because the whole would be too large.",
    )
    site_id: str = Field(description="Site whose view this is.")
    schema_version: int = Field(
        default=SCHEMA_VERSION, description="Version of the layout of this object."
    )
