"""The key file that signs tokens is read when the function starts, and the log names the cause of a refusal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.entry.handlers.client_token import open_sign_key

import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_start_reads_a_good_file_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    LocalKeys.open_or_create(tmp_path / "own" / "sign.json", os.urandom)
    open_sign_key({"KEYTURN_SIGN_KEY_FILE": str(tmp_path / "own" / "sign.json")})
    open_sign_key({})
    assert caplog.messages == []


def test_start_names_the_cause_of_a_refusal_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "own" / "sign.json"
    monkeypatch.setenv("KEYTURN_SIGN_KEY_FILE", str(path))
    main.__getattr__("client_token")
    LocalKeys.open_or_create(path, os.urandom)
    path.chmod(0o644)
    main.__getattr__("client_token")
    path.write_text("5")
    path.chmod(0o600)
    main.__getattr__("client_token")
    main.__getattr__("status")
    assert caplog.messages == [
        "KEYTURN_SIGN_KEY_FILE: the key file is missing",
        "KEYTURN_SIGN_KEY_FILE: the key file has mode 0644, it must be 0400, 0440, 0600 or 0640",
        "KEYTURN_SIGN_KEY_FILE: the key file is damaged, or is not a keyturn key file",
    ]
