"""An end user's client of Firestore: plain REST, with the token that an emulator believes, or with none."""

from __future__ import annotations

import http.client
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field


def unsigned_token(project: str, uid: str, **claims: object) -> str:
    """Return the token of a signed-in user, without a signature: the emulator takes it at its word."""
    issuer = f"https://securetoken.google.com/{project}"
    said = {"sub": uid, "user_id": uid, "aud": project, "iss": issuer, "iat": 1, "exp": 2**33, **claims}
    return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(said)}."


def _part(content: object) -> str:
    return urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@dataclass
class Rest:
    """Calls to one database of a project with one token; each returns HTTP's status."""

    host: str
    project: str
    database: str
    token: str | None = field(default=None, repr=False)
    _connection: http.client.HTTPConnection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.host, timeout=30)

    def close(self) -> None:
        self._connection.close()

    @property
    def root(self) -> str:
        return f"projects/{self.project}/databases/{self.database}/documents"

    def call(self, method: str, path: str, body: object = None) -> int:
        headers = {"content-type": "application/json"} | (
            {"authorization": f"Bearer {self.token}"} if self.token else {}
        )
        self._connection.request(method, f"/v1/{self.root}{path}", json.dumps(body) if body else None, headers)
        answer = self._connection.getresponse()
        answer.read()  # the connection serves the next call
        return answer.status

    def get(self, path: str) -> int:
        return self.call("GET", f"/{path}")

    def batch_get(self, path: str) -> int:
        return self.call("POST", ":batchGet", {"documents": [f"{self.root}/{path}"]})

    def list(self, path: str) -> int:
        return self.call("GET", f"/{_collection(path)}")

    def query(self, path: str) -> int:
        parent, _, collection = f"/{_collection(path)}".rpartition("/")
        return self.call("POST", f"{parent}:runQuery", {"structuredQuery": {"from": [{"collectionId": collection}]}})

    def query_group(self, path: str) -> int:
        group = {"collectionId": _collection(path).rpartition("/")[2], "allDescendants": True}
        return self.call("POST", ":runQuery", {"structuredQuery": {"from": [group]}})

    def create(self, path: str) -> int:
        return self.call("POST", f"/{_collection(path)}?documentId=of-a-stranger", {"fields": {}})

    def update(self, path: str) -> int:
        return self.call("PATCH", f"/{path}", {"fields": {"stolen": {"booleanValue": True}}})

    def delete(self, path: str) -> int:
        return self.call("DELETE", f"/{path}")

    def commit(self, path: str) -> int:
        return self.call("POST", ":commit", {"writes": [{"delete": f"{self.root}/{path}"}]})


def _collection(path: str) -> str:
    return path.rpartition("/")[0]
