"""Acknowledgements in envelopes cost the deliveries beside them nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.envelope_acks import WAVE, deliver

if TYPE_CHECKING:
    from pathlib import Path


def test_no_delivery_is_prepared_twice(tmp_path: Path) -> None:
    costs = deliver(tmp_path / "envelope", in_envelope=True, clients=2 * WAVE)
    assert costs.signed == 2 * WAVE
    # A request and an acknowledgement for each rotation, and one delivery for each wave, with one lost race at most.
    assert costs.attempted <= 4 * WAVE + 3
