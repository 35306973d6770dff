"""Whether a threshold is calibrated: the only place that decides it, and states why not.

A threshold is guaranteed only if its certificate is valid in itself, covers the value that is set, and was
made with what is loaded here: the same graphs, world model and limits, and a gate that is no looser.
"""

import math
from collections.abc import Iterable, Iterator, Mapping

from spillguard_core.bundle.manifest import Calibration, Conditions, Manifest
from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.rule import Rule

UNCALIBRATED = "uncalibrated"  # prefix of the text if nothing is guaranteed
MOST_EPISODES = 1_000_000
LARGEST_DELTA, LEAST_CONFIDENCE = 0.1, 0.9  # limits beyond which a guarantee is worthless
AGREEMENT = 1e-6  # relative, between the probability of so few misses and that implied by the bound


def why_uncalibrated(manifest: Manifest, config: GateConfig, rules: Iterable[Rule]) -> str:
    """Why the threshold guarantees nothing behind a gate of this configuration; empty if it does."""
    threshold, found = manifest.threshold, manifest.threshold.certificate
    if found is None:
        return f"it has no certificate ({threshold.calibration})"
    doubts = (
        _of_value(threshold.value, found), _of_counts(found), _of_bound(found),
        _of_conditions(manifest, found, config, rules),
    )  # fmt: skip
    return next((doubt for kind in doubts for doubt in kind), "")


def at_speed(promised: str, speed_scale: float) -> str:
    """What is left of a promise, in words, where every motion is made at a share of its speed.

    Nothing: a slower cup pours longer and is turned back more slowly, which no episode of the calibration has
    shown. The hard limits lose nothing by it.
    """
    if not speed_scale < 1.0 or promised.startswith(UNCALIBRATED):
        return promised
    return f"{UNCALIBRATED}: {_slower(speed_scale)}; at full speed: {promised}"


def _slower(speed_scale: float) -> str:
    return f"its certificate was made at full speed, here the arm moves at {100 * speed_scale:g} % of it"


def promise(found: Calibration) -> str:
    """The guarantee of a valid certificate, for people."""
    return (
        f"broken rule without warning in at most {100 * found.delta:g} % of the episodes, confidence "
        f"{100 * found.confidence:g} % (missed {found.missed} of {found.violations} in {found.episodes})"
        + (
            ""
            if found.averted is None
            else f"; acting, it averts {found.averted} of {found.violations} and leaves {found.own_kept} of "
            f"{found.own_successes} of the policy's successes"
        )
    )


def _of_value(value: float | None, found: Calibration) -> Iterator[str]:
    if value is None:
        yield "its value is null, so the critic does not act"
    elif not value <= found.highest_threshold <= 1.0:
        yield f"its value {value} is above {found.highest_threshold}, the highest that was certified"


def _of_counts(found: Calibration) -> Iterator[str]:
    if not 1 <= found.episodes <= MOST_EPISODES:
        yield f"its certificate is of {found.episodes} episodes, needed are 1 to {MOST_EPISODES}"
    if not 0 <= found.missed <= found.violations <= found.episodes:
        yield (
            f"its certificate counts {found.missed} missed of {found.violations} violations in "
            f"{found.episodes} episodes"
        )
    if not 0 <= found.own_disturbed <= found.own_successes <= found.episodes:
        yield (
            f"its certificate counts {found.own_disturbed} disturbed of {found.own_successes} successes in "
            f"{found.episodes} episodes"
        )
    if (found.averted is None) is not (found.own_kept is None):
        yield "its certificate says only one of what the acting critic averts and what it leaves"
    for name, part, whole in (
        ("averted", found.averted, found.violations), ("kept", found.own_kept, found.own_successes),
    ):  # fmt: skip
        if part is not None and not 0 <= part <= whole:
            yield f"its certificate counts {part} {name} of {whole}"
    if not 0.0 <= found.lead < found.horizon:
        yield f"its certificate has a lead of {found.lead} s in a horizon of {found.horizon} s"


def _of_bound(found: Calibration) -> Iterator[str]:
    for name, share in (("confidence", found.confidence), ("delta", found.delta)):
        if not 0.0 < share < 1.0:
            yield f"its certificate has the {name} {share}, which must lie between 0 and 1"
    if not 0.0 < found.bound <= found.delta:
        yield f"the bound of its certificate, {found.bound}, is not within (0, {found.delta}], its delta"
    left = 1.0 - found.confidence
    if not abs(at_most(found.missed, found.episodes, found.bound) - left) <= AGREEMENT * left:
        yield (
            f"the bound of its certificate, {found.bound}, is not that of {found.missed} missed in "
            f"{found.episodes} episodes at a confidence of {found.confidence}"
        )
    if not (found.delta <= LARGEST_DELTA and found.confidence >= LEAST_CONFIDENCE):
        yield (
            f"its certificate promises next to nothing, at most {100 * found.delta:g} % with a confidence of "
            f"{100 * found.confidence:g} %; needed are at most {100 * LARGEST_DELTA:g} % with at least "
            f"{100 * LEAST_CONFIDENCE:g} %"
        )
    few = found.violations <= found.delta * found.episodes
    if few and at_most(found.violations, found.episodes, found.delta) <= left:
        yield (
            f"its certificate is vacuous: only {found.violations} of its {found.episodes} episodes broke a "
            "rule, so its promise holds with the critic switched off"
        )


def _of_conditions(
    manifest: Manifest, found: Calibration, config: GateConfig, rules: Iterable[Rule]
) -> Iterator[str]:
    made = found.conditions
    if made is None:
        yield "its certificate, of an older kind, does not name what it was made with"
        return
    for name, value in manifest.files.items():
        if made.files.get(name) != value:
            yield f"its certificate was made with another {name}"
    if not made.interface:
        yield "its certificate, of an older kind, does not say for which observation, action and rates"
    elif made.interface != manifest.interface:
        yield "its certificate was made with another observation, action, rate, task or robot"
    if made.limits != manifest.limits:
        yield "its certificate was made with other limits"
    if config.speed_scale < 1.0:
        yield _slower(config.speed_scale)
    for name in ("clearance", "target_tolerance", "target_height_tolerance"):
        room, then = getattr(config, name), getattr(made, name)
        if not room >= then >= 0.0:
            yield f"its certificate was made with a {name} of {then} m, here it is {room} m"
    yield from _of_settings(made, config.settings, rules)


def _of_settings(made: Conditions, settings: Mapping[str, float], rules: Iterable[Rule]) -> Iterator[str]:
    for setting in [rule.setting for rule in rules if rule.setting]:
        here, then = settings[setting.name], made.settings.get(setting.name)
        if then is None:
            continue  # the episodes ran without this rule, which only restricts further
        if not setting.stricter * here >= setting.stricter * then:
            yield f"its certificate was made with a {setting.name} of {then}, here it is {here}"
    for name in made.settings.keys() - settings.keys():
        yield f"its certificate was made with the rule of {name}, which does not act here"


def at_most(hits: int, count: int, share: float) -> float:
    """Probability of at most `hits` in `count` trials, each a hit with probability `share` in (0, 1).

    The Clopper-Pearson (1934) bound at confidence c is the share at which this equals 1 - c.
    """
    whole, log_share, log_rest = math.lgamma(count + 1), math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(
            whole - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * log_share + (count - k) * log_rest
        )
        for k in range(hits + 1)
    )
