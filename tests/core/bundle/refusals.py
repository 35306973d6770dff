"""How the tests of bad bundles ask for a refusal."""

from pathlib import Path
from typing import Any

import pytest

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.manifest import BundleError


def refused(bundle: Path, message: str, **options: Any) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(bundle, **options)
