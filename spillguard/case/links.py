"""Are the parts of the case linked? Each broken link is one line that begins with the element's name."""

from collections import Counter
from collections.abc import Iterator

from spillguard.case.model import KINDS, Case, Element, Requirement
from spillguard.case.rules import rules

# Kinds that are there for others: one that nobody refers to is left over.
USED = ("losses", "controllers", "actions", "assumptions", "promises", "figures", "clauses", "requirements")
MISSING = {
    "losses": "no hazard leads to it",
    "actions": "no unsafe control action is of it",
    "assumptions": "unused, nothing rests on it",
    "promises": "unused, no requirement asks for it",
    "figures": "unused, nothing is shown by it",
    "clauses": "unused, nothing is mapped to it",
    "controllers": "unused, it neither acts nor is heard",
    "requirements": "no causal scenario asks for it",
}


def broken_links(case: Case) -> Iterator[str]:
    """What is named twice, dangles, is unused, or has no next step in the argument."""
    yield from _doubled(case)
    yield from _dangling(case)
    yield from _unused(case)
    yield from _steps(case)
    yield from _rules(case)
    yield from _objections(case)


def elements(case: Case) -> Iterator[tuple[str, Element]]:
    """Each element with its kind."""
    for kind in case.__struct_fields__:
        if kind != "accepted":
            yield from ((kind, element) for element in getattr(case, kind))


def references(element: Element) -> Iterator[tuple[str, str]]:
    """Field and id of everything that `element` refers to."""
    for field in type(element).refers:
        ids = getattr(element, field)
        yield from ((field, name) for name in ([ids] if isinstance(ids, str) else ids))


def _doubled(case: Case) -> Iterator[str]:
    counted = Counter(element.id for _, element in elements(case))
    yield from (f"{name}: named {times} times" for name, times in counted.items() if times > 1)


def _dangling(case: Case) -> Iterator[str]:
    kinds = {element.id: kind for kind, element in elements(case)}
    for _, element in elements(case):
        for field, name in references(element):
            allowed = type(element).refers[field]
            if kinds.get(name) not in allowed:
                files = " or ".join(f"{kind}.yaml" for kind in allowed)
                yield f"{element.id}: {field} names {name}, which is not in {files}"
    yield from (f"{name}: accepted, but no figure" for name in case.accepted if kinds.get(name) != "figures")


def _unused(case: Case) -> Iterator[str]:
    # An objection to something is no use of it.
    users = (element for kind, element in elements(case) if kind not in ("defeaters", "risks"))
    named = {name for element in users for _, name in references(element)}
    for kind, element in elements(case):
        if kind in USED and element.id not in named:
            yield f"{element.id}: {MISSING[kind]}"


def _steps(case: Case) -> Iterator[str]:
    """Hazard to unsafe action and requirement, action to its four ways, unsafe action to scenario."""
    answered = {name for requirement in case.requirements for name in requirement.hazards}
    caused = {name for unsafe in case.unsafe_actions for name in unsafe.hazards}
    explained = {name for scenario in case.scenarios for name in scenario.unsafe}
    for hazard in case.hazards:
        if hazard.id not in answered:
            yield f"{hazard.id}: no requirement answers it"
        if hazard.id not in caused:
            yield f"{hazard.id}: no unsafe control action leads to it"
    yield from _ways(case)
    yield from (f"{u.id}: no causal scenario" for u in case.unsafe_actions if u.id not in explained)
    yield from (f"{s.id}: no requirement stands in its way" for s in case.scenarios if not s.requirements)
    for requirement in case.requirements:
        yield from _met(case, requirement)


def _ways(case: Case) -> Iterator[str]:
    for action in case.actions:
        looked_at = {unsafe.kind for unsafe in case.unsafe_actions if unsafe.action == action.id}
        for kind in KINDS:
            if (kind in looked_at) == (kind in action.harmless):
                what = "unsafe and harmless at once" if kind in looked_at else "not analysed"
                yield f"{action.id}: {kind}: {what}"


def _met(case: Case, requirement: Requirement) -> Iterator[str]:
    if not requirement.hazards:
        yield f"{requirement.id}: no hazard asks for it"
    if requirement.kept_by == "integrator":
        if not requirement.assumptions:
            yield f"{requirement.id}: the integrator's, but no assumption says who checks it"
        return
    if not requirement.rules and not requirement.promises:
        yield f"{requirement.id}: no rule and no promise meets it"
    sound = {figure.id for figure in case.figures if not figure.older}
    if not requirement.promises and not sound.intersection(requirement.figures):
        yield f"{requirement.id}: no evidence, neither a promise with tests nor a figure of the present code"


def _rules(case: Case) -> Iterator[str]:
    """The gate's reasons are the rules: each is known to the gate, and each is asked for."""
    known = set(rules())
    named = {name for requirement in case.requirements for name in requirement.rules}
    for requirement in case.requirements:
        for name in requirement.rules:
            if name not in known:
                yield f"{requirement.id}: rules names {name}, which is no reason of the gate"
    yield from (
        f"{name}: a reason of the gate that no requirement asks for" for name in sorted(known - named)
    )


def _objections(case: Case) -> Iterator[str]:
    carried = {name for risk in case.risks for name in risk.defeaters}
    attacked = {name for defeater in case.defeaters if not defeater.answer for name in defeater.against}
    for defeater in case.defeaters:
        if not defeater.answer and defeater.id not in carried:
            yield f"{defeater.id}: open, but no residual risk carries it"
    for figure in case.figures:
        if figure.older and figure.id not in attacked:
            yield f"{figure.id}: older than its code, but no open defeater says so"
