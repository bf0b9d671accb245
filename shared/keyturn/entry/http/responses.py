"""Responses: JSON with the stage's banner, and errors as problems (RFC 9457)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import flask

from keyturn.domain.encodings import flat_json
from keyturn.entry.composition.suite import current
from keyturn.entry.config.settings import SettingsError
from keyturn.entry.http.problems import problem
from keyturn.entry.http.views import plain

if TYPE_CHECKING:
    from collections.abc import Mapping


def json_answer(body: Mapping[str, Any], status: int = 200) -> flask.Response:
    """Return a response with a JSON body, and the stage's banner in it."""
    banner = _banner()
    fields = {**body, "banner": banner} if banner else body
    # `flat_json` writes an object of texts and numbers faster than the encoder, and returns None for any other.
    text = flat_json(fields) or _JSON.encode(fields)
    return flask.Response(text, status, content_type="application/json")


def public_document(body: Mapping[str, Any]) -> flask.Response:
    """Return a response that scripts of any web page may read (CORS). It holds what everyone may know."""
    answer = json_answer(body)
    answer.headers["Access-Control-Allow-Origin"] = "*"
    return answer


def problem_answer(error: Exception) -> flask.Response:
    """Return the response to an error, as a problem."""
    body, status, headers = problem(error)
    answer = json_answer(body, status)
    answer.mimetype = "application/problem+json"
    answer.headers.update(headers)
    return finished(answer)


def finished(answer: flask.Response) -> flask.Response:
    """Return a response with the headers that every response has."""
    answer.headers["Cache-Control"] = "no-store"  # any response may carry a token or a one-time code
    if banner := _banner():
        answer.headers["X-Keyturn-Banner"] = banner
    return answer


def _as_json(value: object) -> object:
    converted = plain(value)
    if converted is value:
        raise TypeError
    return converted


_JSON = json.JSONEncoder(ensure_ascii=False, default=_as_json)
"""Calls `_as_json` only for values that JSON does not know: times, and mappings that are no dictionaries."""


def _banner() -> str:
    try:
        return current().settings.banner
    except SettingsError:  # then this response reports the unusable settings, and has no stage
        return ""
