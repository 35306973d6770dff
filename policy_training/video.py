"""`spillguard video`: one episode as a picture strip (PNG) and an animation (GIF)."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from PIL import Image
from rich.console import Console

import sim  # chooses an OpenGL before MuJoCo loads
from policy_training.episodes import HELD_OUT_SEEDS, ActionRule, make_env
from policy_training.terminal import complain
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
    env: str = "spillguard/PourCoffee-v0"
    "Environment; matters for bundles and scripted only."
    out: Path = Path("runs/video")
    "Folder of the pictures."


def frames(env_id: str, rule: ActionRule, seed: int) -> list[Picture]:
    """Pictures (H, W, 3) of one episode, one per `FRAME_EVERY` steps and the last."""
    env = make_env(env_id)
    if "rgb_array" not in env.metadata.get("render_modes", []):
        raise RenderingUnavailableError(f"{env_id} draws no pictures")
    env.unwrapped.render_mode = "rgb_array"
    obs, _ = env.reset(seed=seed)
    pictures: list[Any] = [env.unwrapped.render()]
    ended, step = False, 0
    while not ended:
        obs, _, terminated, truncated, _ = env.step(rule(obs))
        ended, step = terminated or truncated, step + 1
        if ended or step % FRAME_EVERY == 0:
            pictures.append(env.unwrapped.render())
    env.close()
    return pictures


def film(env_id: str, rule: ActionRule, seed: int, folder: Path) -> list[str]:
    """Write strip.png and episode.gif; the names written, none where rendering is not possible."""
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when pictures were written."""
    from policy_training.evaluate import EvaluateArguments, subject

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console = Console()
    args = tyro.cli(
        Annotated[VideoArguments, tyro.conf.OmitArgPrefixes], prog="spillguard video",
        args=sys.argv[1:] if arguments is None else list(arguments),
    )  # fmt: skip
    try:
        who = subject(EvaluateArguments(args.policy, env=args.env))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        return complain("video", error)
    written = film(who.env, who.rule, args.seed, args.out)
    console.print(f"{args.out}: {', '.join(written) or 'nothing written'}", soft_wrap=True)
    return 0 if written else 1


if __name__ == "__main__":
    raise SystemExit(main())
