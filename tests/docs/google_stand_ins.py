"""Stand-ins for Google in the shell lines of docs/deploy.md: Identity Platform over HTTP, `gcloud` and `terraform`.

They answer only the calls of the page. Everything else in a line is the real program.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.local.server import Server
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ADDRESS = "https://identitytoolkit.googleapis.com"
"""The address in the page that a stand-in replaces."""
API_KEY = "the-api-key"
ACCESS_TOKEN = "the-access-token"


@dataclass
class IdentityPlatform:
    """Adds users, and signs them in with their password. `id_token(user)` makes their ID token."""

    project: str
    id_token: Callable[[str], str]
    users: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = Server(0, Request.application(self._answer))

    def _answer(self, request: Request) -> Response:
        fields = json.loads(request.get_data() or b"{}")
        is_administrator = request.headers.get("Authorization") == f"Bearer {ACCESS_TOKEN}"
        if is_administrator and request.path == f"/v1/projects/{self.project}/accounts":
            self.users[fields["email"]] = fields
            return _json({"localId": fields["localId"]})
        if is_administrator and request.path == f"/admin/v2/projects/{self.project}/config":
            return _json({"client": {"apiKey": API_KEY}})
        user = self.users.get(fields.get("email", ""), {})
        is_sign_in = request.path == "/v1/accounts:signInWithPassword" and request.args.get("key") == API_KEY
        if is_sign_in and user.get("password") == fields["password"]:
            return _json({"idToken": self.id_token(user["localId"])})
        return Response(status=403)


def _json(fields: Mapping[str, object]) -> Response:
    return Response(json.dumps(fields), content_type="application/json")


def write_programs(folder: Path, answers: Mapping[str, Mapping[str, str]]) -> None:
    """Write programs into `folder`: by name, by their whole argument list, what they print. All other calls fail."""
    folder.mkdir()
    for name, outputs in answers.items():
        cases = "".join(f"  '{arguments}') printf '%s\\n' '{output}' ;;\n" for arguments, output in outputs.items())
        program = folder / name
        program.write_text(f'#!/bin/sh\ncase "$*" in\n{cases}  *) echo "{name} $*: not here" >&2; exit 97 ;;\nesac\n')
        program.chmod(0o700)
