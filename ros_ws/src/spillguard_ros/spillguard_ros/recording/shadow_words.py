"""A shadow report in words: sentences, cells of its tables, and the page."""

import math
from collections.abc import Sequence

from spillguard_ros.recording.judged import Cause
from spillguard_ros.recording.shadow_figures import Distance, Findings


def facts(report: Findings) -> list[str]:
    """The report in sentences."""
    would = "would have changed" if report.shadow else "changed"
    how = "in shadow: nothing was sent" if report.shadow else "guarded"
    speed = "" if report.speed_scale == 1.0 else f", at {100 * report.speed_scale:g} % speed"
    age = report.latency
    lines = [
        f"{report.seconds:.1f} s {how}{speed}; {report.standing:.1f} s besides, with the policy out of play",
        f"the gate {would} {report.changed} of {report.proposals} proposals, "
        f"{_percent(report.changed_share)}, and acted in {_percent(report.changed_time)} of the time",
        f"latency p50 {_ms(age['p50'])}, p95 {_ms(age['p95'])}, p99 {_ms(age['p99'])}; trained for up to "
        f"{_ms(age['trained'])}",
    ]
    if not report.distances:
        lines.append("not compared with the arm: name the bundle that ran, --bundle DIR")
    lines += [f"the driver in {count} cycles: {text}" for text, count in report.driver_faults.items()]
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if math.isfinite(share) else "unknown"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.0f} ms" if math.isfinite(seconds) else "unknown"


CAUSES = ("reason", "verdict", "stretches", "proposals", "time", "longest", "first at")
DISTANCES = ("policy less arm", "median", "95 %")


def cause_row(cause: Cause) -> tuple[str, ...]:
    """Cells under `CAUSES`."""
    return (cause.text, cause.verdict, str(cause.stretches), str(cause.proposals), _percent(cause.share),
            f"{cause.longest:.2f} s", f"{cause.first:.2f} s")  # fmt: skip


def distance_row(distance: Distance) -> tuple[str, ...]:
    """Cells under `DISTANCES`."""
    unit = f" {distance.unit}" if distance.unit else ""
    return distance.name, f"{distance.median:.4f}{unit}", f"{distance.p95:.4f}{unit}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *([text.replace("|", "/") for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def markdown(report: Findings, picture: str) -> str:
    """The page; `picture` is the name of the file beside it."""
    parts = [f"# What the monitor {'would have made' if report.shadow else 'made'} of the policy"]
    parts.append(
        "\n".join(f"- {line}" for line in (*facts(report), *(f"lost: {text}" for text in report.lost)))
    )
    if report.causes:
        parts.append(_table(CAUSES, [cause_row(cause) for cause in report.causes]))
    if report.distances:
        parts.append(_table(DISTANCES, [distance_row(distance) for distance in report.distances]))
    parts.append(f"![verdicts, and the policy beside the arm]({picture})")
    if report.moments:
        lines = "\n".join(f"{moment.command}  # {moment.why}" for moment in report.moments)
        parts.append(f"Worth a look:\n\n```\n{lines}\n```")
    return "\n\n".join(parts) + "\n"
