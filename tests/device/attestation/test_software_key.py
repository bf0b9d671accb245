from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.device.attestation.software_key import KIND, SoftwareKey, software_key
from keyturn.device.home.home import Home
from keyturn.ports.attestation import AttestationRefused

from tests.world import CHEAP

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def key() -> SoftwareKey:
    return SoftwareKey(os.urandom(32))


def test_the_registered_credential_makes_the_later_assertions(key: SoftwareKey) -> None:
    device = DevAttestation().register(key.registration(b"an invite"), b"an invite", NOW)
    assert (device.kind, device.device_id) == (KIND, key.device_id)
    assert DevAttestation().check(key.assertion(b"a request"), b"a request", device, NOW) == 0


def test_an_assertion_is_valid_for_one_statement_only(key: SoftwareKey) -> None:
    device = DevAttestation().register(key.registration(b"an invite"), b"an invite", NOW)
    with pytest.raises(AttestationRefused, match="bad_signature"):
        DevAttestation().check(key.assertion(b"a request"), b"another", device, NOW)


def test_its_repr_shows_no_key(key: SoftwareKey) -> None:
    assert repr(key) == "SoftwareKey()"


def test_a_home_has_one_and_keeps_it_sealed(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "laptop", "passphrase", cost=CHEAP)
    made = software_key(home, os.urandom)
    assert software_key(Home.open(tmp_path / "home", "passphrase"), os.urandom) == made
    files = b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())
    assert made.private_key not in files
