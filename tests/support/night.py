"""What happens in a night, as the camera and the butler report it."""

from datetime import datetime

from annolog.domain import times
from tests.support.seen import Event
from tests.support.service import Service, Shown

NIGHT = 20250610
"""A night that is over wherever the tests run."""


def key(seq_num: int, day_obs: int = NIGHT) -> str:
    """Give the key of an exposure by its place in a night."""
    return f"exposure:LSSTCam/{day_obs}{seq_num:05d}"


async def fact(annolog: Service, **fields: object) -> Shown:
    """Say a fact about an exposure, as the camera unless told; give the exposure."""
    body = {"instrument": "LSSTCam", "source": "camera", **fields}
    answer = await annolog.post("/exposures", body, by=f"bot:{body['source']}")
    assert answer.status_code == 201, answer.text
    shown: Shown = answer.json()
    return shown


def facts(event: str, count: int = 1, by: str = "camera") -> list[Event]:
    """Give the events of so many facts."""
    return count * [Event("exposure", event, by, count=1)]


def stamp(moment: datetime) -> str:
    """Write a time as annolog does."""
    return times.format(moment)
