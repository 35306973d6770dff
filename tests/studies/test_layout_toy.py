"""The toy study: what sets the layouts apart shows within a few hundred epochs, and the page holds it."""

from functools import cache
from pathlib import Path

import numpy as np

from studies.layout_toy import ARMS, Curves, TwoHeads, first_below, run, trained
from studies.layout_toy_page import published
from studies.study import main


@cache
def curves(arm: str) -> Curves:
    return run(ARMS[arm], size=20, seeds=2, epochs=300)


def test_the_published_order_of_the_layouts_comes_out() -> None:
    below = {
        name: first_below(curves(name).errors[1], 1.0) for name in ("single", "grouped", "isolated", "shared")
    }
    assert below["isolated"] is None  # its trunk ignores the large target
    assert below["shared"] < below["grouped"] < below["single"]


def test_at_one_rate_sharing_the_trunk_is_no_faster_than_one_optimizer() -> None:
    single, equal = (first_below(curves(name).errors[1], 1.0) for name in ("single", "shared_equal"))
    assert abs(single - equal) < 0.1 * single


def test_normalised_targets_need_no_rate_of_their_own() -> None:
    grouped, scaled, popart = (first_below(curves(n).errors[1], 1.0) for n in ("grouped", "scaled", "popart"))
    assert popart <= scaled < grouped


def test_a_seed_is_trained_as_if_it_were_alone() -> None:
    both, alone = TwoHeads(5, 2, "raw"), TwoHeads(5, 1, "raw")
    alone.inputs = both.inputs[1:]
    for ours, theirs in zip(alone.groups().values(), both.groups().values(), strict=True):
        for one, two in zip(ours, theirs, strict=True):
            one.data.copy_(two.data[1:])
    together = trained(both, ARMS["shared"], 20)
    np.testing.assert_allclose(
        trained(alone, ARMS["shared"], 20).errors, together.errors[:, :, 1:], rtol=1e-4
    )


def test_the_page_names_what_it_came_from_and_what_was_published(tmp_path: Path) -> None:
    page = tmp_path / "layouts.md"
    assert main(["layouts", "--epochs", "5", "--seeds", "2", "--sizes", "4", "--page", str(page)]) == 0
    text = page.read_text()
    assert "Written by `spillguard study layouts --epochs 5" in text
    assert all(f"({value})" in text for value in published()["arms"]["grouped"]["100"])
    assert page.with_suffix(".png").stat().st_size > 10_000


def test_an_unknown_study_is_answered_with_the_known_ones(capsys) -> None:
    assert main(["layout"]) == 2
    assert "unknown study 'layout'; known are layouts" in " ".join(capsys.readouterr().err.split())
