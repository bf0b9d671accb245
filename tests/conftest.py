"""Asks for the tier of a test before it runs, and says after all tests which tiers ran (see tests/tiers.py)."""

from collections import Counter

import pytest

from tests.tiers import PROGRAMS, require


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tier(name): the test needs the programs of this tier, see tests/tiers.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: a missing program is no error of theirs."""
    for mark in item.iter_markers("tier"):
        item.user_properties.append(("tier", mark.args[0]))
        require(mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each tier that was asked for."""
    ran, left = (count(terminalreporter, *outcomes) for outcomes in (("passed", "failed", "error"), ("skipped",)))
    for tier in PROGRAMS:
        if ran[tier]:
            terminalreporter.write_line(f"tier {tier}: ran {ran[tier]} tests")
        if left[tier]:
            terminalreporter.write_line(f"tier {tier}: {left[tier]} tests NOT run")


def count(terminalreporter: pytest.TerminalReporter, *outcomes: str) -> Counter[str]:
    """Count the tests by tier that ended so; the tier travels in the report's properties, also between processes."""
    reports = [report for outcome in outcomes for report in terminalreporter.stats.get(outcome, ())]
    tiers = {(report.nodeid, name) for report in reports for key, name in report.user_properties if key == "tier"}
    return Counter(name for _, name in tiers)
