"""MuJoCo worlds: the pouring cell, the point among obstacles, and controllers that solve them.

Importing this package is cheap: the worlds need only mujoco and numpy, so that a simulated arm can replace a
real one without the training stack. `sim.registration` registers them with Gymnasium.
"""

import os
from ctypes.util import find_library

# MuJoCo selects its OpenGL backend at import; without a display only software rendering works.
if not (os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY")):
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if find_library(library):
            os.environ["MUJOCO_GL"] = backend
            break
