"""`make faults`: harm every part of annolog, and see that nothing is lost."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from tests.faults.campaign import CAMPAIGNS, run
from tests.faults.plan import GROUPS
from tests.support.small_disk import may_mount

SECONDS = 600.0
"""How long all may take, from the first start to the last end."""

AROUND = 65.0
"""Seconds that each campaign takes for starting, catching up and comparing."""

LEAST = 15.0
"""Seconds of writing below which a campaign tells nothing."""

ENDING = 20.0
"""Seconds that are kept for ending everything."""


def main() -> int:
    """Run the campaigns that are asked for; 1 if anything is wrong."""
    asked = _asked()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    began = time.monotonic()
    groups = list(asked.only)
    left_out: list[str] = []
    if "disk" in groups and not may_mount():
        groups.remove("disk")
        left_out.append("full disks, as only root may mount small ones")
        _say(f"LEFT OUT: {left_out[0]}")
    _end_after(asked.seconds - ENDING)
    campaigns = [one for one in CAMPAIGNS if _belongs(one.groups, groups)]
    wrong: list[str] = []
    above = Path(tempfile.mkdtemp(prefix="annolog-faults-"))
    # Servers may run as another user than root.
    above.chmod(0o711)
    for n, campaign in enumerate(campaigns):
        # Of what is left, as the earlier ones may have been slow.
        left = asked.seconds - ENDING - (time.monotonic() - began)
        writing = left - AROUND * len(campaigns[n:])
        shares = sum(one.share for one in campaigns[n:])
        seconds = max(LEAST, writing * campaign.share / shares)
        if n and left < LEAST + AROUND / 2:
            left_out.append(f"{campaign.name}, as time was over")
            continue
        found = run(campaign, groups, above / str(n), seconds, asked.seed, _say)
        wrong += [f"{campaign.name}: {one}" for one in found]
    signal.alarm(0)
    _say(f"\n{time.monotonic() - began:.0f} s in all")
    for one in left_out:
        _say(f"LEFT OUT: {one}")
    if not wrong:
        shutil.rmtree(above)
        _say("nothing was found")
        return 0
    _say(f"{len(wrong)} findings:")
    for one in wrong:
        _say(f"  {one}")
    _say(f"logs: {above}")
    only = "" if tuple(asked.only) == GROUPS else f" --only {','.join(asked.only)}"
    _say(
        f"again: python -m tests.faults --seed {asked.seed}"
        f" --seconds {asked.seconds:g}{only}"
    )
    return 1


def _belongs(its: tuple[str, ...], groups: list[str]) -> bool:
    # Relays and services are harmed beside three brokers too, but not for themselves.
    return its[0] in groups or (its[0] == "broker" and bool(set(its) & set(groups)))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(10**6),
        help="what the plan is made of; without: another one each time",
    )
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="how long all may take"
    )
    parser.add_argument(
        "--only",
        type=_groups,
        default=GROUPS,
        help=f"which faults, by comma: {','.join(GROUPS)}",
    )
    return parser.parse_args()


def _groups(words: str) -> tuple[str, ...]:
    found = tuple(words.split(","))
    unknown = set(found) - set(GROUPS)
    if unknown:
        msg = f"{', '.join(sorted(unknown))} is none of {', '.join(GROUPS)}"
        raise argparse.ArgumentTypeError(msg)
    return found


def _end_after(seconds: float) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"not done within {seconds:.0f} s")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(int(seconds))


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")


if __name__ == "__main__":
    sys.exit(main())
