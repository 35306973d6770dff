"""The study of the monitor: what was done is not done again, and the page says what the episodes say."""

from policy_training.deployment.campaign import CampaignPolicies, Condition, episode
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from studies.monitor_study import CRITIC_ALONE, RIVALS_ON, arms, done, main, tables

BUNDLE = "artifacts/pour_coffee"


def test_an_episode_depends_on_its_number_alone():
    subject, arm = CampaignPolicies(BUNDLE), Condition("bang-bang", guarded=False)
    first, again, other = (episode(subject, arm, number) for number in (3, 3, 4))
    assert (first.seconds, first.jerk) == (again.seconds, again.jerk) != (other.seconds, other.jerk)


def test_without_the_tilt_check_it_limits_nothing():
    for checked in (True, False):
        pour = episode(
            CampaignPolicies(BUNDLE),
            Condition("good, tilt axis reversed", critic=False, tilt_check=checked),
            0,
        )
        assert (TILT_LIMIT in pour.reasons) is checked


def test_study_goes_on_where_it_was_and_its_page_holds_every_row(tmp_path, monkeypatch):
    monkeypatch.setattr("studies.monitor_study.arms", lambda names: arms(names)[2:4])
    out, page = tmp_path / "episodes.csv", tmp_path / "page.md"
    words = ["--bundle", BUNDLE, "--out", str(out), "--page", str(page), "--workers", "1"]
    assert main([*words, "--episodes", "1"]) == 0
    text = out.read_text()
    out.write_text(text + text.splitlines()[-1][:20])  # cut in the middle of a line
    assert len(done(out)) == 2
    assert main([*words, "--episodes", "2"]) == 0
    assert len(done(out)) == 4
    assert {(row["policy"], row["episode"]) for row in done(out)} == {(RIVALS_ON, "0"), (RIVALS_ON, "1")}
    assert out.read_text().startswith(text.rstrip())
    assert page.read_text().count(f"| {RIVALS_ON} |") == 2


def test_tables_compare_off_and_on_and_keep_variants_apart():
    quiet = dict.fromkeys(("seconds", "replaced", "limited", "held", "chatter", "jerk"), "0")
    common = quiet | dict.fromkeys(("success", "contact", "limit"), "False")
    common |= {"policy": RIVALS_ON, "fallback": "closest", "episode": "0"}
    rows = [
        common | {"guarded": guarded, "tilt_check": check, "spill": spill}
        for guarded, check, spill in [
            ("False", "True", "True"),
            ("False", "True", "True"),
            ("True", "True", "True"),
            ("True", "True", "False"),
            ("True", "False", "True"),
        ]
    ]
    page = tables(rows)
    assert "50.0 %" in page  # cut from two of two to one of two
    assert page.count(f"| {RIVALS_ON} |") == 3
    assert RIVALS_ON in CRITIC_ALONE
