"""SAC of Stable-Baselines3 and of SBX, fed like ours: random transitions, one update per call. Each peer is a
child process, so that settings of our process do not affect it, and SBX (JAX), whose packages differ from
this project's pins, may run in any Python that has it: ``python sac_peers.py sb3|sbx highest|medium`` reads
the width, the batch size and then numbers of updates, and prints seconds for each.
"""

import os
import sys
import time
from typing import Any

import numpy as np

OBS, ACTIONS = 11, 3  # Hopper's
TRANSITIONS = 5000


def transitions(seed: int) -> dict[str, Any]:
    """Random transitions (N, .); 5 % violate, 1 % end."""
    rng = np.random.default_rng(seed)
    return {
        "obs": rng.normal(size=(TRANSITIONS, OBS)).astype(np.float32),
        "action": rng.uniform(-1, 1, (TRANSITIONS, ACTIONS)).astype(np.float32),
        "next_obs": rng.normal(size=(TRANSITIONS, OBS)).astype(np.float32),
        "reward": rng.normal(size=TRANSITIONS).astype(np.float32),
        "cost": (rng.random(TRANSITIONS) < 0.05).astype(np.float32),
        "terminated": (rng.random(TRANSITIONS) < 0.01).astype(np.float32),
    }


def make_peer(algorithm: type[Any], hidden: tuple[int, ...], batch_size: int, **options: Any) -> Any:
    """A SAC of Stable-Baselines3's interface with a filled buffer."""
    import gymnasium
    from stable_baselines3.common.logger import configure

    class PeerSpaces(gymnasium.Env):  # only its spaces are used
        observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBS,), np.float32)
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)

    model = algorithm(
        "MlpPolicy", PeerSpaces(), buffer_size=TRANSITIONS, batch_size=batch_size, seed=0,
        policy_kwargs={"net_arch": list(hidden)}, **options,
    )  # fmt: skip
    model.set_logger(configure(None, []))
    data = transitions(seed=0)
    for n in range(TRANSITIONS):
        model.replay_buffer.add(
            data["obs"][n],
            data["next_obs"][n],
            data["action"][n],
            data["reward"][n],
            data["terminated"][n],
            [{}],
        )
    return model


def seconds(model: Any, updates: int, batch_size: int) -> float:
    """CPU time [s] for that many updates, one per call, as in a loop with one update per environment step."""
    start = time.process_time()
    for _ in range(updates):
        model.train(1, batch_size)
    return time.process_time() - start


def make_algorithm(peer: str, precision: str) -> tuple[type[Any], dict[str, Any]]:
    """The peer's class and its arguments besides the networks. One thread."""
    if peer == "sbx":
        from sbx import SAC

        return SAC, {}
    import torch
    from stable_baselines3 import SAC

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision(precision)
    return SAC, {"device": "cpu"}


def serve(peer: str, precision: str) -> None:
    """Answer on stdin and stdout until stdin ends."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # XLA sizes its pool from this
    algorithm, options = make_algorithm(peer, precision)
    width, batch_size = int(sys.stdin.readline()), int(sys.stdin.readline())
    model = make_peer(algorithm, (width, width), batch_size, **options)
    seconds(model, 20, batch_size)  # JAX compiles
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(f"{seconds(model, int(line), batch_size)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
