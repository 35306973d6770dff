"""Graphs of the case in Mermaid's notation."""

from collections.abc import Iterator, Sequence

from spillguard.case.model import Case, Hazard, Requirement


def _node(name: str) -> str:
    return name.replace("-", "_")


def control_structure(case: Case) -> str:
    """Who tells whom what (solid), and who hears from whom (dotted)."""

    def lines() -> Iterator[str]:
        yield "flowchart TD"
        yield from (f'    {_node(box.id)}["{box.id[2:]}"]' for box in case.controllers)
        for action in case.actions:
            yield f'    {_node(action.by)} -->|"{action.id[3:]}"| {_node(action.to)}'
        for box in case.controllers:
            yield from (f"    {_node(other)} -.-> {_node(box.id)}" for other in box.hears)

    return "\n".join(lines())


def tree(hazard: Hazard, requirements: Sequence[Requirement]) -> str:
    """A hazard, the requirements against it, and the promises, figures and assumptions under these."""

    def lines() -> Iterator[str]:
        yield "flowchart LR"
        for requirement in requirements:
            yield f"    {_node(hazard.id)}([{hazard.id}]) --- {_node(requirement.id)}[{requirement.id}]"
            for name in (*requirement.promises, *requirement.figures, *requirement.assumptions):
                yield f"    {_node(requirement.id)} --- {_node(name)}({name})"

    return "\n".join(lines())
