"""First run of a bundle's graphs, in a child process with bounded time and memory.

The cost of a graph is known only once it runs, and a damaged one may crash the runtime. So graphs and
recording are first opened in a child process: running out of time or memory, or a crash, is a reason for
refusal like any other. The caller opens the graphs only after the child has accepted them.
"""

import io
import json
import os
import resource
import subprocess
import sys
import zipfile
from functools import lru_cache

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from spillguard_core.bundle.graphs import Array32, OnnxCritic, OnnxPolicy, open_session
from spillguard_core.bundle.manifest import BundleError, refusing

POLICY, CRITIC, SAMPLES = "policy.onnx", "safety_critic.onnx", "samples.npz"
TOLERANCE = 1e-5  # between a recorded output and the output computed at load
PROCESSOR_TIME = 10  # [s] in total; bundles of the usual size take 0.3 s
WALL_TIME = 200.0  # [s], allows for a machine busy with other work
MEMORY = 4 << 30  # [bytes] of address space
UNPACKED = 64 << 20  # [bytes] of the recording
MOST_MEMORY = 65536  # values that a policy may remember
LONGEST_REASON = 500


@lru_cache(maxsize=2)  # the same bytes give the same answer
def check_graphs(
    policy: bytes, critic: bytes, samples: bytes, width: int, entries: int, actions: int = 1
) -> None:
    """Check ports, shapes and recorded outputs, or raise `BundleError`; `width` of obs, `entries` of an
    action, number of actions in an output. No bytes of a critic: there is none."""
    parts = (policy, critic, samples)
    head = json.dumps([width, entries, actions, *map(len, parts)]).encode() + b"\n"
    command = [sys.executable, "-P", "-m", __name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, input=head + b"".join(parts), env=environment, capture_output=True, timeout=WALL_TIME
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"{POLICY} or {CRITIC} takes longer than {WALL_TIME:.0f} s to try") from error
    if done.returncode == 1 and done.stdout:
        raise BundleError(done.stdout.decode(errors="replace")[:LONGEST_REASON])
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()[-LONGEST_REASON:]
        raise BundleError(
            f"{POLICY} or {CRITIC} ended the process that tried them with status {done.returncode}; allowed "
            f"are {PROCESSOR_TIME} s of processor time and {MEMORY >> 30} GiB of memory. {words}"
        )


def main() -> int:
    """The child: exit status 1 and the reason on standard output, or 0 and no output."""
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_CPU, PROCESSOR_TIME)
    _bound(resource.RLIMIT_AS, MEMORY)
    width, entries, actions, *sizes = json.loads(sys.stdin.buffer.readline())
    policy, critic, samples = (sys.stdin.buffer.read(size) for size in sizes)
    try:
        check_here(policy, critic, samples, width, entries, actions)
    except BundleError as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return 1
    return 0


def _bound(what: int, wanted: int) -> None:
    """Lower a resource limit of this process; a lower one is kept."""
    _, hard = resource.getrlimit(what)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(what, (allowed, hard))


def check_here(
    policy: bytes, critic: bytes, samples: bytes, width: int, entries: int, actions: int = 1
) -> None:
    """`check_graphs` in this process, without resource limits."""
    obs, action = ("obs", width), ("action", actions * entries)
    memory = _memory(policy)
    state, after = ([("state", memory)], [("next_state", memory)]) if memory else ([], [])
    _check_graph(POLICY, policy, [obs, *state], [action, *after])
    if critic:
        _check_graph(CRITIC, critic, [obs, ("action", entries)], [("q_c", 0)])
    with refusing(f"{SAMPLES} is not a readable recording"):
        recorded = _recorded(samples, ("obs", "action", "q_c") if critic else ("obs", "action"))
    shapes, rows = tuple(array.shape for array in recorded), recorded[0].shape[:1]
    if rows in ((), (0,)) or shapes != ((*rows, width), (*rows, actions * entries), rows)[: len(recorded)]:
        raise BundleError(f"{SAMPLES} has the shapes {shapes}, which do not fit the manifest")
    seen, done = recorded[:2]
    with refusing(f"{POLICY} does not run"):
        graph, start = OnnxPolicy(policy), np.zeros((len(seen), memory), dtype=np.float32)
        got, then = graph.step(_float32(seen), start)
    _compare(POLICY, got, done)
    if then.shape != start.shape or not np.isfinite(then).all():
        raise BundleError(f"{POLICY} gives a next_state {then.shape} that is not finite or not {start.shape}")
    if critic:
        with refusing(f"{CRITIC} does not run"):
            q_c = OnnxCritic(critic)(_float32(seen), _float32(done[:, :entries]))
        _compare(CRITIC, q_c, recorded[2])


def _memory(policy: bytes) -> int:
    """Length of the state of a policy; 0: it has none, or none that can be used."""
    with refusing(f"{POLICY} is not a readable ONNX graph"):
        shapes = {port.name: list(port.shape) for port in open_session(policy).get_inputs()}
    shape = shapes.get("state", [])
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) and 0 < shape[1] <= MOST_MEMORY else 0


def _check_graph(
    name: str, data: bytes, inputs: list[tuple[str, int]], outputs: list[tuple[str, int]]
) -> None:
    """Ports by name, float32, with a free batch dimension and the right width (0: none)."""
    with refusing(f"{name} is not a readable ONNX graph"):
        session = open_session(data)
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


def _recorded(data: bytes, names: tuple[str, ...]) -> tuple[NDArray[np.floating], ...]:
    """Arrays by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        size = sum(entry.file_size for entry in packed.infolist())
    if size > UNPACKED:
        raise ValueError(f"it unpacks to {size} bytes, allowed are {UNPACKED}")
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        arrays = tuple(archive[name] for name in names)
    if any(array.dtype.kind != "f" for array in arrays):
        raise ValueError(f"needs floats, got {', '.join(str(array.dtype) for array in arrays)}")
    return arrays


def _float32(array: NDArray[np.floating]) -> Array32:
    return np.ascontiguousarray(array, dtype=np.float32)


def _compare(name: str, got: Array32, recorded: NDArray[np.floating]) -> None:
    if got.shape != recorded.shape:
        raise BundleError(f"{name} gives the shape {got.shape}, recorded was {recorded.shape}")
    error = float(np.abs(got - np.asarray(recorded, dtype=np.float64)).max())
    if not error <= TOLERANCE:
        raise BundleError(f"{name} differs from its recorded output by {error:.2e}, allowed {TOLERANCE:.0e}")


if __name__ == "__main__":
    raise SystemExit(main())
