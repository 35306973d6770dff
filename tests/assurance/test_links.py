"""Every kind of broken link is told by name, and the shipped case has none."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.assurance.copies import ROOT, TEST, Data, checked, edited, of


def test_the_shipped_case_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(ROOT, capsys) == []


def without(values: Iterable[str], name: str) -> list[str]:
    return [value for value in values if value != name]


def answers_no_more(hazard: str) -> Callable[[Data], object]:
    def edit(data: Data) -> None:
        for entry in data:
            entry["hazards"] = without(entry["hazards"], hazard)

    return edit


BROKEN: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "a name twice": ("losses", lambda d: d.append(d[0]), "L-injury: named 2 times"),
    "a dangling reference": (
        "hazards",
        lambda d: of(d, "H-crush")["losses"].append("L-nothing"),
        "H-crush: losses names L-nothing, which is not in losses.yaml",
    ),
    "a reference to another kind": (
        "requirements",
        lambda d: of(d, "SR-tilt")["promises"].append("F-braking"),
        "SR-tilt: promises names F-braking, which is not in promises.yaml",
    ),
    "a loss without a hazard": (
        "losses",
        lambda d: d.append({"id": "L-fame", "text": "a good name"}),
        "L-fame: no hazard leads to it",
    ),
    "a hazard without a requirement": (
        "requirements",
        answers_no_more("H-electrical"),
        "H-electrical: no requirement answers it",
    ),
    "a hazard that nothing causes": (
        "unsafe_actions",
        answers_no_more("H-electrical"),
        "H-electrical: no unsafe control action leads to it",
    ),
    "a way to go wrong that nobody looked at": (
        "actions",
        lambda d: of(d, "CA-command")["harmless"].pop("not provided"),
        "CA-command: not provided: not analysed",
    ),
    "a way to go wrong that is unsafe and harmless": (
        "actions",
        lambda d: of(d, "CA-command")["harmless"].update({"provided": "it is harmless"}),
        "CA-command: provided: unsafe and harmless at once",
    ),
    "an unsafe action without a scenario": (
        "scenarios",
        lambda d: d.remove(of(d, "CS-suspended")),
        "U-suspend-forgotten: no causal scenario",
    ),
    "a scenario with nothing against it": (
        "scenarios",
        lambda d: of(d, "CS-gate-wrong").update(requirements=[]),
        "CS-gate-wrong: no requirement stands in its way",
    ),
    "a requirement that no scenario asks for": (
        "scenarios",
        lambda d: of(d, "CS-grip-lost").update(requirements=["SR-brake"]),
        "SR-grip: no causal scenario asks for it",
    ),
    "a requirement without a hazard": (
        "requirements",
        lambda d: of(d, "SR-page").update(hazards=[]),
        "SR-page: no hazard asks for it",
    ),
    "a requirement that nothing meets": (
        "requirements",
        lambda d: of(d, "SR-page").update(promises=[]),
        "SR-page: no rule and no promise meets it",
    ),
    "a requirement without evidence": (
        "requirements",
        lambda d: of(d, "SR-critic").update(promises=[], figures=["F-monitor"]),
        "SR-critic: no evidence, neither a promise with tests nor a figure of the present code",
    ),
    "an integrator's requirement that nobody checks": (
        "requirements",
        lambda d: of(d, "SR-electrical").update(assumptions=[]),
        "SR-electrical: the integrator's, but no assumption says who checks it",
    ),
    "a rule that the gate does not have": (
        "requirements",
        lambda d: of(d, "SR-brake")["rules"].append("TELEPATHY"),
        "SR-brake: rules names TELEPATHY, which is no reason of the gate",
    ),
    "a rule of the gate that nobody asks for": (
        "requirements",
        lambda d: of(d, "SR-tilt").update(rules=[]),
        "TILT_LIMIT: a reason of the gate that no requirement asks for",
    ),
    "a promise left over": (
        "promises",
        lambda d: d.append({"id": "P99", "text": "it sings", "tests": [TEST]}),
        "P99: unused, no requirement asks for it",
    ),
    "an assumption left over": (
        "assumptions",
        lambda d: d.append({**d[0], "id": "A-moon"}),
        "A-moon: unused, nothing rests on it",
    ),
    "a clause left over": (
        "clauses",
        lambda d: d.append({**d[0], "id": "C-moon"}),
        "C-moon: unused, nothing is mapped to it",
    ),
    "a controller left over": (
        "controllers",
        lambda d: d.append({"id": "K-moon", "text": "the moon"}),
        "K-moon: unused, it neither acts nor is heard",
    ),
    "an action without an unsafe one": (
        "actions",
        lambda d: d.append({**d[0], "id": "CA-sing"}),
        "CA-sing: no unsafe control action is of it",
    ),
    "a figure left over": (
        "requirements",
        lambda d: [entry.update(figures=without(entry.get("figures", []), "F-gate")) for entry in d],
        "F-gate: unused, nothing is shown by it",
    ),
    "something accepted that is no figure": (
        "accepted",
        lambda d: d.update({"F-moon": d["F-braking"]}),
        "F-moon: accepted, but no figure",
    ),
    "an objection that nobody carries": (
        "risks",
        lambda d: of(d, "R-people").update(defeaters=[]),
        "D-people: open, but no residual risk carries it",
    ),
    "an old figure that nobody objects to": (
        "defeaters",
        lambda d: of(d, "D-old-figures").update(against=["F-monitor"]),
        "F-soak: older than its code, but no open defeater says so",
    ),
    "an old figure that was accepted": (
        "figures",
        lambda d: of(d, "F-braking").update(older="so it is"),
        "F-braking: said to be older than its code, but accepted; one of the two is wrong",
    ),
    "a result that is not there": (
        "figures",
        lambda d: of(d, "F-braking").update(file="benchmarks/results/nothing.json"),
        "F-braking: benchmarks/results/nothing.json does not exist",
    ),
    "code that is not there": (
        "figures",
        lambda d: of(d, "F-braking")["code"].append("sim/nothing.py"),
        "F-braking: sim/nothing.py does not exist",
    ),
    "code that was not accepted": (
        "figures",
        lambda d: of(d, "F-braking")["code"].append("sim/render.py"),
        "F-braking: accepted with other files of code: spillguard case accept F-braking",
    ),
    "a claim that the result does not hold": (
        "figures",
        lambda d: of(d, "F-braking")["values"][0].update(at_most=-1),
        "F-braking: sequences that touched, broke a limit or did not rest is 0, at most -1 is claimed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_link_is_told_by_name(
    name: str, root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, edit, line = BROKEN[name]
    assert checked(root, capsys, passed) == []
    edited(root, file, edit)
    assert line in checked(root, capsys, passed)
