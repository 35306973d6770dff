"""The environment Throttle-v0, made as a test wants it."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import pytest

from policy_training.experience import environments
from tests.training.experience.throttle import Throttle


@pytest.fixture
def throttle() -> Iterator[Any]:
    """throttle(...) registers the environment "Throttle-v0" with these arguments."""

    def register(max_episode_steps: int | None = None, **arguments: Any) -> str:
        gymnasium.register("Throttle-v0", Throttle, kwargs=arguments, max_episode_steps=max_episode_steps)
        return "Throttle-v0"

    Throttle.seen.clear()
    environments._told.clear()
    yield register
    gymnasium.registry.pop("Throttle-v0", None)
