"""Prove: challenge and evidence in, an attested admin token out (protocol.md §7).

1. Possession comes first: the door has checked that the npub signed this very request (NIP-98), which names the nonce.
2. Then the challenge; then all factors but presence, whoever asks (`prove_admin_factors`).
3. A one-time code is looked at, and counted, only after the others hold: nobody locks out somebody else. A guess is
   paid for before its outcome is known: the commit that uses up the challenge counts it, and races are lost.
4. Every refusal leaves at a full multiple of REFUSAL_SECONDS after its request began, whatever was missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from shared.domain.errors import RateLimited, Refusal
from shared.domain.proofs_policy import Missing, ProofRefused
from shared.ports.store import Create, put
from shared.proofs.totp import matching_step
from shared.records import paths
from shared.records.entities import from_data, to_data
from shared.use_cases.attempts import until_won
from shared.use_cases.prove_admin_challenge import LIFETIME, refused
from shared.use_cases.prove_admin_record import NOBODY, Admin, admin_path, challenge_path, unseal_seed
from shared.use_cases.rosters import read_rosters

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from shared.ports.authorisation import Act
    from shared.ports.environment import Environment
    from shared.ports.keys import Sealer
    from shared.ports.store import Data, Databases, Snapshot
    from shared.use_cases.prove_admin_challenge import Challenges
    from shared.use_cases.prove_admin_factors import Asked, Factors, Findings
    from shared.use_cases.prove_admin_issue import ProofIssuer
    from shared.use_cases.prove_admin_refusals import Refusals

REFUSAL_SECONDS = 0.25
"""More than the slowest way to a refusal takes: what is quicker waits, what is slower waits for the next multiple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveAdmin:
    """The use case behind `admin_proof`; `elapsed` is a monotonic clock in seconds, for pacing and nothing else."""

    databases: Databases
    challenges: Challenges
    factors: Factors
    sealer: Sealer = field(repr=False)
    issuer: ProofIssuer
    refusals: Refusals
    environment: Environment
    elapsed: Callable[[], float]
    denied: frozenset[str] = field(default=frozenset())
    """Users, npubs and client ids that may do nothing."""

    def challenge(self) -> Data:
        """Return a challenge; nothing is stored."""
        return self.challenges.issue(self.databases.auth.get([]).read_time)

    def __call__(self, asked: Asked) -> Data:
        """Return a proof for what is asked; `ProofRefused`, `RateLimited`, or another `Refusal`."""
        began = self.elapsed()
        try:
            return until_won(lambda: self._attempt(asked), self.environment)
        except Refusal:
            self.environment.sleep(_until_multiple(self.elapsed() - began))
            raise

    def _attempt(self, asked: Asked) -> Data:
        control = self.databases.control.get([paths.client(asked.act.client_id), paths.roster(asked.act.group)])
        user, member = _seat(control, asked.act)
        nonce = self.challenges.nonce(asked.challenge, control.read_time)
        auth = self.databases.auth.get([admin_path(user or NOBODY), challenge_path(nonce)])
        if auth[challenge_path(nonce)].exists:
            raise refused()
        data = auth[admin_path(user or NOBODY)].data
        admin = from_data(Admin, data) if data else None
        findings = self._allowed(asked, self.factors(asked, admin, auth.read_time, member=member), user)
        if findings.missing or findings.admin is None:
            self._refuse(asked, user, findings.missing, auth.read_time)
        return self._present(asked, findings.admin, findings.method, nonce, auth)

    def _allowed(self, asked: Asked, findings: Findings, user: str | None) -> Findings:
        if not self.denied & {user or NOBODY, asked.act.npub, asked.act.client_id}:
            return findings
        return replace(findings, missing=(*findings.missing, Missing.POLICY))

    def _present(self, asked: Asked, admin: Admin, method: str, nonce: str, auth: Snapshot) -> Data:
        now = auth.read_time
        _require_unlocked(admin, now)
        step = matching_step(unseal_seed(self.sealer, admin), asked.totp, now, admin.last_step)
        after = admin.failed(now) if step is None else admin.accepted(step)
        used: Data = {"user": admin.user, "expires_at": now + LIFETIME * 2}
        path = admin_path(admin.user)
        self.databases.auth.commit([put(auth[path], to_data(after)), Create(challenge_path(nonce), used)])
        if step is None:
            self._refuse(asked, admin.user, (Missing.PRESENCE,), now)
        return self.issuer.issue(asked.act, admin.user, nonce, (method, "pop", "totp"), now)

    def _refuse(self, asked: Asked, user: str | None, missing: tuple[Missing, ...], now: datetime) -> NoReturn:
        self.refusals.keep(asked.act, user, missing, now)
        raise ProofRefused(*missing)


def _seat(control: Snapshot, act: Act) -> tuple[str | None, bool]:
    """Return who has the key in the group, and whether they are a member and the group is the client's."""
    roster = read_rosters(control, [act.group]).get(act.group)
    found = roster.member(act.npub) if roster else None
    client = control[paths.client(act.client_id)].data or {}
    groups = client.get("admin_groups")
    return found.user if found else None, bool(found) and isinstance(groups, (list, tuple)) and act.group in groups


def _require_unlocked(admin: Admin, now: datetime) -> None:
    if admin.locked_until and now < admin.locked_until:
        seconds = math.ceil((admin.locked_until - now).total_seconds())
        raise RateLimited("locked", "Too many wrong codes: wait before the next one.", retry_after_seconds=seconds)


def _until_multiple(elapsed: float) -> float:
    return REFUSAL_SECONDS - elapsed % REFUSAL_SECONDS
