"""`spillguard video`: one episode as a picture strip (PNG) and an animation (GIF)."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from PIL import Image
from rich.console import Console

import sim  # selects the OpenGL backend before MuJoCo loads
from policy_training.experience.environments import Array, LearnersEnv, make_env
from policy_training.experience.episodes import HELD_OUT_SEEDS, ActionRule, transitions
from policy_training.terminal import parsed, subcommand
from sim.render import Picture, RenderingUnavailableError, strip

logger = logging.getLogger(__name__)
STRIP_PICTURES = 6
FRAME_EVERY = 2  # steps
GIF_WIDTH = 400  # [pixels]
assert sim


@dataclass(frozen=True)
class VideoArguments:
    """Render one episode of a policy."""

    policy: tyro.conf.Positional[str]
    "Run folder, checkpoint file, bundle folder, or the word scripted."
    seed: int = HELD_OUT_SEEDS
    "Seed of the episode."
    env: str | None = None
    "Environment of the scripted controller, PourCoffee by default; a run and a bundle have their own."
    out: Path = Path("runs/video")
    "Folder of the pictures."


def frames(env_id: str, rule: ActionRule, seed: int) -> list[Picture]:
    """Pictures (H, W, 3) of one episode, one per `FRAME_EVERY` steps and the last."""
    env = make_env(env_id)
    if "rgb_array" not in env.metadata.get("render_modes", []):
        raise RenderingUnavailableError(f"{env_id} draws no pictures")
    env.unwrapped.render_mode = "rgb_array"
    pictures: list[Any] = []
    steps = count()

    def watched(obs: Array) -> Array:
        if next(steps) % FRAME_EVERY == 0:
            pictures.append(_drawn(env))
        return rule(obs)

    for _ in transitions(env, watched, seed):
        pass
    pictures.append(_drawn(env))
    env.close()
    return pictures


def _drawn(env: LearnersEnv) -> Any:
    try:
        return env.unwrapped.render()
    except Exception as error:  # a renderer may fail in many ways; the episode itself is unaffected
        raise RenderingUnavailableError(f"{env.name} cannot be drawn: {error}") from error


def film(env_id: str, rule: ActionRule, seed: int, folder: Path) -> list[str]:
    """Write strip.png and episode.gif. Returns the names written; none if rendering is not possible."""
    try:
        pictures = frames(env_id, rule, seed)
    except RenderingUnavailableError as error:
        logger.warning("no pictures: %s", error)
        return []
    folder.mkdir(parents=True, exist_ok=True)
    chosen = np.linspace(0, len(pictures) - 1, STRIP_PICTURES).round().astype(int)
    rows = [strip([pictures[i] for i in part]) for part in np.split(chosen, 2)]
    Image.fromarray(np.vstack(rows)).save(folder / "strip.png", optimize=True)
    height = GIF_WIDTH * pictures[0].shape[0] // pictures[0].shape[1]
    small = [Image.fromarray(p).resize((GIF_WIDTH, height)).quantize(64) for p in pictures]
    small[0].save(
        folder / "episode.gif", save_all=True, append_images=small[1:], duration=50 * FRAME_EVERY, loop=0,
        optimize=True,
    )  # fmt: skip
    return ["strip.png", "episode.gif"]


@subcommand("video")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when pictures were written."""
    from policy_training.evaluation.subject import subject

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console(markup=False)
    args = parsed(VideoArguments, words, "spillguard video")
    who = subject(args.policy, args.env)
    written = film(who.env, who.rule, args.seed, args.out)
    console.print(f"{args.out}: {', '.join(written) or 'nothing written'}", soft_wrap=True)
    return 0 if written else 1


if __name__ == "__main__":
    raise SystemExit(main())
