"""From a trained run to a bundle that the robot's own loader accepts, or nothing at all.

The graphs are checked through `spillguard_core.bundle.load_bundle` on recorded observations: what runs in
that check is byte for byte what the robot will run.
"""

import json
import logging
import shutil
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from torch import nn

from policy_training.episodes import VALIDATION_SEEDS, make_env
from policy_training.runs import TrainedPolicy, load_policy
from policy_training.terminal import complain
from policy_training.threshold import measured_threshold
from sim.cell_model import guard_model_xml
from spillguard_core import bundle as robot
from spillguard_core.arm import (
    ACTION_SCALE,
    GEN3_LIMITS,
    JOINT_NAMES,
    MONITOR_PERIOD,
    POLICY_PERIOD,
    TWIST_NAMES,
)
from spillguard_core.manifest import (
    SCHEMA,
    ActionTerm,
    JsonValue,
    Limits,
    Manifest,
    ObservationTerm,
    Provenance,
    Threshold,
)
from spillguard_core.observation import POUR_TERMS, TERMS
from spillguard_core.signing import SIGNATURE, sign

OPSET = 18
SPEED_SHARE = 0.9  # of the arm's speed limits: messages come early or late, so it overshoots what it is told
TWIST_UNITS = ("m/s", "m/s", "m/s", "rad/s")
LARGEST_BATCH = 4096  # the exporter wants a bound on the free dimension
DEPLOYABLE = {"spillguard/PourCoffee-v0": POUR_TERMS}
"""Tasks of the arm, with the terms of their observation."""
SAMPLES = 256  # recorded observations in a bundle


@dataclass(frozen=True, eq=False)
class Contents:
    """What goes into a bundle, still as torch modules. N samples, O observation, A action."""

    policy: nn.Module  # obs (B, O) -> action (B, A)
    safety_critic: nn.Module  # obs (B, O), action (B, A) -> q_c (B,), twin already aggregated
    observations: NDArray[np.float32]  # (N, O) recorded in physical units, not zeros
    guard_xml: str
    task: str
    terms: tuple[str, ...]
    threshold: Threshold
    provenance: Provenance


def export_bundle(contents: Contents, out: Path, *, overwrite: bool = False, key: Path | None = None) -> Path:
    """Write the bundle directory `out`, or raise and leave nothing new behind."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; remove it, choose another place, or say --overwrite")
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _write(contents, part)
        if key is not None:
            (part / SIGNATURE).write_bytes(sign((part / robot.MANIFEST).read_bytes(), key))
        robot.load_bundle(part, JOINT_NAMES)
        _replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _replace(part: Path, out: Path) -> None:
    """Put the finished directory in its place; the old one stays until the new one is complete."""
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    part.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _write(contents: Contents, folder: Path) -> None:
    obs = torch.as_tensor(contents.observations)
    with torch.no_grad():
        action = contents.policy.eval()(obs)
        q_c = contents.safety_critic.eval()(obs, action)
    _write_graph(contents.policy, {"obs": obs}, "action", folder / robot.POLICY)
    _write_graph(contents.safety_critic, {"obs": obs, "action": action}, "q_c", folder / robot.CRITIC)
    (folder / robot.GUARD).write_text(contents.guard_xml)
    recorded = {"obs": contents.observations, "action": action.numpy(), "q_c": q_c.numpy()}
    np.savez(folder / robot.SAMPLES, **recorded)
    hashes = {name: robot.sha256((folder / name).read_bytes()) for name in robot.FILES}
    (folder / robot.MANIFEST).write_text(manifest_of(contents, hashes).to_json())


def _write_graph(module: nn.Module, inputs: dict[str, torch.Tensor], output: str, path: Path) -> None:
    """One file with the weights inside, float32, free batch dimension, without traces of this machine."""
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it lists extras that are not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget(model.graph.node)
    _forget(model.graph.value_info)
    _forget([*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph, model])
    onnx.checker.check_model(model)
    onnx.save(model, path, save_as_external_data=False)


def _forget(entries: Iterable[object]) -> None:
    """Drop doc strings and metadata: the exporter stores stack traces, and with them paths, in every node."""
    for entry in entries:
        for name in ("metadata_props", "doc_string"):
            if hasattr(entry, name):
                entry.ClearField(name)  # type: ignore[attr-defined]


def manifest_of(contents: Contents, hashes: dict[str, str]) -> Manifest:
    """The manifest of these contents for the arm of `spillguard_core.arm`."""
    scales = zip(TWIST_NAMES, TWIST_UNITS, ACTION_SCALE.tolist(), strict=True)
    return Manifest(
        schema=SCHEMA,
        task=contents.task,
        observation=tuple(ObservationTerm(n, TERMS[n].width, TERMS[n].unit) for n in contents.terms),
        action=tuple(ActionTerm(name, unit, scale) for name, unit, scale in scales),
        joint_names=JOINT_NAMES,
        policy_rate=1.0 / POLICY_PERIOD,
        monitor_rate=1.0 / MONITOR_PERIOD,
        limits=Limits.of(replace(GEN3_LIMITS, velocity=SPEED_SHARE * GEN3_LIMITS.velocity)),
        threshold=contents.threshold,
        provenance=contents.provenance,
        files=hashes,
    )


@dataclass(frozen=True)
class ExportArguments:
    """Write a trained run as a bundle for the robot, checked through the robot's own loader."""

    run: tyro.conf.Positional[Path]
    "Run folder, or a checkpoint file in one."
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    "Directory of the bundle."
    threshold: float | None = None
    "Highest Q_c that the monitor lets pass, in [0, 1]; by default measured on validation episodes."
    uncalibrated: bool = False
    "No threshold: the monitor reports Q_c and does not act on it."
    overwrite: bool = False
    "Replace a bundle that is there already."
    key: Path | None = None
    "PEM file of an Ed25519 private key to sign the bundle with."


def main(arguments: Sequence[str] | None = None) -> int:
    """`spillguard export`."""
    args = tyro.cli(ExportArguments, args=arguments, prog="spillguard export")
    try:
        trained = load_policy(args.run)
        threshold = threshold_of(trained, args.threshold, uncalibrated=args.uncalibrated)
        export_bundle(contents_of(trained, threshold), args.out, overwrite=args.overwrite, key=args.key)
    except (ValueError, OSError) as error:
        return complain("export", error)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    Console().print(
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
    if trained.safety_critic is None:
        raise ValueError(f"{trained.config.algo} trains no safety critic, and the monitor needs one")
    return measured_threshold(trained.policy, trained.safety_critic, trained.config.env)


def contents_of(trained: TrainedPolicy, threshold: Threshold) -> Contents:
    """What a trained run puts into a bundle."""
    task = trained.config.env
    if task not in DEPLOYABLE:
        raise ValueError(f"{task} is no task of the arm; deployable are {', '.join(DEPLOYABLE)}")
    if trained.safety_critic is None:
        raise ValueError(f"{trained.config.algo} trains no safety critic, and the monitor needs one")
    return Contents(
        policy=trained.policy,
        safety_critic=trained.safety_critic,
        observations=recorded_observations(trained.policy, task),
        guard_xml=guard_model_xml(),
        task=task,
        terms=DEPLOYABLE[task],
        threshold=threshold,
        provenance=provenance_of(trained),
    )


def recorded_observations(policy: nn.Module, task: str) -> NDArray[np.float32]:
    """Observations (N, O) of deterministic episodes, spread over all of their phases."""
    env, seed = make_env(task), VALIDATION_SEEDS
    seen: list[NDArray[np.float32]] = []
    while len(seen) < SAMPLES:
        obs, _ = env.reset(seed=seed)
        over, seed = False, seed + 1
        while not over:
            seen.append(obs)
            with torch.no_grad():
                action = policy(torch.as_tensor(obs)[None])[0].numpy()
            obs, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
    env.close()
    return np.stack(seen)[np.linspace(0, len(seen) - 1, SAMPLES, dtype=int)]


def provenance_of(trained: TrainedPolicy) -> Provenance:
    """Where the weights come from, with the held-out figures if the run was evaluated."""
    facts, report = trained.provenance, trained.run / "evaluation" / "report.json"
    evaluation: dict[str, JsonValue] = {f"validation_{k}": v for k, v in trained.validation.items()}
    if report.is_file():
        found = json.loads(report.read_text())
        evaluation |= {name: found[name] for name in ("episodes", "first_seed", "figures")}
    versions = facts.get("versions", {})
    return Provenance(
        algorithm=trained.config.algo,
        seed=trained.config.seed,
        commit=str(facts.get("commit", "")),
        config=json.loads(trained.config.to_json()),
        versions=versions if isinstance(versions, dict) else {},
        evaluation=evaluation,
    )


if __name__ == "__main__":
    sys.exit(main())
