"""What a rotation on the emulators is made of, counted at a real one; and that its row is not run without them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bench.cloud_rotation import emulator_rotation_vs_floor
from bench.rows import NotRunError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.tier("java")
@pytest.mark.xdist_group("machine_on_emulators")
def test_calls_between_accepted_and_readable(tmp_path: Path) -> None:
    from bench.cloud_stage import raised

    with raised(tmp_path) as stage:
        stage.add("client-0")
        stage.rotate("client-0")  # the first one wires what it needs, and asks which key versions there are
        rotations = []
        for client_id in ("client-1", "client-2", "client-3"):
            stage.add(client_id)
            rotations.append(stage.rotate(client_id))
        calls = min(rotations, key=len)  # a poll or a sweep of the running machine may come in between
        stage.written()  # TooLateError if it never comes
        assert stage.published() > 0
    assert calls[0].name == calls[-1].name == "commit"
    counted = Counter(call.name for call in calls[1:])
    assert counted["commit"] == counted["publish"] == counted["query"] == 1
    assert counted["get"] == 3  # one of on_secret_version, two of distribute
    assert {name for name in counted if counted[name] == 1} >= {"decrypt", "encrypt", "mac_sign", "mac_verify"}


def test_without_java_the_row_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotRunError, match="java"):
        emulator_rotation_vs_floor(tmp_path)
