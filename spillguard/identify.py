"""`spillguard identify`: what a recording says about an arm, as a domain file with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from policy_training.files import write_atomically
from policy_training.terminal import parsed, subcommand
from sim.identification.estimates import LATEST, Identified, QuantityEstimate, plausible
from sim.identification.fit import identify
from sim.identification.motion import ArmMotion
from sim.pouring.domain import QUANTITIES, Spread
from sim.pouring.domain_file import spread_of, to_yaml
from sim.pouring.gen3 import GEN3
from spillguard_core.robot.arm import Robot, load_robot
from spillguard_ros.recording.motion import RecordedMotion, read_motion

MOST_LOSSES = 5  # listed


@dataclass(frozen=True)
class IdentifyArguments:
    """Fit friction, gains, lag, payload and latency of an arm to a recording of its commands and states.

    Writes a domain file, which the environment takes as its domain, and says what the recording does not pin.
    `spillguard excite` makes a good recording.
    """

    log: tyro.conf.Positional[tuple[Path, ...]]
    """MCAP file of a flight, or the parts of one."""
    robot: str = "gen3"
    """Name of the arm, or a folder with its robot.yaml."""
    joint_prefix: str = ""
    """Before the names of its joints in the recording."""
    base: str = "full"
    """Domain whose other quantities are kept: full, pours, nominal, or a file."""
    effort: bool = True
    """Use the joint torques, if the recording has them."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Domain file to write; by default LOG.domain.yaml."""
    report: Path | None = None
    """HTML report of mujoco.sysid to write: fits, parameters, covariance."""
    overwrite: bool = False
    """Files of these names may be replaced, but no recording."""
    threads: int = 0
    """Threads for the simulations; 0: one a core."""

    def __post_init__(self) -> None:
        if not self.log:
            raise ValueError("name at least one recording")
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}; allowed are 0, which is one a core, or more")


@subcommand("identify")
def main(words: Sequence[str]) -> int:
    """Exit status 0 if a domain file was written."""
    args, console = parsed(IdentifyArguments, words, "spillguard identify"), Console()
    robot, base = load_robot(args.robot, args.joint_prefix), spread_of(args.base)
    if robot.joint_names != GEN3.joint_names:
        raise ValueError(
            f"the masses and motors of {robot.name} are not known here, only those of {GEN3.name}; "
            f"--robot {GEN3.name}"
        )
    for log in args.log:
        if not log.is_file():
            raise ValueError(f"{log} is no file; a recording is made with record:=FILE at launch")
    out = places(args)
    motion = recorded(args, robot, console)
    columns = TextColumn("fitting"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("fitting", total=1.0)
        found = identify(
            ArmMotion(*motion), on_progress=lambda share: progress.update(task, completed=share),
            threads=args.threads, report=args.report,
        )  # fmt: skip
    save_spread(out, merged(base, found.spread()), notes(found, [log.name for log in args.log]))
    show(found, console)
    console.print(f"domain {out}", soft_wrap=True, highlight=False)
    if args.report is not None:
        console.print(f"report {args.report}", soft_wrap=True, highlight=False)
    return 0


def places(args: IdentifyArguments) -> Path:
    """Where the domain file goes, if that and the report can be written. ValueError, OSError."""
    out = args.out or args.log[-1].with_name(f"{args.log[-1].stem}.domain.yaml")
    check_place(out, overwrite=args.overwrite, kept=args.log)
    if args.report is not None:
        check_place(args.report, overwrite=args.overwrite, kept=args.log)
        if args.report.resolve() == out.resolve():
            raise ValueError(f"{out} cannot be both the domain file and the report; name another file")
    return out


def recorded(args: IdentifyArguments, robot: Robot, console: Console) -> RecordedMotion:
    """The motion that the recordings hold. What of them is lost is printed. ValueError, OSError."""
    motion, losses = read_motion(args.log, robot)
    told = [f"{loss.file.name}: {loss.why}" for loss in losses[:MOST_LOSSES]]
    if odd := len(motion.latencies) - len(plausible(motion.latencies)):
        told.append(f"{odd} proposals whose stamp is not 0 to {LATEST:g} s before their arrival")
    for line in told:
        console.print(f"lost: {line}", style="yellow", markup=False, soft_wrap=True)
    return motion if args.effort else motion._replace(effort=None)


def check_place(path: Path, *, overwrite: bool, kept: Sequence[Path] = ()) -> None:
    """Whether a file can be written there and destroys nothing: none of those to be `kept`, and another one
    only if it may be replaced. ValueError, OSError."""
    if not path.parent.is_dir():
        raise ValueError(f"{path.parent} is no folder; make it, or name another file")
    if not path.exists():
        return
    if any(path.samefile(one) for one in kept):
        raise ValueError(f"{path} is one of the recordings; name another file")
    if not path.is_file():
        raise ValueError(f"{path} is no regular file; name another one")
    if not overwrite:
        raise ValueError(f"{path} exists already; name another file, or --overwrite to replace it")


def save_spread(path: Path, spread: Spread, notes: Sequence[str] = ()) -> None:
    """Write a domain file, whole or not at all. ValueError, OSError."""
    write_atomically(path, to_yaml(spread, notes).encode())


def merged(base: Spread, known: Spread) -> Spread:
    """`base`, except for what is now known."""
    from dataclasses import replace

    values = {name: getattr(known.base, name) for name in known.varied}
    return Spread(replace(base.base, **values), {**base.varied, **known.varied})


def notes(found: Identified, logs: Sequence[str]) -> list[str]:
    """Comments of a domain file."""
    lines = [
        f"Identified from {', '.join(logs)}: {found.seconds:.1f} s; low and high are 95 % intervals.",
    ]
    lines += [f"Not pinned, over its whole range: {named(e)}, {e.why}." for e in found.unpinned]
    return lines


def named(estimate: QuantityEstimate) -> str:
    """A quantity, with its joint."""
    name = estimate.name.replace("_", " ")
    return name if estimate.joint is None else f"{name} of joint {estimate.joint + 1}"


def show(found: Identified, console: Console) -> None:
    """A table of what is pinned, and a list of what is not."""
    table = Table("quantity", "unit", "value", "95 % interval", "range", title_style="")
    table.title = f"{found.seconds:.1f} s of motion, residual {found.misfit:.2f} of the noise"
    for estimate in found.pinned:
        quantity = QUANTITIES[estimate.name]
        low, high = (
            end if estimate.joint is None else end[estimate.joint] for end in (quantity.low, quantity.high)
        )
        outside = not low <= estimate.value <= high
        table.add_row(
            named(estimate), quantity.unit, f"{estimate.value:.4g}",
            f"{estimate.low:.4g} to {estimate.high:.4g}", f"{low:g} to {high:g}",
            style="yellow" if outside else "",
        )  # fmt: skip
    console.print(table)
    for estimate in found.unpinned:
        console.print(
            f"not pinned: {named(estimate)}: {estimate.why}", highlight=False, soft_wrap=True, markup=False
        )
