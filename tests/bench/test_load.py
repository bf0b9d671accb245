"""`make load` in small: the same rotations on SQLite, with counts in place of times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.adapters import document_values
from keyturn.use_cases.distribution import distribute

from bench import load
from bench.load_stage import AckedBy, raised

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_waits_goes_out_in_as_few_commits_as_the_limits_allow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (distribute, document_values, load):
        monkeypatch.setattr(module, "MAX_WRITES", 60)  # so that a few rotations need several commits
    with raised(tmp_path, load.GROUPS) as stage:
        graced = load.three_groups(stage, 6, AckedBy.ENVELOPE)
        waiting = load.one_group(stage, 33, AckedBy.ENVELOPE)
    assert graced.result.batches > 1  # they do not fit into one commit, and all were delivered
    assert (load.least_commits(33), waiting.result.batches) == (3, 3)
    assert waiting.result.counts.mac_calls <= 1.2 * 33
    assert graced.result.counts.refused == waiting.result.counts.refused == 0
