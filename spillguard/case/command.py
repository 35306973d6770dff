"""`spillguard case`: check the safety case, write its pages, accept a result that was made again."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from policy_training.terminal import UsageError, parsed, subcommand
from spillguard.case.figures import accepted, broken_figures
from spillguard.case.files import keep, load
from spillguard.case.links import broken_links
from spillguard.case.pages import broken_pages, pages
from spillguard.case.tested import broken_tests, named_tests


@dataclass(frozen=True)
class Check:
    """Every broken link of the case in one line; exit status 1 if there is one."""

    junit: tuple[Path, ...] = ()
    "What pytest wrote with --junitxml in this run: named tests have to have run and passed."
    root: Path = Path()
    "Root of the repository."


@dataclass(frozen=True)
class Build:
    """Write the case and the promises as pages."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("docs")
    "Folder for safety_case.md and promises.md."
    root: Path = Path()
    "Root of the repository."


@dataclass(frozen=True)
class Accept:
    """Say that a figure's result speaks of the code as it is now."""

    figure: tyro.conf.Positional[str]
    "Name of the figure, as in docs/assurance/figures.yaml."
    because: str = ""
    "Why a change of the code does not touch the result, where the result was not made again."
    root: Path = Path()
    "Root of the repository."


@subcommand("case")
def main(words: Sequence[str]) -> int:
    """Run one of the three; its exit status."""
    name, *rest = words or [""]
    if name in ("-h", "--help"):
        _say(f"usage: spillguard case COMMAND [options]; COMMAND is one of {', '.join(COMMANDS)}")
        return 0
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name!r}; known are {', '.join(COMMANDS)}")
    return COMMANDS[name](rest)


def check(words: Sequence[str]) -> int:
    """Print the broken links."""
    args = parsed(Check, words, "spillguard case check")
    case = load(args.root)
    links = [*broken_links(case)]
    pages_too = (
        () if links else broken_pages(case, args.root)
    )  # no page can be made of a case with loose ends
    broken = [
        *links, *broken_figures(case, args.root), *broken_tests(case, args.root, args.junit), *pages_too,
    ]  # fmt: skip
    for line in broken:
        _say(line)
    if not broken:
        ran = "passed in this run" if args.junit else "exist"
        _say(f"whole: {len(case.hazards)} hazards, {len(case.requirements)} requirements, "
             f"{len(case.promises)} promises; {len(named_tests(case))} tests {ran}")  # fmt: skip
    return int(bool(broken))


def build(words: Sequence[str]) -> int:
    """Write the pages."""
    args = parsed(Build, words, "spillguard case build")
    case = load(args.root)
    if broken := [*broken_links(case)]:
        raise ValueError(f"{broken[0]}; {len(broken)} broken links in all: spillguard case check")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in pages(case, args.root).items():
        (args.out / name).write_text(text)
        _say(str(args.out / name))
    return 0


def accept(words: Sequence[str]) -> int:
    """Renew the hashes of one figure."""
    args = parsed(Accept, words, "spillguard case accept")
    case = load(args.root)
    figures = {figure.id: figure for figure in case.figures}
    if args.figure not in figures:
        raise UsageError(f"unknown figure {args.figure!r}; known are {', '.join(figures)}")
    figure = figures[args.figure]
    renewed = accepted(figure, case.accepted.get(figure.id), args.root, args.because)
    keep(args.root, {**case.accepted, figure.id: renewed})
    _say(f"{figure.id}: {figure.file} of commit {renewed.commit} speaks of {', '.join(figure.code)}")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"check": check, "build": build, "accept": accept}


def _say(text: str) -> None:
    Console(markup=False, highlight=False, soft_wrap=True).print(text)


if __name__ == "__main__":
    sys.exit(main())
