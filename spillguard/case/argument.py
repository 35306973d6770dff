"""The argument of the case: per hazard a tree, per requirement what meets it and what is against it."""

from collections.abc import Iterator

from spillguard.case.graphs import tree
from spillguard.case.model import Case, Hazard, Requirement
from spillguard.case.rules import rules


def argument(case: Case) -> str:
    """A section of the page."""
    hazards = "\n\n".join(_hazard(case, hazard) for hazard in case.hazards)
    requirements = "\n".join(line for r in case.requirements for line in _requirement(case, r))
    return f"## The argument\n\n{hazards}\n\n## Requirements\n\n{requirements}"


def _hazard(case: Case, hazard: Hazard) -> str:
    against = [r for r in case.requirements if hazard.id in r.hazards]
    rows = "\n".join(f"- **{r.id}** (the {r.kept_by}): {r.text}" for r in against)
    return (
        f"### {hazard.id}\n\n{hazard.text} It is kept away if all of these hold:\n\n{rows}\n\n"
        f"```mermaid\n{tree(hazard, against)}\n```"
    )


def _requirement(case: Case, requirement: Requirement) -> Iterator[str]:
    yield f"- **{requirement.id}** (the {requirement.kept_by}): {requirement.text}"
    for name in requirement.rules:
        reason = rules()[name]
        yield f'    - rule `{name}`, "{reason.value}": {reason.verdict.name}'
    promises = {promise.id: promise for promise in case.promises}
    for name in requirement.promises:
        yield f"    - promise {name}: {promises[name].text} (tests: {len(promises[name].tests)})"
    figures = {figure.id: figure for figure in case.figures}
    for name in requirement.figures:
        aged = "; older than the code, so no evidence" if figures[name].older else ""
        yield f"    - figure {name}: {figures[name].text}{aged}"
    assumptions = {assumption.id: assumption for assumption in case.assumptions}
    yield from (f"    - assumes {name}: {assumptions[name].text}" for name in requirement.assumptions)
    concerned = {requirement.id, *requirement.promises, *requirement.figures, *requirement.assumptions}
    open_ones = [d.id for d in case.defeaters if not d.answer and concerned.intersection(d.against)]
    if open_ones:
        yield f"    - open objections: {', '.join(open_ones)}"
