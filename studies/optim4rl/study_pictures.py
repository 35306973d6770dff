"""Pictures of a meta-study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from studies.optim4rl.histograms import EDGES, STAGES
from studies.optim4rl.study_rows import Row


def draw_curves(by_label: Mapping[str, Sequence[Row]], title: str, picture: Path) -> None:
    """Mean curve of every optimizer, and the middle four fifths of its agents."""
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(7.0, 4.0))
    for label, rows in by_label.items():
        shortest = min(len(row.curve) for row in rows)
        curves = np.array([row.curve[:shortest] for row in rows])
        share = np.linspace(0.0, 100.0, shortest)
        (line,) = axis.plot(share, np.nanmean(curves, axis=0), label=label)
        low, high = np.nanpercentile(curves, [10.0, 90.0], axis=0)
        axis.fill_between(share, low, high, color=line.get_color(), alpha=0.12, linewidth=0.0)
    axis.set(title=title, xlabel="share of the training [%]", ylabel="score")
    axis.legend(fontsize="x-small")
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    plt.close(figure)


def draw_histograms(found: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], picture: Path) -> None:
    """Start, middle and end side by side; the agent above, the classifier below."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(10.0, 5.0), sharex=True)
    names = (("agent", "A2C, big_dense_long"), ("digits", "supervised, digits"))
    for row, (name, title) in zip(axes, names, strict=True):
        for axis, stage in zip(row, STAGES, strict=True):
            axis.stairs(found[name][stage]["shares"], EDGES, fill=True)
            axis.set(title=f"{title}: {stage}", yscale="log")
            axis.set_ylim(1e-5, 1.0)
    for axis in axes[-1]:
        axis.set_xlabel("log10(|g| + 1e-8)")
    axes[0, 0].set_ylabel("share of gradients")
    axes[1, 0].set_ylabel("share of gradients")
    figure.tight_layout()
    figure.savefig(picture, dpi=100)
    plt.close(figure)
