"""A client whose secret was imported as a bcrypt hash."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import bcrypt
from keyturn.domain.imported_secret import BCRYPT
from keyturn.domain.model import Version, VersionState

if TYPE_CHECKING:
    from tests.verifier.stage import Stage

OLD = "the secret of old"


def hashed(value: str, prefix: bytes = b"2b") -> str:
    return (
        bcrypt.hashpw(value.encode()[:72], bcrypt.gensalt(4, prefix=b"2b"))
        .decode()
        .replace("$2b", f"${prefix.decode()}")
    )


def imported(stage: Stage, client_id: str = "acme", value: str = OLD) -> Version:
    """Give a client its first version, by the hash of its value."""
    born = stage.version(client_id)
    version = replace(
        born,
        algo=BCRYPT,
        secret_hash=hashed(value),
        mac_key_ref=None,
        receipt_key=None,
        rotation_id="",
        state=VersionState.CURRENT,
    )
    stage.secrets[version.version_id] = value
    stage.write(stage.state(client_id).with_versions(version).with_client(current_version=version.version_id))
    return version
