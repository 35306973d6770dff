"""`spillguard transfer`: how far the promise of a bundle reaches, from nominal cells to hopeless ones.

A folder holds episodes.jsonl, to which a later call adds what is missing, and is made into report.md,
report.json, a chart and picture strips of the most frequent failures. Processes share the episodes; several
machines do not.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import track

from policy_training.deployment.transfer import episodes as runs
from policy_training.deployment.transfer.conditions import SEEDS, TransferCondition, chosen, conditions
from policy_training.deployment.transfer.figures import MISSED, Cluster, alike, failure, failures
from policy_training.deployment.transfer.page import CHART, PAGE, REPORT, TransferReport, write
from policy_training.deployment.transfer.pictures import chart, film
from policy_training.files import locked
from policy_training.pool import Pool
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import pouring_bundle
from sim.render import RenderingUnavailableError

logger = logging.getLogger(__name__)
EPISODES = "episodes.jsonl"


@dataclass(frozen=True)
class TransferArguments:
    """Pour in every condition, monitor on and off and by the scripted controller, and write a report."""

    bundle: tyro.conf.Positional[Path] = Path("artifacts/pour_coffee")
    "Directory of the bundle."
    out: Annotated[Path, tyro.conf.arg(aliases=("-o",))] = Path("runs/transfer")
    "Folder of the report; episodes in it are not poured again."
    episodes: int = 40
    "Episodes of every condition and way."
    ends: int = 20
    "Episodes of every quantity at either end of its range, monitor on; 0 leaves them out."
    conditions: tuple[str, ...] = ()
    "Names of conditions or tiers; by default all."
    pictures: int = 6
    "Failures of which a picture strip is rendered, the most frequent first."
    pool: Pool = field(default_factory=lambda: Pool(1))
    listed: Annotated[bool, tyro.conf.arg(name="list")] = False
    "Print the names of all conditions and nothing else."

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.ends >= 0 and self.pictures >= 0):
            raise ValueError("episodes must be at least 1, ends and pictures at least 0")


def listing() -> str:
    """Every condition with its tier."""
    return "\n".join(f"{c.tier:<18} {c.name}" for c in conditions())


def pour(args: TransferArguments, wanted: Sequence[TransferCondition], console: Console) -> list[runs.Row]:
    """Every episode of the report, those of earlier calls included."""
    path = args.out / EPISODES
    of = {"bundle": runs.identity(args.bundle)}
    done = runs.read_rows(path)
    others = [name for name in (REPORT, PAGE, CHART) if (args.out / name).exists()] + _pictures(args.out)
    if others and not done:
        raise ValueError(f"{args.out} holds {others[0]} without its episodes; name another folder")
    if any(row.get("bundle") != of["bundle"] for row in done):
        raise ValueError(f"{path} holds episodes of another bundle; name another folder")
    jobs = runs.wanted(args.bundle, wanted, args.episodes, args.ends, done)
    facts = of | {"commit": str(provenance()["commit"])[:10] or "an unknown commit"}
    running = runs.append(path, done, runs.poured(jobs, args.pool), facts)
    total = sum(len(job.seeds) for job in jobs)
    return done + list(track(running, "episodes", total=total, console=console))


def _pictures(folder: Path) -> list[str]:
    """Names of picture strips in a folder."""
    return sorted(path.name for path in folder.iterdir() if re.fullmatch(r"failure_[0-9]+\.png", path.name))


def strips(
    args: TransferArguments, rows: Sequence[runs.Row], known: Sequence[TransferCondition]
) -> list[tuple[Cluster, int, str]]:
    """Of the most frequent failures behind the monitor, each in the condition where it is most frequent: the
    failure, the seed, the name of its picture. Strips of an earlier report go when the new ones are there."""
    by_name = {condition.name: condition for condition in known}
    found: list[tuple[Cluster, int, str]] = []
    frequent = [mine[0] for mine in alike(failures(rows, known)).values()]
    for number, cluster in enumerate(frequent[: args.pictures], 1):
        seed, name = cluster.seeds[0], f"failure_{number}.png"
        try:
            again = film(args.bundle, by_name[cluster.condition], cluster.way, seed, args.out / name)
        except RenderingUnavailableError as error:
            logger.warning("no pictures: %s", error)
            return found
        if failure(again) == cluster.failure:
            found.append((cluster, seed, name))
        else:  # another machine, or code that has changed since
            logger.warning("%s, seed %d: not %r when poured again", cluster.condition, seed, cluster.failure)
    for old in set(_pictures(args.out)) - {name for _, _, name in found}:
        (args.out / old).unlink()
    return found


def facts_of(args: TransferArguments) -> dict[str, Any]:
    """Where the report comes from."""
    manifest = pouring_bundle(args.bundle).manifest
    origin = manifest.provenance
    bundle = {
        "name": args.bundle.resolve().name, "identity": runs.identity(args.bundle),
        "threshold": manifest.threshold.value, "algorithm": origin.algorithm, "seed": origin.seed,
        "commit": origin.commit,
    }  # fmt: skip
    return {
        **provenance(),
        "bundle": bundle,
        "first_seed": SEEDS,
        "episodes": args.episodes,
        "ends": args.ends,
    }


@subcommand("transfer")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the report is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(TransferArguments, words, "spillguard transfer")
    if args.listed:
        console.print(listing(), highlight=False)
        return 0
    wanted, facts, known = chosen(args.conditions), facts_of(args), conditions()
    args.out.mkdir(parents=True, exist_ok=True)
    with locked(args.out, "writes this report"):
        names = {condition.name for condition in known}
        rows = [row for row in pour(args, wanted, console) if row["condition"] in names]
        drawn = chart(rows, known, args.out / CHART)
        aims = write(TransferReport(rows, known, facts, drawn, strips(args, rows, known)), args.out)
    missed = sum(aim.verdict == MISSED for aim in aims)
    console.print(
        f"{args.out}: report.md, report.json; {len(rows)} episodes, {missed} of {len(aims)} aims missed",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
