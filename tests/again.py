"""A test with real processes that fails while the machine stands still is taken again.

Its limits are those of the arm: a tenth of a second without a processor stops that, as it should, and the
test fails. Only a standstill noted since the attempt began excuses it, a few times in all, and the summary
lists every attempt. An unsafe command, a contact or a broken limit that a fault's repeat or a pour's outcome
reports is never excused.
"""

import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.ros.stalls import NAP, STALL, Stalls

TIMED = ("ros", "faults", "launch")
ATTEMPTS = 3
UNSAFE = r"unsafe=\('|'(contact|limit_broken)': 'true'"  # as a repeat of a fault and a pour say it
BEGAN = pytest.StashKey[float]()  # [s] steady time
STOOD_STILL = pytest.StashKey[float]()  # [s] until the failure
WATCHED = pytest.StashKey[Stalls]()


@pytest.fixture(scope="session")
def stalls(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stalls]:
    with Stalls(tmp_path_factory.mktemp("stalls")) as watched:
        request.config.stash[WATCHED] = watched
        yield watched


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if any(item.path.is_relative_to(here / folder) for folder in TIMED):
            watch(item)


def watch(item: pytest.Item) -> None:
    """Take this test again if it fails while the machine stands still."""
    item.fixturenames.insert(0, "stalls")
    excused = lambda: item.stash.get(STOOD_STILL, 0.0) > STALL  # noqa: E731
    item.add_marker(pytest.mark.flaky(reruns=ATTEMPTS - 1, condition=excused, rerun_except=UNSAFE))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[BEGAN], item.stash[STOOD_STILL] = time.monotonic(), 0.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    watched = item.config.stash.get(WATCHED, None)
    if call.excinfo is not None and watched is not None:
        time.sleep(2 * NAP)  # until a standstill has been written down
        item.stash[STOOD_STILL] = max(item.stash[STOOD_STILL], watched.longest(item.stash[BEGAN]))
    report = yield
    if report.failed and item.stash[STOOD_STILL] > 0.0:
        report.sections.append(("standstill", f"a processor stood still for {item.stash[STOOD_STILL]:.3f} s"))
    return report
