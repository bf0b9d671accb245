"""The service's HTTP API as a device uses it (docs/http.md), and the transport that carries its requests.

1. Reads and signed events may be sent twice: the same event gets the same answer. So may the operator's requests, which
   a key names (`RequestKeys`). They are repeated when the network or the server fails. Nothing else is repeated.
2. No redirect is followed and no proxy is used: a proof or a token goes to the user's address, or nowhere.
"""

from __future__ import annotations

import http.client
import json
import secrets
import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, Protocol
from urllib.parse import urlsplit

from keyturn.device.api.error_hints import hint_of_refusal
from keyturn.device.core.errors import InsecureAddressError, ServerRefusedError, UnreachableError, UsageError
from keyturn.domain.encodings import identifier, rotation_identifier
from keyturn.domain.errors import Refusal
from keyturn.proofs.nip98 import sign_authorization, signed_url
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from urllib.parse import SplitResult

    from keyturn.device.core.signed_events import EventSigner
    from keyturn.proofs.nostr import Event

TIMEOUT_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""A page of the log of a large group, 100 commits, is a fraction of this."""
UNANSWERED = {429, *range(500, 600)}
"""Statuses that do not say whether the server has accepted a command: the device keeps it and sends it again."""
_ATTEMPTS = 3
_PAUSE_SECONDS = 0.5
_OK = 200
_UNAUTHORIZED = 401
_SERVER_FAULT = 500


# --- the API ---------------------------------------------------------------------------------------------------------


class ApiClient:
    """The API at one base URL. Every method may raise `ServerRefusedError` or `UnreachableError`."""

    def __init__(
        self,
        url: str,
        transport: Transport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        keys: RequestKeys | None = None,
    ) -> None:
        self.url = require_base_url(url)
        self._keys = keys or FreshKeys()
        self._transport = transport or HttpTransport()
        self._sleep = sleep

    def post_event(self, event: Event) -> dict[str, object]:
        """Send a command or an envelope to `rotate_request`, and return its answer."""
        return self.post_envelope(event.to_json())

    def post_envelope(self, envelope: str) -> dict[str, object]:
        """Send exactly the bytes of an event that was stored before."""
        body = envelope.encode("utf-8")
        return self._with_retries(lambda: self._call("POST", "/rotate_request/", {}, body))

    def status(self, signer: EventSigner, path: str) -> dict[str, object]:
        """Read `path` (with its query) of the function `status`, with a proof of the device's key (NIP-98)."""
        path = "/status" + path
        return self._with_retries(lambda: self._call("GET", path, self._nip98(signer, "GET", path), None))

    def rotation(self, signer: EventSigner, rotation_id: str) -> dict[str, object]:
        """Return a rotation; `InvalidRequest` for an invalid rotation id."""
        return self.status(signer, f"/rotations/{rotation_identifier(rotation_id)}")

    def client(self, signer: EventSigner, client_id: str) -> dict[str, object]:
        """Return a client; `InvalidRequest` for an invalid id."""
        return self.status(signer, f"/clients/{identifier(client_id)}")

    def cutover(self, signer: EventSigner, client_id: str) -> dict[str, object]:
        """Return how many of a client's instances use its new secret."""
        return self.status(signer, f"/clients/{identifier(client_id)}/cutover")

    def group(self, signer: EventSigner, group_id: str) -> dict[str, object]:
        """Return a group's members and epoch."""
        return self.status(signer, f"/groups/{identifier(group_id)}")

    def messages(self, signer: EventSigner, group_id: str, after: int) -> dict[str, object]:
        """Return a page of a group's log: the entries behind the index `after`."""
        return self.status(signer, f"/groups/{identifier(group_id)}/messages?after={after}")

    def enrol(self, code: str, event: Event) -> dict[str, object]:
        """Present an invite's code and a key package. The same two get the same answer."""
        return self._enrol({"code": code, "event": event.to_dict()})

    def enrol_again(self, group_id: str, event: Event) -> dict[str, object]:
        """Present a key package to a group that knows this device. The same one gets the same answer."""
        return self._enrol({"group": identifier(group_id), "event": event.to_dict()})

    def challenge(self) -> dict[str, object]:
        """Return a challenge of `admin_proof`, and whether the service requires proofs at all."""
        return self._with_retries(lambda: self._call("POST", "/admin_proof/challenge", {}, b""))

    def prove(self, signer: EventSigner, fields: Mapping[str, object]) -> dict[str, object]:
        """Present the evidence for one request to `admin_proof`. Not repeated: it consumes a one-time code."""
        return self._post_signed(signer, "/admin_proof/proof", fields)

    def register(self, signer: EventSigner, fields: Mapping[str, object]) -> dict[str, object]:
        """Present an invite's code and the evidence that registers this device."""
        return self._post_signed(signer, "/enrol/registration", fields)

    def confirm_registration(self, signer: EventSigner, code: str, totp: str) -> dict[str, object]:
        """Present the authenticator's first code. The same code gets the same answer."""
        fields = {"code": code, "totp": totp}
        return self._with_retries(lambda: self._post_signed(signer, "/enrol/registration/confirm", fields))

    def approve(self, event: Event) -> dict[str, object]:
        """Approve an invite. A second approval by the same user has no effect."""
        body = json.dumps({"event": event.to_dict()}).encode("utf-8")
        return self._with_retries(lambda: self._call("POST", "/enrol/approvals", {}, body))

    def operator(
        self, method: Literal["GET", "POST"], path: str, token: str, fields: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """Call the function `operator`, which works without any admin."""
        body = None if fields is None else json.dumps(fields).encode("utf-8")
        path, headers = "/operator" + path, {"Authorization": f"Bearer {token}"}
        if body is None:
            return self._with_retries(lambda: self._call(method, path, headers, None))
        request = self.url.encode("utf-8") + b" " + path.encode("utf-8") + b" " + body
        headers["Idempotency-Key"] = self._keys.key(request)
        try:
            answer = self._with_retries(lambda: self._call(method, path, headers, body))
        except ServerRefusedError as error:
            if error.status not in UNANSWERED:
                self._keys.forget(request)
            raise
        self._keys.forget(request)
        return answer

    def sweep(self, token: str) -> dict[str, object]:
        """Run one sweep now."""
        return self._call("POST", "/grace_sweeper/", {"Authorization": f"Bearer {token}"}, b"{}")

    def check(self, client_id: str, secret: str) -> dict[str, object]:
        """Return the verdict on a credential: `accepted`, and if it is, the version and its window."""
        headers = {"X-Client-Id": identifier(client_id), "X-API-Key": secret}
        response = self._send("POST", "/client_token/check", headers, b"")
        # Only the function's own words are a verdict: a proxy in between may answer 401 as well.
        if response.status == _UNAUTHORIZED and _object(response).get("accepted") is False:
            return {"accepted": False, "reason": "refused"}
        fields = fields_of(response)
        if fields.get("accepted") is not True:
            raise UnreachableError("The answer is not a verdict.", "Check --url.")
        return fields

    def _enrol(self, fields: Mapping[str, object]) -> dict[str, object]:
        body = json.dumps(fields).encode("utf-8")
        return self._with_retries(lambda: self._call("POST", "/enrol/", {}, body))

    def _post_signed(self, signer: EventSigner, path: str, fields: Mapping[str, object]) -> dict[str, object]:
        body = json.dumps(fields).encode("utf-8")
        return self._call("POST", path, self._nip98(signer, "POST", path, body), body)

    def _nip98(self, signer: EventSigner, method: str, path: str, body: bytes | None = None) -> dict[str, str]:
        header = sign_authorization(
            signer.private_key,
            url=signed_url(self.url, path),
            method=method,
            body=body,
            now=signer.now(),
            random=signer.random,
        )
        return {"Authorization": header}

    def _call(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> dict[str, object]:
        return fields_of(self._send(method, path, headers, body))

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> HttpResponse:
        content_type = {} if body is None else {"Content-Type": "application/json"}
        all_headers = {"Accept": "application/json", **content_type, **headers}
        return self._transport.send(HttpRequest(method, self.url + path, all_headers, body))

    def _with_retries(self, attempt: Callable[[], dict[str, object]]) -> dict[str, object]:
        for attempt_number in range(1, _ATTEMPTS):
            try:
                return attempt()
            except UnreachableError:
                self._sleep(_PAUSE_SECONDS * attempt_number)
            except ServerRefusedError as error:
                # A refusal (4xx) is an answer, and a rate limit (429) counts each attempt.
                if error.status < _SERVER_FAULT:
                    raise
                self._sleep(_PAUSE_SECONDS * attempt_number)
        return attempt()


def fields_of(response: HttpResponse) -> dict[str, object]:
    """Return the object in a successful response.

    `ServerRefusedError` for a problem (RFC 9457), `UnreachableError` for a response that is not keyturn's.
    """
    fields = _object(response)
    if response.status == _OK:
        return fields
    error, reason, detail = (str(fields.get(name) or "") for name in ("error", "reason", "detail"))
    hint = hint_of_refusal(error, reason, response.headers.get("retry-after"))
    sentence = detail or str(fields.get("title") or "") or "The server refuses."
    raise ServerRefusedError(status=response.status, error=error, reason=reason, detail=sentence, hint=hint)


def _object(response: HttpResponse) -> dict[str, object]:
    try:
        return load_object(response.body)
    except Refusal:
        raise UnreachableError("The server at this address is not keyturn.", "Check --url.") from None


def require_base_url(url: str) -> str:
    """Return a base URL without its trailing slash.

    `UsageError` for an invalid one; `InsecureAddressError` for plain HTTP to anything but this machine.
    """
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or parts.query or parts.fragment or parts.username is not None:
        raise UsageError("The server's address is not a base URL.", "Write it as http://127.0.0.1:8787.")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise InsecureAddressError(
            "Plain HTTP to another machine would carry secrets in clear.", "Use an https:// address."
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761 §6.3


class RequestKeys(Protocol):
    """Names the operator's requests, so that a repeated one gets the answer of the first (docs/http.md)."""

    def key(self, request: bytes, /) -> str:
        """Return the key of a request: the same one until the request is answered."""
        ...

    def forget(self, request: bytes, /) -> None:
        """Forget the key of a request that was answered."""
        ...


class FreshKeys:
    """Keys that no later run knows."""

    def key(self, request: bytes) -> str:
        """Return a random key."""
        del request
        return secrets.token_hex(16)

    def forget(self, request: bytes) -> None:
        """Do nothing."""


# --- the transport ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request: method, full URL, headers and body. The repr shows neither headers nor body: both may be secret."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """One response: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Carries a request to its server."""

    def send(self, request: HttpRequest, /) -> HttpResponse:
        """Return the response, whatever its status; `UnreachableError` if there is none."""
        ...


class HttpTransport:
    """Carries requests over HTTP/1.1, with one connection for each."""

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds

    def send(self, request: HttpRequest) -> HttpResponse:
        """Return the response; `UnreachableError` if none comes in time, or one that is too long or is not HTTP."""
        parts = urlsplit(request.url)
        connection = self._connection(parts)
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(request.method, target, body=request.body, headers=dict(request.headers))
            return _read_response(connection.getresponse())
        except (OSError, http.client.HTTPException):
            # The cause is dropped: the library's error may quote a header, and a header may be a token.
            raise UnreachableError(
                "The server does not answer.", "Check that `keyturn up` is running and that --url is its address."
            ) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=self._timeout_seconds)


def _read_response(response: http.client.HTTPResponse) -> HttpResponse:
    # One byte more than allowed distinguishes a longer body from one of exactly that size.
    body = response.read(MAX_ANSWER_BYTES + 1)
    if len(body) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException
    headers = {name.lower(): value for name, value in response.getheaders()}
    return HttpResponse(response.status, headers, body)
