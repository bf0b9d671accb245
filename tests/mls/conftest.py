"""Says after the tests how many official vectors of which file ran."""

from collections import Counter

import pytest

from tests.mls.vectors import FOLDER

RAN = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RAN] = Counter()


@pytest.fixture
def count_vector(request: pytest.FixtureRequest) -> Counter[str]:
    """Give the counter of vectors that ran to their end, by file."""
    return request.config.stash[RAN]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the counts; the absence of the folder is said as plainly."""
    if not FOLDER.is_dir():
        terminalreporter.write_line("MLS vectors: the folder ../shared/vectors/mls is absent, NO official vector ran")
    for name, number in sorted(config.stash[RAN].items()):
        terminalreporter.write_line(f"MLS vectors: {name}.json: {number} passed")
