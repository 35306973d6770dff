"""`spillguard train-critic`: a safety critic for the gate, from labels that the physics gives, for any
policy.

Round after round: episodes of many behaviours behind the gate are labelled by branching the cell
(`branch_labels.py`), the critic is fitted to all labels so far (`estimates/branch_critic.py`) and takes its
place in the gate of the next round, so that the states and the substitutes that it lets pass are labelled,
too. Every episode's labels are a file: an interrupted command goes on where it was, and more labels can be
asked for later.

Behaviours that are held back are labelled at the end, to judge by. The new bundle's threshold is the one
that disturbs 2 % of the policy's own actions; what it promises only `spillguard calibrate` says.
"""

import json
import logging
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from policy_training.deployment.branch_labels import HELD_BACK, Labels, Sampling, gathered, joined, taught
from policy_training.deployment.calibrate import CRITIC_REPORT
from policy_training.deployment.critic_bundle import take_over, write_bundle
from policy_training.estimates.branch_critic import Figures, FitConfig, figures, fitted, values
from policy_training.experience.spaces import Spaces, environment_spaces
from policy_training.files import locked, read_json, replacing, write_atomically
from policy_training.networks.squashed import SafetyCritic
from policy_training.pool import Pool, ordered
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import pouring_bundle
from sim.pouring.domain_file import spread_of
from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import Manifest
from spillguard_core.bundle.signing import SIGNATURE

DISTURBED = 0.02  # share of the policy's own actions above the first threshold
AT_ONCE = 32  # episodes that one pool is started for
GOOD = "good policy"


@dataclass(frozen=True)
class TrainCriticArguments:
    """Train the gate's safety critic of a bundle on labels that the physics gives, and write a new bundle."""

    bundle: tyro.conf.Positional[Path]
    "Directory of a bundle: the policy to be guarded, its robot and its task."
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    "Directory of the new bundle."
    labels: int = 20_000
    "Labels in all; some ten a second on a core."
    rounds: int = 3
    "Rounds; from the second on the critic so far stands in the gate."
    held_back: int = 1_000
    "Labels of the behaviours that no critic is trained on, to judge by."
    hold: float = 0.2
    "Seconds for which an action passes before the fallback takes over."
    domain: str = "full"
    "What the cells differ in: nominal, pours, full, or a domain file."
    work: Path | None = None
    "Folder of labels and rounds, which an interrupted command goes on with; by default OUT.labels."
    pool: Pool = field(default_factory=Pool)
    seed: int = 0
    "Of the networks; episodes have seeds of their own."
    critic: Path | None = None
    "Bundle whose critic is taken over instead of training one: it asks what any policy's action leads to."
    overwrite: bool = False
    "Replace the bundle that is there already."

    def __post_init__(self) -> None:
        if not (self.rounds >= 1 and self.labels >= self.rounds and self.held_back >= 1):
            raise ValueError("rounds, held-back must be at least 1, labels at least rounds")
        if not 0.0 < self.hold <= 1.0:
            raise ValueError(f"hold must be above 0 and at most 1 s, got {self.hold}")
        spread_of(self.domain)


def _save(path: Path, labels: Labels) -> None:
    with replacing(path) as file:
        np.savez_compressed(file, **{name: getattr(labels, name) for name in Labels.__dataclass_fields__})


def _load(path: Path) -> Labels:
    try:
        with np.load(path) as found:
            return Labels(**{name: found[name] for name in Labels.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} holds no labels ({error}); delete it, and its episode is made anew"
        ) from error


def turn(names: Sequence[str], number: int) -> str:
    """The behaviour of an episode. One of three is the policy's own, whose work a false alarm costs; the
    others have their turns between."""
    others = [name for name in names if name != GOOD]
    if len(others) < len(names) and number % 3 == 0:
        return GOOD
    place = number - number // 3 - 1 if len(others) < len(names) else number
    return others[place % len(others)]


def _episode(sampling: Sampling, held_back: bool, first: int, number: int) -> Labels:
    names = list(taught(lambda obs: obs, load_bundle(Path(sampling.bundle)), held_back))
    return gathered(sampling, turn(names, number), first + number, held_back)


def labelled(
    folder: Path, wanted: int, sampling: Sampling, first: int, pool: Pool, progress: Progress, *,
    held_back: bool = False,
) -> Labels:  # fmt: skip
    """At least `wanted` labels of episodes from number `first` on, those in the folder included."""
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Labels] = []
    task = progress.add_task(f"labels of {folder.name}", total=wanted)
    make = partial(_episode, sampling, held_back, first)
    for path, labels in _all(folder, make, pool):
        if labels is None:
            labels = _load(path)
        elif not path.exists():
            _save(path, labels)
        found.append(labels)
        progress.update(task, completed=min(wanted, sum(len(part.obs) for part in found)))
        if sum(len(part.obs) for part in found) >= wanted:
            break
    return joined(found)


def _all(folder: Path, make: partial[Labels], pool: Pool) -> Iterator[tuple[Path, Labels | None]]:
    """Files of the episodes in order, each with its labels unless it is there already."""
    for batch in count():
        numbers = range(batch * AT_ONCE, (batch + 1) * AT_ONCE)
        paths = {number: folder / f"{number:06d}.npz" for number in numbers}
        missing = [number for number in numbers if not paths[number].exists()]
        made = ordered(make, [(number,) for number in missing], pool) if missing else iter(())
        for number in numbers:
            yield paths[number], next(made) if number in missing else None


def first_threshold(critic: SafetyCritic, labels: Labels) -> float:
    """The value that `DISTURBED` of the policy's own actions exceed."""
    own = labels.taken(labels.own & (labels.behaviour == GOOD))
    if not len(own.obs):
        raise ValueError("no label is of the policy's own actions; ask for more labels")
    return float(np.quantile(values(critic, own), 1.0 - DISTURBED))


def by_behaviour(critic: SafetyCritic, labels: Labels, threshold: float) -> dict[str, Figures]:
    """Figures of all labels, and of those of each behaviour."""
    rows = {"all": np.ones(len(labels.obs), dtype=bool)}
    rows |= {str(name): labels.behaviour == name for name in np.unique(labels.behaviour)}
    parts = {name: labels.taken(part) for name, part in rows.items()}
    return {name: figures(values(critic, part), part, threshold) for name, part in parts.items()}


def table(found: dict[str, Figures], title: str) -> Table:
    """For people."""
    shown = Table(title=title)
    for column in (
        "",
        "labels",
        "broken",
        "avertable",
        "AUC",
        "of avertable",
        "recall",
        "of avertable",
        "false",
    ):
        shown.add_column(column, justify="right" if column else "left")
    for name, one in found.items():
        shares = [f"{value:.3f}" for value in one[3:]]
        shown.add_row(name, str(one.labels), str(one.broken), str(one.avertable), *shares)
    return shown


@subcommand("train-critic")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the bundle was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parsed(TrainCriticArguments, words, "spillguard train-critic")
    console = Console(markup=False)
    source = pouring_bundle(args.bundle)
    if args.out.exists() and not args.overwrite:
        raise FileExistsError(f"{args.out} exists; choose another place, or say --overwrite")
    if (args.bundle / SIGNATURE).exists():
        console.print("the bundle is signed, the new one is not: sign it after `spillguard calibrate --key`")
    if args.critic is not None:
        take_over(args.critic, args.bundle, args.out)
        console.print(f"{args.out}: the critic of {args.critic}; next: spillguard calibrate {args.out}")
        return 0
    spaces = environment_spaces(source.task.environments[0])
    work = args.work or args.out.with_name(f"{args.out.name}.labels")
    work.mkdir(parents=True, exist_ok=True)
    with locked(work, "labels for a critic"):
        _check_same(work, args, source.manifest)
        critic, threshold, labels = _rounds(args, spaces, work, console)
        with Progress(console=console) as progress:
            sampling = Sampling(str(args.bundle), args.hold, args.domain)
            judge = labelled(
                work / "held back", args.held_back, sampling, 900_000, args.pool, progress, held_back=True
            )
    fit, held = (by_behaviour(critic, part, threshold) for part in (labels, judge))
    console.print(table(fit, "labels of the fit"), table(held, f"held back: {', '.join(HELD_BACK)}"))
    how = f"uncalibrated: {100 * DISTURBED:g} % of the policy's own actions in training exceed it"
    write_bundle(args.bundle, args.out, critic, threshold, how)
    report = {
        "hold": args.hold, "domain": args.domain, "rounds": args.rounds, "seed": args.seed,
        "behaviours": sorted({*map(str, np.unique(labels.behaviour))} - {GOOD}),
        "threshold": threshold, "fit": {name: one._asdict() for name, one in fit.items()},
        "held_back": {name: one._asdict() for name, one in held.items()}, "provenance": provenance(),
    }  # fmt: skip
    (args.out / CRITIC_REPORT).parent.mkdir()
    write_atomically(args.out / CRITIC_REPORT, json.dumps(report, indent=2).encode())
    console.print(f"{args.out}: threshold {threshold:.3f}; next: spillguard calibrate {args.out}")
    return 0


def _check_same(work: Path, args: TrainCriticArguments, manifest: Manifest) -> None:
    """ValueError if the folder's labels answer another question."""
    asked = {
        "policy": manifest.files[robot.POLICY], "guard": manifest.files[robot.GUARD], "hold": args.hold,
        "domain": args.domain, "rounds": args.rounds,
    }  # fmt: skip
    note = work / "labels.json"
    if not note.exists():
        write_atomically(note, json.dumps(asked, indent=2).encode())
    elif (then := read_json(note)) != asked:
        other = ", ".join(f"{name} was {then.get(name)}" for name in asked if then.get(name) != asked[name])
        raise ValueError(f"{work} holds labels of something else ({other}); choose another --work")


def _rounds(
    args: TrainCriticArguments, spaces: Spaces, work: Path, console: Console
) -> tuple[SafetyCritic, float, Labels]:
    """The critic of the last round, its threshold, all labels."""
    sampling, parts = Sampling(str(args.bundle), args.hold, args.domain), list[Labels]()
    for number in range(args.rounds):
        with Progress(console=console) as progress:
            share = args.labels // args.rounds
            parts.append(
                labelled(work / f"round {number}", share, sampling, 100_000 * number, args.pool, progress)
            )
        labels = joined(parts)
        critic = fitted(labels, spaces, FitConfig(seed=args.seed))
        threshold = first_threshold(critic, labels)
        console.print(table(by_behaviour(critic, labels, threshold), f"after round {number}"))
        so_far = work / f"round {number}" / "bundle"
        write_bundle(args.bundle, so_far, critic, threshold, "uncalibrated: of a round of its training")
        sampling = sampling._replace(bundle=str(so_far), threshold=threshold)
    return critic, threshold, labels
