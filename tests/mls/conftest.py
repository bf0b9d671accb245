"""Reports after the tests how many official vectors of each file ran, and the size of the random sequences."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts. Properties also travel between the processes of pytest-xdist."""
    passed = terminalreporter.stats.get("passed", ())
    ran = Counter(name for report in passed for key, name in report.user_properties if key == "vector")
    for name, number in sorted(ran.items()):
        terminalreporter.write_line(f"MLS vectors: {name}.json: {number} passed")
    for done in (value for report in passed for key, value in report.user_properties if key == "machine"):
        terminalreporter.write_line("MLS machine: " + ", ".join(f"{what} {number}" for what, number in done.items()))
