"""Every test file that the documentation names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_file_that_the_documentation_names_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md")]
    named = {
        (page.relative_to(ROOT), path)
        for page in pages
        if page.name != "CHANGELOG.md"  # names files as they were
        for path in re.findall(r"\btests/[\w/]+(?:\.\w+)?", page.read_text())
    }
    missing = [f"{page}: {path}" for page, path in sorted(named) if not (ROOT / path).exists()]
    assert len(named) > 40
    assert missing == []
