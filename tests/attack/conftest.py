"""The rig of the gate's tests."""

import pytest

from tests.core.conftest import Rig


@pytest.fixture
def rig() -> Rig:
    return Rig()
