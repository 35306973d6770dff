"""`spillguard meta-train`: learn an optimizer on small tasks and save it for `--optimizer`."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from policy_training.interruption import interruptible
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.meta_trainer import OPTIMIZER, meta_train
from policy_training.processor import set_processor
from policy_training.runs.folder import run_folder
from policy_training.terminal import parsed, subcommand

EXTENSIBLE = ("iterations", "checkpoint_every", "progress")
"""Options that may change on resume."""


@dataclass(frozen=True)
class MetaTrainArguments:
    """Learn an optimizer on many agents of small tasks, from scratch."""

    config: MetaConfig
    seeds: tuple[int, ...] = ()
    "Several meta-seeds, one run each; replaces seed."
    runs: Path = Path("runs/meta_train")
    "Folder of the runs."
    resume: Path | None = None
    "Run folder to continue; its own configuration holds, except for --iterations."


def create_meta_run(config: MetaConfig, root: Path) -> Path:
    """A fresh folder root/<tasks>/<rule>/<time>-s<seed> with config.json and provenance.json in it."""
    return run_folder(root / config.tasks.replace(",", "+") / config.rule, config.seed, config.to_json())


def resumed(words: Sequence[str], run: Path) -> MetaConfig:
    """The run's own configuration, with the options that may change on resume; ValueError for any other
    option."""
    path = run / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no run folder: it has no config.json")
    try:
        own = MetaConfig.from_json(path.read_text())
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    default = MetaTrainArguments(own, resume=run)
    wish = parsed(MetaTrainArguments, words, "spillguard meta-train", default=default)
    kept = dataclasses.replace(wish.config, **{name: getattr(own, name) for name in EXTENSIBLE})
    if dataclasses.replace(wish, config=kept) != default:
        allowed = ", ".join(f"--{name.replace('_', '-')}" for name in EXTENSIBLE)
        raise ValueError(f"a resumed run keeps its configuration; it takes {allowed} alone")
    return wish.config


@subcommand("meta-train")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every run is complete or was interrupted and saved."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    set_processor()
    default = MetaTrainArguments(MetaConfig())
    args = parsed(MetaTrainArguments, words, "spillguard meta-train", default=default)
    for run in meta_runs(args, words):
        Console(markup=False).print(
            f"run: {run}\nuse it: --optimizer optim4rl:{run / OPTIMIZER}", soft_wrap=True
        )
    return 0


def meta_runs(args: MetaTrainArguments, words: Sequence[str]) -> Iterator[Path]:
    """One run after the other, until one is interrupted."""
    if args.resume is not None:
        meta_train(resumed(words, args.resume), args.resume, resume=True)
        yield args.resume
        return
    with interruptible() as stop:
        for seed in args.seeds or (args.config.seed,):
            if stop.is_set():
                return
            config = dataclasses.replace(args.config, seed=seed)
            run = create_meta_run(config, args.runs)
            meta_train(config, run)
            yield run


if __name__ == "__main__":
    raise SystemExit(main())
