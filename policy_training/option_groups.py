"""Options of a configuration in groups by subject, for `--help`. A configuration stays one flat dataclass.
The command line parses a view of it: one small dataclass per group, made from the fields and their
docstrings, and merged again by `whole`.
"""

import ast
import dataclasses
import inspect
import re
import textwrap
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

Config = TypeVar("Config")

# Groups with patterns of names; the first match counts. A name without a match is in REST.
TOPICS = {
    "limits": (
        "(initial_)?(nu|eps)(_.*)?|.*limits|meta_.*|order|(multiplier|pid|margin|slack|zeta|safety)_.*|"
        "tolerance|variant|projection|penalty|candidates"
    ),
    "critics": "gamma.*|lam.*|tau|critic_.*|risk_agg|pos_.*",
    "policy": (
        "policy_(lr|rho|epochs|batch)|clip|.*alpha.*|.*entropy.*|initial_std|imitation|target_kl|cg_.*|damping|"
        "fisher_every|backtracks|shrink|accept_ratio|space|recheck|x_r"
    ),
    "exploration": "prior_.*|pretrain|shaping|exploration_noise|noise_correlation",
    "records": "(eval|checkpoint|log)_.*|ema_decay|progress",
    "layouts": "layout|trunk|trunk_owner|clip_scope|cost_critic_lr|target_norm|popart_rate",
}
REST = "general"
SAID = {
    "limits": "What is allowed, and how the learner is held to it.",
    "critics": "Value functions and safety critics.",
    "policy": "Steps of the policy and its randomness.",
    "exploration": "Noise, prior episodes, and what is learned from them.",
    "records": "Validation, checkpoints, log.",
    "layouts": "Which optimizer moves what, where several losses meet in one network.",
    REST: "Sizes, and what concerns more than one of the groups below.",
}


def grouped(kind: type, title: str) -> Any:
    """A dataclass with a field for each group of `kind`'s fields; `title` names the subject of the
    settings."""
    hints, words = get_type_hints(kind, include_extras=True), help_texts(kind)
    groups: dict[str, list[tuple[str, Any, Any]]] = {}
    for field in dataclasses.fields(kind):
        kept: Any = hints[field.name]
        told: Any = Annotated[kept, tyro.conf.arg(help=words.get(field.name, ""))]
        groups.setdefault(topic(field.name), []).append((field.name, told, dataclasses.field()))
    parts = []
    for name in sorted(groups, key=[REST, *TOPICS].index):
        part = dataclasses.make_dataclass(name, groups[name], frozen=True)
        part.__doc__ = SAID[name]
        label = tyro.conf.arg(name=f"{title}: {name}", prefix_name=False)
        parts.append((name, Annotated[part, label], dataclasses.field()))
    return dataclasses.make_dataclass(f"{kind.__name__}Groups", parts, frozen=True)


def topic(name: str) -> str:
    """The group of an option."""
    return next((group for group, names in TOPICS.items() if re.fullmatch(names, name)), REST)


def help_texts(kind: type) -> dict[str, str]:
    """The docstring below each field of a dataclass and of its bases."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, words in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(words, ast.Expr):
                assert isinstance(field.target, ast.Name) and isinstance(words.value, ast.Constant)
                found[field.target.id] = str(words.value.value)
    return found


def split(config: Any, view: Any) -> Any:
    """A configuration as its view."""
    parts = {}
    for field, part in get_type_hints(view).items():
        parts[field] = part(**{f.name: getattr(config, f.name) for f in dataclasses.fields(part)})
    return view(**parts)


def whole(view: Any, kind: type[Config]) -> Config:
    """Inverse of `split`; ValueError if the configuration refuses a value."""
    settings: dict[str, Any] = {}
    for group in dataclasses.fields(view):
        part = getattr(view, group.name)
        settings |= {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    return kind(**settings)
