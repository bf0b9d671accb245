"""`keyturn client cutover`: how far a client's integrator has moved to its new secret, in words that people use."""

from datetime import timedelta
from typing import Annotated

import typer

from keyturn.cli.durations import format_age
from keyturn.cli.options import ClientId, Json
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.domain.encodings import identifier

_BECAUSE = {
    "silent": "The old secret has been silent for long enough.",
    "too_short": "The old secret has not been silent for long enough yet.",
    "telemetry_incomplete": "Silence is not shown: some verifier has not said lately how far it has counted.",
    "old_never_seen": "Silence is not shown: the old secret was never seen in use.",
    "no_rhythm": "Silence is not shown: this client was not seen often enough for its rhythm to be known.",
    "new_not_in_use": "Silence is not shown: the new secret is not in use yet, or not for one whole period.",
    "caller_not_moved": "Somebody who used the old secret has not been seen with the new one.",
}
_OTHERS = "(others)"


def cutover(
    context: typer.Context,
    client_id: ClientId,
    *,
    address: Annotated[str | None, typer.Option(help="Tell the tag of callers from this address (operator).")] = None,
    agent: Annotated[str | None, typer.Option(help="The product in their User-Agent, such as python-requests.")] = None,
    json: Json = False,
) -> None:
    """Show how far a client has moved to its new secret: as operator where this user is one, else as a member."""
    session = session_of(context)
    with waiting("Reading the client's use"):
        shown = _shown(session, identifier(client_id))
        asked = {} if address is None and agent is None else {"asked_caller": _tag(session, address, agent)}
    if json:
        print_json({**shown, **asked})
        return
    _report(shown)
    for tag in asked.values():
        print_note(f"Callers from {address or 'this machine'} as {agent or 'nothing'} are {tag}.")


def _tag(session: Session, address: str | None, agent: str | None) -> str:
    fields = {"address": address or "", "agent": agent or ""}
    return answers.text(session.server().operator("POST", "/callers", session.operator_token(), fields), "caller")


def _shown(session: Session, client_id: str) -> dict[str, object]:
    try:
        token = session.operator_token()
    except NoOperatorTokenError:
        return session.device().cutover(client_id)
    return session.server().operator("GET", f"/clients/{client_id}/cutover", token)


def _report(shown: dict[str, object]) -> None:
    if shown.get("old") is None:
        print_facts([("client", shown.get("client_id")), *_version_facts(shown, "new", "secret")])
        print_note("No version of it is in grace: everybody uses the one secret that there is.")
        return
    failures = answers.mapping(shown, "failures")
    times = [("new since", moment(shown.get("since"))), ("old until", moment(shown.get("not_after")))]
    shares = [
        ("old secret's share", _percent(shown.get("old_share"))),
        ("in the last day", _percent(shown.get("old_share_last_day"))),
    ]
    refused = [("refused meanwhile", answers.integer(failures, "count")), ("last", moment(failures.get("last_at")))]
    facts = [*times, *_version_facts(shown, "old", "old"), *_version_facts(shown, "new", "new"), *shares, *refused]
    print_facts([("client", shown.get("client_id")), *facts])
    titles = ("CALLER", "LAGS", "OLD USES", "LAST", "NEW USES", "LAST")
    callers = [_caller_row(item) for item in answers.mappings(shown, "callers")]
    print_table(titles, callers, empty="Nobody has authenticated yet.")
    for sentence in _sentences(shown):
        print_note(sentence)


def _version_facts(shown: dict[str, object], name: str, title: str) -> list[tuple[str, object]]:
    if shown.get(name) is None:
        return [(title, None)]
    version = answers.mapping(shown, name)
    return [
        (title, answers.text(version, "version_id")),
        (f"{title} uses", answers.integer(version, "uses")),
        (f"{title} last used", moment(version.get("last_at"))),
    ]


def _caller_row(caller: dict[str, object]) -> list[object]:
    return [
        answers.text(caller, "caller") or _OTHERS,
        "yes" if caller.get("lags") else "",
        answers.integer(caller, "old_uses"),
        moment(caller.get("old_last_at")),
        answers.integer(caller, "new_uses"),
        moment(caller.get("new_last_at")),
    ]


def _percent(share: object) -> str | None:
    return f"{share:.1%}" if isinstance(share, (int, float)) else None


def _sentences(shown: dict[str, object]) -> list[str]:
    if shown.get("rolled_back"):
        return ["The rotation was rolled back: the version in grace is the one that was given up."]
    warning = ["Somebody still uses the old secret, and its end is near."] if shown.get("at_risk") else []
    return [*warning, _forecast(shown), *_silence(shown)]


def _forecast(shown: dict[str, object]) -> str:
    found = answers.mapping(shown, "forecast")
    if not found.get("known"):
        return "It is too early to tell when use of the old secret will end."
    if found.get("ends_at") is None:
        return "Use of the old secret is not falling: as it is, it will not have ended when its grace does."
    when = moment(found.get("ends_at"))
    if answers.integer(found, "ends_at") <= answers.integer(shown, "now"):
        return "Use of the old secret has ended, as far as can be seen."
    in_time = "before its grace does" if found.get("in_time") else "too late: its grace ends before"
    return f"As it falls, use of the old secret ends about {when}, {in_time}."


def _silence(shown: dict[str, object]) -> list[str]:
    found, retire = answers.mapping(shown, "silence"), answers.mapping(shown, "retire")
    because = answers.text(found, "because")
    said = _BECAUSE.get(because, "")
    if found.get("needed_ms") is not None:
        lasted, needed = (_span(answers.integer(found, name)) for name in ("silent_for_ms", "needed_ms"))
        said += f" It is shown for {lasted}; {needed} are needed, by this client's own rhythm."
    if not retire.get("proposed"):
        return [said]
    client_id = answers.text(shown, "client_id")
    if retire.get("by_policy"):
        return [said, "The client's policy retires it at the next look, within the hour."]
    return [said, f"To end it now: `keyturn retire {client_id} --reason silent`."]


def _span(milliseconds: int) -> str:
    return format_age(timedelta(milliseconds=milliseconds))
