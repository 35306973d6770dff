"""What the transfer report makes of its episodes: intervals, kinds of failure, aims, the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from policy_training.deployment.transfer.conditions import (
    SEEDS,
    conditions,
)
from policy_training.deployment.transfer.episodes import OFF, ON
from policy_training.deployment.transfer.figures import (
    MET,
    MISSED,
    SHOWN,
    Aim,
    aims,
    alike,
    associations,
    difference,
    effects,
    ended_safely,
    failure,
    failures,
    half_width,
    pours_needed,
    rate,
)
from policy_training.deployment.transfer.page import TransferReport, write
from policy_training.deployment.transfer.pictures import film
from sim.pouring.domain import FULL
from sim.render import RenderingUnavailableError

BUNDLE = Path(__file__).parents[3] / "artifacts" / "pour_coffee"
BY_NAME = {condition.name: condition for condition in conditions()}


def row(condition: str, seed: int, way: str = ON, **other: Any) -> dict[str, Any]:
    """An episode that went well, but for `other`."""
    return {
        "condition": condition, "way": way, "seed": seed, "success": True, "spill": False, "contact": False,
        "limit": False, "seconds": 5.0, "upright": True, "at_rest": True, "stopped": False, "reason": "OK",
        "detail": "", "total": 20, "landed": 20, "spilled": 0, "tilt": 0.0, "offset": [0.0, 0.0, 0.1],
        "replaced": 0.0, "limited": 0.0, "held": 0.0, "domain": {}, "bundle": "b", "commit": "c", **other,
    }  # fmt: skip


def test_intervals_are_those_of_the_literature() -> None:
    """Newcombe 1998, Statistics in Medicine 17: table I of pp. 857-872, table II of pp. 873-890."""
    assert rate(81, 263)[3:] == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert rate(0, 20)[3:] == pytest.approx((0.0, 0.1611), abs=5e-5)
    found = difference(rate(56, 70), rate(48, 80))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_pours_needed_are_the_fewest_that_make_the_interval_so_narrow() -> None:
    for share in (0.5, 0.85, 0.97, 1.0):
        pours = pours_needed(share)
        assert half_width(share, pours) <= 0.03 < half_width(share, pours - 1)
    assert pours_needed(0.5) == 1064  # z^2 / (4 * 0.03^2) - z^2, rounded up
    low, high = rate(97, 100)[3:]
    assert half_width(0.97, 100) == pytest.approx((high - low) / 2)


@pytest.mark.parametrize(
    ("other", "failed"),
    [
        ({"success": True}, ""),
        ({"contact": True, "spill": True}, "contact"),
        ({"limit": True}, "limit broken"),
        ({"spill": True, "landed": 0}, "spilt upright"),
        ({"spill": True, "landed": 0, "tilt": 1.0}, "spilt before any of it landed"),
        ({"spill": True, "landed": 10, "tilt": 1.5}, "spilt while pouring"),
        ({"spill": True, "landed": 19, "tilt": 1.5}, "spilt the last of it"),
        ({"stopped": True, "reason": "TRACKING_ERROR"}, "stopped: TRACKING_ERROR"),
        ({"reason": "PROPOSAL_STALE", "landed": 0}, "held: PROPOSAL_STALE"),
        ({"reason": "COLLISION", "upright": False}, "poured, not upright again: COLLISION"),
        ({"reason": "CRITIC", "landed": 3, "upright": False}, "not emptied, cup tilted: CRITIC"),
        ({"reason": "", "landed": 3}, "not emptied, cup upright: no monitor"),
    ],
)
def test_failures_are_told_apart(other: dict[str, Any], failed: str) -> None:
    assert failure(row("pours", 0, **{"success": False, **other})) == failed


@pytest.mark.parametrize(
    ("other", "safe"),
    [
        ({"success": True, "at_rest": False}, True),
        ({"reason": "PROPOSAL_STALE"}, True),
        ({"reason": "OK"}, False),
        ({"reason": "PROPOSAL_STALE", "upright": False}, False),
        ({"reason": "PROPOSAL_STALE", "at_rest": False}, False),
        ({"reason": "PROPOSAL_STALE", "spill": True}, False),
    ],
)
def test_a_safe_end_is_upright_at_rest_and_explained(other: dict[str, Any], safe: bool) -> None:
    assert ended_safely(row("delay 250 ms", 0, **{"success": False, **other})) is safe


def test_an_aim_is_shown_by_its_interval_met_by_its_rate_or_missed() -> None:
    least = [Aim("x", "success", 0.85, False, rate(hits, 40)).verdict for hits in (40, 35, 33)]
    assert least == [SHOWN, MET, MISSED]
    most = [Aim("x", "spill", 0.02, True, rate(hits, 400)).verdict for hits in (0, 8, 9)]
    assert most == [SHOWN, MET, MISSED]


def test_the_page_says_which_aims_are_missed_and_how_it_failed(tmp_path: Path) -> None:
    late = {"success": False, "landed": 0, "reason": "PROPOSAL_STALE"}
    rows = [row("full", seed) for seed in range(10)]
    rows += [row("denser", seed, success=seed > 5, spill=seed <= 5, landed=19) for seed in range(10)]
    rows += [row("delay 250 ms", seed, **late) for seed in range(10)]
    facts = {
        "command": ["spillguard", "transfer"], "commit": "c", "uncommitted_changes": False, "python": "3",
        "machine": "m", "versions": {}, "first_seed": SEEDS,
        "bundle": dict.fromkeys(("name", "identity", "threshold", "algorithm", "seed", "commit"), "b"),
    }  # fmt: skip
    found = write(TransferReport(rows, conditions(), facts, False, []), tmp_path)
    missed = {(aim.condition, aim.name) for aim in found if aim.verdict == MISSED}
    assert missed == {("denser", "success"), ("denser", "spill")}
    page = (tmp_path / "report.md").read_text()
    assert "| denser | 10 | 40.0 (16.8 to 68.7)" in page and "**missed**: success, spill |" in page
    assert "| spilt the last of it | 6 | denser 6 | 0 |" in page
    assert "held: PROPOSAL_STALE" not in page  # as it should be there
    assert "| delay 250 ms | monitor on | 10 | 100.0" in page
    assert json.loads((tmp_path / "report.json").read_text())["bench"][0]["pours"] == pours_needed(1.0)


def test_the_quantity_that_matters_comes_first() -> None:
    rows = [row("pours", seed) for seed in range(20)]
    rows += [row("delay high", seed, success=seed > 9) for seed in range(20)]
    rows += [row("lag high", seed, success=seed > 0) for seed in range(20)]
    found = effects(rows)
    assert [(one.quantity, one.end, one.value) for one in found] == [
        ("delay", "high", 0.1),
        ("lag", "high", 0.04),
    ]
    assert found[0].change[0] == pytest.approx(0.5) and found[0].change[1] > 0.0 > found[1].change[1]
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(40):
        domain = {"delay": rng.uniform(0.0, 0.1), "lag": rng.uniform(0.0, 0.04)}
        rows.append(row("full", seed, domain=domain, success=domain["delay"] < 0.08))
    first = associations(rows)[0]
    assert (first.quantity, first.larger) == ("delay", 1.0) and first.p < 0.01
    assert associations(rows[:3]) == []


def test_associations_are_corrected_for_their_number_and_know_vectors() -> None:
    """Of 39 quantities one has a p below 1/39 by chance: Bonferroni."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(40):
        error = rng.uniform(-1.0, 1.0, 3) * [0.008, 0.008, 0.004]
        far = float(np.linalg.norm(error / [0.016, 0.016, 0.008]))
        rows.append(row("full", seed, domain={"target_error": tuple(error)}, success=far < 0.5))
    first = associations(rows)[0]
    assert (first.quantity, first.larger) == ("target_error", 1.0)
    failed = sum(not one["success"] for one in rows)
    alone = mannwhitneyu(np.arange(40 - failed, 40), np.arange(40 - failed)).pvalue
    assert first.p == pytest.approx(len(FULL.varied) * alone, rel=1e-6)


def test_failures_of_what_cannot_succeed_are_ends_that_are_not_safe() -> None:
    late = {"success": False, "landed": 0, "reason": "PROPOSAL_STALE"}
    rows = [row("delay 250 ms", 1, **late), row("delay 250 ms", 2, **late, upright=False)]
    rows += [row("pours", 3, OFF, success=False, contact=True), row("delay high", 4, success=False)]
    assert [(one.condition, one.seeds) for one in failures(rows, conditions())] == [("delay 250 ms", (2,))]
    rows = [row("denser", seed, success=False, contact=True) for seed in (5, 6)]
    rows += [row("pours", seed, success=False, **how) for seed, how in enumerate(3 * [{"limit": True}])]
    rows += [row("fluid", seed, success=False, contact=True) for seed in (7, 8)]
    kinds = alike(failures(rows, conditions()))
    assert {kind: [one.condition for one in mine] for kind, mine in kinds.items()} == {
        "contact": ["denser", "fluid"], "limit broken": ["pours"],
    }  # fmt: skip
    assert list(kinds) == ["contact", "limit broken"]


def test_aims_of_what_cannot_succeed_are_safe_ends() -> None:
    late = {"success": False, "landed": 0, "reason": "PROPOSAL_STALE"}
    rows = [row("delay 250 ms", 1, **late), row("delay 250 ms", 2, **late, upright=False)]
    assert aims(rows[:2], conditions())[0].found.hits == 1


def test_a_strip_shows_an_episode(tmp_path: Path) -> None:
    try:
        film(BUNDLE, BY_NAME["target 40 mm off"], ON, SEEDS, tmp_path / "strip.png")
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    from PIL import Image

    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.size == (3 * 400 + 2 * 4, 600)
