"""A service embeds the verifier: what that brings along, what it may ask of a store, and how much work a refusal is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import keyturn.verifier as facade
import pytest
from keyturn.domain.model import ClientStatus
from keyturn.ports.effects import monotonic
from keyturn.proofs.receipts import receipt_key
from keyturn.verifier import matching
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.verifier import Caching, Verifier

from tests.verifier.stage import CountedMac, Reachable, Stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tests.world import World

WRONG = "A" * 43
WITHOUT_SETTINGS = sorted(set(facade.__all__) - {"Authenticated", "Verifier"})
"""The names that need neither a web framework nor a deployment's settings."""
FOREIGN = (
    *(
        "functions",
        "keyturn.local",
        "keyturn.cli",
        "keyturn.device",
        "keyturn.adapters",
        "keyturn.entry",
        "keyturn.use_cases",
        "keyturn.mls",
    ),
    *("firebase_admin", "google.cloud.firestore", "google.auth", "grpc", "flask", "functions_framework", "sqlite3"),
    *("bcrypt", "starlette", "fastapi"),
)


def loaded(code: str) -> set[str]:
    """Return the modules of FOREIGN that are loaded after a program has run."""
    program = f"{code}; import sys; print(*sorted(set({FOREIGN!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    return set(done.stdout.split())


def test_it_brings_along_no_function_no_store_and_no_firebase() -> None:
    assert loaded(f"from keyturn.verifier import {', '.join(WITHOUT_SETTINGS)}") == set()


def test_the_verifier_of_a_deployment_loads_its_composition_and_no_framework_and_no_vendor() -> None:
    # The settings name the authorisers, which adapters and use cases implement.
    assert loaded("from keyturn.verifier import Verifier") <= {"keyturn.adapters", "keyturn.entry", "keyturn.use_cases"}


def test_every_public_name_exists_and_no_other() -> None:
    assert all(getattr(facade, name).__name__ for name in facade.__all__)
    assert set(dir(facade)) == set(facade.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = facade.Nothing  # type: ignore[attr-defined]  # that is the point


NO_GOOGLE = """
import sys
sys.modules.update({"google": None, "grpc": None, "google_crc32c": None})
from keyturn.verifier import Verifier
try:
    Verifier.from_environment({"KEYTURN_PROJECT": "a-project"})
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_verifier_for_google_cloud_without_its_libraries_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", NO_GOOGLE], capture_output=True, text=True, check=True)  # noqa: S603 - fixed words
    assert done.stdout.startswith("SettingsError")
    assert "pip install 'keyturn[verifier,gcp]'" in done.stdout


def test_without_telemetry_nothing_is_observed(world: World) -> None:
    environment = {"KEYTURN_STAGE": "local", "KEYTURN_DATA": str(world.folder)}
    silent, counting = (facade.Verifier.from_environment(environment, telemetry=on) for on in (False, True))
    assert (silent._observers, silent.callers) == ((), None)
    assert len(counting._observers) == 2
    assert counting.callers is not None


def test_a_check_reaches_cryptography_within_four_calls() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    process = stage.process()
    depths: list[int] = []

    def profile(frame: FrameType, event: str, argument: object) -> None:
        module = getattr(argument, "__module__", "") if event == "c_call" else frame.f_globals.get("__name__", "")
        if "call" in event and str(module).startswith("cryptography"):
            depths.append(_calls_since_check(frame) + (event == "c_call"))

    sys.setprofile(profile)
    try:
        assert process.verifier.check("acme", secret).accepted
    finally:
        sys.setprofile(None)
    assert depths
    assert depths[0] <= 4


def _calls_since_check(frame: FrameType) -> int:
    """Return how many calls lie between a frame and `Verifier.check`."""
    calls, code = 0, Verifier.check.__code__
    current: FrameType | None = frame
    while current is not None and current.f_code is not code:
        calls, current = calls + 1, current.f_back
    return calls


def test_it_asks_a_store_to_read_and_for_nothing_else() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    store = Reachable(stage.store)  # a commit fails the test
    verifier = Verifier(store, CountedMac(), stage.policy, caching=Caching(), failure_limits=FailureLimits(monotonic))
    answers = [verifier.check(*who).accepted for who in (("acme", secret), ("acme", WRONG), ("nobody", WRONG))]
    verifier.poll()
    assert answers == [True, False, False]
    assert set(store.calls) == {"get", "query"}


def _retired(stage: Stage, old: str) -> tuple[str, str]:
    stage.retire("acme")
    return "acme", old


def _standing(status: ClientStatus) -> Callable[[Stage, str], tuple[str, str]]:
    def stand(stage: Stage, old: str) -> tuple[str, str]:
        stage.stand("acme", status)
        return "acme", old

    return stand


REFUSED: dict[str, Callable[[Stage, str], tuple[str, str]]] = {
    "unknown client": lambda _stage, old: ("nobody", old),
    "malformed client": lambda _stage, old: ("a/b", old),
    "wrong secret": lambda _stage, _old: ("acme", WRONG),
    "malformed secret": lambda _stage, _old: ("acme", "x"),
    "retired": _retired,
    "suspended": _standing(ClientStatus.SUSPENDED),
    "revoked": _standing(ClientStatus.REVOKED),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_every_refusal_is_one_read_two_derivations_and_no_mac(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, derived = Stage(), list[int]()
    old = stage.promote("acme")
    stage.promote("acme")
    presented = REFUSED[kind](stage, old)

    def counted(secret: str, **ids: Any) -> bytes:  # noqa: ANN401 - passed on as it came
        derived.append(len(secret))
        return receipt_key(secret, **ids)

    monkeypatch.setattr(matching, "receipt_key", counted)
    process = stage.process()
    assert not process.verifier.check(*presented).accepted
    assert (process.store.calls, derived, process.mac.verified) == (["get"], [43, 43], 0)
