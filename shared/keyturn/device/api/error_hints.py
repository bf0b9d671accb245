"""Hints for people: the server's stable reason or error code → what to do next."""

from __future__ import annotations

NEW_CODE = "Ask for a new code: `keyturn device invite`."
_CHECK_URL = "Check --url: it must be the server's base URL. `keyturn up` prints it."
_BY_REASON = {
    "absent": "`keyturn inbox` brings this device back with new keys.",
    "already_acknowledged": "Nothing left to do: `keyturn rotation show` prints the progress.",
    "already_exists": "Choose another --rotation-id, or leave it out.",
    "already_member": "Nothing left to do: `keyturn group show` prints the members.",
    "awaits_approval": "Ask another admin for `keyturn admin approve`; then run this again.",
    "bad_invite": NEW_CODE,
    "bad_reason": "Give --reason in 1 to 512 characters.",
    "bad_rotation_id": "`keyturn inbox` lists rotation ids; `keyturn rotate` creates one if you give none.",
    "bad_version_id": "`keyturn client show` lists a client's versions.",
    "challenge_refused": "Try again.",
    "client_exists": "Choose another id.",
    "denied": "An operator can list the denied users and keys: `keyturn deny list`.",
    "frozen": "The operator of the service must thaw it: `keyturn doctor` explains how.",
    "grace_in_progress": "Wait until that window ends, or add --supersede to end it when the new version takes over.",
    "grace_out_of_bounds": "Give a --grace of at most 30d, or leave it out for the client's own.",
    "group_exists": "Choose another id.",
    "group_full": "Remove people who left with `keyturn group remove`, or create another group.",
    "interval_too_short": "Schedule it later with --not-before, or use --emergency if it can't wait.",
    "invite_differs": "Ask the admin that made the invite for its --user and --purpose, and approve exactly those.",
    "invite_used": NEW_CODE,
    "malformed_npub": "Copy the whole key from `keyturn admin list`.",
    "newer_release": "Update the service and this CLI. If they are up to date, the operator runs `keyturn doctor`.",
    "not_active": "An operator can list suspended admins: `keyturn admin list`.",
    "not_in_group": "Have this device invited: `keyturn device invite`, then `device join`.",
    "not_before_too_early": "Give a later --not-before, or leave it out.",
    "not_before_too_late": "Give a --not-before of at most 90d, or leave it out.",
    "nothing_in_grace": "There is no version to go back to: rotate instead.",
    "not_registered": "Another device of the same user needs its own invite: `device invite --purpose device`.",
    "own_invite": "Ask another admin: you can't approve your own invite.",
    "policy_out_of_bounds": "A client's --grace is at most 30d, its --quorum from 1 to 50.",
    "proof_refused": "Use the code that your app shows now, and only once. If codes keep failing, set the phone's clock"
    " to automatic time. If that does not help, run `keyturn login` and try again."
    " Suspended and denied users get this answer too, and an operator sees the cause.",
    "quorum_unreachable": "Enrol more people with `keyturn device invite`, or lower the client's quorum.",
    "rotation_active": "Wait for it, or end it with `keyturn rotation cancel`.",
    "rotation_full": "So many people have acknowledged that no more are stored. `keyturn rotation show` prints them.",
    "rotation_not_open": "`keyturn rotation show` prints how it ended.",
    "secret_in_text": "Leave the secret out of the text. If it is in use, rotate it: your shell's history has it now.",
    "stale_epoch": "The group changes fast: try again in a moment.",
    "stale_event": "Set this machine's clock: a command is valid for two minutes only.",
    "stopped": "Only cancel, revoke and suspend are accepted until an operator runs `keyturn start`.",
    "too_many_admins": "Invite a user that is registered already, or use a second deployment.",
    "too_many_devices": "Name a device that is no longer used: `keyturn device invite --revoke NPUB`.",
    "unknown_door": _CHECK_URL,
    "unknown_path": _CHECK_URL,
    "wrong_url": "Give --url as the service's own base URL, exactly: signatures contain it. `keyturn up` prints it; in"
    " the cloud it is KEYTURN_BASE_URL.",
    "wrong_time": "Set this machine's clock: a proof is valid for a minute or two only.",
}
_BY_ERROR = {
    "conflict": "Look at `keyturn client show`: the state has changed meanwhile.",
    "internal_error": "The failure is the server's: look at its log, then try again.",
    "invalid_request": "Check the ids and values of the command; `--help` explains them.",
    "not_found": "Check the id. It does not exist, or you have no access to it.",
    "policy_violation": "The client's policy decides: `keyturn client show` prints it.",
    "unauthorized_request": "Check that this device is still in a group that may administer the client.",
    "unavailable": "Try again in a moment.",
}
_UNKNOWN = "Try again; if it fails again, look at the server's log."


def hint_of_reason(reason: str) -> str | None:
    """Return the hint for a reason, None if only its error code has one."""
    return _BY_REASON.get(reason)


def hint_of_refusal(error: str, reason: str, retry_after: str | None) -> str:
    """Return the hint for a refusal; `retry_after` is the answer's header of that name, in seconds."""
    if error == "rate_limited":
        return f"Try again in {retry_after or 'some'} seconds."
    return hint_of_reason(reason) or _BY_ERROR.get(error) or _UNKNOWN
