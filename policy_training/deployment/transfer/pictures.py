"""A chart of the success in every condition, and a picture strip of one episode of a failure."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import mujoco
import numpy as np
from PIL import Image

from policy_training.deployment.transfer.conditions import TransferCondition
from policy_training.deployment.transfer.episodes import WAYS, Row, episode
from policy_training.deployment.transfer.figures import LEAST_SUCCESS, rate_of, rows_of
from policy_training.files import write_atomically
from sim.pouring.cell import PourCell
from sim.render import Camera, strip

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

PICTURES = 6
SIZE = (400, 300)  # [pixels] of each
BAR = 0.26  # height of one of three bars
COLOURS = ("#1b6ca8", "#d98032", "#8a8a8a")


def chart(rows: Sequence[Row], known: Sequence[TransferCondition], path: Path) -> bool:
    """Bars of the success of every way with 95 % intervals, a panel for each tier that is to succeed. False,
    and no file, if none has episodes."""
    poured = {row["condition"] for row in rows}
    tiers = {tier: [c.name for c in known if c.tier == tier and c.name in poured] for tier in LEAST_SUCCESS}
    tiers = {tier: names for tier, names in tiers.items() if names}
    if not tiers:
        return False
    heights = [len(names) for names in tiers.values()]
    figure, panels = plt.subplots(
        len(tiers), 1, figsize=(8.0, 1.5 + 0.34 * sum(heights) + 0.5 * len(tiers)), sharex=True,
        squeeze=False, height_ratios=heights, layout="constrained",
    )  # fmt: skip
    for panel, (tier, names) in zip(panels[:, 0], tiers.items(), strict=True):
        _bars(panel, rows, names)
        panel.set_title(tier, loc="left", fontsize=10)
        panel.axvline(100 * LEAST_SUCCESS[tier], color="black", lw=0.8, ls="--")
    panels[-1, 0].set_xlabel("success [%], 95 % Wilson intervals; dashed: the aim with the monitor on")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    image = io.BytesIO()
    figure.savefig(image, dpi=110)
    plt.close(figure)
    write_atomically(path, image.getvalue())
    return True


def _bars(panel: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    for number, (way, colour) in enumerate(zip(WAYS, COLOURS, strict=True)):
        places, shares, errors = [], [], []
        for place, name in enumerate(names):
            mine = rows_of(rows, name, way)
            if mine:
                found = rate_of(mine, lambda row: row["success"])
                places.append(place + (number - 1) * BAR)
                shares.append(100 * found.rate)
                errors.append((100 * (found.rate - found.low), 100 * (found.high - found.rate)))
        panel.barh(
            places, shares, BAR, color=colour, label=way, xerr=np.abs(np.transpose(errors)),
            error_kw={"lw": 0.8, "ecolor": "#333333"},
        )  # fmt: skip
    panel.set_yticks(range(len(names)), names, fontsize=8)
    panel.set_ylim(len(names) - 0.5, -0.5)
    panel.set_xlim(0, 101)
    panel.spines[["top", "right"]].set_visible(False)


def film(bundle: Path, condition: TransferCondition, way: str, seed: int, path: Path) -> Row:
    """Pour again and write `PICTURES` pictures of it, evenly spaced, the last one of how it ended. Returns
    the episode. `RenderingUnavailableError` where nothing can be drawn.
    """
    cells: list[PourCell] = []
    states = []

    def watch(cell: PourCell) -> None:
        cells[:] = [cell]
        states.append(cell.data.qpos.copy())

    row = episode(bundle, condition, way, seed, watch)
    cell, camera = cells[0], Camera(*SIZE)
    states.append(cell.data.qpos.copy())
    pictures = []
    for number in np.linspace(0, len(states) - 1, PICTURES).round().astype(int):
        cell.data.qpos[:] = states[number]
        mujoco.mj_forward(cell.model, cell.data)
        pictures.append(camera.picture(cell))
    camera.close()
    half = PICTURES // 2
    image = io.BytesIO()
    Image.fromarray(np.vstack([strip(pictures[:half]), strip(pictures[half:])])).save(
        image, "png", optimize=True
    )
    write_atomically(path, image.getvalue())
    return row
