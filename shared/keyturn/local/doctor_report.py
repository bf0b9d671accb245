"""The doctor's report: one line per broken invariant and a hint, or a note that there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.cli.output import moment, print_error, print_json, print_note, print_table, print_warning
from keyturn.domain.encodings import to_milliseconds

if TYPE_CHECKING:
    from keyturn.adapters.sqlite.outbox import Depth
    from keyturn.local.doctor import Diagnosis
    from keyturn.use_cases.admins.edit_denylist import OperatorStop

_HINT = (
    "Stop `keyturn up`, copy the data folder as it is, and inspect the documents listed above. Nothing was changed. "
    "If an earlier backup is intact, restore the whole folder from it."
)


def report(diagnosis: Diagnosis, *, json: bool) -> None:
    """Print a diagnosis: the breaches to stdout as a table, the error and hint to stderr."""
    if json:
        print_json(fields(diagnosis))
        return
    if diagnosis.breaches:
        print_table(
            ("SUBJECT", "BREACH", "WHERE"),
            [(breach.subject, breach.sentence, breach.where) for breach in diagnosis.breaches],
            empty="",
        )
        print_error(f"{len(diagnosis.breaches)} broken invariants.", _HINT)
    else:
        print_note("No problems found: every invariant holds.")
    _print_notes(diagnosis)


def fields(diagnosis: Diagnosis) -> dict[str, object]:
    """Return a diagnosis as one JSON object."""
    depth = diagnosis.depth
    return {
        "breaches": [
            {"subject": breach.subject, "breach": breach.sentence, "where": breach.where}
            for breach in diagnosis.breaches
        ],
        "checked": {noun.replace(" ", "_"): count for noun, count in diagnosis.examination.counts.items()},
        "not_checked": list(diagnosis.examination.unstable),
        "frozen": diagnosis.freeze_reason or None,
        "stopped": _stop_fields(diagnosis.stop) if diagnosis.stop else None,
        "denials_agree": diagnosis.denials_agree,
        "outbox": _outbox_fields(depth) if depth else None,
    }


def _stop_fields(stop: OperatorStop) -> dict[str, object]:
    return {"since": to_milliseconds(stop.since), "reason": stop.reason}


def _outbox_fields(depth: Depth) -> dict[str, object]:
    return {
        "waiting": depth.waiting,
        "in_delivery": depth.leased,
        "dead_letters": depth.dead,
        "oldest": to_milliseconds(depth.oldest) if depth.oldest else None,
    }


def _print_notes(diagnosis: Diagnosis) -> None:
    counts, depth = diagnosis.examination.counts, diagnosis.depth
    print_note("checked: " + ", ".join(f"{count} {noun}" for noun, count in counts.items()))
    if depth:
        print_note(f"outbox: {depth.waiting} waiting, {depth.leased} in delivery, {depth.dead} dead letters")
    if diagnosis.freeze_reason:
        print_warning(
            f"This data folder was {diagnosis.freeze_reason}. It sends nothing until `keyturn thaw` (see its --help)."
        )
    if diagnosis.stop:
        since = moment(to_milliseconds(diagnosis.stop.since))
        print_warning(f"The service has been stopped since {since}, until `keyturn start`: {diagnosis.stop.reason}")
    if not diagnosis.denials_agree:
        print_warning(
            "A denylist or stop differs between the databases. Repeat the last `keyturn deny`, `stop` or `start`."
        )
    if depth and depth.dead:
        print_warning("There are dead letters, see `keyturn dead-letters list`.")
    for subject in diagnosis.examination.unstable:
        print_warning(f"Not checked, because it kept changing: {subject}.")
