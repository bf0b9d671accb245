"""Examine an audit chain: that it is whole, that its entries lead from one to the next, and end at what is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, cast

from keyturn.domain import audit_chain as audit
from keyturn.domain.encodings import to_milliseconds
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.lifecycle import audited_facts
from keyturn.domain.model import Outcome
from keyturn.records import paths
from keyturn.use_cases.doctor.findings import Finding, thawed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.model import Client, ClientState, Rotation
    from keyturn.ports.store import Data, Document

_PROMOTED = frozenset({Outcome.PROMOTED, Outcome.ROLLED_BACK})


def chain_findings(chain: str, entries: Sequence[Document], head: audit.Head) -> Iterator[Finding]:
    """Yield where a chain's stored entries, in order, leave the chain that ends at `head` (protocol.md §9)."""
    contents = [cast("Data", entry.data) for entry in entries]
    for entry, content in zip(entries, contents, strict=True):
        if entry.path != _place(chain, content.get("seq")):
            yield Finding("an audit entry is not where its number says", entry.path)
    try:
        broken = audit.first_break([_split(content) for content in contents], head)
    except InvalidRequest:  # what the hash can't be over was never written by an audit
        yield Finding("an audit entry holds what no entry can hold")
        return
    if broken is not None:
        sentence = f"the audit chain is broken at entry {broken.seq}: {broken.problem}"
        yield Finding(sentence, paths.audit_entry(chain, broken.seq))


def _place(chain: str, seq: object) -> str:
    return paths.audit_entry(chain, seq) if isinstance(seq, int) else ""


def _split(content: Data) -> tuple[Mapping[str, object], str]:
    plain = cast("dict[str, object]", thawed(content))
    return plain, str(plain.pop("hash", ""))


def replay_findings(entries: Sequence[Document], state: ClientState, forgotten: datetime) -> Iterator[Finding]:
    """Yield where the entries of a client's whole chain do not tell its transitions, each exactly once.

    What was over before `forgotten` may be gone (records/retention.py).
    """
    facts: object = {}
    for entry in entries:
        content = cast("Data", entry.data)
        if thawed(content["before"]) != facts:
            yield Finding("an audit entry does not begin where the one before it ended", entry.path)
        facts = thawed(content["after"])
    if facts != audited_facts(state):
        yield Finding("the audit chain ends in another state than the client's")
    yield from _counted(entries, state, to_milliseconds(forgotten))
    yield from _revision_findings([cast("int", cast("Data", entry.data)["at"]) for entry in entries], state.client)


def _counted(entries: Sequence[Document], state: ClientState, forgotten: int) -> Iterator[Finding]:
    told: Counter[tuple[object, object]] = Counter()
    for entry in entries:
        content = cast("Data", entry.data)
        ids = cast("Data", content["ids"])
        told[ids.get("rotation_id"), content["action"]] += 1
        if cast("int", content["at"]) <= forgotten:
            continue
        if ids.get("rotation_id", "") not in {"", *state.rotations}:
            yield Finding("an audit entry names a rotation that is missing", entry.path)
        if ids.get("version_id", "") not in {"", *state.versions}:
            yield Finding("an audit entry names a version that is missing", entry.path)
    for rotation in state.rotations.values():
        if any(told[rotation.rotation_id, action] != times for action, times in _expected(rotation).items()):
            yield Finding(
                "a rotation's transitions and the audit entries about it disagree", paths.rotation(rotation.rotation_id)
            )


def _expected(rotation: Rotation) -> Mapping[str, int]:
    return {
        "request": int(not rotation.emergency),
        "emergency": int(rotation.emergency),
        "distribute": int(rotation.distributed_at is not None),
        "acknowledge": len(rotation.acks),
        "promote": int(rotation.outcome in _PROMOTED),
        "cancel": int(rotation.outcome is Outcome.CANCELED),
        "expire": int(rotation.outcome is Outcome.EXPIRED),
    }


def _revision_findings(times: Sequence[int], client: Client) -> Iterator[Finding]:
    # Each commit raises the revision by one and appends one or more entries of its own time.
    commits = sum(one != other for one, other in zip(times, [None, *times], strict=False))
    if not commits <= client.revision <= len(times):
        yield Finding("the revision is not the number of changes that the audit chain tells")
