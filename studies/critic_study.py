"""`spillguard study critic`: what a safety critic averts by itself, and what the tilt rule averts.

Every behaviour pours in the same cells of a domain behind the hard limits with neither critic nor tilt rule,
with each of them alone, and with both; in fewer episodes an oracle stands in the critic's place, which tries
every action in a copy of the cell: what the fallback could save at best. Episodes are lines of a file beside
the page, and those that are there are not poured again.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from policy_training.deployment.bad_policies import behaviours
from policy_training.deployment.calibrate import unknown_to
from policy_training.deployment.campaign import CampaignPolicies, Condition, pours
from policy_training.evaluation.held_out import proportion
from policy_training.files import locked, write_atomically
from policy_training.pool import Pool
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import pouring_bundle
from sim.pouring.domain_file import spread_of
from sim.pouring.guarded import Pour
from spillguard_core.bundle.bundle import MANIFEST, sha256

BLOCK = 10  # episodes of every row before the next ten of any


class Guarding(NamedTuple):
    """What guards against spills, behind the hard limits."""

    critic: bool
    tilt_check: bool
    oracle: bool = False


GUARDS = {
    "neither": Guarding(False, False),
    "tilt rule": Guarding(False, True),
    "critic": Guarding(True, False),
    "both": Guarding(True, True),
    "oracle": Guarding(False, False, True),
}
COLUMNS = {"policy", "guard", "episode", "success", "spill", "contact", "limit", "seconds", "replaced"}
Row = dict[str, Any]


@dataclass(frozen=True)
class CriticArguments:
    """Pour with good and bad policies behind critic, tilt rule, both, neither and an oracle; write a page."""

    bundle: Path = Path("artifacts/pour_coffee")
    "Directory of the bundle."
    episodes: int = 100
    "Episodes of every row."
    oracle: int = 0
    "Episodes of every row with the oracle; each takes some twenty seconds of processor time."
    policies: tuple[str, ...] = ()
    "Behaviours by name; none: all."
    threshold: float | None = None
    "Of the critic; by default the bundle's own."
    domain: str = "full"
    "What the cells differ in: nominal, pours, full, or a domain file."
    page: Path = Path("docs/results/critic.md")
    "Page to write, its episodes beside it; prose is taken from NAME.notes.md, if there is one."
    pool: Pool = field(default_factory=Pool)

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.oracle >= 0):
            raise ValueError("episodes must be at least 1, oracle at least 0")
        if self.threshold is not None and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"threshold must be in [0, 1], got {self.threshold}")
        if self.page.suffix != ".md" or self.page.is_dir():
            raise ValueError(f"the page has to be a file NAME.md, got {self.page}")
        spread_of(self.domain)


def known(path: Path, subject: dict[str, Any]) -> list[Row]:
    """Episodes of earlier calls; a last one that was cut is left out. ValueError if they are of others."""
    if not path.is_file():
        return []
    first, *lines = path.read_text().split("\n")
    try:
        if json.loads(first) != subject:
            raise ValueError(f"{path} holds episodes of something else: {first}; choose another --page")
        rows = [json.loads(line) for line in lines[:-1]]
        if not all(isinstance(row, dict) and row.keys() >= COLUMNS for row in rows):
            raise ValueError(f"{path} is no file of this study, or is damaged: needed are {sorted(COLUMNS)}")
        return rows
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no file of this study, or is damaged: {error}") from error


def wanted(
    args: CriticArguments, names: Sequence[str], rows: Sequence[Row]
) -> list[tuple[Condition, list[int]]]:
    """What is still to be poured, a block of every row at a time: a study cut short still compares."""
    done = {(row["policy"], row["guard"], row["episode"]) for row in rows}
    jobs = []
    for first in range(0, max(args.episodes, args.oracle), BLOCK):
        for name in names:
            for guard, guarding in GUARDS.items():
                most = args.oracle if guarding.oracle else args.episodes
                block = range(first, min(first + BLOCK, most))
                jobs.append((_condition(name, guarding), [n for n in block if (name, guard, n) not in done]))
    return [(condition, part) for condition, part in jobs if part]


def _condition(policy: str, guarding: Guarding) -> Condition:
    critic, tilt_check, oracle = guarding
    return Condition(policy, critic=critic, tilt_check=tilt_check, oracle=oracle)


def _row(arm: Condition, number: int, pour: Pour) -> Row:
    guard = next(name for name, each in GUARDS.items() if _condition(arm.policy, each) == arm)
    return {
        "policy": arm.policy, "guard": guard, "episode": number, "success": pour.success,
        "spill": pour.spill, "contact": pour.contact, "limit": pour.limit, "seconds": round(pour.seconds, 2),
        "replaced": round(pour.replaced, 4),
    }  # fmt: skip


def _share(hits: int, count: int) -> str:
    found = proportion(hits, count)
    return f"{100 * found['rate']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"


def table(rows: Sequence[Row], unseen: Sequence[str]) -> Iterator[str]:
    """Markdown; * marks behaviours that the critic was not trained on."""
    yield "| policy | guard | episodes | rule broken % | cut by | success % | seconds | replaced % |"
    yield "|" + " --- |" * 8
    for policy in dict.fromkeys(row["policy"] for row in rows):
        before: float | None = None
        for guard in GUARDS:
            part = [row for row in rows if (row["policy"], row["guard"]) == (policy, guard)]
            if not part:
                continue
            broken = sum(row["spill"] or row["contact"] or row["limit"] for row in part)
            rate = broken / len(part)
            before = rate if guard == "neither" else before
            cells = [
                policy + " *" * (policy in unseen), guard, str(len(part)), _share(broken, len(part)),
                "" if guard == "neither" or not before else f"{100 * (1 - rate / before):.0f} %",
                _share(sum(row["success"] for row in part), len(part)),
                f"{sum(row['seconds'] for row in part) / len(part):.1f}",
                f"{100 * sum(row['replaced'] for row in part) / len(part):.1f}",
            ]  # fmt: skip
            yield "| " + " | ".join(cells) + " |"


def write_page(args: CriticArguments, rows: Sequence[Row], unseen: Sequence[str], threshold: Any) -> None:
    """From the episodes and the notes beside it."""
    made, notes = provenance(), args.page.with_name(f"{args.page.stem}.notes.md")
    head = [
        "# What the safety critic averts by itself", "",
        f"`spillguard study critic --episodes {args.episodes} --oracle {args.oracle} "
        f"--domain {args.domain}`, commit {made['commit']}, {made['machine']}, threshold {threshold}.", "",
        "The whole stack in simulated time, hard limits on everywhere. Same cells in every row; the oracle",
        "has the first of them. Shares with 95 % intervals (Clopper and Pearson). *Cut by* compares the",
        "share of episodes that broke a rule with that of *neither*. A star: the critic was not trained on",
        "this behaviour.", "",
    ]  # fmt: skip
    prose = [notes.read_text().strip(), ""] if notes.is_file() else []
    write_atomically(args.page, ("\n".join([*head, *prose, *table(rows, unseen)]) + "\n").encode())


@subcommand("study critic")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(CriticArguments, words, "spillguard study critic")
    bundle = pouring_bundle(args.bundle)
    names = [*behaviours(lambda obs: obs, bundle.own_critic)]
    strange = [name for name in args.policies if name not in names]
    if strange:
        raise ValueError(f"unknown policies {', '.join(strange)}; known are {', '.join(names)}")
    unseen = [
        name for name in unknown_to(args.bundle, names) if (args.bundle / "report/critic.json").is_file()
    ]
    threshold = bundle.manifest.threshold.value if args.threshold is None else args.threshold
    subject = {
        "bundle": sha256((args.bundle / MANIFEST).read_bytes()), "threshold": threshold, "domain": args.domain
    }  # fmt: skip
    store = args.page.with_suffix(".jsonl")
    if args.page.exists() and not store.exists():
        raise ValueError(f"{args.page} is there and has no episodes beside it: it is not of this study")
    args.page.parent.mkdir(parents=True, exist_ok=True)
    with locked(args.page.parent, "writes a study there"):
        rows = known(store, subject)
        write_atomically(store, "".join(json.dumps(row) + "\n" for row in [subject, *rows]).encode())
        todo = wanted(args, args.policies or names, rows)
        running = pours(
            CampaignPolicies(str(args.bundle), threshold=threshold, domain=args.domain), todo, args.pool
        )
        total = sum(len(part) for _, part in todo)
        with store.open("a") as file:
            for arm, number, pour in track(running, "episodes", total=total, console=console):
                rows.append(_row(arm, number, pour))
                file.write(json.dumps(rows[-1]) + "\n")
                file.flush()
        write_page(args, rows, unseen, threshold)
    console.print(f"{args.page}: {len(rows)} episodes", soft_wrap=True)
    return 0
