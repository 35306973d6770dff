"""The page of `spillguard study goal`, made from run folders alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from policy_training.evaluation.plots import picture, save
from policy_training.evaluation.published import read_reference
from policy_training.evaluation.run_data import RunData, by_environment, plain_command, read_run
from policy_training.evaluation.scores import array, scores
from policy_training.evaluation.seed_statistics import probability_of_improvement, window_mean
from policy_training.evaluation.tables import TableArguments, cell, environment, markdown, over_runs
from policy_training.files import write_atomically
from policy_training.many_runs import Wanted, finished, run_of
from policy_training.runs.folder import provenance

BASELINE = "single, 0.0003"
WINDOW = 0.2  # final share of a run's steps that it is scored by
NAMES = ("actor", "reward_critic", "cost_critic")
TRUNK = (
    "explained/reward_critic", "explained/cost_critic", *(f"trunk_grad/{name}" for name in NAMES),
    *(f"trunk_cosine/{a}_{b}" for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]),
)  # fmt: skip
HEADS = (
    "reward values explained", "cost values explained", "gradient of actor", "of reward critic",
    "of cost critic",
    "cosine of actor and reward critic", "of actor and cost critic", "of reward and cost critic",
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """The state of the study."""

    runs: Mapping[str, Sequence[RunData]]  # complete runs, by label
    missing: Sequence[str]  # the missing ones, in words


def standing(wanted: Sequence[tuple[str, Wanted]]) -> Standing:
    """Complete runs by label, and the missing ones."""
    runs: dict[str, list[RunData]] = {}
    missing: dict[tuple[str, str], list[int]] = {}
    for label, (config, root) in wanted:
        folder = run_of(config, root)
        if folder is not None and finished(folder, config):
            runs.setdefault(label, []).append(read_run(folder))
        else:
            missing.setdefault((label, config.env.split("/")[-1]), []).append(config.seed)
    said = [
        f"{label} on {env}, seeds {', '.join(map(str, seeds))}" for (label, env), seeds in missing.items()
    ]
    return Standing(runs, said)


def on_the_trunk(labelled: Mapping[str, Sequence[RunData]]) -> list[str]:
    """The fit of the critics, and the losses' gradients on the trunk: means over the end of the runs."""
    rows = []
    for label, runs in labelled.items():
        row = [f"**{label}**"]
        for name in TRUNK:
            values = [window_mean(r.curve(name), r.last("step"), WINDOW) for r in runs if r.has(name)]
            row.append(cell(over_runs(np.array(values)), ".2f") if values else "-")
        rows.append(row)
    return markdown(["", *HEADS], rows)


def verdict(labelled: Mapping[str, Sequence[RunData]]) -> list[str]:
    """Each layout's rates compared with its middle one, in words that follow from the intervals."""
    lines = []
    judged = {label: scores(runs, "return", WINDOW) for label, runs in labelled.items()}
    for label, ours in judged.items():
        layout, _, rate = label.partition(", ")
        middle = BASELINE if layout in ("grouped", "single") else f"{layout}, {BASELINE.partition(', ')[2]}"
        if middle not in judged or label == middle:
            continue
        theirs = judged[middle]
        better = probability_of_improvement(array(ours, "score"), array(theirs, "score"))
        costs = [np.array([-next(iter(one.costs.values())) for one in runs]) for runs in (ours, theirs)]
        cheaper = probability_of_improvement(*costs)
        said = [
            _word("return", float(better.low[0]), float(better.high[0]), "higher", "lower"),
            _word("cost", float(cheaper.low[0]), float(cheaper.high[0]), "lower", "higher"),
        ]
        lines.append(
            f"- **{layout}, {rate}** beside {middle}: {', '.join(said)} (chance of a higher return "
            f"{cell(better, '.2f')}, of a lower cost {cell(cheaper, '.2f')})."
        )
    return lines or ["- Nothing to compare yet."]


def _word(what: str, low: float, high: float, up: str, down: str) -> str:
    """A difference is claimed if the interval of the probability of improvement excludes one half."""
    if low > 0.5:
        return f"{what} {up}"
    return f"{what} {down}" if high < 0.5 else f"{what} not told apart"


def write_page(wanted: Sequence[tuple[str, Wanted]], page: Path, steps: int, words: Sequence[str]) -> int:
    """Write the page and its picture. Returns the number of runs behind it."""
    found = standing(wanted)
    if not found.runs:
        raise ValueError("no run of the study is complete; there is nothing to write a page from")
    page.parent.mkdir(parents=True, exist_ok=True)
    figure, _ = picture(found.runs, ["return", "cost", "explained/cost_critic"])
    save(figure, page.with_suffix(".png"))
    args = TableArguments(
        runs=(),
        baseline=BASELINE if BASELINE in found.runs else "",
        reference=("sb3_layouts",),
        window=WINDOW,
    )
    notes, made = page.with_name(f"{page.stem}.notes.md"), provenance()
    commits = sorted({run.commit for runs in found.runs.values() for run in runs})
    lines = [
        "# Cost critic's rate and optimizer layout on the goal tasks", "",
        f"PPO-Lag, one trunk for actor, reward critic and cost critic, {steps:,} steps a run; "
        f"{sum(map(len, found.runs.values()))} of {len(wanted)} runs are here. A label is the layout and the "
        f"cost critic's rate. {read_reference('sb3_layouts').note} Score and cost of a run are means over "
        f"the last {WINDOW:.0%} of its steps, in training episodes; IQM is the interquartile mean over runs "
        "(of up to three, the mean); brackets are 95 % stratified bootstrap intervals over runs (of three "
        "runs, from the lowest to the highest).", "",
        *([f"Missing: {'; '.join(found.missing)}.", ""] if found.missing else []),
        *([notes.read_text().strip(), ""] if notes.is_file() else []),
        f"![curves]({page.with_suffix('.png').name})", "",
    ]  # fmt: skip
    for env, labelled in by_environment(found.runs).items():
        lines += [
            f"## {env}: three times higher, or lower?", "", *verdict(labelled), "",
            "### What the losses do to the trunk", "",
            "Explained is a share of the targets' variance; gradient norms and cosines are means over "
            "updates, before any cut.", "", *on_the_trunk(labelled), "",
            *environment(env, labelled, args),
        ]  # fmt: skip
    lines += [
        f"Written by `{plain_command(('spillguard', 'study', 'goal', *words))}`, commit "
        f"{str(made['commit'])[:9]}, {made['machine']}, Python {made['python']}; runs of commit "
        f"{', '.join(commits)}.", "",
    ]  # fmt: skip
    write_atomically(page, "\n".join(lines).encode())
    return sum(map(len, found.runs.values()))
