"""The gate's critic: fitted to labels of the physics, written into a bundle, resumable."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from policy_training.deployment import train_critic
from policy_training.deployment.branch_labels import HELD_BACK, Labels, Sampling, gathered, taught
from policy_training.deployment.calibrate import unknown_to
from policy_training.deployment.critic_bundle import write_bundle
from policy_training.deployment.train_critic import GOOD, first_threshold, main, turn
from policy_training.estimates.branch_critic import FitConfig, figures, fitted, separation, values
from policy_training.experience.spaces import environment_spaces
from policy_training.files import read_json
from spillguard_core.bundle.bundle import load_bundle

SHIPPED = Path("artifacts/pour_coffee")
TILT = 3


def made_up(count: int, seed: int) -> Labels:
    """What comes of an action hangs on the tilt and on the tilt rate asked for, and a little on luck."""
    rng = np.random.default_rng(seed)
    obs = np.zeros((count, 14), np.float32)
    tilt = rng.uniform(0.0, 1.6, count)
    obs[:, 6], obs[:, 7] = np.sin(tilt), np.cos(tilt)
    action = rng.uniform(-1.0, 1.0, (count, 4)).astype(np.float32)
    doomed = tilt > 1.5
    broken = doomed | (tilt + 0.3 * action[:, TILT] + 0.05 * rng.standard_normal(count) > 1.2)
    names = np.where(np.arange(count) % 2 == 0, "good policy", "uniform random")
    own = np.arange(count) % 4 == 0
    return Labels(obs, action, broken, doomed, own, names, np.arange(count) // 10)


def test_it_learns_what_the_labels_say_and_what_can_be_averted() -> None:
    critic = fitted(made_up(3000, 0), environment_spaces("spillguard/PourCoffee-v0"), FitConfig(epochs=15))
    fresh = made_up(2000, 1)
    found = figures(values(critic, fresh), fresh, first_threshold(critic, fresh))
    assert found.auc > 0.97 and found.auc_avertable > 0.95
    assert found.broken == fresh.broken.sum() and found.avertable == (fresh.broken & ~fresh.doomed).sum()
    own = fresh.taken(fresh.own & (fresh.behaviour == "good policy"))
    above = values(critic, own) > first_threshold(critic, fresh)
    assert np.mean(above) == pytest.approx(0.02, abs=0.005)


def test_equal_seeds_give_equal_critics() -> None:
    spaces, labels = environment_spaces("spillguard/PourCoffee-v0"), made_up(500, 0)
    critics = [fitted(labels, spaces, FitConfig(epochs=2, seed=seed)) for seed in (1, 1, 2)]
    one, same, other = (values(critic, labels) for critic in critics)
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_labels_that_are_all_alike_are_refused() -> None:
    labels = replace(made_up(100, 0), broken=np.zeros(100, bool))
    with pytest.raises(ValueError, match="100 labels are too few"):
        fitted(labels, environment_spaces("spillguard/PourCoffee-v0"), FitConfig(epochs=1))


def test_separation_counts_pairs_and_ties_half() -> None:
    q_c, broken = np.array([0.1, 0.5, 0.5, 0.9]), np.array([False, False, True, True])
    assert separation(q_c, broken) == pytest.approx(3.5 / 4)
    assert np.isnan(separation(q_c, np.zeros(4, bool)))


def test_the_bundle_has_the_new_critic_and_the_old_policy(tmp_path: Path) -> None:
    labels = made_up(300, 0)
    critic = fitted(labels, environment_spaces("spillguard/PourCoffee-v0"), FitConfig(epochs=1))
    write_bundle(SHIPPED, tmp_path / "new", critic, 0.25, "uncalibrated: a test")
    old, new = load_bundle(SHIPPED), load_bundle(tmp_path / "new")
    assert new.manifest.files["policy.onnx"] == old.manifest.files["policy.onnx"]
    assert new.manifest.threshold.value == 0.25 and new.manifest.threshold.certificate is None
    assert np.allclose(new.critic(labels.obs, labels.action), values(critic, labels), atol=1e-5)


def test_held_back_behaviours_are_in_no_fit() -> None:
    bundle = load_bundle(SHIPPED)
    names = taught(lambda obs: obs, bundle)
    assert not set(HELD_BACK) & set(names) and len(names) >= 10
    assert tuple(taught(lambda obs: obs, bundle, held_back=True)) == HELD_BACK


def test_the_critic_of_another_bundle_is_taken_over_with_its_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = made_up(300, 0)
    critic = fitted(labels, environment_spaces("spillguard/PourCoffee-v0"), FitConfig(epochs=1))
    other, new = tmp_path / "other", tmp_path / "new"
    write_bundle(SHIPPED, other, critic, 0.25, "uncalibrated: a test")
    (other / "report").mkdir()
    (other / "report/critic.json").write_text('{"behaviours": ["bang-bang"]}')
    assert main([str(SHIPPED), "-o", str(new), "--critic", str(other)]) == 0
    taken = load_bundle(new)
    assert np.allclose(taken.critic(labels.obs, labels.action), values(critic, labels), atol=1e-5)
    assert taken.manifest.files["policy.onnx"] == load_bundle(SHIPPED).manifest.files["policy.onnx"]
    assert taken.manifest.threshold.value is None and unknown_to(new, ["bang-bang", "frozen"]) == ["frozen"]
    assert main([str(SHIPPED), "-o", str(new), "--critic", str(other)]) != 0
    assert "--overwrite" in capsys.readouterr().err
    somebodys = tmp_path / ".new.part"
    somebodys.mkdir()
    assert main([str(SHIPPED), "-o", str(new), "--critic", str(new), "--overwrite"]) == 0
    assert unknown_to(new, ["bang-bang", "frozen"]) == ["frozen"], "the report outlives what it was read from"
    assert somebodys.is_dir() and sorted(p.name for p in tmp_path.iterdir()) == [".new.part", "new", "other"]


def test_a_critic_of_other_numbers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, new = Path(shutil.copytree(SHIPPED, tmp_path / "other")), tmp_path / "new"
    manifest = load_bundle(other).manifest
    (other / "manifest.json").write_text(replace(manifest, policy_rate=25.0).to_json())
    assert main([str(SHIPPED), "-o", str(new), "--critic", str(other)]) != 0
    assert "another observation, action, rate" in capsys.readouterr().err.replace("\n", " ")
    assert not new.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--hold", "0"], "hold must be above 0"),
        (["--rounds", "0"], "rounds"),
        (["--labels", "1"], "labels at least rounds"),
        (["--domain", "nowhere"], "nowhere"),
    ],
)
def test_bad_options_are_refused_in_a_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(SHIPPED), "-o", str(tmp_path / "new"), *words]) != 0
    assert said in capsys.readouterr().err.replace("\n", " ")


def test_labels_are_kept_and_more_can_be_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[tuple[str, int]] = []

    def told(sampling: Sampling, name: str, number: int, held_back: bool = False) -> Labels:
        asked_for.append((name, number))
        found = made_up(40, number)
        return replace(found, behaviour=np.full(40, name), episode=np.full(40, number))

    monkeypatch.setattr(train_critic, "gathered", told)
    monkeypatch.setattr(train_critic, "FitConfig", partial(FitConfig, epochs=1))
    out, work = tmp_path / "new", tmp_path / "work"
    asked = [str(SHIPPED), "-o", str(out), "--work", str(work), "--rounds", "2", "--workers", "1"]
    assert main([*asked, "--labels", "1000", "--held-back", "100"]) == 0, capsys.readouterr()
    assert load_bundle(out).manifest.threshold.value is not None
    report = read_json(out / "report/critic.json")
    assert report["fit"]["all"]["labels"] >= 1000 and set(report["held_back"]) == {"all", *HELD_BACK}
    episodes = [number for _, number in asked_for]
    assert len(set(episodes)) == len(episodes), "each episode is another one, in every round"
    assert main([*asked, "--labels", "2000"]) != 0 and "--overwrite" in capsys.readouterr().err
    before = len(asked_for)
    assert main([*asked, "--labels", "2000", "--held-back", "100", "--overwrite"]) == 0
    assert not set(asked_for[before:]) & set(asked_for[:before]), "what is there is not made again"
    assert main([*asked, "--labels", "2000", "--overwrite", "--hold", "0.3"]) != 0
    assert "hold was 0.2" in capsys.readouterr().err.replace("\n", " ")


def test_a_torn_file_of_labels_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = tmp_path / "work" / "round 0" / "000000.npz"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PK\x03\x04")
    monkeypatch.setattr(train_critic, "gathered", lambda *a: made_up(40, 0))
    words = [str(SHIPPED), "-o", str(tmp_path / "new"), "--work", str(tmp_path / "work"), "--labels", "100"]
    assert main([*words, "--workers", "1"]) != 0
    assert "000000.npz holds no labels" in capsys.readouterr().err.replace("\n", "")


def test_an_episode_is_labelled_by_the_physics() -> None:
    """Bare, and one whose cup is tilted at random: labels at some of its steps, four actions at each."""
    sampling = Sampling(str(SHIPPED), 0.2, "pours", upright_share=0.0, tilted_share=0.1)
    found = gathered(sampling, "good, 5x noise", 1)
    assert len(found.obs) == len(found.action) > 0 and len(found.obs) % 4 == 0
    assert found.own.sum() == len(found.obs) / 4 and np.abs(found.action).max() <= 1.0
    assert (np.arctan2(found.obs[:, 6], found.obs[:, 7]) > 0.8).all()


def test_one_of_three_episodes_is_the_policys_own() -> None:
    names = [GOOD, "a", "b", "c", "d", "e"]
    turns = [turn(names, number) for number in range(15)]
    assert turns[::3] == [GOOD] * 5
    assert [name for name in turns if name != GOOD] == ["a", "b", "c", "d", "e"] * 2
    assert [turn(names[1:], number) for number in range(6)] == ["a", "b", "c", "d", "e", "a"]
