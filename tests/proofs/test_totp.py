from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from keyturn.proofs.totp import STEP_SECONDS, matching_step, provisioning_uri

SEED = b"12345678901234567890"  # RFC 6238, appendix B
FULL_WIDTH = {ord(digit): 0xFF10 + int(digit) for digit in "0123456789"}
NOW = datetime.fromtimestamp(59, UTC)


def test_the_codes_of_the_rfc_match_their_steps() -> None:
    for seconds, code in ((59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")):
        moment = datetime.fromtimestamp(seconds, UTC)
        assert matching_step(SEED, code, moment, 0) == seconds // STEP_SECONDS


@pytest.mark.parametrize(("shift", "accepted"), [(-61, False), (-30, True), (0, True), (30, True), (31, False)])
def test_the_window_is_one_step_either_way(shift: int, accepted: bool) -> None:  # noqa: FBT001 - a table's column
    now = NOW + timedelta(days=1)
    code = pyotp.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").at(now + timedelta(seconds=shift))
    assert (matching_step(SEED, code, now, 0) is not None) is accepted


def test_a_step_is_accepted_once_and_none_before_it() -> None:
    assert matching_step(SEED, "287082", NOW, after=1) is None
    assert matching_step(SEED, "287082", NOW, after=0) == 1


@pytest.mark.parametrize(
    "code", ["", "28708", "2870820", " 287082", "287082\n", "28708a", "287082".translate(FULL_WIDTH)]
)
def test_what_is_no_code_matches_no_step(code: str) -> None:
    assert matching_step(SEED, code, NOW, 0) is None


def test_the_uri_is_what_authenticator_apps_read() -> None:
    read = pyotp.parse_uri(provisioning_uri(SEED, "alice", "keyturn"))
    assert (read.name, read.issuer) == ("alice", "keyturn")
    assert isinstance(read, pyotp.TOTP)
    assert read.at(59) == "287082"
