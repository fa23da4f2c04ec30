"""The years that the benchmark's messages are about: which nights, which exposures.

Every night has the same numbers, so that whoever asks for one knows what to expect,
and a smaller database has fewer nights, not emptier ones.
"""

from dataclasses import dataclass
from datetime import date, timedelta

LAST_NIGHT = date(2025, 6, 30)
"""The last night. In the past, as clocks that run ahead would be another benchmark."""

MESSAGES = 700
"""Messages of a night: a multiple of `BLOCK`."""

BLOCK = 20
"""Messages after which instruments and edits are as before: one of these is edited."""

EDITED = 5
"""Which message of a block is edited; the next one is what it became."""

FOLLOWED = 365
"""Last nights of which the log has the exposures as a butler told of them."""


@dataclass(frozen=True, slots=True)
class Camera:
    """An instrument and its part of a night.

    Attributes
    ----------
    name, prefix
        Its name, and how its obs_ids begin.
    before
        Exposures of a night that other instruments come with first.
    exposures
        Its exposures of a night, numbered from 1.
    messages
        Of ten messages, how many are about it.
    """

    name: str
    prefix: str
    before: int
    exposures: int
    messages: int


CAMERAS = (
    Camera("LSSTCam", "MC", 0, 500, 7),
    Camera("LATISS", "AT", 500, 150, 2),
    Camera("LSSTComCam", "CC", 650, 100, 1),
)
"""The instruments."""

EXPOSURES = sum(camera.exposures for camera in CAMERAS)
"""Exposures of a night."""


def nights(messages: int) -> int:
    """Say how many nights so many messages take."""
    return -(-messages // MESSAGES)


def first_night(messages: int) -> date:
    """Give the night with which so many messages begin."""
    return LAST_NIGHT - timedelta(days=nights(messages) - 1)


def day_obs(night: date) -> int:
    """Write a night as YYYYMMDD."""
    return int(night.strftime("%Y%m%d"))


def obs_id(camera: Camera, night: date, seq_num: int) -> str:
    """Give the name of an exposure."""
    return f"{camera.prefix}_O_{day_obs(night)}_{seq_num:06d}"
