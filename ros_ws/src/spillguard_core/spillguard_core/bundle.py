"""What training hands to the robot: a directory that is verified as a whole or refused with the reason.

policy.onnx         obs (B, O) -> action (B, A) in [-1, 1]
safety_critic.onnx  obs (B, O), action (B, A) -> q_c (B,)
guard.xml           MJCF of arm, tool, table and fixtures
samples.npz         recorded obs, action, q_c, reproduced at every load
manifest.json       what all of it means, and the sha256 of every file
manifest.sig        optional: Ed25519 signature of manifest.json
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from spillguard_core.arm import ACTION_SCALE, GEN3_LIMITS, TWIST_NAMES, ArmLimits
from spillguard_core.gate import Models
from spillguard_core.kinematics import ArmKinematics
from spillguard_core.manifest import BundleError, Manifest
from spillguard_core.observation import TERMS
from spillguard_core.policy import Array32, OnnxCritic, OnnxPolicy, open_session
from spillguard_core.signing import SIGNATURE, verify
from spillguard_core.world import World

POLICY, CRITIC, GUARD, SAMPLES = "policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"
MANIFEST = "manifest.json"
FILES = (POLICY, CRITIC, GUARD, SAMPLES)
TOLERANCE = 1e-5  # between a recorded output and the one computed at load
EXTERNAL_DATA = b"\x0a\x08location"  # how ONNX marks weights that lie in a second file


@dataclass(frozen=True, eq=False)
class Bundle:
    """A verified bundle, ready to run."""

    manifest: Manifest
    policy: OnnxPolicy
    critic: OnnxCritic
    guard: mujoco.MjModel

    def models(self, clearance: float) -> Models:
        """What the gate computes with; `clearance` [m] as in its configuration."""
        world = World(self.guard, clearance)
        return Models(ArmKinematics(self.guard), self.critic, self.terms, world)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the observation's terms, in order."""
        return tuple(term.name for term in self.manifest.observation)


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def load_bundle(path: Path, joint_names: Sequence[str], public_key: Path | None = None) -> Bundle:
    """Verify everything and load it, or raise `BundleError` naming the fault.

    Each file is read once: the bytes that were hashed are the bytes that run. With a public key the
    manifest must carry a signature of its holder.
    """
    try:
        return _loaded(path, tuple(joint_names), public_key)
    except BundleError as error:
        raise BundleError(f"bundle {path}: {error}") from error


def _loaded(path: Path, joint_names: tuple[str, ...], public_key: Path | None) -> Bundle:
    text = _read(path / MANIFEST)
    if public_key is not None:
        verify(text, _read(path / SIGNATURE), public_key)
    manifest = Manifest.from_json(text.decode("utf-8", errors="replace"))
    _check_meaning(manifest, joint_names)
    data = _hashed_files(path, manifest)
    width = sum(term.width for term in manifest.observation)
    obs, action = ("obs", width), ("action", len(manifest.action))
    _check_graph(POLICY, data[POLICY], [obs], [action])
    _check_graph(CRITIC, data[CRITIC], [obs, action], [("q_c", 0)])
    bundle = Bundle(manifest, OnnxPolicy(data[POLICY]), OnnxCritic(data[CRITIC]), _guard(data[GUARD]))
    _check_samples(data[SAMPLES], bundle, width)
    return bundle


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file.name} cannot be read: {error.strerror}") from error


def _hashed_files(path: Path, manifest: Manifest) -> dict[str, bytes]:
    """The files' bytes, all of them present, each with the hash of the manifest."""
    if set(manifest.files) != set(FILES):
        raise BundleError(f"{MANIFEST} lists the files {sorted(manifest.files)}, needs {sorted(FILES)}")
    data = {name: _read(path / name) for name in FILES}
    for name, content in data.items():
        if sha256(content) != manifest.files[name]:
            raise BundleError(
                f"{name} does not match its hash in {MANIFEST}: changed or damaged after export"
            )
    return data


def _check_meaning(manifest: Manifest, joint_names: tuple[str, ...]) -> None:
    """Names, units, scales and limits mean the same here as where the policy was trained."""
    if manifest.joint_names != joint_names:
        same = sorted(manifest.joint_names) == sorted(joint_names)
        what = "joints in another order" if same else "other joints"
        raise BundleError(f"made for {what}: {manifest.joint_names}, this arm has {joint_names}")
    for term in manifest.observation:
        if term.name not in TERMS:
            raise BundleError(f"unknown observation term {term.name!r}, known are {sorted(TERMS)}")
        here = TERMS[term.name]
        if (term.width, term.unit) != (here.width, here.unit):
            raise BundleError(
                f"observation term {term.name!r} is {term.width} x [{term.unit}] in the bundle, "
                f"{here.width} x [{here.unit}] here"
            )
    action = tuple((term.name, term.scale) for term in manifest.action)
    wanted = tuple(zip(TWIST_NAMES, ACTION_SCALE.tolist(), strict=True))
    if action != wanted:
        raise BundleError(f"action is {action}, this arm takes {wanted}")
    for name, rate in (("policy_rate", manifest.policy_rate), ("monitor_rate", manifest.monitor_rate)):
        if not rate > 0.0:
            raise BundleError(f"{MANIFEST}: {name} must be > 0 Hz, got {rate}")
    value = manifest.threshold.value
    if value is not None and not 0.0 <= value <= 1.0:
        raise BundleError(f"{MANIFEST}: threshold must be in [0, 1] or null, got {value}")
    _check_limits(manifest.limits.arrays(), GEN3_LIMITS)


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


def _check_graph(
    name: str, data: bytes, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]]
) -> None:
    """Ports by name, float32, with a free batch dimension and the right width (0: none)."""
    if EXTERNAL_DATA in data:
        raise BundleError(f"{name} keeps its weights in another file; export with external_data=False")
    try:
        session = open_session(data)
    except Exception as error:  # onnxruntime has a dozen unrelated exception classes
        raise BundleError(f"{name} is not a readable ONNX graph: {error}") from error
    for what, ports, wanted in (
        ("input", session.get_inputs(), inputs),
        ("output", session.get_outputs(), outputs),
    ):
        if [port.name for port in ports] != [port for port, _ in wanted]:
            got = [port.name for port in ports]
            raise BundleError(f"{name} has the {what}s {got}, needs {[port for port, _ in wanted]}")
        for port, (_, width) in zip(ports, wanted, strict=True):
            _check_port(name, port, width)


def _check_port(name: str, port: ort.NodeArg, width: int) -> None:
    shape = list(port.shape)
    fine = shape[1:] == ([width] if width else []) and len(shape) >= 1 and not isinstance(shape[0], int)
    if port.type != "tensor(float)" or not fine:
        needed = f"(batch, {width})" if width else "(batch,)"
        raise BundleError(f"{name}: {port.name} is {port.type} {shape}, needs tensor(float) {needed}")


def _guard(data: bytes) -> mujoco.MjModel:
    try:
        model = mujoco.MjModel.from_xml_string(data.decode("utf-8"))
        ArmKinematics(model)
    except ValueError as error:  # a bad XML, bad UTF-8, or a missing joint or site
        raise BundleError(f"{GUARD} is not a usable world model: {error}") from error
    return model


def _check_samples(data: bytes, bundle: Bundle, width: int) -> None:
    """The graphs give here what they gave where they were exported."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            obs, action, q_c = archive["obs"], archive["action"], archive["q_c"]
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{SAMPLES} is not a readable recording: {error}") from error
    rows = len(obs)
    shapes = (obs.shape, action.shape, q_c.shape)
    if rows == 0 or shapes != ((rows, width), (rows, len(bundle.manifest.action)), (rows,)):
        raise BundleError(f"{SAMPLES} has the shapes {shapes}, which do not fit the manifest")
    _compare("policy.onnx", bundle.policy(_float32(obs)), action)
    _compare("safety_critic.onnx", bundle.critic(_float32(obs), _float32(action)), q_c)


def _float32(array: NDArray[np.generic]) -> Array32:
    return np.ascontiguousarray(array, dtype=np.float32)


def _compare(name: str, got: Array32, recorded: NDArray[np.generic]) -> None:
    error = float(np.abs(got - np.asarray(recorded, dtype=np.float64)).max())
    if not error <= TOLERANCE:
        raise BundleError(f"{name} differs from its recorded output by {error:.2e}, allowed {TOLERANCE:.0e}")
