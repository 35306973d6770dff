"""One thread a process and no screen: set before anything imports torch, mujoco or matplotlib."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
from hypothesis import settings

import sim  # noqa: F401 chooses how to draw without a screen
from tests.again import (  # noqa: F401 hooks and a fixture
    pytest_collection_modifyitems,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    stalls,
)

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
