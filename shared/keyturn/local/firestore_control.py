"""What a Firestore emulator can be told besides Firestore's own calls: triggers, rules, a wipe. Loopback HTTP.

Each raises `LocalError` when the emulator does not do it.
"""

from __future__ import annotations

import http.client
import json
from typing import Any, cast
from urllib.parse import quote

from keyturn.local.errors import LocalError

_TIMEOUT_SECONDS = 30.0
_WRITTEN = "google.cloud.firestore.document.v1.written"
_HINT = "Is this the emulator's address? Stop it and start it again."


def register_trigger(host: str, project: str, trigger: str, pattern: str, *, database: str = "(default)") -> None:
    """Have every write of a document that `pattern` means (`a/{x}/b/{y}`) posted as a CloudEvent.

    It goes to `/functions/projects/PROJECT/triggers/TRIGGER` at the address that the emulator was started with. The
    emulator posts once: it neither retries nor waits longer than 20 s, and it posts a write that changed nothing.
    """
    wanted = {
        "eventType": _WRITTEN,
        "database": database,
        "namespace": "(default)",
        "document": {"value": pattern, "matchType": "PATH_PATTERN"},
    }
    path = f"/emulator/v1/projects/{project}/eventarcTrigger?eventarcTriggerId={quote(trigger, safe='')}"
    call_emulator(host, "POST", path, wanted)


def all_documents(host: str, project: str, *, database: str = "(default)") -> dict[str, dict[str, Any]]:
    """Return every document of one database by its path, its fields as Firestore's REST interface says them."""
    query = {"structuredQuery": {"from": [{"allDescendants": True}]}}
    root = f"projects/{project}/databases/{database}/documents"
    told = cast("list[dict[str, Any]]", call_emulator(host, "POST", f"/v1/{root}:runQuery", query))
    found = (item["document"] for item in told if "document" in item)
    return {item["name"].removeprefix(f"{root}/"): item.get("fields", {}) for item in found}


def call_emulator(host: str, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - what json.loads gives
    """Send one request to the emulator's own interface and return its JSON answer."""
    text = None if body is None else json.dumps(body)
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request(method, path, text, {"content-type": "application/json", "authorization": "Bearer owner"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise LocalError("The Firestore emulator refused.", _HINT)
        return json.loads(said or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        raise LocalError("The Firestore emulator does not answer as one.", _HINT) from None
    finally:
        connection.close()
