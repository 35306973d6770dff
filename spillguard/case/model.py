"""What the safety case is made of. Each class is one element of a file in `docs/assurance`, one file a kind.

STPA (Leveson and Thomas, STPA Handbook, 2018) gives losses, hazards, control structure, unsafe control
actions and causal scenarios. What follows from them are requirements; promises and their tests meet these.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

Sentence = Annotated[str, Meta(min_length=5)]
Ids = tuple[str, ...]
Kind = Literal["not provided", "provided", "too early or late", "stopped too soon or applied too long"]
KINDS: tuple[Kind, ...] = (
    "not provided", "provided", "too early or late", "stopped too soon or applied too long",
)  # fmt: skip


class Element(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something with a name that others may refer to."""

    refers: ClassVar[dict[str, tuple[str, ...]]] = {}  # field of ids: the kinds that these may be of

    id: str
    text: Sentence


class StpaLoss(Element, frozen=True, kw_only=True):
    """What must not come about."""

    id: Annotated[str, Meta(pattern="^L-[a-z-]+$")]


class Hazard(Element, frozen=True, kw_only=True):
    """A state of the cell that leads to a loss under the worst circumstances."""

    refers = {"losses": ("losses",)}

    id: Annotated[str, Meta(pattern="^H-[a-z-]+$")]
    losses: Ids


class Controller(Element, frozen=True, kw_only=True):
    """A box of the control structure: it decides, or it is what is controlled."""

    refers = {"hears": ("controllers",)}

    id: Annotated[str, Meta(pattern="^K-[a-z-]+$")]
    hears: Ids = ()  # feedback comes from these


class Action(Element, frozen=True, kw_only=True):
    """What one controller tells another. Each way to go wrong is analysed or said to be harmless."""

    refers = {"by": ("controllers",), "to": ("controllers",)}

    id: Annotated[str, Meta(pattern="^CA-[a-z-]+$")]
    by: str
    to: str
    harmless: dict[Kind, Sentence] = {}


class UnsafeAction(Element, frozen=True, kw_only=True):
    """A control action that leads to a hazard, and when."""

    refers = {"action": ("actions",), "hazards": ("hazards",)}

    id: Annotated[str, Meta(pattern="^U-[a-z-]+$")]
    action: str
    kind: Kind
    hazards: Ids


class CausalScenario(Element, frozen=True, kw_only=True):
    """What may bring an unsafe control action about, and which requirements stand in its way."""

    refers = {"unsafe": ("unsafe_actions",), "requirements": ("requirements",)}

    id: Annotated[str, Meta(pattern="^CS-[a-z-]+$")]
    unsafe: Ids
    requirements: Ids


class Assumption(Element, frozen=True, kw_only=True):
    """What has to hold where the arm works, and cannot be shown here."""

    refers = {"clauses": ("clauses",)}

    id: Annotated[str, Meta(pattern="^A-[a-z-]+$")]
    checked_by: Sentence
    when: Sentence
    clauses: Ids = ()


class Requirement(Element, frozen=True, kw_only=True):
    """What keeps a hazard away. `rules` are reasons of the gate, by the names they have in its code."""

    refers = {
        "hazards": ("hazards",), "promises": ("promises",), "figures": ("figures",),
        "assumptions": ("assumptions",), "clauses": ("clauses",),
    }  # fmt: skip

    id: Annotated[str, Meta(pattern="^SR-[a-z-]+$")]
    kept_by: Literal["monitor", "integrator"]
    hazards: Ids
    rules: Ids = ()
    promises: Ids = ()
    figures: Ids = ()
    assumptions: Ids = ()
    clauses: Ids = ()


class Promise(Element, frozen=True, kw_only=True):
    """What the robot side does, and the tests that hold it to that, named as pytest names them."""

    refers = {"figures": ("figures",)}

    id: Annotated[str, Meta(pattern="^P[0-9]+$")]
    tests: Annotated[Ids, Meta(min_length=1)]
    note: str = ""  # on the tests
    figures: Ids = ()
    not_shown: str = ""


class Value(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number of a result file, read whenever it is shown, with the bound that is claimed of it."""

    key: str  # of the JSON file, levels parted by dots
    text: str
    at_most: float | None = None


class Figure(Element, frozen=True, kw_only=True):
    """What was measured: a result file, the command that makes it, and the code that it speaks of."""

    id: Annotated[str, Meta(pattern="^F-[a-z-]+$")]
    file: str
    command: str
    code: Annotated[Ids, Meta(min_length=1)]  # files, or folders with all Python files in them
    commit_key: str = "commit"  # of the commit in a JSON file; other files say "commit HASH"
    values: tuple[Value, ...] = ()
    older: str = ""  # why it speaks of older code; it then is no evidence, and a defeater has to say so


class Defeater(Element, frozen=True, kw_only=True):
    """What speaks against part of the case. What is not answered is carried by a residual risk."""

    refers = {"against": ("requirements", "promises", "figures", "assumptions", "goals")}

    id: Annotated[str, Meta(pattern="^D-[a-z-]+$")]
    against: Annotated[Ids, Meta(min_length=1)]
    answer: str = ""  # empty: open


class Risk(Element, frozen=True, kw_only=True):
    """What is left, for somebody to accept or to reduce."""

    refers = {"hazards": ("hazards",), "defeaters": ("defeaters",)}

    id: Annotated[str, Meta(pattern="^R-[a-z-]+$")]
    hazards: Annotated[Ids, Meta(min_length=1)]
    defeaters: Ids = ()
    accepted_by: Sentence


class Goal(Element, frozen=True, kw_only=True):
    """A goal for a learned part, by the stages of AMLAS (Hawkins et al., arXiv 2102.01564)."""

    refers = {"promises": ("promises",), "figures": ("figures",), "requirements": ("requirements",)}

    id: Annotated[str, Meta(pattern="^ML-[a-z-]+$")]
    stage: Literal["scoping", "requirements", "data", "learning", "verification", "deployment"]
    requirements: Ids = ()
    promises: Ids = ()
    figures: Ids = ()
    tests: Ids = ()
    missing: str = ""  # what the stage asks for and is not there


class Clause(Element, frozen=True, kw_only=True):
    """A topic of a standard that an integrator of the cell meets."""

    id: Annotated[str, Meta(pattern="^C-[a-z0-9-]+$")]
    standard: Sentence
    number: str = ""  # only where a source supports it
    source: str = ""  # where the number was read; the standards themselves were not at hand


class Accepted(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """What a figure's files were (SHA-256) when somebody last said that the one speaks of the other."""

    commit: str
    result: str
    code: dict[str, str]
    because: str = ""  # why a change of the code does not touch a result that was not made again


class Case(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of it; each field is a file."""

    losses: tuple[StpaLoss, ...]
    hazards: tuple[Hazard, ...]
    controllers: tuple[Controller, ...]
    actions: tuple[Action, ...]
    unsafe_actions: tuple[UnsafeAction, ...]
    scenarios: tuple[CausalScenario, ...]
    requirements: tuple[Requirement, ...]
    assumptions: tuple[Assumption, ...]
    promises: tuple[Promise, ...]
    figures: tuple[Figure, ...]
    defeaters: tuple[Defeater, ...]
    risks: tuple[Risk, ...]
    goals: tuple[Goal, ...]
    clauses: tuple[Clause, ...]
    accepted: dict[str, Accepted]  # by figure; written by `spillguard case accept` alone
