"""`spillguard shadow-report`: what the monitor made, or would have made, of a policy.

From a recording alone; with the bundle that ran also how far the policy was from what the arm did. Needs no
running ROS 2.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.bundle.manifest import BundleError
from spillguard_ros.recording.judged import Compared, compared, judged
from spillguard_ros.recording.recording import Flight, read_flight
from spillguard_ros.recording.review import SHIPPED, RecordingError, bundle_of, opened, refused, tell_losses
from spillguard_ros.recording.shadow_figures import Findings, as_json, report_of
from spillguard_ros.recording.shadow_words import CAUSES, DISTANCES, cause_row, distance_row, facts, markdown


@dataclass(frozen=True)
class ShadowReport:
    """Tell what the monitor made, or in shadow would have made, of a policy. Exit status 0 if it could."""

    log: tyro.conf.Positional[tuple[Path, ...]]
    """MCAP file of a flight, in shadow or guarded, or the parts of one, oldest first."""
    bundle: Path | None = None
    """Directory of the bundle that ran, to compare it with the arm; by default the shipped one, if it ran."""
    json: Path | None = None
    """File for all figures."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Page to write (.md, with its picture beside it), picture alone (.png), or a folder for both."""

    def __post_init__(self) -> None:
        if not self.log:
            raise ValueError("name at least one recording")


def readable(*logs: Path) -> Flight:
    """The recording. RecordingError with one sentence if nothing can be said about it."""
    try:
        return opened(*logs)
    except RecordingError as error:
        whys = [loss.why for log in logs if log.is_file() for loss in read_flight(log).losses]
        if not whys:
            raise
        name = " ".join(map(str, logs))
        foreign = next((why for why in whys if "cannot be understood" in why), "")
        if foreign:
            raise RecordingError(f"{name} is from another version: {foreign}") from error
        raise RecordingError(f"{name} is damaged, and no cycle of it can be read: {whys[0]}") from error


def _bundle(recorded: Flight, path: Path | None) -> Bundle | None:
    """The bundle that was named, which has to be the right one; else the shipped one, if it is."""
    if path is not None:
        return bundle_of(recorded, path)
    try:
        return bundle_of(recorded, SHIPPED)
    except (RecordingError, BundleError, OSError, KeyError):
        return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 if the report was made, 2 if the recording cannot be used."""
    args = tyro.cli(
        Annotated[ShadowReport, tyro.conf.OmitArgPrefixes], prog="spillguard shadow-report",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    console = Console()
    try:
        recorded = readable(*args.log)
        seen = judged(recorded)
        bundle = _bundle(recorded, args.bundle)
        beside = None if bundle is None else compared(recorded, seen, bundle.task, bundle.tool())
        report = report_of(recorded, args.log, beside, seen)
        tell_losses(recorded, console)
        _show(report, console)
        if args.json is not None:
            args.json.write_text(as_json(report))
        if args.out is not None:
            _write(report, recorded, beside, args.out, console)
    except (ValueError, OSError, KeyError) as error:
        return refused("shadow-report", error)
    return 0


def _write(report: Findings, recorded: Flight, beside: Compared | None, out: Path, console: Console) -> None:
    from spillguard_ros.recording.shadow_plot import save_picture

    page = out if out.suffix in (".md", ".png") else out / "shadow.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    picture = save_picture(report, recorded, beside, page.with_suffix(".png"))
    if page.suffix == ".md":
        page.write_text(markdown(report, picture.name))
        console.print(f"page {page}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"plot {picture}", soft_wrap=True, markup=False, highlight=False)


def _show(report: Findings, console: Console) -> None:
    for line in facts(report):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for heads, rows in (
        (CAUSES, [cause_row(cause) for cause in report.causes]),
        (DISTANCES, [distance_row(distance) for distance in report.distances]),
    ):
        if rows:
            table = Table(*heads)
            for row in rows:
                table.add_row(*row)
            console.print(table, markup=False)
    for moment in report.moments:
        console.print(f"{moment.command}  # {moment.why}", soft_wrap=True, markup=False, highlight=False)
