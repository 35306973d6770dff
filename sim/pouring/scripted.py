"""A scripted pour: a pure function of the deployed observation."""

import numpy as np
from numpy.typing import NDArray

from spillguard_core.tasks.pouring.action import ACTION_SCALE

POUR_OFFSET = np.array([0.0, 0.034])  # lip minus rim centre in x, y [m]: granules leave towards -y
CUP_HEIGHT = 0.095  # [m] of the held cup
CLEAR = 0.022  # [m] between the held cup's lowest point and the rim, of which the monitor asks for 0.012
NEAR = 0.02  # [m] lip to pour point, horizontally, before the cup tilts
EMPTY = 0.0012  # [kg] measured at the wrist, below which the cup counts as empty
FULL_TILT = 2.3  # [rad]
LAST_TILT = 2.5  # [rad] at which nothing stays in a cup, whatever the wrist measures
TURNING_BACK = -0.3  # [rad/s] a cup that tilts back that fast has been found empty
LOOK_AHEAD = 0.5  # [rad] of tilt


def pour_controller(obs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Action (4,) for `spillguard/PourCoffee-v0` from its observation (14,)."""
    offset, tilt = obs[0:3].astype(float), float(np.arctan2(obs[6], obs[7]))
    remaining = float(obs[13])
    gap = POUR_OFFSET - offset[:2]
    distance = float(np.hypot(*gap))
    pouring = remaining > EMPTY and tilt < LAST_TILT and float(obs[11]) > TURNING_BACK
    # On the way back the cup's bottom swings down: rise before it does.
    clear, ahead = (CLEAR, 0.0) if pouring else (CLEAR + 0.02, LOOK_AHEAD)
    height = clear + CUP_HEIGHT * max(np.cos(max(tilt - ahead, 0.0)), 0.0)
    below = height - offset[2]
    twist = np.zeros(4)
    if pouring:
        approach = 2.5 * gap
        speed = float(np.hypot(*approach))
        # Beside the cup, climb before moving over it.
        allowed = 0.22 if below < 0.02 else 0.0 if distance < 0.13 else 0.10
        twist[:2] = approach * min(1.0, allowed / max(speed, 1e-9))
        if distance < NEAR:
            twist[3] = 1.0 if tilt < 0.8 else 0.45 if tilt < FULL_TILT else 0.2
    else:
        twist[3] = -np.clip(3.0 * tilt, -1.2, 1.2)
    twist[2] = np.clip(4.0 * below, -0.2, 0.2)
    action: NDArray[np.float32] = np.clip(twist / ACTION_SCALE, -1.0, 1.0).astype(np.float32)
    return action


def pour_potential(obs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Potential (...) of observations (..., 14) for reward shaping, gamma Phi(s') - Phi(s).

    Closer to the pour point, then tilted there, is better while the cup has content; upright is better once
    it is empty. Our design.
    """
    gap = np.hypot(obs[..., 0] - POUR_OFFSET[0], obs[..., 1] - POUR_OFFSET[1])
    tilt = np.arctan2(obs[..., 6], obs[..., 7])
    holds = np.clip(obs[..., 13] / 0.01, 0.0, 1.0)
    near = np.exp(-((gap / 0.05) ** 2))
    reach = -3.0 * np.minimum(gap / 0.3, 1.0) + 1.5 * near * np.clip(tilt / FULL_TILT, 0.0, 1.0)
    upright = 3.0 - 1.5 * np.minimum(np.abs(tilt) / FULL_TILT, 1.0)
    return np.asarray(holds * reach + (1.0 - holds) * upright, dtype=np.float32)
