"""A checkpoint costs no memory beside the replay, and an interrupted one leaves the one before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from policy_training.checkpoint import load, save
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.files import replacing

ROOT = Path(__file__).parents[2]

# Memory of a process is told by /proc: VmHWM is its highest so far, RssAnon what is no page of a file.
RUN = """
import sys
from dataclasses import replace
from pathlib import Path
from policy_training.experience.replay import Memory
from policy_training.loops.off_policy import Trainer
from policy_training.runs.presets import NAV2D, preset

def told(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name + ":"))

trainer = Trainer(preset("sac", NAV2D), Path(sys.argv[1]))
table = trainer.memory.all
table.rows[:], table.size = 1.0, len(table.rows)
trainer.collector.begin()
before = told("VmHWM")
trainer.save()
print((told("VmHWM") - before) / table.rows.nbytes)

plain = Memory.load_state_dict
def noted(memory, state):
    print((told("RssAnon") - before) / table.rows.nbytes)
    plain(memory, state)

Memory.load_state_dict = noted
before = told("RssAnon")
trainer.restore()
"""


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, whose memory nothing else has touched."""
    command = (sys.executable, "-c", code, *map(str, arguments))
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def test_neither_saving_nor_resuming_holds_the_replay_twice(tmp_path: Path) -> None:
    done = child(RUN, tmp_path)
    assert done.returncode == 0, done.stderr
    saving, resuming = map(float, done.stdout.split())
    assert saving < 0.25, f"saving took {saving} of the replay's size on top of it"
    assert resuming < 0.25, f"resuming held {resuming} of the replay's size beside the table it fills"


def filled(count: int) -> Memory:
    """Rows that are all different."""
    memory = Memory(3, 2, seed=0, config=MemoryConfig(capacity=1000))
    i = np.arange(count, dtype=np.float32)
    obs, action = np.repeat(i[:, None], 3, axis=1), np.zeros((count, 2), np.float32)
    memory.add(obs, action, obs + 0.5, i, i % 3 == 0, i % 2)
    memory.add_initial(obs[:5])
    return memory


@pytest.mark.parametrize("mapped", [False, True])
def test_a_checkpoint_of_an_earlier_release_still_loads(mapped: bool, tmp_path: Path) -> None:
    memory, other = filled(50), Memory(3, 2, seed=1, config=MemoryConfig(capacity=1000))
    torch.save(memory.state_dict(), tmp_path / "m.pt")  # to a path and in one piece, as it was done
    other.load_state_dict(load(tmp_path / "m.pt", mapped=mapped))
    assert torch.equal(memory.batch(64).obs, other.batch(64).obs)
    np.testing.assert_array_equal(memory.all.rows, other.all.rows)


def test_learning_goes_on_from_a_mapped_checkpoint_without_changing_it(tmp_path: Path) -> None:
    path, memory = tmp_path / "m.pt", filled(50)
    save(path, memory.state_dict())
    before = path.read_bytes()
    state = load(path, mapped=True)
    state["all"]["rows"] += 1.0
    memory.load_state_dict(state)
    save(path.with_name("other.pt"), memory.state_dict())
    assert path.read_bytes() == before


@pytest.mark.parametrize("limit", [0, 4096, 300_000])
def test_a_disk_that_fills_up_at_any_point_is_told_and_leaves_the_old_checkpoint(
    limit: int, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, {"step": 1})
    # a file size limit makes write() fail as a full disk does
    code = """
import resource, signal, sys, torch
from pathlib import Path
from policy_training.checkpoint import save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    save(Path(sys.argv[1]), {"a": torch.zeros(50_000), "b": torch.zeros(50_000)})
except OSError as error:
    print(error.strerror)
"""
    done = child(code, path, limit)
    assert done.stdout == "File too large\n", done.stderr
    assert load(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_an_error_in_the_middle_of_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, {"step": 1})
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert load(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_kill_before_the_disk_has_it_all_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, {"step": 1})
    code = """
import os, signal, sys, torch
from pathlib import Path
from policy_training.checkpoint import save
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
save(Path(sys.argv[1]), {"x": torch.zeros(50_000)})
"""
    assert child(code, path).returncode == -signal.SIGKILL
    assert load(path) == {"step": 1}
    assert (tmp_path / ".checkpoint.pt.part").exists()
    save(path, {"step": 2})  # over what the kill left
    assert load(path) == {"step": 2} and os.listdir(tmp_path) == ["checkpoint.pt"]
