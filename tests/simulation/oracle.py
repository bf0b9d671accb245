"""The oracle: it judges a run by what people and integrators saw, and by the raw stored documents.

It shares no code with the domain and the use cases (pyproject.toml, import contracts): what it knows of the protocol
stands here once more, written from docs/protocol.md. Times are true seconds of the run, those of the store are
milliseconds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

STALE_SECONDS = 5.0
"""`max_stale_seconds` of the policy (docs/protocol.md §10)."""
TOLERANCE_SECONDS = 2.5
"""A refusal may rest on a read of a second ago, and a window begins and ends within two."""

LONGEST_COMMIT_SECONDS = 40.0
"""How long after its decision a commit may take effect (docs/protocol.md §4, Firestore)."""

UNDECIDED = frozenset({0, 429, 500, 503})
"""Statuses that say nothing about whether an event took effect."""
_ACCEPTED, _A_DAY = 200, 86_000
SWEEP_SECONDS = 20.0
"""How long a sweep may take to settle everything that is due, whatever the bus does."""
GROUP_BURST = 100
"""How many messages a group may send at once."""
DISTRIBUTION_SECONDS = 300.0
"""How long the secret of a rotation may take to reach its devices once everything works."""

CAUSES = frozenset({"suspend", "revoke", "leak", "retire", "rollback", "restore", "emergency", "supersede", "remove"})
"""Commands after which a secret that was accepted may be refused before the end of its promised grace."""


@dataclass(frozen=True)
class Violation:
    """One observation that contradicts a promise."""

    rule: str
    sentence: str
    at: float


@dataclass(frozen=True)
class Delivery:
    """A secret that a device opened, with what its notice promised."""

    client_id: str
    version_id: str
    rotation_id: str
    secret: str = field(repr=False)
    secret_hash: str = ""
    mac_key_ref: str = ""
    grace_until: int | None = None
    not_before: int = 0
    at: float = 0.0


@dataclass(frozen=True)
class Checked:
    """One check of a secret by an integrator, with the client's status in the store from before to after it."""

    client_id: str
    version_id: str
    began: float
    ended: float
    store_ms: int
    """The store's clock at the end."""
    is_accepted: bool
    state: str
    is_active: bool
    """Whether the stored status was `active` for the whole time, from a second before."""
    verifier: str


@dataclass
class _Secret:
    """What was seen of one secret."""

    first_at: float | None = None
    """When it was first accepted."""
    accepted_at: float | None = None
    current_at: float | None = None
    dead_at: float | None = None
    dead_by: str = ""


@dataclass(frozen=True)
class Command:
    """One command as it was sent. `answer` is None if none came."""

    action: str
    client_id: str
    began: float


class Oracle:
    """Takes observations, and keeps the violations that it finds."""

    def __init__(self, mac: Callable[[str, bytes], bytes]) -> None:
        self._mac = mac
        self.deliveries: dict[tuple[str, str], Delivery] = {}
        self.commands: list[Command] = []
        self.violations: list[Violation] = []
        self.counts: dict[str, int] = defaultdict(int)
        self._secrets: dict[tuple[str, str], _Secret] = defaultdict(_Secret)
        self._answers: dict[str, tuple[float, Any]] = {}
        self._dead_documents: dict[tuple[str, str], tuple[float, str]] = {}
        self._effects: dict[str, float] = {}
        """When each event took effect: its answer is stored in the same commit (docs/protocol.md §4, 5)."""
        self._members: dict[str, frozenset[str]] = {}
        self._left: dict[str, float] = {}
        """When each device lost its last leaf."""

    def _report(self, rule: str, sentence: str, at: float) -> None:
        self.violations.append(Violation(rule, sentence, at))

    # --- deliveries --------------------------------------------------------------------------------------------------

    def note_delivery(self, fields: Mapping[str, Any]) -> None:
        """Note a secret that a device opened. Two devices must have opened the same one."""
        names: tuple[str, ...] = ("client_id", "version_id", "rotation_id", "secret", "secret_hash", "mac_key_ref")
        names += ("grace_until", "not_before", "at")
        delivery = Delivery(**{name: fields[name] for name in names})
        key = (delivery.client_id, delivery.version_id)
        earlier = self.deliveries.setdefault(key, delivery)
        if earlier is delivery:
            self.counts["secrets delivered"] += 1
            if not hmac.compare_digest(self._hash(delivery), delivery.secret_hash):
                self._report(
                    "secret and hash agree", f"the notice of {key} has another hash than its secret", delivery.at
                )
        elif (earlier.secret, earlier.rotation_id) != (delivery.secret, delivery.rotation_id):
            self._report("one version, one secret", f"two devices opened different secrets of {key}", delivery.at)

    def _hash(self, delivery: Delivery) -> str:
        fields = (delivery.client_id, delivery.version_id, delivery.secret)
        return _base64url(self._mac(delivery.mac_key_ref, _length_prefixed(*fields)))

    def secrets_of(self, client_id: str) -> Sequence[Delivery]:
        """Return the secrets of a client that are known to integrators, in the order of their delivery."""
        return [item for (client, _), item in self.deliveries.items() if client == client_id]

    # --- commands ----------------------------------------------------------------------------------------------------

    def note_command(self, action: str, client_id: str, at: float) -> None:
        """Note that a command is sent. It may take effect from now on, whatever its answer."""
        self.commands.append(Command(action, client_id, at))

    def note_answer(self, event_id: str, status: int, answer: Any, at: float, npub: str = "") -> None:  # noqa: ANN401 - any JSON
        """Note the answer to an event: the same event gets the same one for a day (docs/protocol.md §4, 5).

        `npub` is the device that sent it, if that is known.
        """
        earlier, effect = self._answers.get(event_id), self._effects.get(event_id)
        if effect is not None and status not in UNDECIDED and status != _ACCEPTED and at - effect < _A_DAY:
            sentence = (
                f"event {event_id[:12]} took effect at {clock(effect)}, and was then told as {answer.get('reason')}"
            )
            self._report("what took effect is told as such", sentence, at)
        if effect is not None and npub in self._left and self._left[npub] < effect:
            sentence = f"device {npub[:8]} lost its leaf at {clock(self._left[npub])}, and acted at {clock(effect)}"
            self._report("who has left does not act", sentence, at)
        if status == _ACCEPTED:
            self.counts["answers"] += 1
            if earlier is not None and earlier[1] != answer:
                self._report("the same event, the same answer", f"event {event_id[:12]} got two answers", at)
            self._answers.setdefault(event_id, (at, answer))
        elif earlier is not None and status not in UNDECIDED and at - earlier[0] < _A_DAY:
            sentence = f"event {event_id[:12]} was accepted, and then refused with {status} {answer.get('reason')}"
            self._report("the same event, the same answer", sentence, at)

    # --- checks ------------------------------------------------------------------------------------------------------

    def note_check(self, check: Checked) -> None:
        """Note a verdict, and judge it by everything that was seen before."""
        secret = self._secrets[check.client_id, check.version_id]
        if check.is_accepted:
            self.counts["accepted"] += 1
            self._judge_acceptance(check, secret)
            secret.accepted_at = check.ended
            secret.first_at = check.ended if secret.first_at is None else secret.first_at
            if check.state == "current":
                secret.current_at = check.ended
        elif check.is_active:
            self.counts["refused"] += 1
            # A refusal may rest on a read from just before the promotion (docs/protocol.md §10).
            if secret.first_at is not None and check.began > secret.first_at + TOLERANCE_SECONDS:
                self._judge_refusal(check, secret)
                if secret.dead_at is None:
                    secret.dead_at, secret.dead_by = check.ended, check.verifier

    def _judge_acceptance(self, check: Checked, secret: _Secret) -> None:
        name = f"version {check.version_id[-6:]} of {check.client_id}"
        limit = STALE_SECONDS + TOLERANCE_SECONDS
        if secret.dead_at is not None and check.began > secret.dead_at + limit:
            sentence = (
                f"{secret.dead_by} refused {name} at {clock(secret.dead_at)} while the client was active,"
                f" and {check.verifier} accepted it at {clock(check.ended)}"
            )
            self._report("dead stays dead", sentence, check.ended)
        retired = self._dead_documents.get((check.client_id, check.version_id))
        if retired is not None and check.began > retired[0] + limit:
            sentence = (
                f"{name} was stored as retired ({retired[1]}) at {clock(retired[0])},"
                f" and {check.verifier} accepted it at {clock(check.ended)}"
            )
            self._report("dead stays dead", sentence, check.ended)

    def _judge_refusal(self, check: Checked, secret: _Secret) -> None:
        since = secret.accepted_at or 0.0
        if any(item.action in CAUSES and item.client_id == check.client_id for item in self.commands):
            return  # another rule judges what these commands may do
        if self._is_late_cancellation(check, secret):
            return
        later = self._successors(check)
        if not later:
            sentence = f"the only secret of {check.client_id} that was ever current is refused"
            self._report("the right secret is accepted", f"{sentence} (accepted {clock(since)})", check.ended)
            return
        promised = min(item.grace_until or 0 for item in later)
        if check.store_ms < promised - TOLERANCE_SECONDS * 1000:
            sentence = (
                f"version {check.version_id[-6:]} of {check.client_id} is refused,"
                f" {(promised - check.store_ms) / 1000:.0f} s before the end of the grace that a delivery promised"
            )
            self._report("the promised grace is kept", sentence, check.ended)

    def _is_late_cancellation(self, check: Checked, secret: _Secret) -> bool:
        """Return whether a cancellation that was decided before the promotion was committed after it.

        Until then verifiers accept the version by time alone. Nothing else was retired (docs/protocol.md §4), and a
        probe shows that the secret before it still verifies.
        """
        retired_at, because = self._dead_documents.get((check.client_id, check.version_id), (0.0, ""))
        earliest = retired_at - LONGEST_COMMIT_SECONDS
        return because == "canceled" and secret.first_at is not None and secret.first_at >= earliest

    def _successors(self, check: Checked) -> list[Delivery]:
        """Return the later secrets that may have been the next to be promoted: up to the first that was accepted."""
        acknowledged = any(item.action == "ack" and item.client_id == check.client_id for item in self.commands)
        later = [item for item in self.secrets_of(check.client_id) if item.version_id > check.version_id]
        possible: list[Delivery] = []
        for item in later:
            if self._secrets[check.client_id, item.version_id].accepted_at is not None:
                return [*possible, item]
            if acknowledged and item.not_before <= check.store_ms + TOLERANCE_SECONDS * 1000:
                possible.append(item)
        return possible

    def note_probe(self, client_id: str, verdicts: Mapping[str, bool], at: float) -> None:
        """Note what a fresh verifier says about all secrets of a client that is active."""
        self.counts["probes"] += 1
        was_current = any(self._secrets[client_id, version].accepted_at is not None for version in verdicts)
        if was_current and not any(verdicts.values()):
            self._report("an active client has a secret that verifies", f"every secret of {client_id} is refused", at)

    # --- stored documents --------------------------------------------------------------------------------------------

    def note_document(self, path: str, data: Mapping[str, Any] | None, at: float) -> None:
        """Note a written document of the database `control`."""
        parts = path.split("/")
        if data is not None and parts[0] == "events":
            self._effects.setdefault(parts[1], at)
        if data is not None and "members" in data and parts[2:] == ["roster", "members"]:
            self._note_roster(parts[1], frozenset(item["npub"] for item in data["members"]), at)
        if data is None or len(parts) != 4 or parts[0] != "oauth2_clients" or parts[2] != "secrets":
            return
        key = (parts[1], parts[3])
        state = data.get("state")
        if state == "retired":
            self._dead_documents.setdefault(key, (at, str(data.get("retired_because"))))
        elif key in self._dead_documents and state is not None:
            sentence = f"version {parts[3][-6:]} of {parts[1]} was stored as retired, and then as {state}"
            self._report("dead stays dead", sentence, at)
        delivery, stored = self.deliveries.get(key), data.get("secret_hash")
        if delivery is not None and stored is not None and stored != self._hash(delivery):
            self._report("secret and hash agree", f"{path} has another hash than the secret that devices opened", at)

    def _note_roster(self, group_id: str, npubs: frozenset[str], at: float) -> None:
        left = self._members.get(group_id, frozenset()) - npubs
        self._members[group_id] = npubs
        for npub in left - frozenset().union(*self._members.values()):
            self._left[npub] = at
        for npub in npubs:
            self._left.pop(npub, None)

    # --- progress ----------------------------------------------------------------------------------------------------

    def note_sweep(self, unsettled: Sequence[str], at: float, *, is_maintained: bool = True) -> None:
        """Note which clients were due before a sweep, and still are so long after it, and whether it maintained all."""
        self.counts["sweeps judged"] += 1
        if not is_maintained:
            self._report("a sweep ends", "the hourly maintenance was due, and has not ended", at)
        for client_id in unsettled:
            sentence = f"{client_id} was due, and a sweep has not settled it in {SWEEP_SECONDS:.0f} s"
            self._report("a sweep settles every client that is due", sentence, at)

    def note_distribution(self, client_id: str, at: float, *, is_distributed: bool) -> None:
        """Note whether a rotation got its secret, after everything worked for long enough."""
        self.counts["distributions judged"] += 1
        if not is_distributed:
            sentence = f"the rotation of {client_id} has no secret after {DISTRIBUTION_SECONDS:.0f} s"
            self._report("a rotation is distributed once everything works", sentence, at)

    def note_block(self, user: str, at: float, *, is_accepted: bool) -> None:
        """Note whether a request was accepted after the operator had blocked its user, or stopped the suite."""
        self.counts["blocks judged"] += 1
        if is_accepted:
            self._report("who is blocked does not act", f"{user} is blocked, and a request was accepted", at)

    def note_internal_error(self, path: str, at: float) -> None:
        """Note an answer that is a fault of the service itself, while all stored documents are whole."""
        self._report("no request ends in an internal error", f"{path} was answered with an internal error", at)

    def note_refused_rate(self, messages: int, at: float) -> None:
        """Note that a device was refused for too many messages of its group, and how many there were."""
        if messages < GROUP_BURST:
            sentence = f"a device was refused for too many messages, when its group had sent {messages}"
            self._report("a limit counts messages", sentence, at)

    def judge_audit(self, documents: Mapping[str, Mapping[str, Any]], at: float) -> None:
        """Recount the audit chains of all clients, and compare each with the documents beside it."""
        for path, client in documents.items():
            parts = path.split("/")
            if len(parts) == 2 and parts[0] == "oauth2_clients":
                self._judge_chain(parts[1], client, documents, at)

    def _judge_chain(
        self, client_id: str, client: Mapping[str, Any], documents: Mapping[str, Mapping[str, Any]], at: float
    ) -> None:
        self.counts["audit chains"] += 1
        prefix = f"oauth2_clients/{client_id}/audit/"
        entries = [data for path, data in sorted(documents.items()) if path.startswith(prefix)]
        previous = "0" * 64
        for seq, entry in enumerate(entries, 1):
            content = {name: plain(value) for name, value in entry.items() if name != "hash"}
            digest = hashlib.sha256(_canonical(content)).hexdigest()
            if (content["seq"], content["prev"], entry["hash"]) != (seq, previous, digest):
                self._report(
                    "the audit is whole", f"entry {seq} of {client_id} does not follow from the one before", at
                )
                return
            previous = digest
        head = client["audit_head"]
        if (head["seq"], head["hash"]) != (len(entries), previous):
            self._report("the audit is whole", f"the head of {client_id} is not its last entry", at)
        self._judge_counts(client_id, entries, documents, at)

    def _judge_counts(
        self,
        client_id: str,
        entries: Sequence[Mapping[str, Any]],
        documents: Mapping[str, Mapping[str, Any]],
        at: float,
    ) -> None:
        endings: dict[str, int] = defaultdict(int)
        openings: dict[str, int] = defaultdict(int)
        for entry in entries:
            rotation = str(entry["ids"].get("rotation_id") or entry["ids"].get("rotation") or "")
            if entry["action"] in {"promote", "cancel", "expire"}:
                endings[rotation] += 1
            if entry["action"] in {"request", "emergency"}:
                openings[rotation] += 1
        for path, data in documents.items():
            if not path.startswith("oauth2_rotations/") or data.get("client_id") != client_id:
                continue
            rotation = path.partition("/")[2]
            wanted = (1, 1 if data.get("phase") == "completed" else 0)
            if (openings[rotation], endings[rotation]) != wanted:
                sentence = (
                    f"rotation {rotation[-6:]} of {client_id} is {data.get('phase')}, and the audit has"
                    f" {openings[rotation]} entries that open and {endings[rotation]} that end it"
                )
                self._report("each transition has one audit entry", sentence, at)

    # --- secrets in clear --------------------------------------------------------------------------------------------

    def judge_plaintext(self, drawn: Sequence[bytes], texts: Sequence[tuple[str, str]], at: float) -> None:
        """Search everything that was stored, logged or published for each value that a secret could be."""
        secrets = {_base64url(item) for item in drawn} | {item.secret for item in self.deliveries.values()}
        self.counts["values searched for"] += len(secrets)
        whole = "\n".join(text for _, text in texts)
        for secret in secrets:
            if secret in whole:
                where = next(where for where, text in texts if secret in text)
                self._report("no plaintext", f"{where} contains a secret", at)


# --- what the protocol says, once more -------------------------------------------------------------------------------


def clock(seconds: float) -> str:
    """Return a time of the run for people."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"day {int(days)}, {int(hours):02}:{int(minutes):02}:{rest:06.3f}"


def plain(value: Any) -> Any:  # noqa: ANN401 - any stored value
    """Return a stored value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return round(value.timestamp() * 1000) if isinstance(value, datetime) else value


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _length_prefixed(*fields: str) -> bytes:
    encoded = [item.encode() for item in fields]
    return b"".join(len(item).to_bytes(4, "big") + item for item in encoded)
