"""What a refusal of the server's means for the person at the keyboard."""

from __future__ import annotations

import json

import pytest
from keyturn.device.api.client import HttpResponse, fields_of
from keyturn.device.core.errors import ServerRefusedError

WRONG_ADDRESS = "Check --url: it must be the server's base URL. `keyturn up` prints it."


def hint(error: str, reason: str) -> str:
    """Return the hint for a problem (RFC 9457) of these stable words."""
    problem = {"error": error, "reason": reason, "detail": "No."}
    with pytest.raises(ServerRefusedError) as refused:
        fields_of(HttpResponse(400, {"retry-after": "30"}, json.dumps(problem).encode()))
    return refused.value.hint


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        ("unauthorized_request", "bad_invite", "Ask for a new code: `keyturn device invite`."),
        ("conflict", "invite_used", "Ask for a new code: `keyturn device invite`."),
        ("conflict", "client_exists", "Choose another id."),
        ("conflict", "group_exists", "Choose another id."),
        ("conflict", "rotation_not_open", "`keyturn rotation show` prints how it ended."),
        ("policy_violation", "policy_out_of_bounds", "A client's --grace is at most 30d, its --quorum from 1 to 50."),
        ("policy_violation", "another", "The client's policy decides: `keyturn client show` prints it."),
        ("not_found", "another", "Check the id. It does not exist, or you have no access to it."),
        ("not_found", "unknown_door", WRONG_ADDRESS),
        ("not_found", "unknown_path", WRONG_ADDRESS),
        ("rate_limited", "per_client", "Try again in 30 seconds."),
        ("another", "another", "Try again; if it fails again, look at the server's log."),
    ],
)
def test_a_refusal_says_what_to_do_next(error: str, reason: str, says: str) -> None:
    assert hint(error, reason) == says
