"""How a subcommand says what went wrong."""

from rich.console import Console


def complain(command: str, error: Exception) -> int:
    """Print the error as it is, brackets of units included; exit status 1."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    console.print(f"spillguard {command}: {error}", style="red")
    return 1
