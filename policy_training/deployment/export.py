"""Export of a trained run to a bundle that the robot's own loader accepts, or to nothing.

The graphs are checked through the robot's own `load_bundle` on recorded observations: the files that this
check runs are those that the robot runs, byte for byte.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from policy_training.deployment.bundle_folder import check_replaceable, folder_beside, replace_folder
from policy_training.deployment.first_threshold import measured_threshold
from policy_training.deployment.onnx_graphs import write_checked, write_graph
from policy_training.experience.environments import make_env
from policy_training.experience.episodes import VALIDATION_SEEDS, transitions
from policy_training.networks.squashed import SafetyCritic
from policy_training.runs.trained import TrainedPolicy, load_policy
from policy_training.terminal import parsed, subcommand
from sim.pouring.cell_model import guard_model_xml
from sim.pouring.domain_file import spread_of
from sim.pouring.scenario import oldest
from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.manifest import (
    SCHEMA,
    ActionTerm,
    JsonValue,
    Limits,
    Manifest,
    ObservationTerm,
    Provenance,
    Threshold,
)
from spillguard_core.bundle.signing import SIGNATURE, sign
from spillguard_core.robot.arm import MONITOR_PERIOD, POLICY_PERIOD, load_robot
from spillguard_core.tasks import find_task
from spillguard_core.tasks.pouring.observation import POUR_TERMS

SPEED_SHARE = 0.9  # of the arm's speed limits: with jitter in the messages the arm overshoots its commands
DEPLOYABLE = {"spillguard/PourCoffee-v0": POUR_TERMS}
"""Tasks of the arm, with the terms of their observation."""
SAMPLES = 256  # recorded observations in a bundle


@dataclass(frozen=True, eq=False)
class Contents:
    """The contents of a bundle, still as torch modules. N samples, O observation, A action."""

    policy: nn.Module  # obs (B, O) -> action (B, A)
    safety_critic: nn.Module  # obs (B, O), action (B, A) -> q_c (B,), twin already aggregated
    observations: NDArray[np.float32]  # (N, O) recorded in physical units, not zeros
    guard_xml: str
    task: str
    terms: tuple[str, ...]
    threshold: Threshold
    provenance: Provenance
    robot: str = "gen3"  # as `load_robot` takes it
    trained_latency: float | None = None  # [s] oldest measurement answered in training


def export_bundle(contents: Contents, out: Path, *, overwrite: bool = False, key: Path | None = None) -> Path:
    """Write the bundle directory `out`, or raise and leave nothing new behind."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; remove it, choose another place, or say --overwrite")
    if out.exists():
        check_replaceable(out)
    part = folder_beside(out)
    try:
        _write(contents, part)
        if key is not None:
            (part / SIGNATURE).write_bytes(sign((part / robot.MANIFEST).read_bytes(), key))
        robot.load_bundle(part, load_robot(contents.robot))
        replace_folder(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def export_graphs(trained: TrainedPolicy, out: Path, *, overwrite: bool = False) -> list[str]:
    """Write policy.onnx and, if one was trained, safety_critic.onnx of any task into the directory `out`.
    Returns the names of the files. ValueError, and nothing is written, if ONNX Runtime and torch disagree.
    This is no bundle: the robot's loader takes only those of the arm's own tasks.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; remove it, choose another place, or say --overwrite")
    if out.exists():
        check_replaceable(out)
    spread = np.random.default_rng(0).normal(size=(SAMPLES, trained.spaces.obs_size)).astype(np.float32)
    obs = torch.as_tensor(trained.spaces.shift + trained.spaces.scale * spread)
    with torch.no_grad():
        action = trained.policy(obs)
    part = folder_beside(out)
    try:
        write_checked(trained.policy, {"obs": obs}, "action", part / robot.POLICY)
        if trained.safety_critic is not None:
            write_checked(trained.safety_critic, {"obs": obs, "action": action}, "q_c", part / robot.CRITIC)
        names = sorted(file.name for file in part.iterdir())
        replace_folder(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return names


def _write(contents: Contents, folder: Path) -> None:
    obs = torch.as_tensor(contents.observations)
    with torch.no_grad():
        action = contents.policy.eval()(obs)
        q_c = contents.safety_critic.eval()(obs, action)
    write_graph(contents.policy, {"obs": obs}, "action", folder / robot.POLICY)
    write_graph(contents.safety_critic, {"obs": obs, "action": action}, "q_c", folder / robot.CRITIC)
    (folder / robot.GUARD).write_text(contents.guard_xml)
    recorded = {"obs": contents.observations, "action": action.numpy(), "q_c": q_c.numpy()}
    np.savez(folder / robot.SAMPLES, **recorded)
    hashes = {name: robot.sha256((folder / name).read_bytes()) for name in robot.FILES}
    (folder / robot.MANIFEST).write_text(manifest_of(contents, hashes).to_json())


def manifest_of(contents: Contents, hashes: dict[str, str]) -> Manifest:
    """The manifest of these contents for their arm and their task."""
    arm = load_robot(contents.robot)
    task = find_task(contents.task, arm)
    terms = [(name, task.terms[name]) for name in contents.terms]
    return Manifest(
        schema=SCHEMA,
        task=contents.task,
        observation=tuple(ObservationTerm(name, term.width, term.unit) for name, term in terms),
        action=tuple(ActionTerm(axis.name, axis.unit, axis.scale) for axis in task.action),
        joint_names=arm.joint_names,
        policy_rate=1.0 / POLICY_PERIOD,
        monitor_rate=1.0 / MONITOR_PERIOD,
        limits=Limits.of(replace(arm.limits, velocity=SPEED_SHARE * arm.limits.velocity)),
        threshold=contents.threshold,
        provenance=contents.provenance,
        files=hashes,
        robot=arm.name,
        trained_latency=contents.trained_latency,
    )


@dataclass(frozen=True)
class ExportArguments:
    """Write a run as a bundle for the robot, checked through the robot's own loader, or its graphs alone."""

    run: tyro.conf.Positional[Path]
    "Run folder, or a checkpoint file in one."
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    "Directory of the bundle."
    threshold: float | None = None
    "Highest Q_c that the monitor lets pass, in [0, 1]; by default measured on validation episodes."
    uncalibrated: bool = False
    "No threshold: the monitor reports Q_c and does not act on it."
    graphs: bool = False
    "Only policy.onnx and safety_critic.onnx, checked against torch, of a run of any task: no bundle."
    overwrite: bool = False
    "Replace what is there already."
    key: Path | None = None
    "PEM file of an Ed25519 private key to sign the bundle with."


@subcommand("export")
def main(words: Sequence[str]) -> int:
    """`spillguard export`."""
    args = parsed(ExportArguments, words, "spillguard export")
    trained = load_policy(args.run)
    if args.graphs:
        if args.threshold is not None or args.uncalibrated or args.key is not None:
            raise ValueError("--threshold, --uncalibrated and --key are of a bundle; leave out --graphs")
        names = export_graphs(trained, args.out, overwrite=args.overwrite)
        Console(markup=False).print(f"{args.out}: {', '.join(names)}", highlight=False, soft_wrap=True)
        return 0
    threshold = threshold_of(trained, args.threshold, uncalibrated=args.uncalibrated)
    export_bundle(contents_of(trained, threshold), args.out, overwrite=args.overwrite, key=args.key)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    Console(markup=False).print(
        f"{args.out}: {trained.config.algo}, step {trained.step}, {size / 1e6:.2f} MB, "
        f"threshold {threshold.value} ({threshold.calibration})",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def threshold_of(trained: TrainedPolicy, value: float | None, *, uncalibrated: bool) -> Threshold:
    """The threshold asked for, else the one that validation episodes suggest."""
    if uncalibrated:
        return Threshold(None, "uncalibrated")
    if value is not None:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"the threshold must be in [0, 1], got {value}")
        return Threshold(value, "given at export")
    return measured_threshold(trained.policy, deployable_critic(trained), trained.config.env)


def deployable_critic(trained: TrainedPolicy) -> SafetyCritic:
    """The safety critic of a run that can go onto the robot; ValueError for one that cannot."""
    task = trained.config.env
    if task not in DEPLOYABLE:
        raise ValueError(
            f"{task} is no task of the arm; deployable are {', '.join(DEPLOYABLE)}; --graphs writes the ONNX "
            "graphs of any task"
        )
    if trained.safety_critic is None:
        raise ValueError(f"{trained.config.algo} trains no safety critic, and the monitor needs one")
    return trained.safety_critic


def contents_of(trained: TrainedPolicy, threshold: Threshold) -> Contents:
    """What a trained run puts into a bundle."""
    task, critic = trained.config.env, deployable_critic(trained)
    return Contents(
        policy=trained.policy,
        safety_critic=critic,
        observations=recorded_observations(trained.policy, task),
        guard_xml=guard_model_xml(),
        task=task,
        terms=DEPLOYABLE[task],
        threshold=threshold,
        provenance=provenance_of(trained),
        trained_latency=oldest(spread_of(str(trained.config.loop.training_env.get("domain", "pours")))),
    )


def recorded_observations(policy: nn.Module, task: str) -> NDArray[np.float32]:
    """Observations (N, O) of deterministic episodes, spread over all of their phases."""

    def rule(obs: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            action: NDArray[np.float32] = policy(torch.as_tensor(obs)[None])[0].numpy()
        return action

    env, seed = make_env(task), VALIDATION_SEEDS
    seen: list[NDArray[np.float32]] = []
    while len(seen) < SAMPLES:
        seen += [step.obs for step in transitions(env, rule, seed)]
        seed += 1
    env.close()
    return np.stack(seen)[np.linspace(0, len(seen) - 1, SAMPLES, dtype=int)]


def provenance_of(trained: TrainedPolicy) -> Provenance:
    """The origin of the weights, with the held-out figures if the run was evaluated."""
    facts, report = trained.provenance, trained.run / "evaluation" / "report.json"
    evaluation: dict[str, JsonValue] = {f"validation_{k}": v for k, v in trained.validation.items()}
    if report.is_file():
        found = json.loads(report.read_text())
        evaluation |= {name: found[name] for name in ("episodes", "first_seed", "figures")}
    versions, bounds = facts.get("versions", {}), trained.spaces.action_bounds
    stretched: dict[str, JsonValue] = {"action_bounds": [list(end) for end in bounds]} if bounds else {}
    return Provenance(
        algorithm=trained.config.algo,
        seed=trained.config.seed,
        commit=str(facts.get("commit", "")),
        config=json.loads(trained.config.to_json()) | stretched,
        versions=versions if isinstance(versions, dict) else {},
        evaluation=evaluation,
    )


if __name__ == "__main__":
    sys.exit(main())
