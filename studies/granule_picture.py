"""The picture of docs/identification.md: both measurements of granules, as they are simulated.

``python -m studies.granule_picture``
"""

from pathlib import Path

import matplotlib.pyplot as plt
import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from sim.identification.granules import (
    RIM,
    SLOPE,
    TRAY,
    covered_cup,
    filled_tray,
    places,
    tilted_tray,
    turned,
)
from sim.pouring.cell_model import SOURCE_HEIGHT, SOURCE_RADIUS
from sim.pouring.domain import NOMINAL

OUT = Path("docs/pictures/granules.png")
SEED = 0
COFFEE, WOOD = "#4a2f1b", "#8a8f98"


def _draw(axes: Axes, at: np.ndarray, outline: np.ndarray, angle: float, title: str) -> None:
    """Granules (N, 3) and the vessel's outline (P, 2) [m], turned by `angle` [deg]; seen from the side."""
    lean = np.deg2rad(-angle)
    turn = np.array([[np.cos(lean), -np.sin(lean)], [np.sin(lean), np.cos(lean)]])
    for x, z in at[:, [0, 2]] @ turn.T:
        axes.add_patch(
            Circle((x, z), NOMINAL.granule_radius, facecolor=COFFEE, edgecolor="white", lw=0.5, alpha=0.8)
        )
    axes.plot(*(outline @ turn.T).T, color=WOOD, lw=3)
    axes.set_title(title, fontsize=10)
    axes.set_aspect("equal")
    axes.axis("off")


def main() -> int:
    """Write the picture."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    model, data = filled_tray(NOMINAL.granule_friction, 1e-4, SEED)
    last = tilted_tray(NOMINAL.granule_friction, 1e-4, SEED)
    for angle in np.arange(0.0, last, 12.0 * model.opt.timestep):
        turned(model, float(angle))
        mujoco.mj_step(model, data)
    tray = np.array([[-TRAY, RIM], [-TRAY, 0.0], [TRAY, 0.0], [TRAY, RIM]])
    near = places(model, data)
    _draw(left, near[np.abs(near[:, 2]) < 0.1], tray, last, f"1. six granules have left: {last:.0f} degrees")
    model, data = covered_cup(NOMINAL.granule_friction, 1e-4, SEED)
    cup = np.array(
        [
            [-SOURCE_RADIUS, SOURCE_HEIGHT],
            [-SOURCE_RADIUS, 0.0],
            [SOURCE_RADIUS, 0.0],
            [SOURCE_RADIUS, SOURCE_HEIGHT],
        ]
    )
    _draw(
        right,
        places(model, data),
        cup,
        90.0 + SLOPE,
        f"2. before the card is taken away: {SLOPE:.0f} degrees",
    )
    figure.tight_layout()
    figure.savefig(OUT, dpi=110)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
