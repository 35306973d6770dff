"""A threshold counts as calibrated only while everything that its certificate says is true."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.certificate import at_most, promise, why_uncalibrated
from spillguard_core.bundle.manifest import BundleError, Manifest
from tests.core.bundle.certificates import (
    GATE,
    RULES,
    bound,
    changed,
    gate,
)

Edit = Callable[[Callable[[dict[str, Any]], None]], None]
SHIPPED = Path("artifacts/pour_coffee")


def with_value(manifest: Manifest, value: float | None) -> Manifest:
    return replace(manifest, threshold=replace(manifest.threshold, value=value))


def test_sound_certificate_counts(certified: Manifest) -> None:
    assert why_uncalibrated(certified, GATE, RULES) == ""
    stricter = gate(0.02, {"free_tilt": 0.5}, 0.02)
    assert why_uncalibrated(certified, stricter, RULES) == ""
    found = certified.threshold.certificate
    assert found is not None
    assert promise(found) == (
        "broken rule without warning in at most 2 % of the episodes, confidence 95 % (missed 2 of 30 in 400)"
    )


@pytest.mark.parametrize(
    ("value", "reason"), [(None, "value is null"), (0.51, "0.51 is above 0.5, the highest")]
)
def test_value_that_was_not_certified(certified: Manifest, value: float | None, reason: str) -> None:
    assert reason in why_uncalibrated(with_value(certified, value), GATE, RULES)


FALSE: list[tuple[dict[str, Any], str]] = [
    ({"episodes": 0, "violations": 0, "missed": 0, "own_successes": 0, "own_disturbed": 0}, "of 0 episodes"),
    ({"episodes": -400}, "of -400 episodes"),
    ({"episodes": 10**30}, "episodes, needed are 1 to 1000000"),
    ({"missed": -1}, "counts -1 missed of 30 violations"),
    ({"violations": 1}, "counts 2 missed of 1 violations"),
    ({"violations": 401}, "of 401 violations in 400 episodes"),
    ({"own_disturbed": 41}, "counts 41 disturbed of 40 successes"),
    ({"own_successes": 401}, "of 401 successes in 400 episodes"),
    ({"lead": 1.0}, "a lead of 1.0 s in a horizon of 1.0 s"),
    ({"confidence": 0.0}, "the confidence 0.0"),
    ({"confidence": 1.0}, "the confidence 1.0"),
    ({"delta": 0.0}, "the delta 0.0"),
    ({"delta": 1.0}, "the delta 1.0"),
    ({"delta": 0.01}, "is not within (0, 0.01], its delta"),
    ({"delta": 0.5}, "promises next to nothing, at most 50 % with a confidence of 95 %"),
    ({"confidence": 0.5, "bound": bound(2, 400, 0.5)}, "at most 2 % with a confidence of 50 %; needed are"),
    ({"bound": 0.0}, "its certificate, 0.0, is not within"),
    ({"bound": 1.0}, "its certificate, 1.0, is not within"),
    ({"bound": 0.01}, "is not that of 2 missed in 400 episodes at a confidence of 0.95"),
    ({"missed": 3}, "is not that of 3 missed"),
    ({"episodes": 401}, "is not that of 2 missed in 401"),
    ({"confidence": 0.99}, "is not that of 2 missed in 400 episodes at a confidence of 0.99"),
    ({"highest_threshold": 0.2}, "0.3 is above 0.2, the highest"),
    ({"highest_threshold": 7.0}, "0.3 is above 7.0"),
    ({"conditions": None}, "does not name what it was made with"),
] + [
    ({name: float("nan")}, "nan")
    for name in ("delta", "confidence", "bound", "highest_threshold", "lead", "horizon")
]


@pytest.mark.parametrize(("figures", "reason"), FALSE, ids=lambda given: str(given)[:50])
def test_false_certificate_is_called_by_its_fault(
    certified: Manifest, figures: dict[str, Any], reason: str
) -> None:
    assert reason in why_uncalibrated(changed(certified, **figures), GATE, RULES)


@pytest.mark.parametrize(("violations", "vacuous"), [(3, True), (4, False)])
def test_promise_that_holds_without_the_critic_is_no_promise(
    certified: Manifest, violations: int, vacuous: bool
) -> None:
    assert bool(beta.ppf(0.95, violations + 1, 400 - violations) <= 0.02) is vacuous
    why = why_uncalibrated(changed(certified, violations=violations), GATE, RULES)
    assert ("vacuous" in why) is vacuous


@pytest.mark.parametrize(("figures", "reason"), [
    ({"averted": 31, "own_kept": 0}, "31 averted of 30"), ({"averted": -1, "own_kept": 0}, "-1 averted"),
    ({"averted": 3}, "only one of what"), ({"own_kept": 3}, "only one of what"),
    ({"averted": 3, "own_kept": 41}, "41 kept of 40"), ({"averted": 30, "own_kept": 40}, ""),
])  # fmt: skip
def test_what_the_acting_critic_averts_and_leaves_is_part_of_the_whole(
    certified: Manifest, figures: dict[str, int], reason: str
) -> None:
    found = why_uncalibrated(changed(certified, **figures), GATE, RULES)
    assert reason in found and bool(found) is bool(reason)


@given(st.data())
def test_binomial_tail_is_that_of_scipy(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5000))
    hits, share = data.draw(st.integers(0, min(count, 200))), data.draw(st.floats(1e-6, 1 - 1e-6))
    assert at_most(hits, count, share) == pytest.approx(binom.cdf(hits, count, share), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize(("missed", "episodes"), [(0, 30), (0, 360), (7, 800), (900, 100_000)])
def test_bound_of_the_calibration_is_believed(certified: Manifest, missed: int, episodes: int) -> None:
    sound = changed(
        certified, missed=missed, violations=episodes // 2, episodes=episodes, bound=bound(missed, episodes),
        delta=0.1, own_successes=0, own_disturbed=0,
    )  # fmt: skip
    assert why_uncalibrated(sound, GATE, RULES) == ""


def write(bundle: Path, manifest: Manifest) -> None:
    (bundle / "manifest.json").write_text(manifest.to_json())


def test_loaded_bundle_is_refused_or_said_to_be_uncalibrated(bundle: Path, certified: Manifest) -> None:
    write(bundle, changed(certified, missed=3))
    loaded = load_bundle(bundle)
    with pytest.raises(BundleError, match=r"promises nothing: the bound .* not that of 3 missed .*calibrate"):
        loaded.promise(GATE, allow_uncalibrated=False)
    said = loaded.promise(GATE, allow_uncalibrated=True)
    assert said.startswith("uncalibrated: the bound of its certificate")
    write(bundle, certified)
    told = load_bundle(bundle).promise(GATE, allow_uncalibrated=False)
    assert told.startswith("broken rule without warning in at most 2 %")


def test_bundle_made_before_conditions_were_noted_loads_and_promises_nothing(
    bundle: Path, certified: Manifest
) -> None:
    raw = json.loads(certified.to_json())
    del raw["threshold"]["certificate"]["conditions"]
    (bundle / "manifest.json").write_text(json.dumps(raw))
    loaded = load_bundle(bundle)
    with pytest.raises(BundleError, match=r"does not name what it was made with.*run `spillguard calibrate`"):
        loaded.promise(GATE, allow_uncalibrated=False)


def test_flown_manifest_knows_no_certificate_but_the_threshold(certified: Manifest) -> None:
    assert certified.flown() == changed(certified, missed=3).flown()
    assert certified.flown() != with_value(certified, 0.2).flown()


def test_shipped_bundle_is_calibrated_for_the_monitor_as_it_is_deployed() -> None:
    manifest = Manifest.from_json((SHIPPED / "manifest.json").read_text())
    assert why_uncalibrated(manifest, GATE, RULES) == ""
