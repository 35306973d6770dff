"""`spillguard monitor-study`: good and bad policies with the safety monitor off and on. Every policy pours in
the same cells; one of them also with other ways to replace proposals that the critic does not accept.
Episodes are appended to a file as they finish, so that an interrupted study can be resumed, and the page is
made from that file alone.
"""

import csv
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from policy_training.deployment.bad_policies import behaviours
from policy_training.deployment.campaign import SCREENS, CampaignPolicies, Condition, pours
from policy_training.evaluation.held_out import proportion
from policy_training.files import write_atomically
from policy_training.pool import Pool
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import pouring_bundle
from sim.pouring.guarded import Pour

RIVALS_ON = "good, 5x noise"  # the policy on which the ways to replace proposals are compared
FIGURES = [f.name for f in fields(Pour) if f.name not in ("reasons", "q_c")]
KEYS = ["policy", "guarded", "fallback", "tilt_check", "episode"]
CRITIC_ALONE = (RIVALS_ON, "bang-bang", "attack on the critic")  # poured without the tilt check, too
ALONE = 5  # those rows have a fifth of the episodes: their effect is large
BLOCK = 20


@dataclass(frozen=True)
class MonitorStudyArguments:
    """Pour with good and bad policies, monitor off and on, and write a page of it."""

    bundle: Path = Path("artifacts/pour_coffee")
    "Directory of the bundle."
    episodes: int = 500
    "Episodes of every row."
    reckless: Path | None = None
    "Run of a policy trained on reward alone, as one more row."
    out: Path = Path("runs/monitor_study.csv")
    "File of the episodes; episodes in it are not repeated."
    page: Path = Path("docs/results/monitor.md")
    "Page to write; prose is taken from a file beside it, NAME.notes.md, if there is one."
    pool: Pool = field(default_factory=Pool)

    def __post_init__(self) -> None:
        if not self.episodes >= 1:
            raise ValueError("episodes must be at least 1")


Row = dict[str, str]


def blocks(episodes: int) -> list[range]:
    """Numbers in blocks, each poured by every arm, so that a study cut short has rows of equal length."""
    return [range(first, min(first + BLOCK, episodes)) for first in range(0, episodes, BLOCK)]


def arms(policies: Sequence[str]) -> list[Condition]:
    """All rows of the study."""
    plain = [Condition(policy, guarded) for policy in policies for guarded in (False, True)]
    rivals = [Condition(RIVALS_ON, fallback=name) for name in SCREENS if name != "closest"]
    return plain + rivals + [Condition(policy, tilt_check=False) for policy in CRITIC_ALONE]


def _key(arm: Condition, number: int) -> tuple[str, ...]:
    return arm.policy, str(arm.guarded), arm.fallback, str(arm.tilt_check), str(number)


def done(path: Path) -> list[Row]:
    """Episodes of an earlier part of the study; an incomplete last line is left out."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row.get(name) for name in [*KEYS, *FIGURES])]


def _text(rows: Sequence[Row]) -> bytes:
    """The file of these episodes."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [*KEYS, *FIGURES], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _share(rows: Sequence[Row], name: str) -> str:
    found = proportion(sum(row[name] == "True" for row in rows), len(rows))
    return f"{100 * found['rate']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def _broken(rows: Sequence[Row]) -> int:
    return sum("True" in (row["spill"], row["contact"], row["limit"]) for row in rows)


def _mean(rows: Sequence[Row], name: str) -> float:
    return float(np.mean([float(row[name]) for row in rows]))


WAYS = [
    "| | episodes | success % | spill % | contact % | critic replaced % | changes a second | "
    "jerk [rad/s^3] | seconds |", "|" + " --- |" * 9,
]  # fmt: skip


def _ways(name: str, rows: Sequence[Row]) -> list[str]:
    part = [row for row in rows if row["guarded"] == "True"]
    if not part:
        return []
    cells = [name, str(len(part)), *(_share(part, n) for n in ("success", "spill", "contact")),
             f"{100 * _mean(part, 'replaced'):.1f}", f"{_mean(part, 'chatter'):.2f}",
             f"{_mean(part, 'jerk'):.0f}", f"{_mean(part, 'seconds'):.1f}"]  # fmt: skip
    return ["| " + " | ".join(cells) + " |"]


def _variant(row: Row) -> tuple[str, str]:
    return row["fallback"], row["tilt_check"]


def tables(rows: Sequence[Row]) -> str:
    """Markdown: policies off and on, then the ways to replace."""
    text = [
        "| policy | monitor | episodes | success % | spill % | contact % | limit % | rules broken | cut by | "
        "critic replaced % | limits took % | held % | seconds |", "|" + " --- |" * 13,
    ]  # fmt: skip
    for policy in dict.fromkeys(row["policy"] for row in rows):
        mine = [r for r in rows if (r["policy"], *_variant(r)) == (policy, "closest", "True")]
        off, on = ([r for r in mine if r["guarded"] == name] for name in ("False", "True"))
        for name, part in (("off", off), ("on", on)):
            if not part:
                continue
            cut = ""
            if name == "on" and off and _broken(off):
                rate = (_broken(on) / len(on)) / (_broken(off) / len(off))
                cut = f"{100 * (1 - rate):.1f} %"
            acted = [
                f"{100 * _mean(part, n):.1f}" if name == "on" else "" for n in ("replaced", "limited", "held")
            ]
            shares = [_share(part, n) for n in ("success", "spill", "contact", "limit")]
            cells = [policy, name, str(len(part)), *shares, str(_broken(part)), cut, *acted,
                     f"{_mean(part, 'seconds'):.1f}"]  # fmt: skip
            text.append("| " + " | ".join(cells) + " |")
    text += [
        "", f"What takes the place of a proposal that the critic does not accept, policy: {RIVALS_ON}.", "",
        *WAYS,
    ]  # fmt: skip
    for way in SCREENS:
        text += _ways(way, [r for r in rows if (r["policy"], *_variant(r)) == (RIVALS_ON, way, "True")])
    text += ["", "Without the tilt check: what the critic does alone, with all other checks on.", "", *WAYS]
    for policy in CRITIC_ALONE:
        text += _ways(
            policy, [r for r in rows if (r["policy"], *_variant(r)) == (policy, "closest", "False")]
        )
    return "\n".join(text)


def write_page(rows: Sequence[Row], args: MonitorStudyArguments, threshold: float | None) -> None:
    """The page, from the episodes and the notes beside it."""
    made, notes = provenance(), args.page.with_name(f"{args.page.stem}.notes.md")
    asked = f"spillguard monitor-study --episodes {args.episodes}" + " --reckless RUN" * (
        args.reckless is not None
    )
    head = [
        "# What the safety monitor makes of good and bad policies", "",
        f"`{asked}`, commit {made['commit']}, {made['machine']}, critic's threshold {threshold}.", "",
        "The whole stack in one process and simulated time (`sim/pouring/guarded.py`): policy at 20 Hz,",
        "gate at 100 Hz with `launch/params/safety_monitor.yaml`, delays as drawn with the cell.",
        "Monitor off: the proposal's joint velocities go to the arm, ramped at the acceleration limit.",
        "Shares with 95 % intervals (Clopper and Pearson); an episode ends at the first broken rule. Same",
        "cells in every row.", "",
    ]  # fmt: skip
    prose = [notes.read_text().strip(), ""] if notes.is_file() else []
    args.page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.page, ("\n".join([*head, *prose, tables(rows)]) + "\n").encode())


@subcommand("monitor-study")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(MonitorStudyArguments, words, "spillguard monitor-study")
    bundle = pouring_bundle(args.bundle)
    names = [*behaviours(lambda obs: obs, bundle.own_critic)] + ["trained on reward alone"] * bool(
        args.reckless
    )
    rows = done(args.out)
    known = {tuple(row[name] for name in KEYS) for row in rows}
    wanted = [
        (arm, [n for n in block if _key(arm, n) not in known])
        for block in blocks(args.episodes)
        for arm in arms(names)
        if arm.tilt_check or block.start < args.episodes // ALONE
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, _text(rows))  # without a truncated line
    with args.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEYS, *FIGURES])
        running = pours(CampaignPolicies(str(args.bundle), str(args.reckless or "")), wanted, args.pool)
        total = sum(len(numbers) for _, numbers in wanted)
        for arm, number, pour in track(running, "episodes", total=total, console=console):
            row = dict(zip(KEYS, _key(arm, number), strict=True))
            row |= {name: str(getattr(pour, name)) for name in FIGURES}
            writer.writerow(row)
            file.flush()
            rows.append(row)
    write_page(rows, args, bundle.manifest.threshold.value)
    console.print(f"{args.page}: {len(rows)} episodes", soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
