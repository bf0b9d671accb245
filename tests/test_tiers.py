import shutil

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
    require(tier)
