"""The peer's half of `benchmarks.on_policy`: runs where OmniSafe is installed, imports nothing of ours.

Arguments: algorithm, task, epochs, steps an epoch, passes, batch. Prints the CPU seconds of its training.
"""

import json
import sys
import tempfile
import time

NOT_INSTALLED = 3


def main() -> int:
    """Exit status 0 and one line of JSON, or `NOT_INSTALLED`."""
    algorithm, task, *numbers = sys.argv[1:]
    epochs, steps, passes, batch = map(int, numbers)
    try:
        import omnisafe
    except ImportError as error:
        sys.stderr.write(f"OmniSafe does not import here: {error}\n")
        return NOT_INSTALLED
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "train_cfgs": {"total_steps": epochs * steps, "vector_env_nums": 1, "torch_threads": 1},
            "algo_cfgs": {
                "steps_per_epoch": steps,
                "update_iters": passes,
                "batch_size": batch,
                "kl_early_stop": False,
            },
            "logger_cfgs": {
                "use_wandb": False,
                "use_tensorboard": False,
                "save_model_freq": 10**6,
                "log_dir": folder,
            },
            "model_cfgs": {"actor": {"hidden_sizes": [64, 64]}, "critic": {"hidden_sizes": [64, 64]}},
        }
        agent = omnisafe.Agent(algorithm, task, custom_cfgs=settings)
        start = time.process_time()
        agent.learn()
        passed = time.process_time() - start
    sys.stderr.write(json.dumps({"cpu_seconds": passed, "version": omnisafe.__version__}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
