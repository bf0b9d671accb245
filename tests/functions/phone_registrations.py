"""Registrations of phones that do not count, one row a registration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from keyturn.adapters.attestation.app_attest import DEVELOPMENT

from tests.adapters.attestation.apple_phone import ROOT
from tests.adapters.attestation.authorities import root
from tests.world import START

REGISTRATIONS: dict[str, dict[str, Any]] = {
    "App Attest chain to another root": {"issuer": root("Another Root").intermediate()},
    "App Attest leaf without its chain": {"chain": ["leaf"]},
    "App Attest certificate that expired": {"ends": START - timedelta(days=1)},
    "App Attest authority that expired": {"issuer": ROOT.intermediate(ends=START - timedelta(days=1))},
    "App Attest certificate without the nonce": {"extension": b""},
    "App Attest certificate over another nonce": {"extension": bytes.fromhex("3024a1220420") + bytes(32)},
    "App Attest counter that is not zero": {"counter": 1},
    "App Attest key id of another key": {"claimed": bytes(32)},
    "App Attest of the development environment": {"aaguid": DEVELOPMENT},
}
