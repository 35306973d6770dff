"""The trained graphs on the robot: onnxruntime, one thread, no torch.

Shapes: B batch, O observation, A action.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Array32 = NDArray[np.float32]


def open_session(source: Path | bytes) -> ort.InferenceSession:
    """A session that uses only the calling thread: no thread pool that wakes up late, no spinning."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.load_model_format", "ONNX")  # never guessed from the bytes
    model = source if isinstance(source, bytes) else str(source)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxPolicy:
    """Deterministic policy. Holds nothing: what a policy remembers, its past observations, its last action or
    a recurrent state, is a state (B, S) that goes in and comes out. `PolicyRun` keeps it."""

    def __init__(self, source: Path | bytes) -> None:
        self._session = open_session(source)
        ports = {port.name: port.shape for port in self._session.get_inputs()}
        self.memory: int = ports["state"][1] if "state" in ports else 0
        """Length S of the state; 0 for a policy without one."""

    def __call__(self, obs: Array32) -> Array32:
        """obs (B, O) in physical units -> action (B, A) in [-1, 1], of a policy that has seen nothing yet."""
        return self.step(obs, np.zeros((len(obs), self.memory), dtype=np.float32))[0]

    def step(self, obs: Array32, state: Array32) -> tuple[Array32, Array32]:
        """obs (B, O), state (B, S) -> action (B, A), next state (B, S). A first state is zero."""
        if not self.memory:
            (action,) = self._session.run(["action"], {"obs": obs})
            return np.asarray(action, dtype=np.float32), state
        action, after = self._session.run(["action", "next_state"], {"obs": obs, "state": state})
        return np.asarray(action, dtype=np.float32), np.asarray(after, dtype=np.float32)


class PolicyRun:
    """A policy from one moment on, with what it remembers."""

    def __init__(self, policy: OnnxPolicy) -> None:
        self._policy = policy
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._state = np.zeros((1, self._policy.memory), dtype=np.float32)

    def __call__(self, obs: Array32) -> Array32:
        """obs (O,) in physical units -> action (A,) in [-1, 1]."""
        action, after = self._policy.step(obs[None], self._state)
        if np.isfinite(after).all():  # else what is not finite would stay for ever
            self._state = after
        else:
            self.reset()
        first: Array32 = action[0]
        return first


class OnnxCritic:
    """Safety critic: estimated cost Q_c of an action, similar to a probability. Stateless."""

    def __init__(self, source: Path | bytes) -> None:
        self._session = open_session(source)

    def __call__(self, obs: Array32, action: Array32) -> Array32:
        """obs (B, O) in physical units, action (B, A) in [-1, 1] -> q_c (B,)."""
        (q_c,) = self._session.run(["q_c"], {"obs": obs, "action": action})
        return np.asarray(q_c, dtype=np.float32)
