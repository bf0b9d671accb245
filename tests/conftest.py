"""Asks for the tier of a test before it runs, and says after all tests which tiers ran (see tests/tiers.py)."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

# Before gRPC is imported. It would start its threads again in a forked process, and these close descriptors there
# whose numbers belong to other files by then (tests/test_forks.py).
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

from tests.emulators import firestore_channel, firestore_host, firestore_store, project
from tests.tiers import PROGRAMS, require
from tests.world import opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.world import World

RULE_COVERAGE = "rule coverage"
"""What a test of rules tells as a property: how often each rule came to which value."""

__all__ = ["firestore_channel", "firestore_host", "firestore_store", "project"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tier(name): the test needs the programs of this tier, see tests/tiers.py")
    config.addinivalue_line("markers", "world(*users, **options): the deployment of the `world` fixture, see there")


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Serve one deployment while the test runs (tests/world.py).

    Without a mark nothing is founded in it yet. `@pytest.mark.world(*users, client=..., **options)` founds a group, a
    client with the fields of `client`, and the devices of the users, unless `founded=False`; the other options are
    the fields of `World`. The mark nearest to the test counts, as a whole. `EACH_STORE` runs the test on each store.
    """
    mark = request.node.get_closest_marker("world")
    options: dict[str, Any] = {"founded": False} if mark is None else dict(mark.kwargs)
    users, client, founded = mark.args if mark else (), options.pop("client", {}), options.pop("founded", True)
    if hasattr(request, "param"):
        options["kind"] = request.param
    if options.get("kind") == "firestore":
        options |= {"host": request.getfixturevalue("firestore_host"), "project": request.getfixturevalue("project")}
    with opened(tmp_path, **options) as world:
        yield world.found(*users, **client) if founded else world


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: a missing program is no error of theirs."""
    for mark in item.iter_markers("tier"):
        item.user_properties.append(("tier", mark.args[0]))
        require(mark.args[0])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests of each tier ran, and the name of each that did not."""
    ran, left = (tests(terminalreporter, *outcomes) for outcomes in (("passed", "failed", "error"), ("skipped",)))
    if ran or left:
        terminalreporter.section("tiers")
    for tier in PROGRAMS:
        if here := {test for name, test in ran if name == tier}:
            terminalreporter.write_line(f"tier {tier}: ran {len(here)} tests")
        # Without its parameters a name says enough.
        for name, cases in Counter(test.partition("[")[0] for name, test in left if name == tier).items():
            terminalreporter.write_line(f"tier {tier}: not run: {name} ({cases})")
    for report in terminalreporter.stats.get("passed", ()):
        for coverage in (value for key, value in report.user_properties if key == RULE_COVERAGE):
            terminalreporter.write_line(f"{RULE_COVERAGE}, {report.nodeid.partition('[')[2].rstrip(']')}: {coverage}")


def tests(terminalreporter: pytest.TerminalReporter, *outcomes: str) -> list[tuple[str, str]]:
    """List the tests that ended so by tier, which travels in a report's properties, also between processes."""
    reports = [report for outcome in outcomes for report in terminalreporter.stats.get(outcome, ())]
    # A module that cannot be collected is reported, too, without properties.
    said = ((report.nodeid, getattr(report, "user_properties", ())) for report in reports)
    found = ((tier, test) for test, properties in said for key, tier in properties if key == "tier")
    return list(dict.fromkeys(found))  # a test may have failed and then gone wrong in its teardown too
