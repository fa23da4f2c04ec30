"""`annologd sample`: a made-up night to look at.

The night of 2026-11-18 of LSSTCam: calibrations at dusk, survey exposures, a mount
fault with test images inside the gap, clouds before dawn; two observers, a bot that
judges image quality, and a scientist who disagrees with it here and there.
"""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from annolog.cli.inside import BATCH, Inside, inside
from annolog.cli.main import emit, json_option

INSTRUMENT = "LSSTCam"
DAY_OBS = 20261118
_NAMESPACE = uuid.UUID("b1b5a0ad-6d4c-5f05-8a43-3d3f0f8bb0a1")
_BANDS = "rrrrgggiiizzy"
_READOUT = timedelta(seconds=8)


def exposures() -> list[dict[str, Any]]:
    """Make the exposures of the night, as a bulk upload says them."""
    found: list[dict[str, Any]] = []
    moment = datetime(2026, 11, 18, 22, 10, tzinfo=UTC)

    def take(count: int, kind: str, seconds: float, **more: str) -> None:
        nonlocal moment
        for _ in range(count):
            seq_num = len(found) + 1
            end = moment + timedelta(seconds=seconds)
            found.append(
                {
                    "instrument": INSTRUMENT,
                    "obs_id": f"MC_O_{DAY_OBS}_{seq_num:06d}",
                    "event": "end",
                    "begin": _stamp(moment),
                    "end": _stamp(end),
                    "exposure_time": seconds,
                    "observation_type": kind,
                    **more,
                }
            )
            moment = end + _READOUT

    take(5, "bias", 0.0)
    take(6, "flat", 4.0, band="r", physical_filter="r_57")
    moment = datetime(2026, 11, 19, 0, 52, tzinfo=UTC)
    for block in range(18):
        band = _BANDS[block % len(_BANDS)]
        take(
            10,
            "science",
            30.0,
            band=band,
            physical_filter=f"{band}_57",
            target_name="lowdust",
            science_program="BLOCK-365",
        )
    moment = datetime(2026, 11, 19, 3, 40, tzinfo=UTC)
    take(3, "dark", 15.0)  # test images while the mount was down
    moment = datetime(2026, 11, 19, 5, 0, tzinfo=UTC)
    take(
        120,
        "science",
        30.0,
        band="i",
        physical_filter="i_39",
        target_name="ddf_cosmos",
    )
    return found


def annotations() -> list[tuple[str, str, dict[str, Any]]]:
    """Make what was said: (user, kind, draft)."""
    said: list[tuple[str, str, dict[str, Any]]] = []

    def say(user: str, kind: str = "human", **draft: object) -> None:
        name = f"sample {len(said)}"
        draft["annotation_id"] = str(uuid.uuid5(_NAMESPACE, name))
        said.append((user, kind, draft))

    def seqs(text: str) -> dict[str, Any]:
        return {"instrument": INSTRUMENT, "day_obs": DAY_OBS, "seq_nums": text}

    say(
        "observer.one",
        targets=[f"night:{INSTRUMENT}/{DAY_OBS}"],
        text="Clear at the start, seeing 0.8. High clouds are forecast before dawn.",
    )
    say("observer.one", targets=seqs("12-14"), flag="good", text="Looked at: sharp.")
    say(
        "iq-bot",
        "bot",
        targets=seqs("12-31,96-103"),
        flag="questionable",
        tags=["donuts"],
        text="Rings around stars in more than half of the detectors.",
        check="donuts",
        agent={"name": "iq-bot", "version": "2.3", "run": "2026-11-19T01"},
    )
    say(
        "observer.two",
        targets=seqs("96-103"),
        flag="junk",
        tags=["donuts"],
        text="Out of focus after the filter change; hexapod sent back. OBS-1184",
        urls=["https://jira.example.org/browse/OBS-1184"],
    )
    say(
        "support.scientist",
        targets=seqs("103"),
        flag="good",
        text="The last one is in focus again.",
    )
    say(
        "observer.two",
        targets=seqs("150"),
        flag="follow_up",
        tags=["vignetting"],
        text="A shadow in one corner: dome slit?",
        assignee="mount.team",
    )
    say(
        "observer.one",
        targets=[f"gap:{INSTRUMENT}/{DAY_OBS}/after=MC_O_{DAY_OBS}_000191"],
        text="Mount fault, azimuth drive. OBS-1190",
        tags=["mount_fault"],
        cause="fault",
        observed_at={
            "begin": "2026-11-19T03:10:00Z",
            "end": "2026-11-19T05:00:00Z",
        },
        level=40,
        urls=["https://jira.example.org/browse/OBS-1190"],
    )
    say(
        "observer.two",
        targets=seqs("300-305"),
        flag="questionable",
        tags=["trailed"],
        text="Wind gusts; stars are elongated along the azimuth.",
    )
    say(
        "observer.two",
        targets=[f"gap:{INSTRUMENT}/{DAY_OBS}/after=MC_O_{DAY_OBS}_000314"],
        text="Clouds until dawn.",
        cause="weather",
    )
    return said


def _stamp(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@click.command("sample")
@json_option
def command(*, as_json: bool) -> None:  # numpydoc ignore=PR01,RT01
    """Load a made-up night to look at; loading it again changes nothing."""
    taken, said = asyncio.run(_load())
    emit(
        {
            "instrument": INSTRUMENT,
            "day_obs": DAY_OBS,
            "exposures": taken,
            "annotations": said,
        },
        f"{INSTRUMENT} {DAY_OBS}: {taken} exposures, {said} annotations",
        as_json=as_json,
    )


async def _load() -> tuple[int, int]:
    async with inside() as annolog:
        taken = exposures()
        for first in range(0, len(taken), BATCH):
            piece = taken[first : first + BATCH]
            await annolog.post(
                "/annolog/v1/exposures", piece, user="camera", kind="bot"
            )
        said = annotations()
        for user, kind, draft in said:
            await annolog.post("/annolog/v1/annotations", draft, user=user, kind=kind)
        await _confirm(annolog, said)
        return len(taken), len(said)


async def _confirm(
    annolog: Inside, said: list[tuple[str, str, dict[str, Any]]]
) -> None:
    """Let the scientist agree with the bot on some exposures and not on others."""
    bot = next(draft for _, kind, draft in said if kind == "bot")
    path = f"/annolog/v1/annotations/{bot['annotation_id']}/reviews"
    named = [f"exposure:{INSTRUMENT}/MC_O_{DAY_OBS}_{n:06d}" for n in range(15, 19)]
    for verdict, targets in (("confirm", named[:2]), ("reject", named[2:])):
        draft = {"verdict": verdict, "targets": targets, "reason": "Looked at them."}
        await annolog.post(path, draft, user="support.scientist")
