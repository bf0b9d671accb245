"""Calls to the Firestore emulator that only tests need: wiping a database, installing rules, reading rule coverage.

Each raises `LocalError` when the emulator refuses.
"""

from __future__ import annotations

from typing import Any, cast

from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import call_emulator


def wipe(host: str, project: str, *, database: str = "(default)") -> None:
    """Delete all documents of one database of a project."""
    call_emulator(host, "DELETE", f"{_database(project, database)}/documents")


def release_rules(host: str, project: str, source: str, *, database: str = "(default)") -> None:
    """Install security rules for one database of a project; `LocalError` also for rules that do not compile."""
    rules = {"rules": {"files": [{"name": "firestore.rules", "content": source}]}}
    answer = call_emulator(host, "PUT", f"{_database(project, database)}:securityRules", rules)
    if answer.get("issues"):  # the emulator may answer 200 to a ruleset that does not compile
        raise LocalError("The security rules do not compile, so they were not installed.", "Correct firestore.rules.")


def rule_coverage(host: str, project: str, *, database: str = "(default)") -> dict[str, Any]:
    """Return the installed rules and `report`: which expressions were evaluated, to which value, how often.

    The emulator reports expressions only; a literal `false` is not one.
    """
    return cast("dict[str, Any]", call_emulator(host, "GET", f"{_database(project, database)}:ruleCoverage"))


def _database(project: str, database: str) -> str:
    return f"/emulator/v1/projects/{project}/databases/{database}"
