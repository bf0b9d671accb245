from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.identity.local_identity import LIFETIME, LocalIdentity
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.domain.errors import InvalidRequest
from keyturn.ports.identity import IdentityRefused

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def identity(tmp_path: Path) -> LocalIdentity:
    keys = LocalKeys.open_or_create(tmp_path / "authority.json", os.urandom)
    return LocalIdentity(keys.signer, "https://here.example/local_identity", "https://here.example/admin_proof")


def test_the_authority_is_believed_while_its_token_lasts(identity: LocalIdentity) -> None:
    token = identity.issue("alice", NOW)
    assert identity.subject(token, NOW) == "alice"
    assert identity.subject(token, NOW + LIFETIME - timedelta(seconds=1)) == "alice"


def test_clocks_may_differ_by_ten_seconds(identity: LocalIdentity) -> None:
    token = identity.issue("alice", NOW)
    for accepted in (NOW - timedelta(seconds=10), NOW + LIFETIME + timedelta(seconds=9)):
        assert identity.subject(token, accepted) == "alice"
    for refused in (NOW - timedelta(seconds=11), NOW + LIFETIME + timedelta(seconds=10)):
        with pytest.raises(IdentityRefused):
            identity.subject(token, refused)


def test_another_authority_of_the_same_name_is_not(identity: LocalIdentity, tmp_path: Path) -> None:
    other = LocalKeys.open_or_create(tmp_path / "other.json", os.urandom)
    with pytest.raises(IdentityRefused) as refusal:
        identity.subject(replace(identity, signer=other.signer).issue("alice", NOW), NOW)
    assert str(refusal.value) == "unknown_key"  # a key id is the key's own thumbprint


def test_a_subject_is_an_id(identity: LocalIdentity) -> None:
    with pytest.raises(InvalidRequest):
        identity.issue("../alice", NOW)


def test_its_name_says_what_it_is(identity: LocalIdentity) -> None:
    assert identity.name == "local_identity"
