"""Imported credentials: what bcrypt says, how often it is asked, and that nobody else waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.encodings import new_secret
from keyturn.domain.imported_secret import BCRYPT
from keyturn.domain.model import RetiredBecause
from keyturn.verifier import imported_check as legacy
from keyturn.verifier.hash_functions import check_hash
from keyturn.verifier.imported_check import ImportedBusy, ImportedChecker
from keyturn.verifier.verdict import Reason

from tests.verifier.imported_hash import OLD, hashed, imported
from tests.verifier.stage import Process, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


class Counted:
    """bcrypt itself, counted; and a gate at which computing waits while it is shut."""

    def __init__(self) -> None:
        self.asked = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, password: bytes, hashed: str) -> bool:
        self.asked += 1
        assert self.gate.wait(20)
        return check_hash(password, hashed)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def agrees() -> Iterator[Counted]:
    counted = Counted()
    yield counted
    counted.gate.set()


@pytest.fixture
def process(stage: Stage, agrees: Counted) -> Process:
    process = stage.process()
    process.verifier._imported = ImportedChecker(stage.clock.process(0.0), agrees, slots=1)
    return process


def test_an_imported_secret_is_accepted_by_its_hash_and_kept(stage: Stage, process: Process, agrees: Counted) -> None:
    version = imported(stage)
    verdict = process.verifier.check("acme", OLD)
    assert (verdict.accepted, verdict.version_id, verdict.state) == (True, version.version_id, "current")
    assert process.mac.verified == 0
    assert [process.verifier.check("acme", OLD).accepted for _ in range(3)] == [True] * 3
    assert agrees.asked == 1


@pytest.mark.parametrize("wrong", ["", "The secret of old", OLD + " ", new_secret(bytes(32)), "a\0b", "x" * 600])
def test_another_value_is_refused(stage: Stage, process: Process, wrong: str) -> None:
    imported(stage)
    assert process.verifier.check("acme", wrong).reason is Reason.NO_MATCH


@pytest.mark.parametrize("kind", [b"2a", b"2b", b"2y"])
def test_every_kind_of_hash_that_is_taken_verifies(kind: bytes) -> None:
    version = replace(Stage().version("acme"), algo=BCRYPT, secret_hash=hashed(OLD, kind))
    assert ImportedChecker(lambda: 0.0).matches(OLD, version)
    assert not ImportedChecker(lambda: 0.0).matches(OLD + "x", version)


def test_seventy_two_bytes_count_as_where_the_hash_comes_from() -> None:
    value = "0123456789" * 9
    version = replace(Stage().version("acme"), algo=BCRYPT, secret_hash=hashed(value))
    assert [ImportedChecker(lambda: 0.0).matches(one, version) for one in (value, value[:72], value[:71])] == [
        True,
        True,
        False,
    ]


def test_a_damaged_hash_is_nobodys(stage: Stage, process: Process) -> None:
    version = imported(stage)
    state = stage.state("acme")
    stage.write(state.with_versions(replace(version, secret_hash="$2b$04$" + "b" * 53)))
    assert not process.verifier.check("acme", OLD).accepted


def test_both_verify_until_the_end_of_grace_and_then_the_new_one_alone(stage: Stage, process: Process) -> None:
    imported(stage)
    new = stage.promote("acme", grace_seconds=600)
    assert [process.verifier.check("acme", one).state for one in (OLD, new)] == ["grace", "current"]
    stage.clock.seconds += 601
    assert [process.verifier.check("acme", one).accepted for one in (OLD, new)] == [False, True]


def test_a_retired_import_never_verifies_again(stage: Stage, process: Process) -> None:
    version = imported(stage)
    assert process.verifier.check("acme", OLD).accepted
    stage.promote("acme")
    stage.write(
        stage.state("acme").with_versions(version.retire(RetiredBecause.REVOKED)).with_client(previous_version=None)
    )
    process.verifier.poll()
    assert not process.verifier.check("acme", OLD).accepted


def test_what_matched_is_remembered_and_what_did_not_is_not(agrees: Counted) -> None:
    now = [0.0]
    version = replace(Stage().version("acme"), algo=BCRYPT, secret_hash=hashed(OLD))
    checks = ImportedChecker(lambda: now[0], agrees)
    assert [checks.matches(OLD, version) for _ in range(3)] == [True] * 3
    assert agrees.asked == 1
    assert [checks.matches("wrong", version) for _ in range(2)] == [False] * 2
    assert agrees.asked == 3
    now[0] += legacy.MEMORY_SECONDS
    assert checks.matches(OLD, version)
    assert agrees.asked == 4


def test_what_is_remembered_is_of_one_version_and_hash(agrees: Counted) -> None:
    stage = Stage()
    version = replace(stage.version("acme"), algo=BCRYPT, secret_hash=hashed(OLD))
    checks = ImportedChecker(lambda: 0.0, agrees)
    assert checks.matches(OLD, version)
    assert not checks.matches(OLD, replace(version, secret_hash=hashed("another")))
    assert checks.matches(OLD, replace(version, client_id="bcme"))
    assert agrees.asked == 3


def test_what_is_remembered_is_bounded(agrees: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "MOST_REMEMBERED", 2)
    versions = [replace(Stage().version(f"c{n}"), algo=BCRYPT, secret_hash=hashed(OLD)) for n in range(4)]
    checks = ImportedChecker(lambda: 0.0, agrees)
    assert all(checks.matches(OLD, version) for version in versions)
    assert len(checks._matched_until) == 2


def test_other_clients_are_checked_while_bcrypt_has_more_than_it_can_do(
    stage: Stage, process: Process, agrees: Counted
) -> None:
    """One slot, and it does not come to an end: everything that waits, waits; all others are served, hot and cold."""
    imported(stage)
    hot, cold = stage.promote("hot"), stage.promote("cold")
    assert process.verifier.check("hot", hot).accepted
    agrees.gate.clear()
    with ThreadPoolExecutor(legacy.PLACES + 8) as pool:
        waiting = [pool.submit(process.verifier.check, "acme", f"guess {n}") for n in range(legacy.PLACES)]
        while process.verifier._imported._places_taken < legacy.PLACES:
            pass
        with pytest.raises(ImportedBusy):
            process.verifier.check("acme", OLD)
        verdicts = [process.verifier.check(*pair) for pair in (("hot", hot), ("cold", cold), ("cold", "A" * 43))]
        assert [verdict.accepted for verdict in verdicts] == [True, True, False]
        assert agrees.asked == 1
        agrees.gate.set()
        ended = [future.exception() for future in waiting]
    assert {type(error) for error in ended} <= {type(None), ImportedBusy}
    assert process.verifier.check("acme", OLD).accepted


def test_the_same_value_at_once_is_computed_once(agrees: Counted) -> None:
    version = replace(Stage().version("acme"), algo=BCRYPT, secret_hash=hashed(OLD))
    checks = ImportedChecker(lambda: 0.0, agrees, slots=4)
    agrees.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(checks.matches, OLD, version) for _ in range(8)]
        while checks._places_taken < 8:
            pass
        agrees.gate.set()
        assert [future.result() for future in futures] == [True] * 8
    assert (agrees.asked, checks._places_taken, checks._running) == (1, 0, {})


def test_who_waits_too_long_is_told_and_so_is_who_joined(agrees: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy, "WAIT_SECONDS", 0.01)
    version = replace(Stage().version("acme"), algo=BCRYPT, secret_hash=hashed(OLD))
    checks = ImportedChecker(lambda: 0.0, agrees, slots=1)
    agrees.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(checks.matches, OLD, version)
        while not agrees.asked:
            pass
        with pytest.raises(ImportedBusy):
            checks.matches("another", version)
        agrees.gate.set()
        assert first.result()
    assert (checks._places_taken, checks._running) == (0, {})


def test_nobody_loads_bcrypt_who_has_no_imported_client() -> None:
    loaded = "import sys, keyturn.verifier.verifier, functions.client_token.main; print('bcrypt' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)  # noqa: S603 - our own words
    assert told.stdout.strip() == "False"


def test_a_secret_that_says_its_version_is_taken_for_no_padded_version() -> None:
    """What is kept for a version's tokens is found by no presented value, whatever it is made of."""
    stage = Stage()
    process, _secret = stage.process(), stage.promote("acme")
    version_id = str(stage.state("acme").client.current_version)
    assert process.verifier.check_version("acme", version_id).accepted
    for value in (version_id, f"{version_id:>43}", f"\0v{version_id}", f"v{version_id}", f"\0{version_id}"):
        assert not process.verifier.check("acme", value).accepted
        assert not process.verifier.check("acme\0v" + version_id, value).accepted
        assert not process.verifier.check("acme" + value[:-1], value[-1:]).accepted
