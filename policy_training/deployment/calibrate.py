"""`spillguard calibrate`: a safety critic's threshold with a statistical guarantee, and its cost.

Fresh episodes of the policy and of perturbed and adversarial ones, none of which the critic was trained
on, run behind the monitor, hard limits on, without its tilt rule, critic logged but inactive. An episode is
missed if a rule was broken although Q_c stayed at or below the threshold for all of the horizon before it,
up to the lead time that an intervention needs. The promise: the share of missed episodes of such a mix is at
most delta, with the stated confidence. Where so few episodes break a rule that this holds without any
critic, it is vacuous and not written. Then the critic acts in the same cells: how many of the violations it
averts, and how many of the policy's own successes it leaves, stands beside the promise.

Thresholds are tested from the lowest upwards, each with the exact binomial bound of Clopper and Pearson
(1934), until the first one fails. In a fixed order the tests need no correction for multiplicity
(Angelopoulos et al. 2021, "Learn then Test", fixed sequence testing), and misses only grow with the
threshold. So the promise holds for all thresholds up to the last one that passed, and any of them may be set:
the lowest that disturbs at most a small share of the policy's own successful episodes, if it is among them.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from policy_training.deployment.bad_policies import behaviours
from policy_training.deployment.calibration import (
    GOOD,
    LEAD,
    CriticTrace,
    by_policy,
    calibration,
    draw,
    seen,
)
from policy_training.deployment.campaign import CampaignPolicies, Condition, pours
from policy_training.deployment.export import contents_of, export_bundle, threshold_of
from policy_training.files import read_json, write_atomically
from policy_training.pool import Pool
from policy_training.runs.folder import provenance
from policy_training.runs.trained import load_policy
from policy_training.terminal import parsed, subcommand
from sim.pouring.deployed_config import deployed_config, pouring_bundle
from sim.pouring.domain_file import spread_of
from spillguard_core.bundle.bundle import MANIFEST, Bundle, load_bundle
from spillguard_core.bundle.certificate import LARGEST_DELTA, LEAST_CONFIDENCE, promise, why_uncalibrated
from spillguard_core.bundle.manifest import Conditions, Manifest, Threshold
from spillguard_core.bundle.signing import SIGNATURE, sign
from spillguard_core.tasks.pouring.zone import FREE_TILT

PLOT, REPORT = "calibration.png", "calibration.json"
CRITIC_REPORT = "report/critic.json"  # of `spillguard train-critic`


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
    tilt_rule: bool = False
    "Keep the tilt rule on. Then most spills are its to avert, and little is learned about the critic."
    domain: str = "full"
    "What the cells differ in: nominal, pours, full, or a domain file."
    reckless: Path | None = None
    "Run of a policy trained on reward alone, to be part of the mix."
    pool: Pool = field(default_factory=Pool)
    key: Path | None = None
    "PEM file of the Ed25519 private key to sign the changed manifest with."

    def __post_init__(self) -> None:
        if not (self.episodes >= 1 and self.horizon > LEAD):
            raise ValueError(f"episodes must be at least 1, horizon above {LEAD} s")
        spread_of(self.domain)
        if not (0.0 < self.delta <= LARGEST_DELTA and LEAST_CONFIDENCE <= self.confidence < 1.0):
            raise ValueError(
                f"delta {self.delta} must be in (0, {LARGEST_DELTA}], confidence {self.confidence} at "
                f"least {LEAST_CONFIDENCE} and below 1: the monitor takes no looser promise"
            )


def conditions(bundle: Bundle, tilt_rule: bool = False) -> Conditions:
    """The subject of the episodes: this bundle behind the monitor as deployed, or without its tilt rule."""
    config, manifest = deployed_config(bundle, None), bundle.manifest
    settings = {name: value for name, value in config.settings.items() if tilt_rule or name != FREE_TILT.name}
    return Conditions(
        manifest.files,
        manifest.limits,
        config.clearance,
        settings,
        config.target_tolerance,
        config.target_height_tolerance,
        manifest.interface,
    )


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
        here = deployed_config(loaded, None)
        config = replace(
            here, clearance=made.clearance, target_tolerance=made.target_tolerance,
            target_height_tolerance=made.target_height_tolerance, settings={**here.settings, **made.settings},
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


def unknown_to(bundle: Path, names: Sequence[str]) -> list[str]:
    """Those behaviours of which the bundle's critic has not seen a label; the policy itself always counts."""
    report = bundle / CRITIC_REPORT
    told = read_json(report) if report.is_file() else {}
    taught = told.get("behaviours", []) if isinstance(told, dict) else None
    if not isinstance(taught, list):
        raise ValueError(f"{report} does not list the behaviours that the critic was trained on")
    return [name for name in names if name == GOOD or name not in taught]


def acting(
    episodes: Sequence[tuple[Condition, int, CriticTrace]], value: float, subject: CampaignPolicies,
    pool: Pool, console: Console,
) -> tuple[int, int]:  # fmt: skip
    """With the critic at the threshold, in the same cells: how many of the violations are averted, and how
    many of the policy's own successes are left."""
    again: dict[Condition, list[int]] = {}
    for arm, number, e in episodes:
        if e.violated or (e.policy == GOOD and e.success):
            again.setdefault(replace(arm, critic=True), []).append(number)
    running = pours(replace(subject, threshold=value), list(again.items()), pool)
    total = sum(map(len, again.values()))
    before = {(arm.policy, number): e for arm, number, e in episodes}
    averted = kept = 0
    for arm, number, pour in track(running, "the same cells, critic acting", total=total, console=console):
        averted += before[arm.policy, number].violated and not pour.violated
        kept += before[arm.policy, number].success and pour.success
    return averted, kept


@subcommand("calibrate")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the bundle has a threshold that holds the promise."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(CalibrateArguments, words, "spillguard calibrate")
    args = replace(args, bundle=bundle_of(args.bundle))
    bundle = pouring_bundle(args.bundle)
    subject = CampaignPolicies(str(args.bundle), str(args.reckless or ""), domain=args.domain)
    mix = unknown_to(args.bundle, [*behaviours(lambda obs: obs, bundle.own_critic)])
    mix += ["trained on reward alone"] * bool(args.reckless)
    wanted = [
        (Condition(policy, critic=False, tilt_check=args.tilt_rule), range(args.episodes)) for policy in mix
    ]
    running = pours(subject, wanted, args.pool)
    total = args.episodes * len(mix)
    traces = [
        (arm, number, seen(arm.policy, pour, args.horizon))
        for arm, number, pour in track(running, "calibration episodes", total=total, console=console)
    ]
    episodes = [trace for *_, trace in traces]
    value, found = calibration(episodes, args)
    averted, kept = acting(traces, value, subject, args.pool, console)
    found = replace(found, conditions=conditions(bundle, args.tilt_rule), averted=averted, own_kept=kept)
    text = f"{promise(found)}; a mix of {len(mix)} policies in cells of the domain {Path(args.domain).name}"
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
        f"disturbs {found.own_disturbed} of {found.own_successes} successes of the policy itself; acting, it "
        f"averts {found.averted} of {found.violations} violations and leaves {found.own_kept} successes",
        soft_wrap=True,
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
