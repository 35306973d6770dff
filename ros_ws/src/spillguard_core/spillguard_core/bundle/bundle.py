"""The bundle that training hands to the robot: a directory, verified as a whole or refused with the reason.

policy.onnx         obs (B, O) -> action (B, A) in [-1, 1], or (B, H * A) of one that says H actions at once;
                    one with a memory also state -> next_state (B, S)
safety_critic.onnx  optional: obs (B, O), action (B, A) -> q_c (B,); without it the hard checks act alone
guard.xml           MJCF of arm, tool, table and fixtures
samples.npz         recorded obs, action and, of a critic, q_c, reproduced at every load
manifest.json       meaning of the data, and the sha256 of every file
manifest.sig        optional: Ed25519 signature of manifest.json
"""

import hashlib
import reprlib
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from spillguard_core.bundle.certificate import UNCALIBRATED, promise, why_uncalibrated
from spillguard_core.bundle.files import read_file
from spillguard_core.bundle.graph_trial import check_graphs
from spillguard_core.bundle.graphs import Array32, OnnxCritic, OnnxPolicy
from spillguard_core.bundle.guard import guard_model
from spillguard_core.bundle.manifest import BundleError, Manifest, Threshold, refusing
from spillguard_core.bundle.onnx_wire import check_self_contained
from spillguard_core.bundle.signing import SIGNATURE, verify
from spillguard_core.bundle.site import Site, with_site
from spillguard_core.gate.arm_rules import ARM_RULES
from spillguard_core.gate.decision import MARGINS, GateConfig
from spillguard_core.gate.gate import Models
from spillguard_core.gate.proposals import MOST_ACTIONS, ROUNDING, SHORTEST
from spillguard_core.gate.rule import Rule, Tool, checked
from spillguard_core.gate.task import Task
from spillguard_core.robot.arm import ArmLimits, Robot, Vec, load_robot
from spillguard_core.robot.world import Tolerance, World
from spillguard_core.tasks import find_task, installed_rules

POLICY, CRITIC, GUARD, SAMPLES = "policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"
MANIFEST = "manifest.json"
FILES = (POLICY, CRITIC, GUARD, SAMPLES)
NEEDED = tuple(name for name in FILES if name != CRITIC)
MEBIBYTE = 1 << 20
LARGEST = {
    POLICY: 64 * MEBIBYTE, CRITIC: 64 * MEBIBYTE, GUARD: MEBIBYTE, SAMPLES: 64 * MEBIBYTE,
    MANIFEST: MEBIBYTE, SIGNATURE: 1024,
}  # fmt: skip
"""Largest size [bytes] of each file."""
RATES = (1.0, 1000.0)  # [Hz] allowed for policy and monitor
LONGEST_LATENCY = 10.0  # [s]
LONGEST_CHUNK = 5.0  # [s] for which a policy that has died may still move the arm
LONGEST_TEXT = 500  # characters; repeated in every status
LONGEST_REASON = 1000  # characters of a refusal, which may quote the file


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, ready to run."""

    manifest: Manifest
    policy: OnnxPolicy
    critic: OnnxCritic | None  # None: it has none
    guard: mujoco.MjModel
    robot: Robot
    task: Task
    guard_text: str  # MJCF of the world model
    site: Site | None = None  # replaces the guard's own fixtures

    def models(self, config: GateConfig) -> Models:
        """The models that a gate of this configuration computes with."""
        unsure = Tolerance(config.target_tolerance, config.target_height_tolerance)
        world = World(self.guard, config.clearance, self.robot.joint_names, self.task.placed, unsure)
        more = self.rules[len(ARM_RULES) + len(self.task.rules) :]
        # What is followed of positions to go to are velocities.
        scale = self.scale if self.task.aim is None else config.limits.velocity
        return Models(self.task, self.tool(), self.critic, self.terms, scale, world, more)

    def tool(self) -> Tool:
        """The task's tool, with a scratch state of its own."""
        return self.task.tool(self.guard, self.robot)

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The hard limits of a gate that runs this bundle."""
        own = () if self.site is None else self.site.rules
        return checked((*ARM_RULES, *self.task.rules, *own, *installed_rules()), MARGINS)

    @property
    def own_critic(self) -> OnnxCritic:
        """The critic, where one is needed; `BundleError` if there is none."""
        if self.critic is None:
            raise BundleError("the bundle has no safety critic; `spillguard train-critic` makes one")
        return self.critic

    @property
    def scale(self) -> Vec:
        """Physical units (A,) at an action of 1."""
        return np.array([term.scale for term in self.manifest.action])

    def actions(self, output: Array32) -> NDArray[np.float64]:
        """Actions (H, A) in the task's units of an output of the policy's graph (H * A,)."""
        return np.asarray(output.reshape(-1, len(self.scale)) * self.scale, dtype=np.float64)

    def promise(self, config: GateConfig, *, allow_uncalibrated: bool) -> str:
        """Guarantee of the threshold behind a gate of this configuration.

        Without a guarantee: a `BundleError` with the reason, or, if `allow_uncalibrated`, a text that begins
        with `UNCALIBRATED`. The threshold is then used as it is.
        """
        if self.critic is None:
            if allow_uncalibrated:
                return f"{UNCALIBRATED}: no safety critic, the hard limits act alone"
            raise BundleError(
                "it has no safety critic, so nothing is promised beyond the hard limits; train one with "
                "`spillguard train-critic`, or set allow_uncalibrated to true"
            )
        why = why_uncalibrated(self.manifest, config, self.rules)
        if not why and self.site is not None:
            own = "its certificate was made among the bundle's own fixtures"
            why = f"{own}, here are those of the site {self.site.name}"
        certificate = self.manifest.threshold.certificate
        if certificate is not None and not why:
            return promise(certificate)
        if allow_uncalibrated:
            return f"{UNCALIBRATED}: {why}"
        raise BundleError(
            f"the threshold promises nothing: {why}; run `spillguard calibrate` on the bundle, or set "
            "allow_uncalibrated to true"
        )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the observation's terms, in order."""
        return tuple(term.name for term in self.manifest.observation)


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def load_bundle(
    path: Path, robot: Robot | None = None, public_key: Path | None = None, site: Site | None = None
) -> Bundle:
    """Verify everything and load it, or raise `BundleError` naming the fault.

    Each file is read once: the bytes that were hashed are the bytes that run. `robot` is the lab's own
    description of its arm, whose limits a bundle may only tighten; None: the robot that the bundle names.
    With a public key the manifest must be signed by its holder. A site replaces the fixtures in the bundle's
    world model.
    """
    try:
        with refusing("cannot be loaded"):
            return _loaded(path, robot, public_key, site)
    except BundleError as error:
        raise BundleError(f"bundle {path}: {str(error)[:LONGEST_REASON]}") from error


def _loaded(path: Path, robot: Robot | None, public_key: Path | None, site: Site | None) -> Bundle:
    text = _read(path, MANIFEST)
    if public_key is not None:
        verify(text, _read(path, SIGNATURE), public_key)
    with refusing(f"{MANIFEST} is not valid JSON"):
        manifest = Manifest.from_json(text.decode("utf-8"))
        manifest.to_json()  # recordings carry it
    robot, task = _named(manifest, robot)
    _check_meaning(manifest, robot, task)
    data = _hashed_files(path, manifest)
    xml = data[GUARD]
    guard = guard_model(xml, GUARD, robot, task)
    if site is not None:
        xml = with_site(xml, site, robot, task)
        guard = guard_model(xml, f"the site {site.name}", robot, task)
    policy, critic = data[POLICY], data.get(CRITIC, b"")
    check_self_contained(POLICY, policy)
    if critic:
        check_self_contained(CRITIC, critic)
    width = sum(term.width for term in manifest.observation)
    check_graphs(policy, critic, data[SAMPLES], width, len(manifest.action), manifest.actions)
    judge = OnnxCritic(critic) if critic else None
    return Bundle(manifest, OnnxPolicy(policy), judge, guard, robot, task, xml.decode(), site)


def _named(manifest: Manifest, robot: Robot | None) -> tuple[Robot, Task]:
    """The robot and the task that the bundle names."""
    if robot is None:
        if not manifest.robot.isidentifier():
            raise BundleError(f"{MANIFEST}: robot has to be a name, got {reprlib.repr(manifest.robot)}")
        robot = load_robot(manifest.robot)
    if robot.name != manifest.robot:
        raise BundleError(f"made for the robot {reprlib.repr(manifest.robot)}, this one is {robot.name!r}")
    with refusing(MANIFEST):
        return robot, find_task(manifest.task, robot)


def _read(path: Path, name: str) -> bytes:
    return read_file(path / name, LARGEST[name])


def _hashed_files(path: Path, manifest: Manifest) -> dict[str, bytes]:
    """Contents of all files that the manifest lists; each must exist and match its hash."""
    if not set(NEEDED) <= set(manifest.files) <= set(FILES):
        listed = reprlib.repr(sorted(manifest.files))
        raise BundleError(
            f"{MANIFEST} lists the files {listed}, needs {sorted(NEEDED)} and may have {CRITIC}"
        )
    if CRITIC not in manifest.files and (path / CRITIC).exists():
        raise BundleError(f"there is a {CRITIC} that {MANIFEST} does not list")
    data = {name: _read(path, name) for name in FILES if name in manifest.files}
    for name, content in data.items():
        if sha256(content) != manifest.files[name]:
            raise BundleError(
                f"{name} does not match its hash in {MANIFEST}: changed or damaged after export"
            )
    return data


def _check_meaning(manifest: Manifest, robot: Robot, task: Task) -> None:
    """Names, units, scales and limits must match those the policy was trained with."""
    if manifest.joint_names != robot.joint_names:
        same = sorted(manifest.joint_names) == sorted(robot.joint_names)
        what = "joints in another order" if same else "other joints"
        raise BundleError(f"made for {what}: {manifest.joint_names}, this arm has {robot.joint_names}")
    for term in manifest.observation:
        if term.name not in task.terms:
            raise BundleError(f"unknown observation term {term.name!r}, known are {sorted(task.terms)}")
        here = task.terms[term.name]
        if (term.width, term.unit) != (here.width, here.unit):
            raise BundleError(
                f"observation term {term.name!r} is {term.width} x [{term.unit}] in the bundle, "
                f"{here.width} x [{here.unit}] here"
            )
    _check_action(manifest, task)
    _check_ahead(manifest)
    latency = manifest.trained_latency
    if latency is not None and not 0.0 < latency <= LONGEST_LATENCY:
        raise BundleError(f"trained_latency is {latency} s, allowed is above 0 and up to {LONGEST_LATENCY} s")
    for name, rate in (("policy_rate", manifest.policy_rate), ("monitor_rate", manifest.monitor_rate)):
        if not RATES[0] <= rate <= RATES[1]:
            raise BundleError(f"{MANIFEST}: {name} must be {RATES[0]:g} to {RATES[1]:g} Hz, got {rate}")
    _check_threshold(manifest.threshold)
    if CRITIC not in manifest.files and manifest.threshold != Threshold(None, manifest.threshold.calibration):
        raise BundleError(f"{MANIFEST} has a threshold or a certificate, and no {CRITIC}")
    _check_limits(manifest.limits.arrays(), robot.limits)


def _check_action(manifest: Manifest, task: Task) -> None:
    """The same entries in the same order; a bundle may have a smaller scale."""
    got = tuple((term.name, term.unit) for term in manifest.action)
    wanted = tuple((axis.name, axis.unit) for axis in task.action)
    if got != wanted:
        raise BundleError(f"action is {reprlib.repr(got)}, the task {task.name} takes {wanted}")
    for term, axis in zip(manifest.action, task.action, strict=True):
        if not 0.0 < term.scale <= axis.scale:
            raise BundleError(
                f"the scale of {term.name} is {term.scale} {term.unit}, "
                f"allowed is above 0 and up to {axis.scale}"
            )


def _check_ahead(manifest: Manifest) -> None:
    """A chunk has to last until the next one can come, and not for long."""
    ahead = manifest.ahead
    if ahead is None:
        return
    fits = ahead.period >= SHORTEST and ahead.lasts <= LONGEST_CHUNK + ROUNDING
    if not (fits and 1 <= ahead.actions <= MOST_ACTIONS):
        raise BundleError(
            f"{MANIFEST}: ahead is {ahead.actions} actions of {ahead.period} s; allowed are 1 to "
            f"{MOST_ACTIONS} that last {LONGEST_CHUNK} s at most"
        )
    if ahead.lasts < 1.0 / manifest.policy_rate - ROUNDING:
        raise BundleError(
            f"{MANIFEST}: ahead lasts {ahead.lasts:.3g} s, less than the {1.0 / manifest.policy_rate:.3g} s "
            "until the policy speaks again"
        )


def _check_threshold(threshold: Threshold) -> None:
    value = threshold.value
    if value is not None and not 0.0 <= value <= 1.0:
        raise BundleError(f"{MANIFEST}: threshold must be in [0, 1] or null, got {value}")
    if len(threshold.calibration) > LONGEST_TEXT:
        raise BundleError(f"{MANIFEST}: threshold.calibration is longer than {LONGEST_TEXT} characters")
    if not threshold.calibration.isprintable():
        raise BundleError(f"{MANIFEST}: threshold.calibration has to be one printable line")


def _check_limits(got: ArmLimits, arm: ArmLimits) -> None:
    """A bundle may ask for tighter limits than the arm's, never for wider ones."""
    if got.velocity.shape != arm.velocity.shape:
        raise BundleError(f"limits are for {got.velocity.size} joints, this arm has {arm.velocity.size}")
    lower = {name: (getattr(arm, name), getattr(got, name)) for name in ("position_min", "workspace_min")}
    upper = {name: (getattr(got, name), getattr(arm, name))
             for name in ("position_max", "workspace_max", "velocity", "acceleration")}  # fmt: skip
    for name, (smaller, larger) in {**lower, **upper}.items():
        if not (smaller <= larger).all():
            raise BundleError(f"limits.{name} is wider than the arm's {getattr(arm, name).tolist()}")
