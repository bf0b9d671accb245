"""`make simulate`: run seeds of the simulator, and tell the story of those that break a promise."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.simulation.campaign import Campaign, run_campaign, tell_seed
from tests.simulation.report_file import ReportError, code_digest, load_report, save_report

_STORIES = 3
_SAVE_EVERY = 100


def main() -> int:
    """Run what the command line asks for. Return 0 if every promise is kept and no situation is missing."""
    parser = argparse.ArgumentParser(prog="make simulate")
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, help="run one seed and tell its story")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="the situations of that seed to play, from 0")
    parser.add_argument("--report", type=Path, help="a file in which several runs add up; its seeds are not run again")
    options = parser.parse_args()
    if options.seed is not None:
        sys.stdout.write(tell_seed(options.seed, options.only) + "\n")
        return 0
    seeds = range(options.first, options.first + options.seeds)
    try:
        campaign = _run(seeds, options.processes, options.report)
    except ReportError as error:
        parser.error(str(error))
    sys.stderr.write("\n")
    sys.stdout.write("\n".join([*campaign.lines(), ""]))
    for seed in sorted({seed for seed, _ in campaign.violations})[:_STORIES]:
        sys.stdout.write(f"\n{tell_seed(seed)}\n")
    return 0 if campaign.is_good else 1


def _run(seeds: range, processes: int, report: Path | None) -> Campaign:
    if report is None:
        return run_campaign(seeds, processes, _show_progress)
    code = code_digest()  # before the run: the code may be changed during a long one
    campaign = load_report(report, code)

    def save(campaign: Campaign) -> None:
        _show_progress(campaign)
        if campaign.seeds % _SAVE_EVERY == 0:
            save_report(report, campaign, code)

    missing = [seed for seed in seeds if seed not in campaign.ran]
    try:
        return run_campaign(missing, processes, save, campaign)
    finally:
        save_report(report, campaign, code)


def _show_progress(campaign: Campaign) -> None:
    if campaign.seeds % 10 == 0:
        sys.stderr.write(f"\r{campaign.seeds} seeds, {len(campaign.violations)} violations ")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
