"""report.md and report.json of a transfer report: every number from its episodes."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from policy_training.deployment.transfer.conditions import ENDS, HOPELESS, TIERS, TransferCondition
from policy_training.deployment.transfer.episodes import AT_REST, ON, SCRIPTED, WAYS, Row
from policy_training.deployment.transfer.figures import (
    BENCH,
    CONFIDENCE,
    FEWEST,
    MISSED,
    Aim,
    Cluster,
    Rate,
    aims,
    alike,
    associations,
    broken,
    clusters,
    effects,
    ended_safely,
    failures,
    pours_needed,
    rate_of,
    reasons,
    rows_of,
)
from policy_training.files import write_atomically
from sim.pouring.domain import QUANTITIES

CHART, PAGE, REPORT = "success.png", "report.md", "report.json"
TOLD = 12  # rows of the tables of what matters
HOW = """The whole stack in one process and simulated time (`sim/pouring/guarded.py`). A seed is one pour: the
same cell for every way, and for every condition as far as they have it in common. What a condition does not
name varies as from pour to pour. Scripted: the scripted controller, monitor on. Monitor off: joint velocities
ramped at the acceleration limit. Where the times of messages are part of a condition, a trajectory controller
moves the arm behind the monitor; elsewhere, and without the monitor, the arm follows with its servos' lag
alone. The fluid is of low order (`sim/pouring/fluid.py`): it does not slosh, cling or break up, and the
pictures do not show it. Episodes end at success, at the first broken rule, or in time."""
FLAGS = ("success", "spill", "contact", "limit")


class TransferReport(NamedTuple):
    """What a report is made of."""

    rows: Sequence[Row]
    known: Sequence[TransferCondition]  # every condition, poured or not
    facts: dict[str, Any]  # provenance, bundle and arguments
    charted: bool  # whether there is a chart
    strips: Sequence[tuple[Cluster, int, str]]  # failures, the seed that was poured again, its picture


def write(report: TransferReport, folder: Path) -> list[Aim]:
    """Write report.md and report.json. Returns the aims, met or missed."""
    found = aims(report.rows, report.known)
    write_atomically(folder / REPORT, (json.dumps(_json(report, found), indent=1) + "\n").encode())
    write_atomically(folder / PAGE, ("\n".join(_page(report, found)) + "\n").encode())
    return found


def _json(report: TransferReport, found: Sequence[Aim]) -> dict[str, Any]:
    rows = report.rows
    per_condition = []
    for condition in report.known:
        ways = {}
        for way in WAYS:
            if mine := rows_of(rows, condition.name, way):
                seeds = [row["seed"] for row in mine]
                ways[way] = {
                    "episodes": len(mine), "seeds": [min(seeds), max(seeds)],
                    **{name: rate_of(mine, itemgetter(name))._asdict() for name in FLAGS},
                    "ended safely": rate_of(mine, ended_safely)._asdict(),
                    "seconds": float(np.mean([row["seconds"] for row in mine])),
                    "last reasons": dict(reasons(mine)),
                }  # fmt: skip
        if ways:
            spread = condition.spread
            base = {k: v for k, v in asdict(spread.base).items() if v != QUANTITIES[k].nominal}
            per_condition.append({
                "condition": condition.name, "tier": condition.tier, "fixed": base,
                "varied": dict(spread.varied), "driven": condition.driven, "fluid": condition.fluid,
                "ways": ways,
            })  # fmt: skip
    return {
        **report.facts, "confidence": CONFIDENCE, "conditions": per_condition,
        "aims": [
            a._asdict() | {"found": a.found._asdict(), "verdict": a.verdict.strip("*")} for a in found
        ],
        "one at a time": [e._asdict() | {"failures": e.failures._asdict()} for e in effects(rows)],
        "associations in full": [a._asdict() for a in associations(rows)],
        "failures": [c._asdict() for c in clusters(rows)],
        "pictures": [
            {"condition": c.condition, "way": c.way, "failure": c.failure, "seed": seed, "picture": name}
            for c, seed, name in report.strips
        ],
        "bench": _bench(report),
    }  # fmt: skip


def _bench(report: TransferReport) -> list[dict[str, Any]]:
    """How many pours on a bench pin the rate down, at the measured one and at its worst end."""
    found = []
    for name in ("nominal", "pours", "full"):
        if mine := rows_of(report.rows, name):
            share = rate_of(mine, lambda row: row["success"])
            worst = min((share.low, share.high), key=lambda end: abs(end - 0.5))
            worst = 0.5 if share.low <= 0.5 <= share.high else worst
            found.append({
                "condition": name, "success": share._asdict(), "pours": pours_needed(share.rate),
                "at most": pours_needed(worst),
            })  # fmt: skip
    return found


def _page(report: TransferReport, found: Sequence[Aim]) -> list[str]:
    facts, rows = report.facts, report.rows
    commits = sorted({row["commit"] for row in rows})
    missed = [aim for aim in found if aim.verdict == MISSED]
    bundle, versions = facts["bundle"], ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
    changed = " with uncommitted changes" if facts["uncommitted_changes"] else ""
    made = str(facts["commit"])[:10] or "an unknown commit"
    lines = [
        f"# Transfer of {bundle['name']}", "",
        f"`spillguard {shlex.join(facts['command'][1:])}`: {len(rows)} episodes, seeds from "
        f"{facts['first_seed']}, poured at {', '.join(commits)}, page made at {made}{changed}.",
        f"{facts['machine']}, Python {facts['python']}, {versions}.",
        f"Bundle {bundle['identity']}: {bundle['algorithm']}, training seed {bundle['seed']}, commit "
        f"{str(bundle['commit'])[:10]}, critic's threshold {bundle['threshold']}.", "",
        HOW, "",
        f"Percentages with {100 * CONFIDENCE:.0f} % Wilson intervals. **{len(missed)} of {len(found)} aims "
        "are missed.** *Shown*: the whole interval meets the aim; *met*: the rate does.", "",
    ]  # fmt: skip
    lines += _aims(found)
    if report.charted:
        lines += [f"![success in every condition]({CHART})", ""]
    for tier in TIERS:
        names = [c.name for c in report.known if c.tier == tier]
        if tier == HOPELESS:
            lines += _hopeless(rows, names, found)
        elif tier != ENDS:
            lines += _tier(rows, tier, names, found)
    lines += _matters(rows) + _failures(report)
    bench = _bench(report)
    if bench:
        lines += [
            f"## Pours on a bench for ±{100 * BENCH:.0f} %", "",
            "As many as make the Wilson interval that narrow, if the bench is such a cell; *at most*: for "
            "the end of the interval that needs more.", "",
            *_head("condition", "success %", "pours", "at most"),
        ]  # fmt: skip
        lines += [_row(b["condition"], _told(Rate(**b["success"])), b["pours"], b["at most"]) for b in bench]
    return lines


def _aims(found: Sequence[Aim]) -> list[str]:
    lines = [*_head("aim, monitor on", "conditions", "shown", "met", "missed", "missed in")]
    kinds: dict[str, list[Aim]] = {}
    for aim in sorted(found, key=lambda aim: aim.most):
        sign = "at most" if aim.most else "at least"
        kinds.setdefault(f"{aim.name} {sign} {100 * aim.limit:g} %", []).append(aim)
    for kind, mine in kinds.items():
        missed = [aim.condition for aim in mine if aim.verdict == MISSED]
        shown = sum(aim.verdict == "shown" for aim in mine)
        cells = (kind, len(mine), shown, len(mine) - shown - len(missed), len(missed))
        lines.append(_row(*cells, ", ".join(missed)))
    return [*lines, ""]


def _tier(rows: Sequence[Row], tier: str, names: Sequence[str], found: Sequence[Aim]) -> list[str]:
    head = _head(
        "condition", "episodes", "success %, on", "off", "scripted", "spill %, on", "off", "contact %, on",
        "limit %, on", "seconds, on", "aims",
    )  # fmt: skip
    lines = []
    for name in names:
        on, off, scripted = (rows_of(rows, name, way) for way in WAYS)
        if not (on or off or scripted):
            continue
        cells = [_share(on, "success"), _share(off, "success"), _share(scripted, "success")]
        cells += [_share(on, "spill"), _share(off, "spill"), _share(on, "contact"), _share(on, "limit")]
        seconds = f"{np.mean([row['seconds'] for row in on]):.1f}" if on else ""
        lines.append(_row(name, len(on), *cells, seconds, _verdict(name, found)))
    return [f"## {tier.capitalize()}", "", *head, *lines, ""] if lines else []


def _hopeless(rows: Sequence[Row], names: Sequence[str], found: Sequence[Aim]) -> list[str]:
    head = _head(
        "condition", "way", "episodes", "ended safely %", "poured %", "nothing broken %", "upright %",
        "at rest %", "last reasons", "aims",
    )  # fmt: skip
    lines = []
    for name in names:
        for way in (ON, SCRIPTED):
            if mine := rows_of(rows, name, way):
                cells = [_told(rate_of(mine, ended_safely)), _share(mine, "success")]
                cells += [_told(rate_of(mine, lambda row: not broken(row)))]
                cells += [_share(mine, "upright"), _share(mine, "at_rest")]
                last = ", ".join(f"{reason} {n}" for reason, n in reasons(mine).most_common(3))
                verdict = _verdict(name, found) if way == ON else ""
                lines.append(_row(name, way, len(mine), *cells, last, verdict))
    text = (
        "Ended safely: poured; or nothing broken, the cup upright, no joint faster than "
        f"{AT_REST} rad/s, and the monitor's last reason is another than OK."
    )
    return [f"## {HOPELESS.capitalize()}", "", text, "", *head, *lines, ""] if lines else []


def _verdict(name: str, found: Sequence[Aim]) -> str:
    """The worst of a condition, and which aims are missed."""
    mine = [aim for aim in found if aim.condition == name]
    missed = [aim.name for aim in mine if aim.verdict == MISSED]
    if missed:
        return f"{MISSED}: {', '.join(missed)}"
    return "shown" if mine and all(aim.verdict == "shown" for aim in mine) else "met" if mine else ""


def _matters(rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    if found := effects(rows):
        lines += [
            "## Which quantity matters", "",
            "One at a time: a quantity at an end of its range, the others as from pour to pour, monitor on.",
            "The change of the failures is from *pours*, with Newcombe's interval; bold where 0 is outside.",
            "", *_head("quantity", "end", "value", "episodes", "failures %", "change, percentage points"),
        ]  # fmt: skip
        for effect in found[:TOLD]:
            gap, low, high = (100 * x for x in effect.change)
            change = f"{gap:+.1f} ({low:+.1f} to {high:+.1f})"
            change = f"**{change}**" if low > 0.0 or high < 0.0 else change
            cells = (
                effect.quantity,
                effect.end,
                _value(effect.quantity, effect.value),
                effect.failures.episodes,
            )
            lines.append(_row(*cells, _told(effect.failures), change))
        lines += ["", f"The other {max(len(found) - TOLD, 0)} changes are smaller; report.json has them.", ""]
    if together := associations(rows):
        lines += [
            "All at once, in the episodes of *full*: how often the quantity was larger in a failure than in",
            "a success; 0.5 tells nothing. Of a vector: how far it is from nominal. p by Mann and Whitney,",
            "times the number of quantities.", "", *_head("quantity", "larger in a failure", "p"),
        ]  # fmt: skip
        lines += [_row(a.quantity, f"{a.larger:.2f}", f"{a.p:.2g}") for a in together[:TOLD]]
        lines.append("")
    elif rows_of(rows, "full"):
        lines += [f"*full* has fewer than {FEWEST} failures or successes: no ranking of all at once.", ""]
    return lines


def _failures(report: TransferReport) -> list[str]:
    found = failures(report.rows, report.known)
    if not found:
        return []
    head = _head("failure", "episodes", "conditions, with their episodes that failed so", "first seed")
    lines = ["## Failures, monitor on", "", *head]
    for kind, mine in alike(found).items():
        where = ", ".join(f"{cluster.condition} {len(cluster.seeds)}" for cluster in mine)
        lines.append(_row(kind, sum(len(cluster.seeds) for cluster in mine), where, mine[0].seeds[0]))
    lines += ["", "The first seed is one of the condition named first. The other ways: report.json.", ""]
    for cluster, seed, name in report.strips:
        text = f"{cluster.condition}, {cluster.failure}, seed {seed}"
        lines += [f"{text[0].upper()}{text[1:]}:", "", f"![{text}]({name})", ""]
    return lines


def _value(name: str, value: object) -> str:
    entries = dict.fromkeys(value) if isinstance(value, tuple) else [value]
    return f"{', '.join(f'{x:g}' for x in entries)} {QUANTITIES[name].unit}".strip()


def _share(rows: Sequence[Row], name: str) -> str:
    return _told(rate_of(rows, itemgetter(name))) if rows else ""


def _told(found: Rate) -> str:
    return f"{100 * found.rate:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def _head(*names: str) -> list[str]:
    return [_row(*names), "|" + " --- |" * len(names)]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
