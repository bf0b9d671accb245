"""Documents of the kinds that no step of the story in `stores` writes."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from keyturn.ports.attestation import DeviceKey
from keyturn.records.admin import Admin, AdminDevice, AdminStatus
from keyturn.records.admin_directory import AdminDirectory, AdminEntry
from keyturn.records.codec import to_data
from keyturn.records.denylist import Denylists
from keyturn.records.retired_use import RetiredUse
from keyturn.records.usage import CallerUse, Canaries, ClientFailures, RevokedToken, VerifierLife, VersionUse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.ports.store import Data

Sample: TypeAlias = "Callable[[Mapping[str, str], datetime], tuple[str, str, Data]]"
"""(ids, now) → database, path and content."""

DAY = timedelta(days=1)


def _device(ids: Mapping[str, str]) -> AdminDevice:
    return AdminDevice(ids["npub"], DeviceKey("dev_attest", "device", b"public key"))


SAMPLES: dict[str, Sample] = {
    "service/denied": lambda _ids, _now: (
        "control",
        "service/denied",
        to_data(Denylists(("mallory",), ("f" * 64,), ("closed",))),
    ),
    "proofs/{jti}": lambda ids, now: (
        "control",
        f"proofs/{ids['id']}",
        {"npub": ids["npub"], "client_id": ids["client_id"], "at": now, "expires_at": now + DAY},
    ),
    "challenges/{nonce}": lambda ids, now: (
        "auth",
        f"challenges/{ids['id']}",
        {"user": "bob", "expires_at": now + DAY, "act": ids["id"]},
    ),
    "admins/{user}": lambda ids, _now: (
        "auth",
        "admins/bob",
        to_data(Admin("bob", "subject-bob", AdminStatus.ACTIVE, (_device(ids),), b"sealed")),
    ),
    "npubs/{npub}": lambda ids, _now: ("auth", f"npubs/{ids['npub']}", {"user": "bob"}),
    "service/admins": lambda _ids, now: (
        "auth",
        "service/admins",
        to_data(AdminDirectory("bob", now, (AdminEntry("bob", "subject-bob", AdminStatus.ACTIVE),))),
    ),
    "admin_standing/{user}": lambda _ids, now: (
        "control",
        "admin_standing/mallory",
        {"user": "mallory", "status": "suspended", "at": now},
    ),
    "refusals/{day_shard}": lambda ids, now: (
        "usage",
        f"refusals/{now:%Y%m%d}-0",
        {
            "entries": [
                {
                    "at": now,
                    "door": "admin_proof",
                    "user": "bob",
                    "npub": ids["npub"],
                    "client_id": ids["client_id"],
                    "group": "operations-team",
                    "missing": ["totp"],
                }
            ],
            "expires_at": now + DAY,
        },
    ),
    "honeytokens/{version}": lambda ids, now: (
        "usage",
        f"honeytokens/{ids['version_id']}",
        to_data(RetiredUse(ids["client_id"], ids["version_id"], 1, now, now, now + DAY)),
    ),
    "version_usage/{shard}": lambda ids, now: (
        "usage",
        f"version_usage/{ids['version_id']}-0",
        to_data(
            VersionUse(
                *(ids["client_id"], ids["version_id"], 3, now, now, "492000:3"),
                (CallerUse("tag", 3, now, now, "492000"),),
                now + DAY,
            )
        ),
    ),
    "client_failures/{shard}": lambda ids, now: (
        "usage",
        f"client_failures/{ids['client_id']}-0",
        to_data(ClientFailures(ids["client_id"], 1, now, "492000:1", now + DAY)),
    ),
    "verifiers/{process}": lambda _ids, now: (
        "usage",
        "verifiers/process-1",
        to_data(VerifierLife("process-1", 1, now, now, None, None, now + DAY)),
    ),
    "revoked_tokens/{token}": lambda ids, now: (
        "usage",
        f"revoked_tokens/{ids['id']}",
        to_data(RevokedToken(ids["client_id"], now + DAY)),
    ),
    "canaries/{rotation}": lambda ids, now: (
        "usage",
        f"canaries/{ids['rotation_id']}",
        to_data(Canaries(ids["rotation_id"], ids["client_id"], ids["version_id"], ("instance",), now + DAY)),
    ),
}
