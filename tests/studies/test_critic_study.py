"""The study of what the critic averts by itself: its table, what is kept, and the oracle's place."""

import json
from pathlib import Path

import numpy as np
import pytest

from policy_training.deployment import campaign
from policy_training.deployment.campaign import ORACLE_HOLD, CampaignPolicies
from sim.pouring.branch import Moment
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import Stack
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import Vec
from studies.critic_study import GUARDS, CriticArguments, known, main, table, wanted

NOISY = "good, 5x noise"
SUBJECT = CampaignPolicies("artifacts/pour_coffee", domain="full")


def row(policy: str, guard: str, episode: int, *, spill: bool) -> dict[str, object]:
    return {
        "policy": policy, "guard": guard, "episode": episode, "success": not spill, "spill": spill,
        "contact": False, "limit": False, "seconds": 5.0, "replaced": 0.1,
    }  # fmt: skip


def test_cut_compares_with_neither_and_a_star_marks_what_the_critic_has_not_seen() -> None:
    rows = [row(NOISY, "neither", n, spill=n < 8) for n in range(10)]
    rows += [row(NOISY, "critic", n, spill=n < 2) for n in range(10)]
    lines = list(table(rows, [NOISY]))
    assert len(lines) == 4
    assert "80.0" in lines[2] and "cut" not in lines[2]
    assert lines[3].startswith(f"| {NOISY} * | critic | 10 | 20.0") and "| 75 % | 80.0" in lines[3]


def test_only_what_is_missing_is_poured_and_the_oracle_as_often_as_asked() -> None:
    args = CriticArguments(episodes=12, oracle=1)
    there = [row(NOISY, "critic", n, spill=False) for n in range(11)]
    todo = {(arm.critic, arm.tilt_check, arm.oracle): [] for arm, _ in wanted(args, [NOISY], [])}
    for arm, part in wanted(args, [NOISY], there):
        todo[arm.critic, arm.tilt_check, arm.oracle] += part
    assert todo == {
        tuple(each): [0] if each.oracle else [11] if name == "critic" else list(range(12))
        for name, each in GUARDS.items()
    }


def test_a_study_goes_on_and_takes_no_other_subjects_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "critic.md"
    words = ["--episodes", "1", "--policies", NOISY, "--page", str(page), "--workers", "1"]
    assert main(words) == 0
    store = page.with_suffix(".jsonl")
    lines = store.read_text().splitlines()
    assert len(lines) == 5 and NOISY in page.read_text()
    store.write_text("\n".join(lines[:-1]) + '\n{"policy": "goo')  # cut while it was written
    assert main(words) == 0
    assert sorted(store.read_text().splitlines()) == sorted(lines)
    assert main([*words, "--threshold", "0.5"]) != 0
    assert "holds episodes of something else" in capsys.readouterr().err
    store.write_text("not ours\n")
    with pytest.raises(ValueError, match="is no file of this study"):
        known(store, {})
    assert store.read_text() == "not ours\n"


def test_unknown_behaviours_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--policies", "evil", "--page", str(tmp_path / "page.md")]) != 0
    assert "unknown policies evil; known are good policy" in capsys.readouterr().err
    for threshold in ("nan", "7"):
        page = tmp_path / "page.md"
        assert main(["--threshold", threshold, "--page", str(page)]) != 0
        assert "threshold must be in [0, 1]" in capsys.readouterr().err.replace("\n", " ")
        assert not page.with_suffix(".jsonl").exists()


@pytest.mark.parametrize("line", ["5", '{"policy": "x"}', '{"policy": "p", "guard": "g", "episode": 0}', "{"])
def test_rows_of_something_else_are_refused(tmp_path: Path, line: str) -> None:
    store = tmp_path / "critic.jsonl"
    store.write_text(json.dumps({"bundle": "b"}) + "\n" + line + "\n")
    with pytest.raises(ValueError, match="is no file of this study, or is damaged"):
        known(store, {"bundle": "b"})


def test_with_the_oracle_the_fallback_takes_the_place_of_what_breaks_a_rule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = load_bundle(Path(SUBJECT.bundle))
    config = deployed_config(bundle, None)
    stack = Stack(bundle.models(config), config)
    stack.cell.reset(sample_scenario(np.random.default_rng(0)))
    tried: list[float] = []

    def broken(moment: Moment, action: Vec, hold: float, rng: np.random.Generator) -> bool:
        tried.append(float(action[3]))
        assert moment.cell is stack.cell and moment.config.critic_threshold is None and hold == ORACLE_HOLD
        return bool(action[3] > 0.0)

    monkeypatch.setattr(campaign, "breaks_a_rule", broken)
    tilting = np.array([0.1, 0.0, 0.0, 0.5], np.float32)
    for action, sent in ((tilting, np.zeros(4)), (-tilting, -tilting)):
        rule = campaign.foreseeing(
            lambda obs, action=action: action, stack, bundle.models(config), config, np.random.default_rng(0)
        )
        assert rule(np.zeros(14, np.float32)) == pytest.approx(sent, abs=1e-2)  # the cup stands upright
    assert tried == pytest.approx([0.6, -0.6])  # [rad/s]


def test_file_is_read_by_line(tmp_path: Path) -> None:
    store, there = tmp_path / "critic.jsonl", row(NOISY, "critic", 1, spill=False)
    store.write_text(json.dumps({"bundle": "b"}) + "\n" + json.dumps(there) + "\n")
    assert known(store, {"bundle": "b"}) == [there]
