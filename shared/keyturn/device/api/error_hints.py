"""What the server's refusals mean for the person at the keyboard: its stable reason → what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.domain.errors import Refusal
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from keyturn.device.api.transport import Answer

NEW_CODE = "Ask for a new code: `keyturn device invite`."
_BY_REASON = {
    "absent": "`keyturn inbox` brings this device back with new keys.",
    "already_acknowledged": "Nothing is left for you to do: `keyturn rotation show` tells how far it is.",
    "already_exists": "Choose another --rotation-id, or leave it out.",
    "already_member": "Nothing is left for you to do: `keyturn group show` tells who is in it.",
    "awaits_approval": "Ask another admin for `keyturn admin approve`; then run this again.",
    "bad_invite": NEW_CODE,
    "bad_rotation_id": "`keyturn inbox` lists rotation ids; `keyturn rotate` makes one where none is given.",
    "bad_version_id": "`keyturn client show` lists a client's versions.",
    "challenge_refused": "Try again.",
    "client_exists": "Choose another id.",
    "denied": "An operator sees who and what is denied: `keyturn deny list`.",
    "frozen": "Whoever operates the service has to thaw it: `keyturn doctor` says how.",
    "grace_in_progress": "Wait until that window ends, or add --supersede to end it when the new version takes over.",
    "grace_out_of_bounds": "Give a --grace of at most 30d, or leave it out for the client's own.",
    "group_exists": "Choose another id.",
    "interval_too_short": "Schedule it later with --not-before, or use --emergency if it can't wait.",
    "invite_differs": "Ask whoever made it what it is for, and approve exactly that: --user and --purpose.",
    "invite_used": NEW_CODE,
    "malformed_npub": "Copy it whole, from `keyturn admin list`.",
    "not_active": "An operator sees who is suspended: `keyturn admin list`.",
    "not_in_group": "Have this device invited: `keyturn device invite`, then `device join`.",
    "not_before_too_early": "Give a later --not-before, or leave it out.",
    "not_before_too_late": "Give a --not-before of at most 90d, or leave it out.",
    "nothing_in_grace": "There is no version to go back to: rotate instead.",
    "not_registered": "A further device of a person takes an invite of its own: `device invite --purpose device`.",
    "own_invite": "Ask another admin: nobody approves for themselves.",
    "policy_out_of_bounds": "A client's --grace is at most 30d, its --quorum from 1 to 50.",
    "proof_refused": "Is it the code that your app shows now, not given before? If it is: `keyturn login`, then again."
    " Whoever is suspended or denied hears the same; an operator knows.",
    "quorum_unreachable": "Enrol more people with `keyturn device invite`, or lower the client's quorum.",
    "rotation_active": "Wait for it, or end it with `keyturn rotation cancel`.",
    "rotation_not_open": "`keyturn rotation show` says how it ended.",
    "stale_epoch": "The group changes fast: try again in a moment.",
    "stale_event": "Set this machine's clock: a command holds for two minutes only.",
    "stopped": "Only cancel, revoke and suspend are taken until an operator gives `keyturn start`.",
    "wrong_time": "Set this machine's clock: a proof holds for a minute or two only.",
}
_BY_ERROR = {
    "conflict": "Look at `keyturn client show`: something has changed meanwhile.",
    "internal_error": "It is not your doing: look at the server's log, then try again.",
    "invalid_request": "Check the ids and values of the command; `--help` says what they are.",
    "not_found": "Check the id: nothing by that name is there for you.",
    "policy_violation": "The client's policy decides: `keyturn client show` prints it.",
    "unauthorized_request": "Is this device still in a group that is authorised for the client?",
    "unavailable": "Try again in a moment.",
}
_UNKNOWN = "Try again; if it stays, look at the server's log."


def fields_of(answer: Answer) -> dict[str, object]:
    """Return the object that a good answer carries.

    `ServerRefusedError` for a problem (RFC 9457); `UnreachableError` for what the suite doesn't say.
    """
    fields = _object(answer)
    if answer.status == 200:  # noqa: PLR2004 - OK, the only status of a good answer
        return fields
    error, reason, detail = (str(fields.get(name) or "") for name in ("error", "reason", "detail"))
    hint = _hint(answer, error, reason)
    sentence = detail or str(fields.get("title") or "") or "The server refuses."
    raise ServerRefusedError(status=answer.status, error=error, reason=reason, detail=sentence, hint=hint)


def is_refused_verdict(answer: Answer) -> bool:
    """Return whether an answer says, in the words of the check, that a credential is refused."""
    return _object(answer).get("accepted") is False


def hint_of_reason(reason: str) -> str | None:
    """Return what to do next about a stable reason, None where its error says as much."""
    return _BY_REASON.get(reason)


def _object(answer: Answer) -> dict[str, object]:
    try:
        return load_object(answer.body)
    except Refusal:
        raise UnreachableError(
            "Something else than a keyturn server answers at this address.", "Check --url."
        ) from None


def _hint(answer: Answer, error: str, reason: str) -> str:
    if error == "rate_limited":
        return f"Try again in {answer.headers.get('retry-after', 'some')} seconds."
    return hint_of_reason(reason) or _BY_ERROR.get(error) or _UNKNOWN
