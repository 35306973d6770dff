"""The gate's critic: fitted to labels of the physics, written into a bundle, resumable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy_training.deployment.branch_labels import HELD_BACK, Labels, taught
from policy_training.deployment.train_critic import first_threshold, main, write_bundle
from policy_training.estimates.branch_critic import FitConfig, figures, fitted, separation, values
from policy_training.experience.spaces import environment_spaces
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
    one, same, other = (
        values(fitted(labels, spaces, FitConfig(epochs=2, seed=s)), labels) for s in (1, 1, 2)
    )
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


def test_labels_are_kept_and_more_can_be_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With real physics."""
    out, work = tmp_path / "new", tmp_path / "work"
    asked = [str(SHIPPED), "-o", str(out), "--work", str(work), "--rounds", "1", "--workers", "1"]
    asked += ["--domain", "pours", "--held-back", "2"]
    assert main([*asked, "--labels", "60"]) == 0, capsys.readouterr()
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("*.npz") if "bundle" not in path.parts}
    assert load_bundle(out).manifest.threshold.value is not None and (out / "report/critic.json").is_file()
    assert main([*asked, "--labels", "80"]) != 0 and "--overwrite" in capsys.readouterr().err
    assert main([*asked, "--labels", "80", "--overwrite"]) == 0
    after = {path: path.stat().st_mtime_ns for path in work.rglob("*.npz") if "bundle" not in path.parts}
    assert kept.items() <= after.items() and len(after) > len(kept)
    assert main([*asked, "--labels", "80", "--overwrite", "--hold", "0.3"]) != 0
    assert "hold was 0.2" in capsys.readouterr().err.replace("\n", " ")
