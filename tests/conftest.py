"""One thread a process and no screen: set before anything imports torch, mujoco or matplotlib."""

import os
import random
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
import numpy as np
from hypothesis import settings

import sim  # noqa: F401 chooses how to draw without a screen

# How long an example takes says how busy the machine is, not whether the code is right; and the same examples
# each time, so that a failure is a change's.
settings.register_profile("untimed", deadline=None, derandomize=True)
settings.load_profile("untimed")


def pytest_runtest_setup() -> None:
    """Whatever draws from a global generator draws the same each time, whichever tests ran before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
