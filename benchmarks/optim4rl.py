"""Speed of meta-training: ``python -m benchmarks.optim4rl``. One thread, processor time.

Coordinate-steps/s of Optim4RL's network, forward and through four steps and back, over the same network built
from ``torch.nn.GRUCell``; environment steps/s of agents that act in gridworlds; whole meta-iterations. The
reference figures were measured on one idle core of a 2-core AMD EPYC by an earlier, plain implementation.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from rich.progress import track
from torch import Tensor, nn

from benchmarks.record import Ratio, report
from policy_training.meta_learning.meta_gradient import CHUNK, Unroll, meta_gradient, unroll
from policy_training.meta_learning.tasks import TASKS
from policy_training.meta_learning.units import Agents, Update
from policy_training.optimizers.optim4rl import EPS, Optim4RL
from policy_training.optimizers.rules import Place
from policy_training.processor import set_processor

NETWORK = {"forward": 5.3e6, "unroll of 4, forward and back": 3.2e6}  # [coordinate-steps/s]
ACTING = {16: 104e3, 64: 312e3, 512: 727e3}  # [environment steps/s] by units
STEPS = 4


@dataclass(frozen=True)
class Optim4rlBenchArguments:
    """Benchmark of meta-training."""

    repeats: int = 5
    """Repeats; ours and the peer's take turns."""
    coordinates: int = 100_000
    """Coordinates of the network's part."""


class GruCells(nn.Module):
    """The peer: the same network from torch's cells, rows of hidden states."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.GRUCell(1, 8), nn.GRUCell(1, 8)])
        self.heads = nn.ModuleList([nn.Linear(8, 1), nn.Linear(8, 1)])

    def forward(self, state: tuple[Tensor, Tensor], grad: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Hidden states (N, 8) twice, grad (N,) -> the same, direction (N,)."""
        x = grad[:, None]
        first, second = self.cells[0](x, state[0]), self.cells[1](x * x, state[1])
        o1, o2 = self.heads[0](first)[:, 0], self.heads[1](second)[:, 0]
        return (first, second), -torch.sign(grad) * torch.exp(o1) / torch.sqrt(torch.exp(o2) + EPS)


def rate(work: Callable[[], object], amount: int) -> float:
    """Amount per second of processor time; the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return amount / best


def peer_backward(peer: GruCells, grads: Tensor, weight: Tensor) -> None:
    """Four steps and back, in the same chunks."""
    for first in range(0, grads.shape[1], CHUNK):
        part = slice(first, first + CHUNK)
        state = (torch.zeros(len(weight[part]), 8),) * 2
        along = torch.zeros(())
        for grad in grads:
            state, direction = peer(state, grad[part])
            along = along + direction
        torch.autograd.grad(torch.dot(weight[part], along), list(peer.parameters()))


def coordinates(count: int) -> dict[str, tuple[float, float]]:
    """Ours and the peer's coordinate-steps/s, by what is done."""
    rng, rule = torch.Generator().manual_seed(0), Optim4RL()
    phi, peer = rule.initial(rng), GruCells()
    grads = 0.1 * torch.randn((STEPS, count), generator=rng)
    weight, state, zeros = torch.randn(count, generator=rng), torch.zeros(rule.width, count), torch.zeros(1)
    place = Place(((count,),), zeros, zeros)
    done = Unroll(state, [Update(grad, place) for grad in grads], weight)

    def forward() -> None:
        for first in range(0, count, CHUNK):
            rule.step(phi, state[:, first : first + CHUNK], grads[0, first : first + CHUNK])

    def peer_forward() -> None:
        for grad in grads[0].split(CHUNK):
            peer((torch.zeros(len(grad), 8),) * 2, grad)

    with torch.no_grad():
        once = rate(forward, count), rate(peer_forward, count)
    through = (
        rate(lambda: meta_gradient(rule, phi, done), STEPS * count),
        rate(lambda: peer_backward(peer, grads, weight), STEPS * count),
    )
    return {"forward": once, "unroll of 4, forward and back": through}


def agents(units: int) -> Agents:
    """In small_dense_long, one game each."""
    return Agents(
        TASKS["small_dense_long"], Optim4RL(), units, games=1, steps=20, alpha=1e-3, scale=1e3, seed=1,
        lifetime=288,
    )  # fmt: skip


def meta_iteration(units: int) -> Callable[[], object]:
    """Four updates, the rollout behind them and the meta-gradient."""
    herd, rule = agents(units), Optim4RL()
    phi = rule.initial(torch.Generator().manual_seed(0))
    return lambda: meta_gradient(rule, phi, unroll(herd, phi, STEPS)[0])


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(Optim4rlBenchArguments)
    set_processor()
    kinds = list(NETWORK)
    ours: dict[str, list[float]] = {kind: [] for kind in kinds}
    theirs: dict[str, list[float]] = {kind: [] for kind in kinds}
    acting: dict[int, list[float]] = {16: [], 64: [], 512: []}
    iterations = []
    for _ in track(range(args.repeats), "repeats"):
        for kind, (own, peer) in coordinates(args.coordinates).items():
            ours[kind].append(own)
            theirs[kind].append(peer)
        for units, found in acting.items():
            found.append(rate(agents(units).rollout, 20 * units))
        iterations.append(rate(meta_iteration(64), 1))
    ratios = []
    for kind, known in NETWORK.items():
        over = [o / t for o, t in zip(ours[kind], theirs[kind], strict=True)]
        ratios.append(Ratio(f"{kind}, over torch.nn.GRUCell", over, 1.7))
        name = f"{kind}, over {known:.3g} coordinate-steps/s"
        ratios.append(Ratio(name, [found / known for found in ours[kind]], 1.0))
    for units, known in ACTING.items():
        name = f"acting, {units} units, over {known:.3g} steps/s"
        ratios.append(Ratio(name, [found / known for found in acting[units]], 1.0))
    figures = {f"{kind} [coordinate-steps/s]": f"{max(found):.3g}" for kind, found in ours.items()}
    figures |= {f"acting, {n} units [environment steps/s]": f"{max(f):.3g}" for n, f in acting.items()}
    figures["meta-iterations/s of small_dense_long, 64 units"] = f"{max(iterations):.3g}"
    report("optim4rl", ratios, figures, ("torch", "numpy"))


if __name__ == "__main__":
    main()
