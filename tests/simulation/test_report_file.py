"""Runs of a campaign add up in its file, as if they were one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulation.campaign import Campaign, Crash
from tests.simulation.oracle import Violation
from tests.simulation.report_file import SOURCES, ReportError, code_digest, load_report, ranges, save_report
from tests.simulation.run import run_seed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.simulation.run import Result, Template

CODE = "0" * 64
SEEDS = (0, 1, 4)


@pytest.fixture(scope="module")
def results(template: Template) -> list[Result]:
    return [run_seed(seed, template) for seed in SEEDS]


def test_runs_add_up_as_if_they_were_one(results: list[Result], tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    whole = Campaign()
    runs: list[Result | Crash] = [*results, Crash(9, "ValueError")]
    broken = (SEEDS[0], Violation("the audit is whole", "An entry does not follow.", 12.5))
    for result in runs:
        part = load_report(path, CODE)
        for campaign in (whole, part):
            campaign.add(result)
            if result.seed == broken[0]:
                campaign.violations.append(broken)
        save_report(path, part, CODE)
    total = load_report(path, CODE)
    assert total == whole
    assert list(total.lines()) == list(whole.lines())
    assert (total.seeds, total.is_good) == (4, False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["campaign.json"]


def test_a_seed_counts_once(results: list[Result], tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    campaign = Campaign()
    campaign.add(results[0])
    save_report(path, campaign, CODE)
    again = load_report(path, CODE)
    again.add(results[0])
    assert again == campaign


def test_a_report_of_other_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    save_report(path, Campaign(), CODE)
    with pytest.raises(ReportError, match="other code"):
        load_report(path, "1" * 64)


def test_a_folder_that_does_not_exist_is_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="Create it first"):
        load_report(tmp_path / "reports" / "campaign.json", CODE)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"code": "' + CODE + '", "ran": [1]}'])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "campaign.json"
    path.write_text(content)
    with pytest.raises(ReportError, match="not the report"):
        load_report(path, CODE)


def test_the_digest_follows_the_code_and_not_its_tests(tmp_path: Path) -> None:
    for source in SOURCES:
        path = tmp_path / source
        path = path if path.suffix else path / "module.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")
    before = code_digest(tmp_path)
    (tmp_path / "tests/simulation/test_module.py").write_text("a test")
    assert code_digest(tmp_path) == before
    for source in SOURCES:
        path = tmp_path / source
        path = path if path.suffix else path / "module.py"
        path.write_text("second")
        assert code_digest(tmp_path) != before, source
        path.write_text("first")
    assert code_digest(tmp_path) == before


def test_seeds_are_stored_as_ranges() -> None:
    assert ranges([]) == []
    assert ranges([5, 1, 2, 3, 9]) == [(1, 3), (5, 5), (9, 9)]
