"""The peer's half of `benchmarks.omnisafe_runs`: trains where OmniSafe is installed, imports nothing of ours.

Arguments: algorithm, task, seed, steps, folder for its log. Everything else is OmniSafe's default.
"""

import sys


def main() -> None:
    """Train."""
    import omnisafe

    algorithm, task, seed, steps, folder = sys.argv[1:]
    settings = {
        "seed": int(seed),
        "train_cfgs": {"total_steps": int(steps), "vector_env_nums": 1, "torch_threads": 1, "parallel": 1},
        "logger_cfgs": {
            "use_wandb": False,
            "use_tensorboard": False,
            "save_model_freq": 10**6,
            "log_dir": folder,
        },
    }
    omnisafe.Agent(algorithm, task, custom_cfgs=settings).learn()


if __name__ == "__main__":
    main()
