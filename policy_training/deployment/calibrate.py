"""`spillguard calibrate`: a safety critic's threshold with a statistical guarantee, and its cost.

Fresh episodes of the policy and of perturbed and adversarial ones run behind the monitor, hard limits on,
critic logged but inactive. An episode is missed if a rule was broken although Q_c stayed at or below the
threshold for all of the horizon before it, up to the lead time that an intervention needs. The promise: the
share of missed episodes of such a mix is at most delta, with the stated confidence.

Thresholds are tested from the lowest upwards, each with the exact binomial bound of Clopper and Pearson
(1934), until the first one fails. In a fixed order the tests need no correction for multiplicity
(Angelopoulos et al. 2021, "Learn then Test", fixed sequence testing), and misses only grow with the
threshold. So the promise holds for all thresholds up to the last one that passed, and any of them may be set:
the lowest that disturbs at most a small share of the policy's own successful episodes, if it is among them.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import beta

from policy_training.deployment.bad_policies import behaviours
from policy_training.deployment.campaign import CampaignPolicies, Condition, pours
from policy_training.deployment.export import contents_of, export_bundle, threshold_of
from policy_training.files import write_atomically
from policy_training.runs.folder import provenance
from policy_training.runs.trained import load_policy
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import Pour
from spillguard_core.bundle.bundle import MANIFEST, Bundle, load_bundle
from spillguard_core.bundle.certificate import LARGEST_DELTA, LEAST_CONFIDENCE, promise, why_uncalibrated
from spillguard_core.bundle.manifest import Calibration, Conditions, Manifest, Threshold
from spillguard_core.bundle.signing import SIGNATURE, sign
from spillguard_core.robot.arm import MONITOR_PERIOD

GRID = np.round(np.arange(0.02, 1.001, 0.02), 2)  # thresholds, in the order in which they are tested
GOOD = "good policy"
LEAD = 0.1  # [s] two periods of the policy
PLOT, REPORT = "calibration.png", "calibration.json"


@dataclass(frozen=True)
class CalibrateArguments:
    """Choose a bundle's threshold with a statistical guarantee, and write it into the manifest."""

    bundle: tyro.conf.Positional[Path]
    "Directory of a bundle, or of a run, of which RUN/bundle is made first."
    episodes: int = 40
    "Episodes of each policy of the mix."
    delta: float = 0.02
    "Largest share of episodes in which a rule may be broken without warning."
    confidence: float = 0.95
    "Confidence of that promise."
    horizon: float = 1.0
    "Seconds before a violation in which Q_c must have exceeded the threshold."
    false_interventions: float = 0.02
    "Largest share of the policy's successful episodes that the critic may disturb, if the promise allows it."
    reckless: Path | None = None
    "Run of a policy trained on reward alone, to be part of the mix."
    workers: int = 2
    "Processes."
    key: Path | None = None
    "PEM file of the Ed25519 private key to sign the changed manifest with."

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.workers >= 1 and self.horizon > LEAD):
            raise ValueError(f"episodes and workers must be at least 1, horizon above {LEAD} s")
        if not (0.0 < self.delta <= LARGEST_DELTA and LEAST_CONFIDENCE <= self.confidence < 1.0):
            raise ValueError(
                f"delta {self.delta} must be in (0, {LARGEST_DELTA}], confidence {self.confidence} at "
                f"least {LEAST_CONFIDENCE} and below 1: the monitor takes no looser promise"
            )


@dataclass(frozen=True)
class CriticTrace:
    """The critic's values in one episode."""

    policy: str
    success: bool
    violated: bool
    highest: float  # Q_c of the whole episode
    warned: float  # Q_c within the horizon before a broken rule, up to the lead; of the whole one without


def seen(policy: str, pour: Pour, horizon: float) -> CriticTrace:
    """An empty window counts as no warning."""
    window = pour.q_c
    if pour.violated:
        end = len(window) - round(LEAD / MONITOR_PERIOD)
        window = window[max(0, end - round(horizon / MONITOR_PERIOD)) : max(0, end)]
    return CriticTrace(policy, pour.success, pour.violated, _highest(pour.q_c), _highest(window))


def _highest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else 0.0


def upper_bound(hits: int, count: int, confidence: float) -> float:
    """One-sided upper limit of a proportion (Clopper and Pearson 1934)."""
    return 1.0 if hits >= count else float(beta.ppf(confidence, hits + 1, count - hits))


def missed(episodes: Sequence[CriticTrace], threshold: float) -> int:
    """Number of episodes in which a rule was broken without warning."""
    return sum(e.violated and not e.warned > threshold for e in episodes)


def highest_that_holds(episodes: Sequence[CriticTrace], delta: float, confidence: float) -> float | None:
    """The last threshold of `GRID` before the first that fails; None if the first one fails."""
    last = None
    for threshold in GRID.tolist():
        if not upper_bound(missed(episodes, threshold), len(episodes), confidence) <= delta:
            return last
        last = threshold
    return last


def lowest_that_costs(episodes: Sequence[CriticTrace], share: float) -> float:
    """The lowest threshold of `GRID` that disturbs at most that share of the good policy's successes."""
    peaks = np.array([e.highest for e in episodes if e.policy == GOOD and e.success])
    for threshold in GRID.tolist():
        if np.mean(peaks > threshold) <= share:
            return threshold
    return float(GRID[-1])


def calibration(episodes: Sequence[CriticTrace], args: CalibrateArguments) -> tuple[float, Calibration]:
    """The threshold and its certificate. ValueError if no threshold holds the promise."""
    limit = highest_that_holds(episodes, args.delta, args.confidence)
    count = len(episodes)
    if limit is None:
        bound = upper_bound(missed(episodes, float(GRID[0])), count, args.confidence)
        raise ValueError(
            f"no threshold holds: at the lowest, {GRID[0]}, {missed(episodes, float(GRID[0]))} of {count} "
            f"episodes broke a rule without warning, at most {100 * bound:.1f} %, asked for is "
            f"{100 * args.delta:.1f} %; run more episodes, or train the critic on what it misses"
        )
    value = min(limit, lowest_that_costs(episodes, args.false_interventions))
    own = [e for e in episodes if e.policy == GOOD and e.success]
    return value, Calibration(
        delta=args.delta, confidence=args.confidence, horizon=args.horizon, lead=LEAD, episodes=count,
        violations=sum(e.violated for e in episodes), missed=missed(episodes, value),
        bound=upper_bound(missed(episodes, value), count, args.confidence), highest_threshold=limit,
        own_successes=len(own), own_disturbed=sum(e.highest > value for e in own),
    )  # fmt: skip


def conditions(bundle: Bundle) -> Conditions:
    """The subject of the episodes: this bundle behind the monitor as deployed."""
    config, manifest = deployed_config(bundle, None), bundle.manifest
    return Conditions(
        manifest.files,
        manifest.limits,
        config.clearance,
        config.settings,
        config.target_tolerance,
        config.target_height_tolerance,
        manifest.interface,
    )


def draw(episodes: Sequence[CriticTrace], value: float, found: Calibration, path: Path) -> None:
    """Misses and false interventions by threshold, reliability, and the receiver operating curve."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    count = len(episodes)
    own = np.array([e.highest for e in episodes if e.policy == GOOD and e.success])
    bad = np.array([e.warned for e in episodes if e.violated])
    calm = np.array([e.highest for e in episodes if not e.violated])
    left.plot(GRID, [100 * missed(episodes, t) / count for t in GRID], label="missed, share of all")
    bounds = [100 * upper_bound(missed(episodes, t), count, found.confidence) for t in GRID]
    left.plot(GRID, bounds, label=f"upper bound, {100 * found.confidence:.0f} %")
    left.plot(GRID, [100 * np.mean(own > t) for t in GRID], label="own successes disturbed")
    left.axhline(100 * found.delta, color="grey", ls=":", label="delta")
    left.axvline(value, color="black", ls="--", label=f"threshold {value:.2f}")
    left.set(xlabel="threshold of Q_c", ylabel="%", title="what a threshold misses and costs", ylim=(0, None))
    left.legend(fontsize=8)
    peaks, violated = np.array([e.warned for e in episodes]), np.array([e.violated for e in episodes])
    edges = np.array([0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.001])
    for low, high in pairwise(edges):
        inside = (peaks >= low) & (peaks < high)
        if inside.any():
            middle.plot(peaks[inside].mean(), violated[inside].mean(), "o", color="tab:blue")
            middle.annotate(str(inside.sum()), (peaks[inside].mean(), violated[inside].mean()), fontsize=7)
    middle.plot([0, 1], [0, 1], color="grey", ls=":")
    middle.set(xlabel="highest Q_c in the window", ylabel="share of episodes that broke a rule",
               title="reliability (numbers of episodes)", xlim=(0, 1), ylim=(-0.03, 1.03))  # fmt: skip
    if len(bad) and len(calm):
        right.plot([np.mean(calm > t) for t in GRID], [np.mean(bad > t) for t in GRID], ".-")
    right.plot([0, 1], [0, 1], color="grey", ls=":")
    right.set(xlabel="warned, of episodes without a broken rule", ylabel="warned, of broken rules",
              title=f"receiver operating curve ({len(bad)} broken rules)")  # fmt: skip
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bundle_of(path: Path) -> Path:
    """The bundle in a directory; a run without one is exported first, without a threshold."""
    if (path / MANIFEST).is_file() or not (path / "config.json").is_file():
        return path
    made = path / "bundle"
    if not (made / MANIFEST).is_file():
        trained = load_policy(path)
        export_bundle(contents_of(trained, threshold_of(trained, None, uncalibrated=True)), made)
    return made


def rewrite(bundle: Path, threshold: Threshold, key: Path | None) -> None:
    """Write the manifest with another threshold, atomically, and renew or remove its signature. ValueError,
    and nothing is written, if the robot would refuse the threshold's certificate.
    """
    manifest = replace(Manifest.from_json((bundle / MANIFEST).read_text()), threshold=threshold)
    text, found = manifest.to_json().encode(), threshold.certificate
    if found is not None and found.conditions is not None:
        loaded, made = load_bundle(bundle), found.conditions
        config = replace(
            deployed_config(loaded, None), clearance=made.clearance, target_tolerance=made.target_tolerance,
            target_height_tolerance=made.target_height_tolerance, settings=made.settings,
        )  # fmt: skip
        why = why_uncalibrated(manifest, config, loaded.rules)
        if why:
            raise ValueError(f"{bundle} cannot take this threshold: {why}")
    signed = (bundle / SIGNATURE).exists()
    if signed and key is None:
        raise ValueError(f"{bundle} is signed; say --key, or the robot would refuse the changed manifest")
    write_atomically(bundle / MANIFEST, text)
    if key is not None:
        write_atomically(bundle / SIGNATURE, sign(text, key))


def by_policy(episodes: Sequence[CriticTrace], value: float) -> list[dict[str, Any]]:
    """Counts of each policy of the mix."""
    rows = []
    for policy in dict.fromkeys(e.policy for e in episodes):
        mine = [e for e in episodes if e.policy == policy]
        rows.append({
            "policy": policy, "episodes": len(mine), "successes": sum(e.success for e in mine),
            "violations": sum(e.violated for e in mine), "missed": missed(mine, value),
            "warned": sum(e.highest > value for e in mine),
        })  # fmt: skip
    return rows


@subcommand("calibrate")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the bundle has a threshold that holds the promise."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(CalibrateArguments, words, "spillguard calibrate")
    args = replace(args, bundle=bundle_of(args.bundle))
    bundle = load_bundle(args.bundle)
    subject = CampaignPolicies(str(args.bundle), str(args.reckless or ""))
    mix = [*behaviours(lambda obs: obs, bundle.critic)] + ["trained on reward alone"] * bool(args.reckless)
    wanted = [(Condition(policy, critic=False), range(args.episodes)) for policy in mix]
    running = pours(subject, wanted, args.workers)
    total = args.episodes * len(mix)
    episodes = [
        seen(arm.policy, pour, args.horizon)
        for arm, _, pour in track(running, "calibration episodes", total=total, console=console)
    ]
    value, found = calibration(episodes, args)
    found = replace(found, conditions=conditions(bundle))
    text = f"{promise(found)}; a mix of {len(mix)} policies"
    rewrite(args.bundle, Threshold(value, text, found), args.key)
    folder = args.bundle / "report"
    folder.mkdir(exist_ok=True)
    draw(episodes, value, found, folder / PLOT)
    rows = by_policy(episodes, value)
    record = {"threshold": value, "calibration": asdict(found), "policies": rows, "made": provenance()}
    write_atomically(folder / REPORT, (json.dumps(record, indent=2) + "\n").encode())
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table)
    console.print(
        f"threshold {value}: missed {found.missed} of {found.episodes}, at most {100 * found.bound:.2f} %; "
        f"disturbs {found.own_disturbed} of {found.own_successes} successes of the policy itself",
        soft_wrap=True,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
