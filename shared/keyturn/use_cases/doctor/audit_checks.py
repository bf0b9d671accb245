"""Checks of an audit chain: it is complete, its entries follow one another, and it ends in the present state.

See docs/protocol.md §9.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from keyturn.domain import audit_chain as audit
from keyturn.domain.encodings import to_milliseconds
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.lifecycle import audited_facts
from keyturn.domain.model import Outcome
from keyturn.ports.store import mapping
from keyturn.records import paths
from keyturn.use_cases.doctor.findings import CheckFinding, plain_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.model import Client, ClientState, Rotation
    from keyturn.ports.store import Data, Document

_PROMOTED = frozenset({Outcome.PROMOTED, Outcome.ROLLED_BACK})


def chain_findings(chain: str, entries: Sequence[Document], head: audit.Head) -> Iterator[CheckFinding]:
    """Yield the places where a chain's stored entries, in order, differ from the chain that ends at `head`."""
    for entry in entries:
        if entry.path != _path(chain, entry.fields.get("seq")):
            yield CheckFinding("an audit entry's path differs from its number", entry.path)
    try:
        problem = audit.first_break([_content_and_hash(entry.fields) for entry in entries], head)
    except InvalidRequest:  # no audit entry of ours has a value that cannot be hashed
        yield CheckFinding("an audit entry is malformed")
        return
    if problem is not None:
        sentence = f"the audit chain is broken at entry {problem.seq}: {problem.problem}"
        yield CheckFinding(sentence, paths.audit_entry(chain, problem.seq))


def group_chain_findings(chain: str, entries: Sequence[Document], openings: int) -> Iterator[CheckFinding]:
    """Yield the places where a group's chain disagrees with the deployment's, which tells `openings` of it."""
    head = paths.audit_head(chain)
    if not entries:
        yield CheckFinding("a group's audit chain is missing", head)
    if openings != 1:  # it was deleted, and began again
        yield CheckFinding("a group's audit chain was opened more than once", head)
    for entry in entries:
        group_id = mapping(entry.fields, "ids").get("group_id", "")
        if audit.group_chain(str(group_id)) != chain:
            yield CheckFinding("an audit entry is in the chain of another group", entry.path)


def _path(chain: str, seq: object) -> str:
    return paths.audit_entry(chain, seq) if isinstance(seq, int) else ""


def _content_and_hash(data: Data) -> tuple[Mapping[str, object], str]:
    content = {name: plain_value(value) for name, value in data.items()}
    return content, str(content.pop("hash", ""))


def replay_findings(
    entries: Sequence[Document], state: ClientState, deleted_before: datetime
) -> Iterator[CheckFinding]:
    """Yield the places where a client's chain does not tell each transition of the client exactly once.

    Versions and rotations that were finished before `deleted_before` may be gone (records/retention.py).
    """
    facts: object = {}
    for entry in entries:
        if _has_terms_as_facts(entry):
            continue
        if plain_value(entry.fields["before"]) != facts:
            yield CheckFinding("an audit entry does not continue the one before it", entry.path)
        facts = plain_value(entry.fields["after"])
    if facts != audited_facts(state):
        yield CheckFinding("the audit chain ends in another state than the client's")
    yield from _reference_findings(entries, state, to_milliseconds(deleted_before))
    yield from _transition_findings(entries, state)
    yield from _revision_findings([entry.integer("at") for entry in entries], state.client)


def _has_terms_as_facts(entry: Document) -> bool:
    """Return whether an entry has token terms where its facts belong. The first stores have such entries."""
    return entry.text("action") == "set_token_terms" and "status" not in mapping(entry.fields, "after")


def _reference_findings(entries: Sequence[Document], state: ClientState, deleted_before: int) -> Iterator[CheckFinding]:
    for entry in entries:
        if entry.integer("at") <= deleted_before:
            continue
        ids = mapping(entry.fields, "ids")
        if ids.get("rotation_id", "") not in {"", *state.rotations}:
            yield CheckFinding("an audit entry names a rotation that is missing", entry.path)
        if ids.get("version_id", "") not in {"", *state.versions}:
            yield CheckFinding("an audit entry names a version that is missing", entry.path)


def _transition_findings(entries: Sequence[Document], state: ClientState) -> Iterator[CheckFinding]:
    counts = Counter((mapping(entry.fields, "ids").get("rotation_id"), entry.text("action")) for entry in entries)
    for rotation_id, rotation in state.rotations.items():
        if any(counts[rotation_id, action] != times for action, times in _expected(rotation).items()):
            yield CheckFinding("a rotation's transitions and its audit entries disagree", paths.rotation(rotation_id))


def _expected(rotation: Rotation) -> Mapping[str, int]:
    """Return how often each action on a rotation must be in the audit."""
    return {
        "request": int(not rotation.emergency),
        "emergency": int(rotation.emergency),
        "distribute": int(rotation.distributed_at is not None),
        "acknowledge": len(rotation.acks),
        "promote": int(rotation.outcome in _PROMOTED),
        "cancel": int(rotation.outcome is Outcome.CANCELED),
        "expire": int(rotation.outcome is Outcome.EXPIRED),
    }


def _revision_findings(times: Sequence[int], client: Client) -> Iterator[CheckFinding]:
    # Each commit raises the revision by one and appends one or more entries, all with the commit's own time. Two
    # commits may have the same time, so the number of distinct times is only a lower bound.
    commits = sum(one != other for one, other in zip(times, [None, *times], strict=False))
    if not commits <= client.revision <= len(times):
        yield CheckFinding("the revision is not the number of changes in the audit chain")
