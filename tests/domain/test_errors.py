from __future__ import annotations

import inspect
import re

import pytest
from keyturn.domain import errors
from keyturn.domain.errors import Broken, RateLimited, Refusal

CLASSES = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == errors.__name__
]
REFUSALS = [kind for kind in CLASSES if issubclass(kind, Refusal) and kind is not Refusal]
# docs/protocol.md §11, and RFC 9110's own status for a method that is not taken
STATUSES = {
    "invalid_request": {400, 405, 413},
    "unauthorized_request": {401, 403},
    "not_found": {404},
    "conflict": {409},
    "policy_violation": {422},
    "rate_limited": {429},
    "unavailable": {503},
}


def _drawn() -> list[tuple[str, str]]:
    """Return (class, parent) of each class in the module's drawing, in order."""
    above: list[str] = []
    pairs = []
    for line in (errors.__doc__ or "").splitlines():
        drawn = re.match(r"( {4}(?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+)( |$)", line)
        if drawn:
            depth = (len(drawn[1]) - 4) // 4
            above = [*above[:depth], drawn[2]]
            pairs.append((drawn[2], above[depth - 1] if depth else ""))
    return pairs


def test_the_drawing_is_the_class_tree() -> None:
    assert _drawn() == [("Exception", ""), *((kind.__name__, kind.__bases__[0].__name__) for kind in CLASSES)]


@pytest.mark.parametrize("kind", REFUSALS)
def test_the_drawing_names_status_and_error(kind: type[Refusal]) -> None:
    assert re.search(rf"── {kind.__name__} +{kind.status}  {kind.error}\b", errors.__doc__ or "")
    assert kind.status in STATUSES[kind.error]


def test_every_status_of_the_protocol_has_a_refusal() -> None:
    assert {(kind.error, kind.status) for kind in REFUSALS} == {
        (error, status) for error, statuses in STATUSES.items() for status in statuses
    }


def test_our_mistakes_are_no_refusals() -> None:
    assert not issubclass(Broken, Refusal)
    assert not issubclass(Refusal, Broken)


def test_a_refusal_carries_reason_and_sentence() -> None:
    refusal = RateLimited("rate", "Too many.", retry_after_seconds=7)
    assert refusal.reason == "rate"
    assert refusal.sentence == str(refusal) == "Too many."
    assert refusal.retry_after_seconds == 7
