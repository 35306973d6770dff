"""The one place where an error of a subcommand becomes one line and an exit status.

    0    done
    1    it could not be done: a file, an environment, a number
    2 the command line cannot be parsed
    130  Ctrl-C

With ``SPILLGUARD_DEBUG=1`` an error keeps its traceback.
"""

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from rich.console import Console

DEBUG = "SPILLGUARD_DEBUG"
# Errors with a cause outside the program, shown to the user as one line. Any other error is a bug and keeps
# its traceback.
EXPECTED = (ValueError, OSError, ArithmeticError, RuntimeError, ImportError, EOFError, MemoryError)
USAGE, INTERRUPTED = 2, 130
_HOME = re.compile(r"^((?:-[\w-]+=)?(?:\w+:)?)~(?=/|$)")  # ~/x, --out=~/x, optim4rl:~/x
_BOX = re.compile("[─-╿]+")
T = TypeVar("T")
Main = Callable[[Sequence[str]], int]


class UsageError(ValueError):
    """A command line that cannot be parsed."""


def complain(command: str, error: BaseException | str, status: int = 1) -> int:
    """Print the error on one line, without markup. Returns the exit status."""
    console = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    console.print(f"{f'spillguard {command}'.strip()}: {told(error)}", style="red")
    return status


def told(error: BaseException | str) -> str:
    """An error in one line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__


def expanded(word: str) -> str:
    """A word of a command line with ``~`` expanded where a path begins."""
    return _HOME.sub(lambda found: f"{found[1]}{Path.home()}", word)


def subcommand(name: str) -> Callable[[Main], Callable[..., int]]:
    """Decorator of a `main`: takes the command line unless words are given, and prints errors as one line."""

    def decorated(main: Main) -> Callable[..., int]:
        @functools.wraps(main)
        def run(arguments: Sequence[str] | None = None) -> int:
            words = sys.argv[1:] if arguments is None else arguments
            try:
                return main([expanded(word) for word in words])
            except KeyboardInterrupt:
                return complain(name, "interrupted", INTERRUPTED)
            except EXPECTED as error:
                if os.environ.get(DEBUG):
                    raise
                return complain(name, error, USAGE if isinstance(error, UsageError) else 1)

        return run

    return decorated


def parsed(kind: type[T], words: Sequence[str], prog: str, **options: Any) -> T:
    """Parse the arguments of a subcommand into a dataclass. `UsageError` with a message of one line."""
    import tyro  # here, because the import takes a tenth of a second, too long for `spillguard operator hold`

    said = io.StringIO()
    asks = bool({"-h", "--help"} & {*words})
    try:
        with contextlib.nullcontext() if asks else _wide(), contextlib.redirect_stderr(said):
            return tyro.cli(
                Annotated[kind, tyro.conf.OmitArgPrefixes], prog=prog, args=list(words), **options
            )  # type: ignore[return-value,call-overload]
    except SystemExit as end:
        if not end.code:
            raise  # --help
        raise UsageError(f"{_plain(said.getvalue())}; {prog} see --help") from None


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """A console that does not wrap paths."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "2000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _plain(box: str) -> str:
    """The text of a box that tyro drew, without the box and its title."""
    lines = [_BOX.sub(" ", line).strip() for line in box.splitlines()[1:]]
    return "; ".join(line for line in lines if line and not line.startswith("For full helptext"))
