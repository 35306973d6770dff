"""MuJoCo worlds: the pouring cell, the point among obstacles, and controllers that solve them.

Importing this package is light: the worlds need mujoco and numpy only, so that a simulated arm can stand
in for a real one without the training stack. `sim.registration` tells Gymnasium their names.
"""

import os
from ctypes.util import find_library

# MuJoCo chooses its OpenGL when it is first imported; without a screen, software drawing is what works.
if not (os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY")):
    for backend, library in (("osmesa", "OSMesa"), ("egl", "EGL")):
        if find_library(library):
            os.environ["MUJOCO_GL"] = backend
            break
