"""Rows: tokens and checks a second of `client_token`, against Authlib's endpoint and against the framework alone.

1. A second is a second of processor time (user and system) of the serving process, on the core that the servers are
   pinned to. On an idle machine that equals a second of the wall clock, which is reported beside it.
2. Every server that signs uses the local key file (ES256, `cryptography`). With Cloud KMS a token costs one call to
   it, in addition (docs/verifier.md).
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.rows import Measured
from bench.token_race import CHECK_REQUEST, TOKEN_REQUEST, windows

if TYPE_CHECKING:
    from pathlib import Path

    from bench.token_race import Request


def against_authlib_plain(folder: Path) -> Measured:
    """Return our tokens a second over those of Authlib's server that compares the secret as it is."""
    return _against("authlib_plain", folder, 0.4)


def against_authlib_bcrypt(folder: Path) -> Measured:
    """Return our tokens a second over those of Authlib's server that holds the secret against bcrypt, cost 10."""
    return _against("authlib_bcrypt", folder, 0.8)


def against_floor(folder: Path) -> Measured:
    """Return our tokens a second over the answers a second of functions-framework with a constant."""
    return _against("floor", folder, 0.4)


def check_against_floor(folder: Path) -> Measured:
    """Return our verdicts a second (`GET /check`) over the answers a second of functions-framework with a constant."""
    return _against("floor", folder, 0.4, CHECK_REQUEST)


def _against(other: str, folder: Path, window_seconds: float, request: Request = TOKEN_REQUEST) -> Measured:
    windows_by_server = windows(folder, ("ours", other), window_seconds, request)
    of_core = {name: [it.answer_count / it.processor for it in each] for name, each in windows_by_server.items()}
    parts = {f"{name}_per_core_second_local_key": median(each) for name, each in of_core.items()}
    walls = {
        f"{name}_per_second": median(it.answer_count / it.wall for it in each)
        for name, each in windows_by_server.items()
    }
    # Neighbouring windows are compared: what slows the machine down for a while slows both.
    ratio = median(ours / theirs for ours, theirs in zip(of_core["ours"], of_core[other], strict=True))
    return Measured(ratio, {**parts, **walls})
