"""`spillguard table`: scores, costs and samples of several runs with intervals, as a page of Markdown."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console

from policy_training.evaluation.published import Reference, read_reference, same_algorithm
from policy_training.evaluation.run_data import (
    GroupBy,
    RunData,
    by_environment,
    groups,
    plain_command,
    remarks,
)
from policy_training.evaluation.scores import RunScore, array, complete, scores
from policy_training.evaluation.seed_statistics import (
    Estimate,
    estimate,
    interquartile_mean,
    mean,
    probability_of_improvement,
    ratio_of_means,
)
from policy_training.files import write_atomically
from policy_training.terminal import parsed, subcommand

logger = logging.getLogger(__name__)
COUNTS = ("samples", "iterations", "batch", "minutes")
Judged = Mapping[str, Sequence[RunScore]]  # by label


@dataclass(frozen=True)
class TableArguments:
    """One table per environment: one row per label, pooled over its runs; then one row per run."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    "Run folders."
    labels: tuple[str, ...] = ()
    "One label per run; by default the algorithm's name."
    group_by: GroupBy = "label"
    "Which runs share a row: those of a label, those of an algorithm, or none."
    baseline: str = ""
    "Label that the others are compared with."
    reference: tuple[str, ...] = ()
    "Published results to print beside ours: omnisafe, espo."
    score: str = "return"
    "Column of progress.csv to score by; more is better."
    window: float = 0.1
    "Share of a run's steps, at its end, over which score and cost are means."
    title: str = "Runs"
    "Headline of the page."
    notes: Path | None = None
    "Markdown to put under the headline. It must hold no numbers."
    out: Path = Path("runs/table.md")
    "Page to write."


def number(value: float) -> str:
    """Four digits, thousands in groups; a dash for NaN."""
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.4g}"


def cell(found: Estimate, form: str = "") -> str:
    """A point and its interval, or the bare point."""
    point, low, high = (float(v[0]) for v in (found.point, found.low, found.high))
    texts = [format(v, form) if form and not math.isnan(v) else number(v) for v in (point, low, high)]
    if math.isnan(low) or (not form and len(set(texts)) == 1):
        return texts[0]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table; columns with dashes alone are left out."""
    rows = [list(row) for row in rows]
    kept = [i for i in range(len(heads)) if any(row[i] != "-" for row in rows)]
    lines = ["| " + " | ".join(heads[i] for i in kept) + " |", "|" + " --- |" * len(kept)]
    return [*lines, *("| " + " | ".join(row[i] for i in kept) + " |" for row in rows)]


def over_runs(values: np.ndarray) -> Estimate:
    """Mean over runs (R,) with its interval."""
    return estimate(values[:, None, None], mean)


def modes(judged: Sequence[RunScore]) -> str:
    """Mean number of updates by mode."""
    names = dict.fromkeys(name for one in judged for name in one.modes)
    if not names:
        return "-"
    return ", ".join(
        f"{name} {number(float(np.mean([j.modes.get(name, 0.0) for j in judged])))}" for name in names
    )


def limit_text(run: RunData) -> str:
    """The limits, by name where there are several."""
    if len(run.limits) == 1:
        return number(next(iter(run.limits.values())))
    return ", ".join(f"{name} {number(limit)}" for name, limit in run.limits.items()) or "-"


def cost_text(judged: Sequence[RunScore]) -> str:
    """Mean cost with its interval, by name where there are several."""
    texts = {n: cell(over_runs(np.array([j.costs[n] for j in judged]))) for n in judged[0].costs}
    return ", ".join(f"{n} {t}" if len(texts) > 1 else t for n, t in texts.items())


def summary(judged: Judged, score: str) -> list[str]:
    """One row per label."""
    heads = [
        "", "seeds", "steps judged", f"{score}, IQM", "cost, mean", "limit", "runs within limit", "samples",
        "iterations", "samples per iteration", "minutes", "updates by mode", "iterations in conflict",
    ]  # fmt: skip
    rows = []
    for label, runs in judged.items():
        limited = bool(runs[0].run.limits)
        kept = f"{sum(one.within for one in runs)}/{len(runs)}" if limited else "-"
        rows.append([
            f"**{label}**", str(len({one.run.seed for one in runs})), number(array(runs, "end").mean()),
            cell(estimate(array(runs, "score")[:, None, None], interquartile_mean)), cost_text(runs),
            limit_text(runs[0].run), kept,
            *(cell(over_runs(array(runs, name))) for name in COUNTS),
            modes(runs), cell(over_runs(array(runs, "conflicts"))),
        ])  # fmt: skip
    return markdown(heads, rows)


def against(judged: Judged, baseline: str, score: str) -> list[str]:
    """Every other label compared with the baseline."""
    if baseline not in judged or len(judged) == 1:
        return [f"Nothing is compared: here are only {', '.join(judged)}."]
    theirs = judged[baseline]
    cost = next(iter(theirs[0].costs))
    heads = [
        f"beside {baseline}", f"P({score} higher)", f"P({cost} lower)", "its share of the samples [%]",
        "its share of the minutes [%]",
    ]  # fmt: skip
    rows = []
    for label, ours in judged.items():
        if label == baseline:
            continue
        saved = [np.array([-one.costs.get(cost, math.nan) for one in runs]) for runs in (ours, theirs)]
        whole = all(complete([one.run for one in runs]) for runs in (ours, theirs))
        rows.append([
            f"**{label}**",
            cell(probability_of_improvement(array(ours, "score"), array(theirs, "score")), ".2f"),
            cell(probability_of_improvement(*saved), ".2f"),
            *(
                cell(ratio_of_means(100.0 * array(ours, n), array(theirs, n)), ".1f") if whole else "-"
                for n in ("samples", "minutes")
            ),
        ])  # fmt: skip
    return [
        *markdown(heads, rows), "",
        f"P is the chance that a run is better than a run of {baseline}, ties by half: 1.00 [1.00, 1.00] "
        "says that every run was better than every one of those, no more. Shares compare whole runs, and "
        "only where a label's runs are of one length.",
    ]  # fmt: skip


def published(reference: Reference, env: str, judged: Judged, baseline: str) -> list[str]:
    """Published results for this environment, with the ratio of their training budget to ours."""
    ours = max(array(runs, "samples").max() for runs in judged.values())
    found = reference.of(env)
    if not found:
        return [f"{reference.name}: nothing published for {env}.", ""]
    algorithm = judged[baseline][0].run.algo if baseline in judged else ""
    base = next((row.steps for row in found if same_algorithm(row.algorithm, algorithm)), math.nan)
    heads = [
        reference.name, "environment", "training steps", f"share of {algorithm}'s steps", "return", "cost",
        "limit", "minutes", "updates by mode", "iterations in conflict", "remark",
    ]  # fmt: skip
    rows = [
        [
            row.algorithm, row.env, f"{row.steps:,} ({row.steps / ours:.3g} x ours)",
            "-" if math.isnan(base) else f"{100.0 * row.steps / base:.1f} %",
            *(f"{number(s[0])} ± {number(s[1])}" if s else "-" for s in (row.score, row.cost)),
            *("-" if v is None else number(v) for v in (row.limit, row.minutes)),
            ", ".join(f"{k} {v}" for k, v in row.modes.items()) or "-",
            "-" if row.conflicts is None else f"{row.conflicts} of {row.iterations}", row.remark or "-",
        ]
        for row in found
    ]  # fmt: skip
    return [
        f"Published by others, at their own budget: {reference.source}. {reference.note}", "",
        *markdown(heads, rows), "",
    ]  # fmt: skip


def each_run(judged: Judged, score: str) -> list[str]:
    """One row per run, with its origin."""
    heads = ["run", "seed", "steps", score, "cost", "within limit", "minutes", "updates by mode",
             "iterations in conflict", "commit", "training command"]  # fmt: skip
    rows = [
        [
            f"{label}, {one.run.folder.name}", str(one.run.seed), number(one.samples), number(one.score),
            cost_text([one]), ("yes" if one.within else "no") if one.run.limits else "-", number(one.minutes),
            modes([one]), number(one.conflicts), one.run.commit,
            f"`{one.run.command}`" if one.run.command != "-" else "-",
        ]
        for label, runs in judged.items() for one in runs
    ]  # fmt: skip
    return markdown(heads, rows)


def cut_remarks(label: str, runs: Sequence[RunData]) -> list[str]:
    """The remark if runs differ in length."""
    ends = [run.last("step") for run in runs]
    if complete(runs):
        return []
    return [
        f"{label}: judged up to {min(ends):,.0f} steps, where its shortest run ends; the longest has "
        f"{max(ends):,.0f}. Samples, minutes and counts are of unequal runs"
    ]


def environment(env: str, labelled: Mapping[str, Sequence[RunData]], args: TableArguments) -> list[str]:
    """The section of one environment."""
    judged = {label: scores(runs, args.score, args.window) for label, runs in labelled.items()}
    said = [text for k, runs in labelled.items() for text in (*remarks(k, runs), *cut_remarks(k, runs))]
    lines = [f"## {env}", "", *summary(judged, args.score), "", *(f"- {text}." for text in said)]
    lines += [""] if said else []
    if args.baseline:
        lines += [*against(judged, args.baseline, args.score), ""]
    for name in args.reference:
        lines += published(read_reference(name), env, judged, args.baseline)
    return [*lines, "### Every run", "", *each_run(judged, args.score), ""]


def page(found: Mapping[str, Sequence[RunData]], args: TableArguments, origin: str) -> str:
    """The whole page."""
    if not 0.0 < args.window <= 1.0:
        raise ValueError(f"window is {args.window}; it must lie in (0, 1]")
    if args.baseline and args.baseline not in found:
        raise ValueError(f"no run is labelled {args.baseline!r}; labels are {', '.join(found)}")
    notes = [args.notes.read_text().strip(), ""] if args.notes else []
    lines = [
        f"# {args.title}", "", *notes,
        f"Score and cost of a run are means over the last {args.window:.0%} of its steps, in training "
        "episodes. IQM is the interquartile mean over runs (of up to three, the mean); brackets are 95 % "
        "stratified bootstrap intervals over runs (of three runs, from the lowest to the highest).", "",
    ]  # fmt: skip
    for env, labelled in by_environment(found).items():
        lines += environment(env, labelled, args)
    return "\n".join([*lines, origin, ""])


def origin(words: Sequence[str], command: str = "table") -> str:
    """Command, commit and machine of the page itself."""
    from policy_training.runs.folder import provenance

    made = provenance()
    return (
        f"Written by `spillguard {command} {plain_command(words)}`, commit {str(made['commit'])[:9]}, "
        f"{made['machine']}, Python {made['python']}, from the runs' config.json, provenance.json and "
        "progress.csv."
    )


@subcommand("table")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when the page was written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parsed(TableArguments, words, "spillguard table")
    text = page(groups(args.runs, args.labels, args.group_by), args, origin(words))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, text.encode())
    Console(markup=False).print(str(args.out), soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
