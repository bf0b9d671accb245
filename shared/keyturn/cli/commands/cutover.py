"""`keyturn client cutover`: the progress of a client's integrators from the old secret to the new one."""

from datetime import timedelta
from typing import Annotated

import typer

from keyturn.cli.durations import format_age
from keyturn.cli.output import moment, print_facts, print_json, print_note, print_table, waiting
from keyturn.cli.session import ClientId, Json, Session, session_of
from keyturn.device.api import response_fields as answers
from keyturn.device.core.errors import NoOperatorTokenError
from keyturn.domain.encodings import identifier

_SILENCE_SENTENCES = {
    "silent": "The old secret has been unused for long enough.",
    "too_short": "The old secret has not been unused for long enough yet.",
    "telemetry_incomplete": "Silence can't be report: a verifier has not reported its counts recently.",
    "old_never_seen": "Silence can't be report: the old secret was never seen in use.",
    "no_rhythm": "Silence can't be report: this client was not seen often enough to know its usual interval.",
    "new_not_in_use": "Silence can't be report: the new secret is not in use yet, or not for one whole interval.",
    "caller_not_moved": "A caller of the old secret has not been seen with the new one.",
}
_OTHERS = "(others)"


def cutover(
    context: typer.Context,
    client_id: ClientId,
    *,
    address: Annotated[str | None, typer.Option(help="Print the tag of callers from this address (operator).")] = None,
    agent: Annotated[
        str | None, typer.Option(help="The product in their User-Agent, for example python-requests.")
    ] = None,
    json: Json = False,
) -> None:
    """Show how far a client has moved to its new secret, as operator or as a member of its groups."""
    session = session_of(context)
    with waiting("Reading the client's usage"):
        report = _read(session, identifier(client_id))
        caller = {} if address is None and agent is None else {"asked_caller": _tag(session, address, agent)}
    if json:
        print_json({**report, **caller})
        return
    _report(report)
    for tag in caller.values():
        print_note(f"Callers from {address or 'this machine'} as {agent or 'nothing'} are {tag}.")


def _tag(session: Session, address: str | None, agent: str | None) -> str:
    fields = {"address": address or "", "agent": agent or ""}
    return answers.text(session.server().operator("POST", "/callers", session.operator_token(), fields), "caller")


def _read(session: Session, client_id: str) -> dict[str, object]:
    try:
        token = session.operator_token()
    except NoOperatorTokenError:  # members of its groups may see the counts, too
        return session.device().cutover(client_id)
    return session.server().operator("GET", f"/clients/{client_id}/cutover", token)


def _report(report: dict[str, object]) -> None:
    if report.get("old") is None:
        print_facts([("client", report.get("client_id")), *_version_facts(report, "new", "secret")])
        print_note("No version is in its grace period: all callers use the only secret.")
        return
    failures = answers.mapping(report, "failures")
    times = [("new since", moment(report.get("since"))), ("old until", moment(report.get("not_after")))]
    shares = [
        ("old secret's share", _percent(report.get("old_share"))),
        ("in the last day", _percent(report.get("old_share_last_day"))),
    ]
    failed = [("refused since then", answers.integer(failures, "count")), ("last", moment(failures.get("last_at")))]
    facts = [*times, *_version_facts(report, "old", "old"), *_version_facts(report, "new", "new"), *shares, *failed]
    print_facts([("client", report.get("client_id")), *facts])
    titles = ("CALLER", "LAGS", "OLD USES", "LAST", "NEW USES", "LAST")
    callers = [_caller_row(item) for item in answers.mappings(report, "callers")]
    print_table(titles, callers, empty="There are no authentications yet.")
    for sentence in _sentences(report):
        print_note(sentence)


def _version_facts(report: dict[str, object], name: str, title: str) -> list[tuple[str, object]]:
    if report.get(name) is None:
        return [(title, None)]
    version = answers.mapping(report, name)
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


def _sentences(report: dict[str, object]) -> list[str]:
    if report.get("rolled_back"):
        return ["The rotation was rolled back: the version in grace is the abandoned one."]
    warning = ["The old secret is still in use, and its end is near."] if report.get("at_risk") else []
    return [*warning, _forecast(report), *_silence(report)]


def _forecast(report: dict[str, object]) -> str:
    forecast = answers.mapping(report, "forecast")
    if not forecast.get("known"):
        return "It is too early to predict when use of the old secret will end."
    if forecast.get("ends_at") is None:
        return "Use of the old secret is not falling: it will not have ended when the grace period ends."
    when = moment(forecast.get("ends_at"))
    if answers.integer(forecast, "ends_at") <= answers.integer(report, "now"):
        return "Use of the old secret has ended, according to the counts."
    in_time = "before the grace period ends" if forecast.get("in_time") else "too late: the grace period ends before"
    return f"At the current rate, use of the old secret ends about {when}, {in_time}."


def _silence(report: dict[str, object]) -> list[str]:
    silence, retire = answers.mapping(report, "silence"), answers.mapping(report, "retire")
    because = answers.text(silence, "because")
    sentence = _SILENCE_SENTENCES.get(because, "")
    if silence.get("needed_ms") is not None:
        lasted, needed = (_span(answers.integer(silence, name)) for name in ("silent_for_ms", "needed_ms"))
        sentence += f" Unused for {lasted}, and {needed} are needed for this client."
    if not retire.get("proposed"):
        return [sentence]
    client_id = answers.text(report, "client_id")
    if retire.get("by_policy"):
        return [sentence, "The client's policy retires it within the hour."]
    return [sentence, f"To retire it now: `keyturn retire {client_id} --reason silent`."]


def _span(milliseconds: int) -> str:
    return format_age(timedelta(milliseconds=milliseconds))
