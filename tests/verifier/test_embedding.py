"""A service embeds the verifier: what that brings along, what it may ask of a store, and how much work a refusal is."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.model import ClientStatus
from keyturn.proofs.receipts import receipt_key
from keyturn.verifier import matching
from keyturn.verifier.failure_limits import Budgets
from keyturn.verifier.verifier import Caching, Verifier, monotonic

from tests.verifier.stage import CountedMac, Reachable, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

WRONG = "A" * 43
MODULES = (
    "verifier",
    "tokens",
    "failure_limits",
    "middleware.wsgi",
    "middleware.asgi",
    "telemetry",
    "callers",
    "honeytoken",
)
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


def test_it_brings_along_no_function_no_store_and_no_firebase() -> None:
    imports = ", ".join(f"keyturn.verifier.{name}" for name in MODULES)
    asked = f"import sys, {imports}; print(*sorted(set({FOREIGN!r}) & sys.modules.keys()))"
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    assert told.stdout.strip() == ""


def test_it_asks_a_store_to_read_and_for_nothing_else() -> None:
    stage = Stage()
    secret = stage.promote("acme")
    store = Reachable(stage.store)  # a commit fails the test
    verifier = Verifier(store, CountedMac(), stage.policy, caching=Caching(), budgets=Budgets(monotonic))
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
