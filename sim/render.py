"""Images of a MuJoCo world, rendered in software if no graphics card is available."""

from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]  # (H, W, 3)

ADVICE = (
    "rendering needs an OpenGL library: install Debian's libosmesa6 and set MUJOCO_GL=osmesa, "
    "or install libegl1 with a graphics driver and set MUJOCO_GL=egl"
)


class RenderingUnavailableError(RuntimeError):
    """No OpenGL backend that MuJoCo can render with. The message says what to install."""


class Drawable(Protocol):
    """A world that can be rendered."""

    model: mujoco.MjModel
    data: mujoco.MjData


class Camera:
    """Renders a world from one of its cameras. `width`, `height` in pixels."""

    def __init__(self, width: int = 640, height: int = 480, camera: str = "front") -> None:
        self._size, self._camera = (height, width), camera
        self._renderer: Any = None
        self._model: mujoco.MjModel | None = None

    def picture(self, world: Drawable) -> Picture:
        """One image (H, W, 3)."""
        if self._model is not world.model:
            self.close()
            self._renderer, self._model = _renderer(world.model, *self._size), world.model
        self._renderer.update_scene(world.data, self._camera)
        return np.asarray(self._renderer.render(), dtype=np.uint8)

    def close(self) -> None:
        """Free the rendering context."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None


def _renderer(model: mujoco.MjModel, height: int, width: int) -> Any:
    """A MuJoCo renderer, or `RenderingUnavailableError`."""
    try:
        return mujoco.Renderer(model, height, width)
    except Exception as error:
        # PyOpenGL and MuJoCo raise many types here, from ImportError to MuJoCo's own fatal error.
        raise RenderingUnavailableError(f"{ADVICE} ({type(error).__name__}: {error})") from error


def strip(pictures: list[Picture], gap: int = 4) -> Picture:
    """Images (H, W, 3) side by side with a white gap [pixels]."""
    height = pictures[0].shape[0]
    white = np.full((height, gap, 3), 255, dtype=np.uint8)
    parts: list[Picture] = []
    for picture in pictures:
        parts += [picture, white]
    return np.hstack(parts[:-1])
