"""One thread a process and no screen: set before anything imports torch, mujoco or matplotlib."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
import sim  # noqa: F401 chooses how to draw without a screen
