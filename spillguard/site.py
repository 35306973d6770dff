"""`spillguard site check`: how a lab's own surroundings look to the monitor, before an arm moves in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from policy_training.terminal import parsed, subcommand
from sim.render import Camera, RenderingUnavailableError
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.site import Site, load_site
from spillguard_core.robot.arm import Vec, load_robot
from spillguard_core.robot.world import World

SIGHT = 0.5  # [m] within which pairs are listed
AWAY = 50.0  # [m]
PICTURE = (960, 720)  # [pixels]
CENTRE, DISTANCE = (0.4, 0.0, 0.3), 2.2  # [m] what the picture looks at, and from how far


@dataclass(frozen=True)
class SiteArguments:
    """Check a site file against an arm and a bundle: is it understood, what is close, how does it look?"""

    what: tyro.conf.Positional[Literal["check"]]
    "What to do."
    site: tyro.conf.Positional[Path]
    "YAML file of boxes, cylinders, planes and slow zones, or an MJCF file."
    bundle: Path = Path("artifacts/pour_coffee")
    "Directory of the bundle that is to run there."
    robot: str = "gen3"
    "Name of the arm, or a folder with its robot.yaml."
    clearance: float = 0.008
    "[m] that the monitor keeps, as in its parameters."
    closest: int = 10
    "Pairs to list."
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    "Picture to write; by default beside the site file."


class Pair(NamedTuple):
    """Two shapes and how far apart they are."""

    names: str
    gap: float  # [m]


def closest_pairs(bundle: Bundle, q: Vec) -> list[Pair]:
    """What comes close to what at a posture (J,) [rad], the closest first.

    What stands where it is sensed is left out: here it stands nowhere.
    """
    world = World(bundle.guard, SIGHT, bundle.robot.joint_names, bundle.task.placed)
    close = world.near([q], [np.full(3, AWAY)] * len(bundle.task.placed)).close
    return sorted((Pair(world.name(pair), gap) for pair, gap in close.items()), key=lambda pair: pair.gap)


@subcommand("site")
def main(words: Sequence[str]) -> int:
    """Exit status 0 if the monitor takes the site and the arm at rest keeps its clearance there."""
    args, console = parsed(SiteArguments, words, "spillguard site"), Console()
    robot, site = load_robot(args.robot), load_site(args.site)
    bundle = load_bundle(args.bundle, robot, site=site)
    pairs = closest_pairs(bundle, robot.rest)
    table = Table(title=f"{site.name}: closest pairs, {robot.name} at its rest posture", title_style="")
    table.add_column("pair")
    table.add_column("apart [mm]", justify="right")
    for pair in pairs[: args.closest]:
        colour = "red" if pair.gap < args.clearance else ""
        table.add_row(pair.names, f"{1e3 * pair.gap:.1f}", style=colour)
    console.print(table)
    for zone in site.zones:
        span = " x ".join(f"{a:g} to {b:g}" for a, b in zip(zone.low, zone.high, strict=True))
        console.print(f"slow zone {zone.name}: {zone.speed:g} m/s in {span} m", highlight=False)
    out = args.out or args.site.with_suffix(".png")
    try:
        draw(bundle, site, robot.rest, out)
        console.print(f"picture {out}", soft_wrap=True, highlight=False)
    except RenderingUnavailableError as error:
        console.print(f"picture none: {error}", soft_wrap=True, highlight=False)
    too_close = [pair for pair in pairs if pair.gap < args.clearance]
    if too_close:
        console.print(f"{len(too_close)} pairs are closer than {1e3 * args.clearance:g} mm", style="red")
    return int(bool(too_close))


def draw(bundle: Bundle, site: Site, q: Vec, out: Path) -> None:
    """The arm at q (J,) [rad] among the site's shapes; slow zones are seen through."""
    import mujoco  # after `sim`, which chooses how to draw without a screen
    from PIL import Image

    spec = mujoco.MjSpec.from_string(bundle.guard_text)
    for zone in site.zones:
        low, high = np.array(zone.low), np.array(zone.high)
        spec.worldbody.add_geom(
            name=f"zone {zone.name}", type=mujoco.mjtGeom.mjGEOM_BOX, pos=0.5 * (low + high),
            size=0.5 * (high - low), rgba=[1.0, 0.7, 0.0, 0.2], contype=0, conaffinity=0,
        )  # fmt: skip
    spec.visual.global_.offwidth, spec.visual.global_.offheight = PICTURE
    spec.visual.headlight.ambient = [0.45] * 3
    spec.worldbody.add_light(pos=[0.8, -0.8, 2.0], dir=[-0.4, 0.5, -1.0])
    away = DISTANCE / np.sqrt(3.0)
    eye = np.array(CENTRE) + away * np.array([1.0, -1.0, 0.8])
    spec.worldbody.add_camera(name="site", pos=eye, xyaxes=[0.71, 0.71, 0, -0.35, 0.35, 0.87], fovy=45)
    model = spec.compile()
    data = mujoco.MjData(model)
    joints = [model.joint(name).qposadr[0] for name in bundle.robot.joint_names]
    data.qpos[joints] = q
    mujoco.mj_forward(model, data)
    camera = Camera(*PICTURE, "site")
    try:
        Image.fromarray(camera.picture(SimpleNamespace(model=model, data=data))).save(out)
    finally:
        camera.close()
