"""How a subcommand refuses, and a short run to be spoiled."""

from typing import Any

from spillguard.cli import main

SHORT = (
    "--env", "Nav2D-v0", "--steps", "120", "--warmup", "60", "--log-every", "40", "--eval-every", "60",
    "--eval-episodes", "1", "--hidden", "8", "--batch-size", "8", "--no-progress",
)  # fmt: skip


BROKEN = ("demo", "operator")  # these break their line at the width of the terminal


def refused(capfd: Any, *words: object) -> str:
    """The line that is said when these words are refused."""
    capfd.readouterr()
    try:
        status = main([str(word) for word in words])
    except SystemExit as end:
        status = end.code  # type: ignore[assignment]
    said = capfd.readouterr()
    lines = [line for line in (said.err or said.out).splitlines() if line.strip()]
    assert status in (1, 2), (words, said)
    assert "Traceback" not in said.err + said.out
    assert len(lines) == 1 or words[0] in BROKEN, lines
    return " ".join(lines)
