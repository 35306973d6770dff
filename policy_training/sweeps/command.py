"""`spillguard sweep`: many training runs from one file, side by side, here or on a Ray cluster.

Every run is a normal run folder under OUT: the same command goes on with what was interrupted or failed, and
leaves what is complete.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.live import Live

from policy_training.evaluation.plots import picture, save
from policy_training.evaluation.run_data import groups, read_run
from policy_training.evaluation.tables import TableArguments, origin, page
from policy_training.files import locked, write_atomically
from policy_training.interruption import InterruptedTrainingError
from policy_training.many_runs import RunIndex, attempts
from policy_training.pool import Pool
from policy_training.sweeps.board import Board, length, newest
from policy_training.sweeps.spec import Spec, read_spec
from policy_training.terminal import INTERRUPTED, parsed, subcommand, told

REFRESH = 2.0  # [1/s]


@dataclass(frozen=True)
class SweepArguments:
    """Train everything that a file asks for: a grid of options times seeds. The same command goes on where
    it was cut. It ends with a table and curves of all runs."""

    spec: tyro.conf.Positional[Path]
    "YAML file: seeds, and a grid of options of `spillguard train`; docs/sweeps.md."
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    "Folder of the runs and the page; by default runs/sweeps/NAME-OF-THE-FILE."
    pool: Pool = field(default_factory=Pool)
    dry: bool = False
    "List the runs, and how far they are; train nothing."


def refuse_others(root: Path, command: str, pictures: Sequence[str]) -> None:
    """ValueError if the folder holds somebody else's page or pictures: this command's would replace them."""
    page = root / "page.md"
    ours = page.is_file() and f"Written by `spillguard {command} " in page.read_text(errors="replace")
    for path in (page, *(root / name for name in pictures)):
        if path.exists() and not ours:
            raise ValueError(f"{path} is there and is not of `spillguard {command}`; choose another --out")


def write_page(spec: Spec, root: Path, words: Sequence[str]) -> str:
    """Table and curves of all runs that have rows, under `root`. Returns what was written, in words."""
    folders, labels, left_out, index = [], [], list[str](), RunIndex(root)
    for cell in spec.cells:
        run = index.of(cell.config)
        if run is None or not newest(run, spec.score)[0]:
            continue
        try:
            read_run(run)
        except (ValueError, OSError) as error:
            left_out.append(told(error))
            continue
        folders.append(run)
        labels.append(cell.label)
    if not folders:
        return "no run has figures yet, so there is no page"
    found = groups(folders, labels)
    baseline = spec.baseline if spec.baseline in found and len(found) > 1 else ""
    args = TableArguments(tuple(folders), title=spec.title, score=spec.score, baseline=baseline)
    head, _, rest = page(found, args, origin(words, "sweep")).partition("\n\n")
    missing = len(spec.cells) - len(folders)
    notes = [f"**{missing} of {len(spec.cells)} runs are not here.**", ""] if missing else []
    notes += [f"- left out: {text}\n" for text in left_out]
    text = "\n".join([head, "", *notes, "![curves](curves.png)", "", rest])
    figure, _ = picture(found)
    save(figure, root / "curves.png")
    write_atomically(root / "page.md", text.encode())
    return f"{root / 'page.md'}: {len(folders)} of {len(spec.cells)} runs"


@subcommand("sweep")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every run is complete, 1 if one failed, 130 if it was interrupted."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    args = parsed(SweepArguments, words, "spillguard sweep")
    spec, console = read_spec(args.spec), Console(markup=False)
    root = args.out or Path("runs") / "sweeps" / args.spec.stem
    board = Board(spec, root)
    if args.dry:
        for cell in spec.cells:
            console.print(f"{cell.config.env} {cell.label}, seed {cell.config.seed}: {length(cell.config)}")
        board.look()
        console.print(board)
        return 0
    root.mkdir(parents=True, exist_ok=True)
    with locked(root, "runs a sweep there"):
        refuse_others(root, "sweep", ("curves.png",))
        interrupted = _train(spec, root, board, args.pool, console)
        failed = [number for number, end in board.ends.items() if end.error]
        for number in failed:
            cell, end = spec.cells[number], board.ends[number]
            console.print(f"failed: {cell.label}, seed {cell.config.seed}: {end.error}", soft_wrap=True)
        try:
            console.print(write_page(spec, root, words), soft_wrap=True)
        except ValueError as error:  # of the runs' own files: the runs themselves are done
            console.print(f"no page: {told(error)}", soft_wrap=True)
            failed.append(-1)
    if interrupted:
        console.print("interrupted; the same command goes on where the runs are")
        return INTERRUPTED
    return 1 if failed else 0


def _train(spec: Spec, root: Path, board: Board, pool: Pool, console: Console) -> bool:
    """All runs. True if it was interrupted."""
    live = Live(board, console=console, refresh_per_second=REFRESH) if console.is_terminal else None
    wanted = [(cell.config, root) for cell in spec.cells]
    try:
        with live or nullcontext():
            for number, end in attempts(wanted, pool):
                board.ends[number] = end
                cell = spec.cells[number]
                if live is None:
                    state = end.error or ("complete" if end.complete else "interrupted")
                    done = f"{len(board.ends)} of {len(wanted)}"
                    console.print(f"{done}: {cell.label}, seed {cell.config.seed}: {state}", soft_wrap=True)
    except InterruptedTrainingError:
        return True
    return False


if __name__ == "__main__":
    raise SystemExit(main())
