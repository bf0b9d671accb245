"""Calls to a Firestore emulator that are not part of Firestore's API, over loopback HTTP.

Each raises `LocalError` if the emulator refuses.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, cast
from urllib.parse import quote

from keyturn.local.errors import LocalError

_TIMEOUT_SECONDS = 30.0
_WRITTEN = "google.cloud.firestore.document.v1.written"
_HINT = "Check the emulator's address, or restart it."


def register_trigger(host: str, project: str, trigger: str, pattern: str, *, database: str = "(default)") -> None:
    """Make the emulator post a CloudEvent for every write of a document that matches `pattern` (`a/{x}/b/{y}`).

    It posts to `/functions/projects/PROJECT/triggers/TRIGGER` at the address that it was started with. It does not
    retry, waits at most 20 s, and also posts writes that change nothing.
    """
    definition = {
        "eventType": _WRITTEN,
        "database": database,
        "namespace": "(default)",
        "document": {"value": pattern, "matchType": "PATH_PATTERN"},
    }
    path = f"/emulator/v1/projects/{project}/eventarcTrigger?eventarcTriggerId={quote(trigger, safe='')}"
    call_emulator(host, "POST", path, definition)


def all_documents(host: str, project: str, *, database: str = "(default)") -> dict[str, dict[str, Any]]:
    """Return all documents of one database by path, with their fields in the form of Firestore's REST API."""
    query = {"structuredQuery": {"from": [{"allDescendants": True}]}}
    root = f"projects/{project}/databases/{database}/documents"
    results = cast("list[dict[str, Any]]", call_emulator(host, "POST", f"/v1/{root}:runQuery", query))
    documents = (result["document"] for result in results if "document" in result)
    return {item["name"].removeprefix(f"{root}/"): item.get("fields", {}) for item in documents}


def call_emulator(host: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - what json.loads gives
    """Send one request to the emulator's own interface and return its JSON answer."""
    text = None if body is None else json.dumps(body)
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, text, {"content-type": "application/json", "authorization": "Bearer owner"})
        response = connection.getresponse()
        content = response.read()
        if response.status != http.HTTPStatus.OK:
            raise LocalError("The Firestore emulator refused a request.", _HINT)
        return json.loads(content or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        raise LocalError("The Firestore emulator does not respond.", _HINT) from None
    finally:
        connection.close()
