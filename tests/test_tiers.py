import shutil
from pathlib import Path

import pytest

from tests.tiers import PROGRAMS, require


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("REQUIRE_EMULATORS", raising=False)


@pytest.mark.parametrize("tier", PROGRAMS)
@pytest.mark.usefixtures("bare_machine")
def test_a_tier_that_cannot_run_says_so(tier: str) -> None:
    with pytest.raises(pytest.skip.Exception, match=rf"tier {tier}: not run \(no {tier} on this machine\)"):
        require(tier)


@pytest.mark.parametrize("tier", PROGRAMS)
@pytest.mark.usefixtures("bare_machine")
def test_a_tier_that_is_required_fails(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_EMULATORS", "1")
    with pytest.raises(pytest.fail.Exception, match=f"tier {tier}: not run"):
        require(tier)


@pytest.mark.parametrize("tier", PROGRAMS)
def test_a_tier_whose_programs_are_there_runs(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("tests.tiers.require_emulators", lambda: None)
    monkeypatch.setattr("tests.tiers.may_mount", lambda: True)
    require(tier)


def test_a_missing_right_is_reported_and_not_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUIRE_EMULATORS", "1")
    monkeypatch.setattr("tests.tiers.may_mount", lambda: False)
    with pytest.raises(pytest.skip.Exception, match=r"tier mount: not run \(this user may not mount"):
        require("mount")


def test_java_alone_makes_no_emulators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_EMULATORS", raising=False)
    gcloud = tmp_path / "sdk" / "bin" / "gcloud"
    gcloud.parent.mkdir(parents=True)
    gcloud.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    gcloud.chmod(0o700)
    monkeypatch.setattr(shutil, "which", lambda name: str(gcloud.with_name(name)))
    with pytest.raises(pytest.skip.Exception, match=r"tier java: not run \(The Google Cloud CLI lacks"):
        require("java")
