"""A learned optimizer as a file, and any rule as a `torch.optim.Optimizer`."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from policy_training.checkpoint import load, save
from policy_training.optimizers.registry import HAND_MADE, LEARNED, RULES
from policy_training.optimizers.rules import Place

SCHEMA = 1


@dataclass(frozen=True)
class Learned:
    """Frozen meta-parameters of a rule, and where they come from."""

    rule: str
    phi: Tensor  # (M,)
    grad_clip: float = 1.0  # gradients are clipped at plus and minus this first; 0 does not clip
    provenance: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}; known are {', '.join(RULES)}")
        wanted = RULES[self.rule].size
        if self.phi.shape != (wanted,) or not self.phi.is_floating_point():
            raise ValueError(
                f"{self.rule} has {wanted} real meta-parameters; "
                f"got {tuple(self.phi.shape)} of {self.phi.dtype}"
            )
        if not bool(torch.isfinite(self.phi).all()):
            raise ValueError(f"meta-parameters of {self.rule} are not all finite; take an earlier optimizer")
        if not self.grad_clip >= 0.0:
            raise ValueError(f"grad_clip is {self.grad_clip}; it must be at least 0")

    @property
    def digest(self) -> str:
        """Identifies the optimizer."""
        return hashlib.sha256(self.rule.encode() + self.phi.numpy().tobytes()).hexdigest()


def save_optimizer(path: Path, learned: Learned) -> None:
    """Atomically. Provenance travels with the numbers."""
    save(path, {
        "schema": SCHEMA, "rule": learned.rule, "phi": learned.phi, "grad_clip": learned.grad_clip,
        "provenance": json.dumps(learned.provenance), "digest": learned.digest,
    })  # fmt: skip


def load_optimizer(path: Path) -> Learned:
    """Inverse of `save_optimizer`; ValueError tells why a file is refused."""
    try:
        state = load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no optimizer at {path}; `spillguard meta-train` writes optimizer.pt"
        ) from error
    except Exception as error:  # torch raises exceptions of many types on foreign files
        raise ValueError(f"{path} is no saved optimizer: {type(error).__name__}") from error
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        found = state.get("schema") if isinstance(state, dict) else type(state).__name__
        raise ValueError(f"{path} has schema {found!r}; this version reads {SCHEMA}, an optimizer.pt")
    learned = Learned(state["rule"], state["phi"], state["grad_clip"], json.loads(state["provenance"]))
    if learned.digest != state["digest"]:
        raise ValueError(f"{path} has been changed: its numbers do not match their digest")
    return learned


def parse_optimizer(text: str) -> Learned:
    """NAME or NAME:PATH, as in `--optimizer`; an untrained learned rule is NAME:untrained."""
    name, _, path = text.partition(":")
    if name in HAND_MADE and not path:
        return Learned(name, torch.zeros(0), grad_clip=0.0)
    if name not in LEARNED or not path:
        allowed = ", ".join((*HAND_MADE, *(f"{n}:PATH or {n}:untrained" for n in LEARNED)))
        raise ValueError(f"optimizer is {text!r}; allowed are {allowed}")
    if path == "untrained":
        return Learned(name, LEARNED[name].initial(torch.Generator().manual_seed(0)))
    learned = load_optimizer(Path(path))
    if learned.rule != name:
        raise ValueError(f"{path} holds {learned.rule}, not {name}; say {learned.rule}:{path}")
    return learned


class LearnedOptimizer(torch.optim.Optimizer):
    """Any update rule, its meta-parameters frozen, for any parameters that are dense float32 or float64."""

    def __init__(self, params: Iterable[Any], learned: Learned, lr: float) -> None:
        """`lr` is alpha. TypeError or ValueError tells which parameter is refused, and why."""
        if not lr > 0.0:
            raise ValueError(f"lr is {lr}; it must be above 0")
        self.learned, self.rule = learned, RULES[learned.rule]
        self.phis: dict[tuple[torch.dtype, torch.device], Tensor] = {}
        super().__init__(params, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refuses parameters that the rule cannot step."""
        super().add_param_group(param_group)
        for number, parameter in enumerate(self.param_groups[-1]["params"]):
            _check(parameter, f"parameter {number} of group {len(self.param_groups) - 1}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, group["lr"])
        return loss

    def _step(self, parameter: Tensor, lr: float) -> None:
        grad, own = parameter.grad, self.state[parameter]
        if grad is None or grad.is_sparse:
            raise TypeError(f"{self.rule.name} takes dense gradients; this one is sparse: use sparse=False")
        flat = grad.reshape(-1)
        if not bool(torch.isfinite(flat).all()):
            raise FloatingPointError(f"the gradient of a parameter {tuple(parameter.shape)} is not finite")
        if self.learned.grad_clip > 0.0:
            flat = flat.clamp(-self.learned.grad_clip, self.learned.grad_clip)
        if "rule" not in own:
            own["rule"] = flat.new_zeros((self.rule.width, flat.numel()))
        if own["rule"].shape != (self.rule.width, flat.numel()):
            raise ValueError(
                f"saved state {tuple(own['rule'].shape)} is of another rule or shape; "
                f"{self.rule.name} needs {(self.rule.width, flat.numel())}"
            )
        key = flat.dtype, flat.device
        if key not in self.phis:
            self.phis[key] = self.learned.phi.to(device=flat.device, dtype=flat.dtype)
        own["rule"], direction = self.rule.step(self.phis[key], own["rule"], flat, _place(parameter))
        parameter.add_(direction.view_as(parameter), alpha=lr)


def _place(parameter: Tensor) -> Place:
    """One tensor alone; its loss and the training progress are unknown."""
    nothing = torch.zeros(1, dtype=parameter.dtype, device=parameter.device)
    return Place((tuple(parameter.shape),), nothing, nothing)


def _check(parameter: Tensor, name: str) -> None:
    if parameter.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} is {parameter.dtype}; allowed are float32 and float64, use .float()")
    if parameter.layout is not torch.strided:
        raise TypeError(f"{name} is {parameter.layout}; allowed are dense tensors")
    if parameter.numel() == 0:
        raise ValueError(f"{name} has shape {tuple(parameter.shape)}; allowed are tensors with elements")
