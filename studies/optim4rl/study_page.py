"""The page of a meta-study: tables, differences with intervals and pictures, from its files alone."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policy_training.evaluation.run_data import plain_command
from policy_training.evaluation.tables import markdown
from policy_training.files import write_atomically
from policy_training.meta_learning.config import MetaConfig
from policy_training.runs.folder import provenance
from studies.optim4rl.contestants import UNTRAINED, finished, label_of, meta_run_of
from studies.optim4rl.study_pictures import draw_curves, draw_histograms
from studies.optim4rl.study_rows import Row
from studies.optim4rl.study_statistics import difference, groups, interval, verdict

logger = logging.getLogger(__name__)
TRAINED = "Optim4RL"
CONTROLS = ("Adam", "RMSProp", "sign descent", UNTRAINED, f"{TRAINED}, no pipeline")
PARTS = {
    "grid": ("On the tasks it was trained on", "reward a step over the last tenth of the updates"),
    "catch": ("Catch", "reward a step over the last tenth of the updates"),
    "transfer": ("Frozen, on other tasks", "return over the last fifth of the iterations"),
}
NOT_DONE = "Nothing of this part has been run yet."


def write_page(
    rows: Sequence[Row], trainings: Sequence[MetaConfig], out: Path, page: Path, words: Sequence[str]
) -> None:
    """Page and pictures. ValueError if there are no results."""
    histograms = out / "histograms.json"
    if not rows and not histograms.is_file():
        raise ValueError(f"{out} holds no results; run the study without --page-only")
    made, notes = provenance(), page.with_name(f"{page.stem}.notes.md")
    page.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        "# Optim4RL: does learning an optimizer beat its controls?", "",
        f"`spillguard meta-study {plain_command(words)}`, commit {made['commit']}, {made['machine']}.", "",
        "Means over meta-seeds and agents with 90 % bootstrap intervals that draw meta-seeds, then agents in",
        "them; with one meta-seed they say nothing of another. Rates are chosen on a task or seeds that no",
        "score is taken from, with as many trials as the tables say.", "",
        *([notes.read_text().strip(), ""] if notes.is_file() else []),
        "## What was trained", "", *_trained(trainings, out / "train"),
    ]  # fmt: skip
    for part, (title, score) in PARTS.items():
        lines += ["", f"## {title}", "", *_part([row for row in rows if row.part == part], score, page)]
    lines += ["", "## Gradients", "", *_gradients(histograms, page), ""]
    write_atomically(page, "\n".join(lines).encode())


def _trained(trainings: Sequence[MetaConfig], root: Path) -> list[str]:
    table, first = [], trainings[0]
    for config in trainings:
        run = meta_run_of(config, root)
        if run is None or not finished(run, config):
            continue
        with (run / "progress.csv").open() as file:
            names, *_, last = (line.rstrip().split(",") for line in file)
        figures = dict(zip(names, last, strict=True))
        facts = json.loads((run / "provenance.json").read_text())
        table.append([
            label_of(config), str(config.seed), str(config.iterations), f"{float(figures['moved']):.2f}",
            f"{float(figures['cpu_seconds']) / 60.0:.1f}", str(facts["commit"])[:9],
        ])  # fmt: skip
    if not table:
        return [f"None of {len(trainings)} meta-trainings is done."]
    heads = ["optimizer", "meta-seed", "meta-iterations", "moved", "processor minutes", "commit"]
    return [
        f"Tasks {first.tasks}; {first.units} units of each, games of a unit: {first.unit_games};",
        f"{first.inner_updates} updates of {first.rollout} steps a meta-iteration, meta-gradient",
        f"{first.estimator}, reset interval {first.reset_interval}, meta-rate {first.meta_lr:g}, clip",
        f"{first.clip}. Moved: length of the way from the untrained meta-parameters.",
        "The paper's meta-trainings in gridworlds have 585 meta-iterations of 512 units.",
        f"{len(table)} of {len(trainings)} meta-trainings are done.", "",
        *markdown(heads, table),
    ]  # fmt: skip


def _part(rows: Sequence[Row], score: str, page: Path) -> list[str]:
    tests = [row for row in rows if row.stage == "test"]
    if not tests:
        return [NOT_DONE]
    lines = [f"Score: {score}. Budget of an agent: {', '.join(sorted({row.budget for row in tests}))}.", ""]
    for task in dict.fromkeys(row.task for row in tests):
        own = [row for row in tests if row.task == task]
        by_label = {
            label: [r for r in own if r.label == label] for label in dict.fromkeys(r.label for r in own)
        }
        picture = page.with_name(f"{page.stem}_{own[0].part}_{task}.png")
        draw_curves(by_label, task, picture)
        lines += [
            f"### {task}",
            "",
            *_scores(by_label, rows),
            "",
            *_differences(by_label),
            f"![{task}]({picture.name})",
            "",
        ]
    return lines[:-1]


def _scores(by_label: dict[str, list[Row]], rows: Sequence[Row]) -> list[str]:
    table = []
    for label, found in by_label.items():
        finite = [row for row in found if np.isfinite(row.score)]
        tried = [row for row in rows if row.stage == "tune" and row.label == label]
        each = len(tried) // max(1, len({(row.meta_seed, row.task) for row in tried}))
        costs = [row for row in finite if np.isfinite(row.cost)]
        table.append([
            f"**{label}**", str(len({row.meta_seed for row in found})) if found[0].meta_seed else "-",
            str(len(found)), ", ".join(f"{alpha:g}" for alpha in sorted({row.alpha for row in found})),
            str(each), _cell(finite), _cell(costs, "cost") if any(row.cost for row in costs) else "-",
            str(len(found) - len(finite)),
        ])  # fmt: skip
    heads = ["optimizer", "meta-seeds", "agents", "chosen rates", "trials each", "score", "cost", "diverged"]
    return markdown(heads, table)


def _cell(rows: Sequence[Row], value: str = "score") -> str:
    if not rows:
        return "-"
    found = interval(groups(rows, value))
    return f"{found.mean:.4g} [{found.low:.4g}, {found.high:.4g}]"


def _differences(by_label: dict[str, list[Row]]) -> list[str]:
    """The effect of meta-training, in words that follow from the numbers."""
    parts = {
        label: groups([row for row in rows if np.isfinite(row.score)]) for label, rows in by_label.items()
    }
    if not parts.get(TRAINED):
        return []
    table = []
    for control in CONTROLS:
        if parts.get(control):
            found = difference(parts[TRAINED], parts[control])
            bounds = f"[{found.low:+.4g}, {found.high:+.4g}]"
            said = verdict(parts[TRAINED], parts[control])
            table.append([control, f"{found.mean:+.4g} {bounds}", said])
    return [*markdown([f"{TRAINED} against", "difference of scores", f"{TRAINED} is"], table), ""]


def _gradients(path: Path, page: Path) -> list[str]:
    if not path.is_file():
        return [NOT_DONE]
    found = json.loads(path.read_text())
    picture = page.with_name(f"{page.stem}_gradients.png")
    draw_histograms(found, picture)
    settings, table = found["settings"], []
    for name, title in (("agent", "A2C in big_dense_long"), ("digits", "classifier of digits")):
        for stage, one in found[name].items():
            table.append([
                title, stage, f"{100.0 * one['zero']:.1f}", f"{one['mean']:.2f}", f"{one['std']:.2f}"
            ])  # fmt: skip
    return [
        f"RMSProp, {settings['updates']} updates, windows of {settings['window']}, {settings['games']} games",
        "of the agent. Mean and deviation of log10(|g| + 1e-8) are over gradients that are not 0.", "",
        *markdown(["gradients of", "when", "exactly 0 %", "mean", "standard deviation"], table), "",
        f"![gradients]({picture.name})",
    ]  # fmt: skip
