"""`spillguard wrap`: somebody else's policy as a bundle: an ONNX graph, a model of Stable-Baselines3, or a
LEAPP pipeline.

The contract says what its numbers mean (`contract.py`). The graph is put between the robot's terms and the
task's action (`graph.py`), compared step by step with what the contract means (`meaning.py`), and the
bundle is checked through the robot's own loader. It has no safety critic: the hard limits act alone, and the
monitor says so in every status.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import onnxruntime
import tyro
from numpy.typing import NDArray
from rich.console import Console

from policy_training.deployment.bundle_folder import check_replaceable, folder_beside, replace_folder
from policy_training.deployment.export import SPEED_SHARE
from policy_training.deployment.leapp.drafting import DEFAULT_RATE, write_pipeline_draft
from policy_training.deployment.leapp.merging import merged
from policy_training.deployment.leapp.pipeline import is_pipeline, read_pipeline
from policy_training.deployment.wrap.contract import Contract, load_contract
from policy_training.deployment.wrap.draft import write_draft
from policy_training.deployment.wrap.graph import wrapped
from policy_training.deployment.wrap.meaning import Meaning
from policy_training.runs.folder import provenance
from policy_training.terminal import parsed, subcommand
from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.graphs import OnnxPolicy, PolicyRun
from spillguard_core.bundle.manifest import (
    SCHEMA,
    ActionTerm,
    Ahead,
    Limits,
    Manifest,
    ObservationTerm,
    Provenance,
    Threshold,
    refusing,
)
from spillguard_core.bundle.onnx_wire import check_self_contained
from spillguard_core.bundle.signing import SIGNATURE, sign
from spillguard_core.bundle.site import Shape, Site, load_site, with_site
from spillguard_core.robot.arm import MONITOR_PERIOD, load_robot

SAMPLES, STEPS = 64, 20
TOLERANCE = 1e-4  # of an action of 1, between the graph and what the contract means
TABLE = Shape("table", "box", (0.0, 0.0, -0.1), (1.0, 0.0, 0.0, 0.0), (2.0, 2.0, 0.1))
"""Stands under the arm where no site is given."""


def wrap(
    model: bytes, contract: Contract, out: Path, *, overwrite: bool = False, key: Path | None = None,
    said: str = "",
) -> int:  # fmt: skip
    """Write the bundle `out`, or raise and leave nothing new behind. Returns how many values the policy
    remembers. `said`: the contract's text, which the bundle keeps for audits."""
    if out.exists() and not overwrite:
        raise FileExistsError(f"{out} exists; remove it, choose another place, or say --overwrite")
    if out.exists():
        check_replaceable(out)
    part = folder_beside(out)
    try:
        with refusing("the policy's graph cannot be wrapped"):
            check_self_contained("it", model)
            graph = wrapped(onnx.load_model_from_string(model), contract).SerializeToString()
            onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        observations = _observations(contract)
        with refusing("the policy's graph cannot be run"):
            _compare(graph, model, contract, observations)
        policy = OnnxPolicy(graph)
        (part / robot.POLICY).write_bytes(graph)
        (part / robot.GUARD).write_bytes(_world(contract))
        np.savez(part / robot.SAMPLES, obs=observations, action=policy(observations))
        hashes = {name: robot.sha256((part / name).read_bytes()) for name in robot.NEEDED}
        (part / robot.MANIFEST).write_text(_manifest(contract, hashes, said).to_json())
        if key is not None:
            (part / SIGNATURE).write_bytes(sign((part / robot.MANIFEST).read_bytes(), key))
        robot.load_bundle(part, contract.robot)
        replace_folder(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return policy.memory


def _observations(contract: Contract) -> NDArray[np.float32]:
    """(N, O) spread over where the terms are usual."""
    terms = [contract.task.terms[name] for name in contract.terms]
    shift, scale = (np.concatenate([getattr(term, end) for term in terms]) for end in ("shift", "scale"))
    spread = np.random.default_rng(0).uniform(-1.0, 1.0, (SAMPLES, len(shift)))
    return np.asarray(shift + scale * spread, dtype=np.float32)


def _compare(graph: bytes, model: bytes, contract: Contract, observations: NDArray[np.float32]) -> None:
    """ValueError if the wrapped graph does not do what the contract means."""
    run, wanted = PolicyRun(OnnxPolicy(graph)), Meaning(model, contract)
    ends = np.cumsum([contract.task.terms[name].width for name in contract.terms])[:-1]
    for step, obs in enumerate(observations[:STEPS]):
        terms = dict(zip(contract.terms, np.split(obs.astype(np.float64), ends), strict=True))
        got, meant = run(obs), (wanted(terms) / contract.task.scale).ravel()
        error = float(np.abs(got - meant).max() / max(1.0, float(np.abs(meant).max())))
        if not error <= TOLERANCE:
            raise ValueError(
                f"at step {step} the wrapped graph asks for {np.round(got, 4).tolist()}, the policy's own "
                f"for {np.round(meant, 4).tolist()}; does its graph compute each row of a batch by itself?"
            )
    rows = OnnxPolicy(graph)(observations[:5])
    alone = np.concatenate([OnnxPolicy(graph)(observations[row : row + 1]) for row in range(5)])
    if not np.allclose(rows, alone, atol=TOLERANCE):
        raise ValueError("the policy's graph gives other actions for a batch than row by row")


def _world(contract: Contract) -> bytes:
    """The robot's own model among the shapes of the site, or a world as it is. FileNotFoundError."""
    if contract.world is not None:
        return contract.world.read_bytes()
    path = contract.robot.folder / "model.xml"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is lacking: the arm's shapes, which `spillguard robot` writes")
    site = Site("table", (TABLE,), (), "") if contract.site is None else load_site(contract.site)
    if site.zones:
        raise ValueError(f"{contract.site} has slow zones: give them to the monitor, with site:=")
    return with_site(path.read_bytes(), site, contract.robot, contract.task)


def _manifest(contract: Contract, hashes: dict[str, str], said: str) -> Manifest:
    task, arm = contract.task, contract.robot
    terms = [(name, task.terms[name]) for name in contract.terms]
    made = provenance()
    versions: Any = made["versions"]
    return Manifest(
        schema=SCHEMA, task=task.name,
        observation=tuple(ObservationTerm(name, term.width, term.unit) for name, term in terms),
        action=tuple(ActionTerm(axis.name, axis.unit, axis.scale) for axis in task.action),
        joint_names=arm.joint_names, policy_rate=contract.policy_rate, monitor_rate=1.0 / MONITOR_PERIOD,
        limits=Limits.of(replace(arm.limits, velocity=SPEED_SHARE * arm.limits.velocity)),
        threshold=Threshold(None, "uncalibrated: no safety critic"),
        provenance=Provenance("wrapped", 0, str(made["commit"]), {"contract": said}, versions, {}),
        files=hashes, robot=arm.name, trained_latency=contract.trained_latency, ahead=_ahead(contract),
    )  # fmt: skip


def _ahead(contract: Contract) -> Ahead | None:
    return None if contract.chunk is None else Ahead(contract.chunk.used, contract.chunk.period)


@dataclass(frozen=True)
class WrapArguments:
    """Write somebody else's policy as a bundle, checked against its contract and by the robot's loader."""

    model: tyro.conf.Positional[Path]
    "An ONNX graph, a model of Stable-Baselines3 (.zip), or a LEAPP pipeline (its folder or YAML file)."
    contract: Path
    "contract.yaml: what the policy is given and what its outputs mean; see docs/own_policy.md."
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    "Directory of the bundle."
    draft: bool = False
    "Write --contract from what the graph (mjlab, Isaac Lab, rsl_rl) or pipeline says for --robot, no bundle."
    robot: str = ""
    "Of a draft: name of the arm, or a folder with its robot.yaml."
    rate: float | None = None
    "Of a draft: how often the policy is asked [Hz]. None: as a LEAPP pipeline says, else 50."
    normalize: Path | None = None
    "Of a model of Stable-Baselines3: its VecNormalize (.pkl)."
    overwrite: bool = False
    "Replace a bundle that is there already."
    key: Path | None = None
    "PEM file of an Ed25519 private key to sign the bundle with."


@subcommand("wrap")
def main(words: Sequence[str]) -> int:
    """`spillguard wrap`."""
    args = parsed(WrapArguments, words, "spillguard wrap")
    if args.draft:
        return _draft(args)
    if args.out is None:
        raise ValueError("--out is lacking: the directory of the bundle")
    contract = load_contract(args.contract)
    if args.model.suffix == ".zip":
        from policy_training.deployment.wrap.stable_baselines import graph_of

        model = graph_of(args.model, args.normalize)
    elif args.normalize is not None:
        raise ValueError("--normalize is of a model of Stable-Baselines3 (.zip)")
    elif is_pipeline(args.model):
        model = merged(read_pipeline(args.model)).SerializeToString()
    else:
        model = args.model.read_bytes()
    said = args.contract.read_text()
    memory = wrap(model, contract, args.out, overwrite=args.overwrite, key=args.key, said=said)
    remembers = f", remembers {memory} values" if memory else ""
    Console(markup=False).print(
        f"{args.out}: {contract.task.name} on {contract.robot.name}, {contract.policy_rate:g} Hz{remembers}; "
        "no safety critic: the hard limits act alone (allow_uncalibrated:=true)",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0


def _draft(args: WrapArguments) -> int:
    if not args.robot or args.out is not None:
        raise ValueError("a draft is for an arm and makes no bundle: give --robot, leave out --out")
    arm = load_robot(args.robot)
    if is_pipeline(args.model):
        write_pipeline_draft(args.model, args.contract, arm, args.robot, args.rate)
    else:
        write_draft(args.model, args.contract, arm, args.robot, args.rate or DEFAULT_RATE)
    Console(markup=False).print(f"{args.contract}: read every line, then wrap", highlight=False)
    return 0
