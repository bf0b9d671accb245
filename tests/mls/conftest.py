"""Says after the tests how many official vectors of which file ran, and how much the random sequences did."""

from collections import Counter

import pytest

from tests.mls.vectors import FOLDER


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts; the absence of the folder is said as plainly. Properties travel between processes, too."""
    if not FOLDER.is_dir():
        terminalreporter.write_line("MLS vectors: the folder ../shared/vectors/mls is absent, NO official vector ran")
    passed = terminalreporter.stats.get("passed", ())
    ran = Counter(name for report in passed for key, name in report.user_properties if key == "vector")
    for name, number in sorted(ran.items()):
        terminalreporter.write_line(f"MLS vectors: {name}.json: {number} passed")
    for done in (value for report in passed for key, value in report.user_properties if key == "machine"):
        terminalreporter.write_line("MLS machine: " + ", ".join(f"{what} {number}" for what, number in done.items()))
