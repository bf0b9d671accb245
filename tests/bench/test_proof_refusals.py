"""The row of refusals at `admin_proof` times refusals, each for its own reason, and would notice a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import proof_refusals
from bench.alike import largest_t
from bench.proof_refusals import KINDS, proof_refusals_alike

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_kind_is_refused_and_waits_for_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, few in {"WORKERS": 8, "ROUNDS": 1, "WARM_UP": 0}.items():
        monkeypatch.setattr(proof_refusals, name, few)
    found = proof_refusals_alike(tmp_path).parts
    assert found["samples_each"] == 8
    assert all(found[f"{kind}_ms"] >= 500 for kind in KINDS)
    assert all(found[f"{kind}_work_ms"] < 500 for kind in KINDS)


def test_a_kind_that_takes_longer_is_told_apart_and_like_kinds_are_not() -> None:
    like = {kind: [1000 + number % 7 for number in range(400)] for kind in KINDS}
    assert largest_t(like)["t_all"] < 4.5
    assert largest_t({**like, "wrong_code": [time + 1 for time in like["wrong_code"]]})["t_all"] > 4.5
