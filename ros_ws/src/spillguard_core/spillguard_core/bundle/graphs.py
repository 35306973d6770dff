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
    """Deterministic policy. Stateless."""

    def __init__(self, source: Path | bytes) -> None:
        self._session = open_session(source)

    def __call__(self, obs: Array32) -> Array32:
        """obs (B, O) in physical units -> action (B, A) in [-1, 1]."""
        (action,) = self._session.run(["action"], {"obs": obs})
        return np.asarray(action, dtype=np.float32)


class OnnxCritic:
    """Safety critic: estimated cost Q_c of an action, similar to a probability. Stateless."""

    def __init__(self, source: Path | bytes) -> None:
        self._session = open_session(source)

    def __call__(self, obs: Array32, action: Array32) -> Array32:
        """obs (B, O) in physical units, action (B, A) in [-1, 1] -> q_c (B,)."""
        (q_c,) = self._session.run(["q_c"], {"obs": obs, "action": action})
        return np.asarray(q_c, dtype=np.float32)
