"""Tells processors apart on which equal code rounds differently: BLAS and ONNX Runtime pick their kernels."""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime

MADE_ON = "made_on"  # metadata record of a recording that was cut for tests
CRITIC = Path(__file__).parents[1] / "artifacts/pour_coffee/safety_critic.onnx"


def fingerprint() -> str:
    """Equal where matrix products, solutions and the shipped critic's graph give equal bits."""
    rng = np.random.default_rng(0)
    matrix, vector = rng.normal(size=(4, 7)), rng.normal(size=7)
    products = matrix @ matrix.T, matrix @ vector, np.linalg.solve(matrix @ matrix.T, matrix @ vector)
    session = onnxruntime.InferenceSession(CRITIC, providers=["CPUExecutionProvider"])
    noise = {
        entry.name: rng.normal(size=(5, entry.shape[-1])).astype(np.float32) for entry in session.get_inputs()
    }
    bits = b"".join(np.asarray(value).tobytes() for value in (*products, *session.run(None, noise)))
    return hashlib.sha256(bits).hexdigest()
