"""The OpenAPI document: complete, equal to the routes, and true of every answer to generated requests."""

from __future__ import annotations

import importlib.metadata
import io
import re
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import schemathesis
from keyturn.entry.functions import FUNCTIONS
from keyturn.entry.openapi.document import OPERATIONS, VERSION, document
from keyturn.entry.openapi.operations import NIP98, OPERATOR
from keyturn.local.gateway import GUARDED, open_gateway
from keyturn.proofs.nip98 import sign_authorization
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.world import TOKEN, URL, running

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tests.world import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    allow_header_conformance,
    unsupported_method,
]
"""Not `positive_data_acceptance` (a well-formed unknown id is refused), and not `ignored_auth` (see Authorizing)."""


class Authorizing:
    """The gateway as an authorised caller reaches it: every generated Authorization is replaced by a valid one.

    So requests get past authentication. Requests without the header stay without it.
    """

    def __init__(self, world: World, inner: WSGIApplication) -> None:
        self._world = world
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        scheme = self._scheme(environ) if "HTTP_AUTHORIZATION" in environ else ""
        if scheme == OPERATOR:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
        if scheme == NIP98:
            environ["HTTP_AUTHORIZATION"] = self._signed(environ)
        return self._inner(environ, start_response)

    def _scheme(self, environ: WSGIEnvironment) -> str:
        function = environ["PATH_INFO"].split("/")[1]
        if function in GUARDED:
            return OPERATOR
        return NIP98 if function in {"status", "admin_proof", "enrol"} else ""

    def _signed(self, environ: WSGIEnvironment) -> str:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
        signer = self._world.admins["alice"].signer
        return sign_authorization(
            signer.private_key,
            url=f"{URL}{environ['PATH_INFO']}{query}",
            method=environ["REQUEST_METHOD"],
            body=body,
            now=self._world.clock.now,
            random=signer.random,
        )


class Late:
    """The described application: tests are collected before there is a world to call."""

    inner: WSGIApplication

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self.inner(environ, start_response)


LATE = Late()
schema = schemathesis.openapi.from_dict(document(URL))
schema.app = LATE


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("world")) as world:
        world.found("alice", "bob")
        world.issue("alice", "bob")
        world.sweep()
        LATE.inner = Authorizing(world, open_gateway(TOKEN))
        yield world


@schema.parametrize()
@pytest.mark.usefixtures("world")
@hypothesis.settings(max_examples=20, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_every_answer_is_as_described(case: Any) -> None:  # noqa: ANN401 - schemathesis's case
    case.call_and_validate(checks=CHECKS)


SECURED = [
    (path, method)
    for path, item in document(URL)["paths"].items()
    for method, described in item.items()
    if described["security"]
]
CHALLENGE = re.compile(r'(Nostr|Bearer|Basic|Bearer realm="[^"]+"|Basic realm="[^"]+", charset="UTF-8")')


@pytest.mark.parametrize(("path", "method"), SECURED)
def test_a_request_without_credentials_is_challenged(world: World, path: str, method: str) -> None:
    kind = (
        "application/x-www-form-urlencoded"
        if path.endswith(("/token", "/introspect", "/revoke"))
        else "application/json"
    )
    form = b"grant_type=client_credentials&token=x"
    for authorization in ({}, {"Authorization": "Nonsense"}, {"Authorization": "Digest a=b"}):
        headers = {"Content-Type": kind, **authorization}
        answer = world.call(method.upper(), re.sub(r"{\w+}", "a", path), form, headers)
        if answer.status_code != 400 or not authorization:  # a malformed signature is an invalid request
            assert answer.status_code == 401, answer.text
            assert all(map(CHALLENGE.fullmatch, answer.headers.getlist("WWW-Authenticate")))
            assert answer.headers.getlist("WWW-Authenticate")


@pytest.mark.parametrize("path", document(URL)["paths"])
def test_a_method_that_a_path_does_not_take_is_answered_with_those_that_it_takes(world: World, path: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = world.call("DELETE", re.sub(r"{\w+}", "a", path), headers=headers)
    taken = {method.upper() for method in document(URL)["paths"][path]}
    assert (answer.status_code, set(answer.headers["Allow"].split(", ")) - {"HEAD"}) == (405, taken)


def test_status_serves_the_document(world: World) -> None:
    assert world.call("GET", "/status/openapi.json").json == document(URL)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_route_is_described_and_no_other(name: str) -> None:
    assert set(OPERATIONS) == set(FUNCTIONS)
    assert set(OPERATIONS[name]) == set(FUNCTIONS[name].handlers)


def test_every_reference_resolves_and_every_schema_is_used() -> None:
    text = repr(document(URL))
    named = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert named == set(document(URL)["components"]["schemas"])


def test_the_document_names_its_server_and_version() -> None:
    said = document("https://example.org")
    assert said["servers"] == [{"url": "https://example.org"}]
    assert said["info"]["version"] == VERSION
    assert importlib.metadata.version("keyturn") == VERSION
