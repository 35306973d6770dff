"""`spillguard tune`: a search for good options of `spillguard train` with Optuna (Akiba et al. 2019).

Sampler, pruner and storage are Optuna's: TPE, the median rule, a journal in the folder of the runs. A trial
of an off-policy algorithm is looked at `RUNGS` times, and ends early where the others' median was better.
Every run is a normal run folder: a trial that was cut goes on where its runs are.
"""

import logging
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import optuna
import tyro
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import Progress

from policy_training.evaluation.plots import save
from policy_training.evaluation.run_data import read_run
from policy_training.evaluation.seed_statistics import window_mean
from policy_training.evaluation.tables import markdown, number, origin
from policy_training.files import locked, write_atomically
from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.many_runs import Ended, attempt
from policy_training.pool import Pool, ordered
from policy_training.runs.config import LoopConfig, RunConfig
from policy_training.sweeps.command import refuse_others
from policy_training.sweeps.search import SearchSpec, read_search
from policy_training.sweeps.spec import option_words
from policy_training.terminal import EXPECTED, INTERRUPTED, parsed, subcommand, told

RUNGS = 4  # looks at a trial
WINDOW = 0.1  # share of the steps, at the end, over which a run is judged
STARTUP = 8  # random trials before the sampler has an opinion
PICTURES = ("history.png", "slices.png")
SHOWN = 10  # trials on the page
SELECTED = (
    "It was chosen by these seeds: what it is worth only other seeds say (`--seeds`, `spillguard sweep`)."
)


@dataclass(frozen=True)
class TuneArguments:
    """Search for good options of `spillguard train` with Optuna. The same command goes on where it was
    cut."""

    spec: tyro.conf.Positional[Path]
    "YAML file: seeds, options, what to search in, a score; docs/sweeps.md."
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    "Folder of the runs and the page; by default runs/tuned/NAME-OF-THE-FILE."
    pool: Pool = field(default_factory=Pool)


def open_study(root: Path) -> optuna.Study:
    """The study of a folder; a new one if there is none."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = JournalFileBackend(str(root / "optuna.log"))
    study = optuna.create_study(
        storage=JournalStorage(journal), study_name="tune", direction="maximize", load_if_exists=True
    )
    # Another seed after every interruption: the first draws would come again.
    study.sampler = optuna.samplers.TPESampler(
        seed=len(study.get_trials(deepcopy=False)), n_startup_trials=STARTUP
    )
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
    return study


def judged(runs: Sequence[Path], search: SearchSpec) -> tuple[float, dict[str, float]]:
    """Mean score over runs, and by how much their mean columns are above their limits."""

    def mean(column: str) -> float:
        curves = [read_run(run).curve(column) for run in runs]
        return float(np.mean([window_mean(curve, curve[0][-1], WINDOW) for curve in curves]))

    return mean(search.score), {name: mean(name) - limit for name, limit in search.at_most.items()}


def done(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that have ended, those apart that were cut and are begun again."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [t for t in trials if t.state is not TrialState.FAIL or "error" in t.user_attrs]


def begin_again(study: optuna.Study) -> None:
    """Ask once more for trials that were cut. Their runs go on where they are."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)


def search_all(search: SearchSpec, root: Path, pool: Pool, progress: Progress) -> None:
    """Every trial that is left, some at a time. `InterruptedTrainingError` leaves those under way."""
    study = open_study(root)
    begin_again(study)
    task = progress.add_task("trials", total=search.trials, completed=len(done(study)))
    while (left := search.trials - len(done(study))) > 0:
        batch = min(left, max(1, pool.processors() // len(search.seeds)))
        train_batch([study.ask(dict(search.space)) for _ in range(batch)], search, root, study, pool)
        progress.update(task, completed=len(done(study)))


def train_batch(
    trials: Sequence[optuna.Trial], search: SearchSpec, root: Path, study: optuna.Study, pool: Pool
) -> None:
    """All seeds of some trials, rung by rung; at each the pruner says who goes on."""
    alive = {}
    for trial in trials:
        try:
            alive[trial] = search.config(trial.params)
        except EXPECTED as error:  # options that do not go together
            fails(trial, told(error), study)
    for part in range(1, RUNGS + 1):
        many = len(search.seeds)
        jobs = [
            (replace(config, seed=seed), root.resolve(), rung(config, part))
            for config in alive.values()
            for seed in search.seeds
        ]
        with interruptible() as stop:
            ends = list(ordered(attempt, jobs, pool))
            if stop.is_set():
                raise InterruptedTrainingError
        of = {trial: ends[many * k : many * (k + 1)] for k, trial in enumerate(alive)}
        alive = {t: c for t, c in alive.items() if goes_on(t, of[t], rung(c, part), search, study)}


def rung(config: RunConfig, part: int) -> int | None:
    """The step at which a run is looked at for the time number `part`; None: at its end."""
    whole = part == RUNGS or not isinstance(config.loop, LoopConfig)
    return None if whole else config.loop.steps * part // RUNGS


def fails(trial: optuna.Trial, error: str, study: optuna.Study) -> None:
    """A trial that cannot be trained is one of the trials."""
    trial.set_user_attr("error", error)
    study.tell(trial, state=TrialState.FAIL)


def goes_on(
    trial: optuna.Trial, ends: Sequence[Ended], step: int | None, search: SearchSpec, study: optuna.Study
) -> bool:
    """Tell the study how a trial is; whether it goes on."""
    errors = [end.error for end in ends if end.error]
    try:
        if errors:
            raise ValueError(errors[0])
        score, above = judged([end.run for end in ends if end.run is not None], search)
        if not np.isfinite([score, *above.values()]).all():
            raise ValueError(f"{search.score} is {score}")
    except EXPECTED as error:
        if step is not None and not errors:  # no episode has ended so early
            return True
        fails(trial, told(error), study)
        return False
    if step is None:
        for name, value in above.items():
            trial.set_constraint(name, value)
        study.tell(trial, score)
        return False
    trial.report(score, step)
    if trial.should_prune():
        study.tell(trial, state=TrialState.PRUNED)
        return False
    return True


def write_page(search: SearchSpec, root: Path, words: Sequence[str]) -> str:
    """The best trials, and two pictures. Returns what was written, in words."""
    import matplotlib as mpl

    mpl.use("Agg")
    study, lines = open_study(root), ["# Tuned", ""]
    complete = [t for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
    kept = [t for t in complete if all(above <= 0.0 for above in t.constraints.values())]
    count = {state: sum(t.state is state for t in done(study)) for state in TrialState}
    lines += [
        f"{len(done(study))} of {search.trials} trials: {count[TrialState.COMPLETE]} complete, "
        f"{count[TrialState.PRUNED]} ended early, {count[TrialState.FAIL]} failed; seeds "
        f"{', '.join(map(str, search.seeds))}.", "",
    ]  # fmt: skip
    best = sorted(kept, key=lambda t: -float(t.value or 0.0))
    if best:
        command = shlex.join(option_words({**search.options, **search.found(best[0].params)}))
        lines += [f"Best: `spillguard train {command}`", "", SELECTED, ""]
    else:
        lines += ["No complete trial kept all limits.", ""]
    rows = []
    for trial in best[:SHOWN]:
        costs = [number(limit + trial.constraints[name]) for name, limit in search.at_most.items()]
        options = search.found(trial.params)
        told_options = [str(options[name]) for name in search.space]
        rows.append([str(trial.number), number(float(trial.value or 0.0)), *costs, *told_options])
    lines += [*markdown(["trial", search.score, *search.at_most, *search.space], rows), ""] if rows else []
    lines += [
        f"- trial {t.number} failed: {t.user_attrs['error']}" for t in done(study) if "error" in t.user_attrs
    ]
    if len(complete) > 1:
        from optuna.visualization import matplotlib as shown

        for name, draw in (("history", shown.plot_optimization_history), ("slices", shown.plot_slice)):
            with warnings.catch_warnings():  # experimental since version 2
                warnings.simplefilter("ignore")
                axes = draw(study)
            save(np.atleast_1d(np.asarray(axes, dtype=object))[0].figure, root / f"{name}.png")
            lines += [f"![{name}]({name}.png)", ""]
    write_atomically(root / "page.md", "\n".join([*lines, "", origin(words, "tune"), ""]).encode())
    return f"{root / 'page.md'}: {len(done(study))} of {search.trials} trials"


@subcommand("tune")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every trial is done, 130 if it was interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    args, console = parsed(TuneArguments, words, "spillguard tune"), Console(markup=False)
    search = read_search(args.spec)
    root = args.out or Path("runs") / "tuned" / args.spec.stem
    root.mkdir(parents=True, exist_ok=True)
    interrupted = False
    with locked(root, "runs a search there"):
        refuse_others(root, "tune", PICTURES)
        check_same(search, root)
        try:
            with Progress(console=console) as progress:
                search_all(search, root, args.pool, progress)
        except InterruptedTrainingError:
            interrupted = True
        console.print(write_page(search, root, words), soft_wrap=True)
    if interrupted:
        console.print("interrupted; the same command goes on where the runs are")
    return INTERRUPTED if interrupted else 0


def check_same(search: SearchSpec, root: Path) -> None:
    """ValueError if the folder's trials answer another question; only their number may change."""
    asked = repr(search._replace(trials=0))
    note = root / "search.txt"
    if not note.exists():
        write_atomically(note, asked.encode())
    elif note.read_text() != asked:
        raise ValueError(f"{root} holds trials of another search; choose another --out")


if __name__ == "__main__":
    raise SystemExit(main())
