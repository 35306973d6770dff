"""`spillguard identify-granules`: what a phone and a ruler say about granules, as a domain file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from policy_training.terminal import parsed, subcommand
from sim.identification.granules import Measured, identify_granules, spread_of_granules
from sim.pouring.domain import QUANTITIES
from sim.pouring.domain_file import spread_of
from spillguard.identify import check_place, merged, named, save_spread


@dataclass(frozen=True)
class GranuleArguments:
    """Friction and rolling of granules from two measurements that docs/identification.md shows."""

    angle: tuple[float, ...]
    """[deg] at which the tilted tray let its granules go, one for each repeat."""
    time: tuple[float, ...]
    """[s] in which the lying cup ran out, one for each repeat."""
    base: str = "full"
    """Domain whose other quantities are kept: full, pours, nominal, or `spillguard identify`'s file."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("granules.domain.yaml")
    """Domain file to write."""
    overwrite: bool = False
    """A file of this name may be replaced."""


@subcommand("identify-granules")
def main(words: Sequence[str]) -> int:
    """Exit status 0 if a domain file was written."""
    args, console = parsed(GranuleArguments, words, "spillguard identify-granules"), Console()
    check_place(args.out, overwrite=args.overwrite)
    base, measured = spread_of(args.base), Measured.of(args.angle, args.time)
    found = identify_granules(measured)
    notes = [
        f"Granules: {len(args.angle)} angles of {measured.angle:.1f} deg (+-{measured.angle_error:.1f}), "
        f"{len(args.time)} times of {measured.time:.3f} s (+-{measured.time_error:.3f}).",
        *(f"Not pinned, over its whole range: {named(e)}, {e.why}." for e in found if not e.pinned),
    ]
    save_spread(args.out, merged(base, spread_of_granules(found)), notes)
    table = Table("quantity", "unit", "value", "95 % interval", "range")
    for estimate in found:
        quantity = QUANTITIES[estimate.name]
        if estimate.pinned:
            table.add_row(
                named(estimate), quantity.unit, f"{estimate.value:.3g}",
                f"{estimate.low:.3g} to {estimate.high:.3g}", f"{quantity.low:g} to {quantity.high:g}",
            )  # fmt: skip
    console.print(table)
    for note in notes[1:]:
        console.print(note, highlight=False, soft_wrap=True, markup=False)
    console.print(f"domain {args.out}", soft_wrap=True, highlight=False)
    return 0
