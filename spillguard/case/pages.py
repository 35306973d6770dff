"""The case as pages for a reviewer: what is left first, then hazards, the argument, and what it rests on."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from spillguard.case.argument import argument
from spillguard.case.figures import commit_of, read_value
from spillguard.case.files import FOLDER
from spillguard.case.graphs import control_structure
from spillguard.case.model import Assumption, Case, Figure, Promise, Requirement

MADE_BY = "spillguard case build"
CASE, PROMISES = "safety_case.md", "promises.md"


def pages(case: Case, root: Path) -> dict[str, str]:
    """Each page's text by its name in `docs/`."""
    return {CASE: _case_page(case, root), PROMISES: _promises_page(case)}


def broken_pages(case: Case, root: Path) -> Iterator[str]:
    """Pages in `docs/` that do not say what the case says."""
    figures_there = all((root / figure.file).exists() for figure in case.figures)
    for name, text in pages(case, root).items() if figures_there else ():
        page = root / "docs" / name
        if not page.exists() or page.read_text() != text:
            yield f"docs/{name}: not what {FOLDER} says: {MADE_BY}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(' '.join(cell.split()) for cell in cells)} |" for cells in lines)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _tests(names: Iterable[str]) -> str:
    return _list(f"`{name}`" for name in names)


def _promises_page(case: Case) -> str:
    rows = [(p.id, p.text, _proof(case, p), p.not_shown) for p in case.promises]
    return f"""# What the robot side promises, and which test holds it to that

Made by `{MADE_BY}` from `{FOLDER}/promises.yaml`; the [safety case](safety_case.md) says what each is for.
`spillguard case check` says whether every test named here exists, and whether it ran and passed. One row a
promise. Tests are named as pytest names them, all cases of a parametrised one together.

{_table(("", "promise", "tests", "what is not shown"), rows)}
"""


def _proof(case: Case, promise: Promise) -> str:
    files = {figure.id: figure.file for figure in case.figures}
    figures = [_link(files[name]) for name in promise.figures]
    return "; ".join(filter(None, (_tests(promise.tests), promise.note, _list(figures))))


def _link(file: str) -> str:
    """As seen from `docs/`; what is outside of it has no page."""
    inside = file.removeprefix("docs/")
    return f"[{inside}]({inside})" if inside != file and file.endswith(".md") else f"`{file}`"


def _case_page(case: Case, root: Path) -> str:
    parts = (
        INTRODUCTION, _risks(case), _defeaters(case), _hazards(case), argument(case), _control(case),
        _scenarios(case), _assumptions(case), _learned(case), _standards(case), _figures(case, root),
    )  # fmt: skip
    return "\n\n".join(part.strip() for part in parts) + "\n"


INTRODUCTION = f"""# Safety case of the pouring cell

Made by `{MADE_BY}` from the files of `{FOLDER}`. `spillguard case check` compares it with the gate's own
reasons, the tests and the results: every loss has a hazard, every hazard an unsafe control action and a
requirement, every requirement what meets it and evidence for that. No name dangles, none is left over.
Every named test exists, and in CI it ran and passed; a skipped test did not run. No result that counts is
older than the code it speaks of.

**No function of this software is safety-rated, and no performance level is claimed.** The case says what the
software does for safety, how that is shown, and what is left to whoever builds the cell. It replaces no risk
assessment. Losses, hazards, control structure, unsafe control actions and causal scenarios are those of STPA;
the goals for the learned parts follow AMLAS. **Nothing here was shown on a real arm**: all evidence is from
tests and simulation.
"""


def _risks(case: Case) -> str:
    rows = [(r.id, r.text, _list(r.hazards), _list(r.defeaters), r.accepted_by) for r in case.risks]
    return "## What is left\n\n" + _table(
        ("", "residual risk", "hazards", "because of", "to be accepted by"), rows
    )


def _defeaters(case: Case) -> str:
    rows = [
        (d.id, d.text, _list(d.against), d.answer or "**open**")
        for d in sorted(case.defeaters, key=lambda d: bool(d.answer))
    ]
    return "## What speaks against the case\n\n" + _table(("", "objection", "against", "answer"), rows)


def _hazards(case: Case) -> str:
    losses = _table(("", "loss"), [(loss.id, loss.text) for loss in case.losses])
    rows = []
    for hazard in case.hazards:
        by = [r.id for r in case.requirements if hazard.id in r.hazards]
        risks = [r.id for r in case.risks if hazard.id in r.hazards]
        rows.append((hazard.id, hazard.text, _list(hazard.losses), _list(by), _list(risks)))
    table = _table(("", "hazard", "losses", "requirements", "left"), rows)
    return f"## Losses and hazards\n\n{losses}\n\n{table}"


def _control(case: Case) -> str:
    boxes = _table(("", "controller or what is controlled"), [(k.id, k.text) for k in case.controllers])
    rows: list[tuple[str, ...]] = []
    for action in case.actions:
        mine = [u for u in case.unsafe_actions if u.action == action.id]
        rows += [(action.id, action.text, u.kind, f"{u.id}: {u.text}", _list(u.hazards)) for u in mine]
        rows += [
            (action.id, action.text, kind, f"harmless: {why}", "") for kind, why in action.harmless.items()
        ]
    table = _table(("", "control action", "way to go wrong", "unsafe when", "hazards"), rows)
    graph = f"```mermaid\n{control_structure(case)}\n```"
    return f"## Control structure and unsafe control actions\n\n{graph}\n\n{boxes}\n\n{table}"


def _scenarios(case: Case) -> str:
    rows = [(s.id, s.text, _list(s.unsafe), _list(s.requirements)) for s in case.scenarios]
    return "## Causal scenarios\n\n" + _table(("", "what may happen", "leads to", "against it"), rows)


def _assumptions(case: Case) -> str:
    rows = [(a.id, a.text, a.checked_by, a.when, _list(a.clauses)) for a in case.assumptions]
    head = ("", "has to hold", "checked by", "when", "standards")
    return "## Operating domain and assumptions\n\n" + _table(head, rows)


def _learned(case: Case) -> str:
    rows = [
        (
            g.id,
            g.stage,
            g.text,
            "; ".join(filter(None, (_list((*g.promises, *g.figures)), _tests(g.tests)))),
            g.missing,
        )
        for g in case.goals
    ]
    return "## The learned parts\n\n" + _table(("", "stage of AMLAS", "goal", "evidence", "missing"), rows)


def _standards(case: Case) -> str:
    rows, mapped = [], _mapped(case)
    for clause in case.clauses:
        users = [e.id for e in mapped if clause.id in e.clauses]
        number = f" {clause.number}" if clause.number else ""
        rows.append((clause.id, clause.standard + number, clause.text, _list(users), clause.source))
    text = """## Standards

For the integrator of a cell with a Gen3, who meets them. What stands under *here* helps with that, or has to
be checked for it. The standards themselves were not at hand: a number stands only where the source in the
last column gives it.
"""
    return text + "\n" + _table(("", "standard", "topic", "here", "number read in"), rows)


def _mapped(case: Case) -> tuple[Requirement | Assumption, ...]:
    return (*case.requirements, *case.assumptions)


def _figures(case: Case, root: Path) -> str:
    rows = [
        (
            f.id,
            f.text,
            _values(f, root),
            f"{_link(f.file)}, commit {commit_of(f, root)[:10]}",
            f"`{f.command}`",
            _age(case, f),
        )
        for f in case.figures
    ]
    head = ("", "figure", "values", "result", "made by", "speaks of the present code")
    return "## Figures\n\n" + _table(head, rows)


def _values(figure: Figure, root: Path) -> str:
    return "; ".join(f"{v.text}: {read_value(root / figure.file, v):.6g}" for v in figure.values)


def _age(case: Case, figure: Figure) -> str:
    accepted = case.accepted.get(figure.id)
    if figure.older or accepted is None:
        return f"no: {figure.older}"
    return f"yes: {accepted.because}" if accepted.because else "yes"
