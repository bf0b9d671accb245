"""The commands of one machine where an extra is not installed."""

from __future__ import annotations

import sys

import pytest
import typer
from keyturn.device.core.errors import UsageError
from keyturn.domain.policy import Policy
from keyturn.local.commands import _emulated, register
from keyturn.local.errors import LocalError
from keyturn.local.options import PathForm
from typer.testing import CliRunner


def test_emulators_without_googles_libraries_name_the_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("keyturn.local.emulator", "keyturn.local.kms"))]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("google", "google.api_core", "google.cloud", "google.protobuf", "grpc", "google_crc32c"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(LocalError) as refused:
        _emulated(None, Policy(), PathForm.STRIPPED)
    assert "keyturn[cli,server,gcp]" in refused.value.hint


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_form_of_paths_without_emulators_is_refused(command: str) -> None:
    root = typer.Typer()
    register(root)
    refused = CliRunner().invoke(root, [command, "--path", "kept"])
    assert isinstance(refused.exception, UsageError)
    assert "--emulators" in str(refused.exception)
