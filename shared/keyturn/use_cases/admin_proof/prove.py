"""Prove: challenge and evidence in, an attested admin token out (protocol.md §7).

1. Possession comes first: the door has checked that the npub signed this very request (NIP-98), which names the nonce.
2. Then the challenge; then all factors but presence, whoever asks (`prove_admin_factors`).
3. A one-time code is looked at, and counted, only after the others hold: nobody locks out somebody else. A guess is
   paid for before its outcome is known: the commit that uses up the challenge counts it, and races are lost.
4. Only the database auth is read: whether the key has a seat in the group is looked at where the proof is used, in the
   act's own snapshot (docs/adr/0010).
5. Every refusal leaves at a full multiple of REFUSAL_SECONDS after its request began, whatever was missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn, cast

from keyturn.domain.errors import RateLimited, Refusal
from keyturn.domain.proofs_policy import Missing, ProofRefused
from keyturn.ports.store import Create, put
from keyturn.proofs.stateless_challenge import CHALLENGE_LIFETIME
from keyturn.proofs.totp import matching_step
from keyturn.records import paths
from keyturn.records.admin import UNKNOWN_USER, Admin, admin_path, challenge_path, unseal_seed
from keyturn.records.codec import from_data, to_data
from keyturn.records.denylist import BLOCK_PATHS, is_denied, require_running
from keyturn.use_cases.admin_proof.challenge import challenge_refused
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.keys import Sealer
    from keyturn.ports.store import Data, Databases, Snapshot
    from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer
    from keyturn.use_cases.admin_proof.factors import CheckFactors, FactorResult, ProofRequest
    from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
    from keyturn.use_cases.refusal_log import Refusals

REFUSAL_SECONDS = 0.5
"""More than the slowest way to a refusal takes: what is quicker waits, what is slower waits for the next multiple."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveAdmin:
    """The use case behind `admin_proof`; `elapsed` is a monotonic clock in seconds, for pacing and nothing else."""

    databases: Databases
    challenges: ChallengeIssuer
    factors: CheckFactors
    sealer: Sealer = field(repr=False)
    issuer: ProofIssuer
    refusals: Refusals
    environment: Environment
    elapsed: Callable[[], float]
    denied: frozenset[str] = field(default=frozenset())
    """Users, npubs and client ids that may do nothing."""

    def __call__(self, asked: ProofRequest) -> Data:
        """Return a proof for what is asked; `ProofRefused`, `RateLimited`, or another `Refusal`."""
        began = self.elapsed()
        try:
            return until_won(lambda: self._attempt(asked), self.environment)
        except Refusal:
            self.environment.sleep(_until_multiple(self.elapsed() - began))
            raise

    def _attempt(self, asked: ProofRequest) -> Data:
        key = paths.npub(asked.act.npub)
        registered = self.databases.auth.get([key])
        user = cast("str", found["user"]) if (found := registered[key].data) else None
        nonce = self.challenges.nonce(asked.challenge, registered.read_time)
        auth = self.databases.auth.get([admin_path(user or UNKNOWN_USER), challenge_path(nonce), *BLOCK_PATHS])
        require_running(auth, asked.action)
        if auth[challenge_path(nonce)].exists:
            raise challenge_refused()
        data = auth[admin_path(user or UNKNOWN_USER)].data
        admin = from_data(Admin, data) if data else None
        findings = self._allowed(asked, self.factors(asked, admin, auth.read_time), user, auth)
        if findings.missing or findings.admin is None:
            self._refuse(asked, user, findings.missing, auth.read_time)
        return self._present(asked, findings.admin, findings.method, nonce, auth)

    def _allowed(self, asked: ProofRequest, findings: FactorResult, user: str | None, auth: Snapshot) -> FactorResult:
        if not is_denied(auth, self.denied, user, asked.act.npub, asked.act.client_id):
            return findings
        return replace(findings, missing=(*findings.missing, Missing.POLICY))

    def _present(self, asked: ProofRequest, admin: Admin, method: str, nonce: str, auth: Snapshot) -> Data:
        now = auth.read_time
        require_unlocked(admin, now)
        step = matching_step(unseal_seed(self.sealer, admin), asked.totp, now, admin.last_step)
        after = admin.with_wrong_code(now) if step is None else admin.with_valid_code(step)
        used: Data = {"user": admin.user, "expires_at": now + CHALLENGE_LIFETIME * 2}
        path = admin_path(admin.user)
        self.databases.auth.commit([put(auth[path], to_data(after)), Create(challenge_path(nonce), used)])
        if step is None:
            self._refuse(asked, admin.user, (Missing.PRESENCE,), now)
        return self.issuer.issue(asked.act, admin.user, nonce, (method, "pop", "totp"), now)

    def _refuse(self, asked: ProofRequest, user: str | None, missing: tuple[Missing, ...], now: datetime) -> NoReturn:
        self.refusals.keep(asked.act, user, missing, now)
        raise ProofRefused(*missing)


def require_unlocked(admin: Admin, now: datetime) -> None:
    """Refuse (`RateLimited`) to look at a code of somebody who gave too many wrong ones."""
    if admin.locked_until and now < admin.locked_until:
        seconds = math.ceil((admin.locked_until - now).total_seconds())
        raise RateLimited("locked", "Too many wrong codes: wait before the next one.", retry_after_seconds=seconds)


def _until_multiple(elapsed: float) -> float:
    return REFUSAL_SECONDS - elapsed % REFUSAL_SECONDS
