"""Prove: check a challenge and a caller's evidence, and issue an attested admin token (docs/protocol.md §7).

Rules:

1. Possession comes first: the HTTP layer has verified that the caller's key signed this very request (NIP-98).
2. Then the challenge. Then all factors except presence, whichever fails (`factors.py`).
3. A TOTP code is checked, and counted, only after all other factors hold. So no other caller can lock an admin out.
   A guess is counted before its result is known: the commit that uses up the challenge counts it too, and of several
   guesses at the same time only one commit succeeds.
4. Only the database `auth` is read. Whether the key is a member of the group is checked where the proof is used, in the
   command's own snapshot (docs/adr/0010).
5. The stored challenge names the attempt that used it up. So after a commit with an unknown outcome the call
   recognises its own work. Every other request with this challenge or code is refused.
6. Every refusal is sent at a full multiple of REFUSAL_SECONDS after the request arrived, whatever was missing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from keyturn.domain.errors import RateLimited, Refusal
from keyturn.domain.lockout import LONGEST_DELAY
from keyturn.domain.proofs_policy import Missing, ProofRefused
from keyturn.ports.store import put
from keyturn.proofs.totp import matching_step
from keyturn.records import paths
from keyturn.records.admin import UNKNOWN_USER, admin_path, challenge_path, unseal_seed
from keyturn.records.admin_directory import read_admin
from keyturn.records.codec import to_data
from keyturn.records.denylist import BLOCK_PATHS, is_denied, require_running
from keyturn.use_cases.admin_proof.challenge import challenge_refused, use_challenge
from keyturn.use_cases.optimistic import Attempts, until_won

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.keys import Sealer
    from keyturn.ports.store import Data, Databases, Snapshot
    from keyturn.records.admin import Admin
    from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer
    from keyturn.use_cases.admin_proof.factors import CheckFactors, FactorResult, ProofRequest
    from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
    from keyturn.use_cases.refusal_log import Refusals

REFUSAL_SECONDS = 0.5
"""Longer than the slowest refusal usually takes. A slower one is delayed to the next multiple."""


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What one attempt decided and committed: whose factors it checked, and whether the TOTP code was right."""

    user: str
    method: str
    nonce: str
    now: datetime
    has_valid_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveAdmin:
    """The use case behind `admin_proof`. `elapsed` is a monotonic clock in seconds, used only for rule 6."""

    databases: Databases
    challenges: ChallengeIssuer
    factors: CheckFactors
    sealer: Sealer = field(repr=False)
    issuer: ProofIssuer
    refusals: Refusals
    environment: Environment
    elapsed: Callable[[], float]
    denied: frozenset[str] = field(default=frozenset())
    """Users, npubs and client ids on the denylist of the settings."""

    def __call__(self, request: ProofRequest) -> Data:
        """Return a proof for the requested act. Raise `ProofRefused`, `RateLimited`, or another `Refusal`."""
        start = self.elapsed()
        try:
            return self._prove(request)
        except Refusal:
            self.environment.sleep(_until_multiple(self.elapsed() - start))
            raise

    def _prove(self, request: ProofRequest) -> Data:
        attempts: Attempts[_Judgement] = Attempts(self.environment)
        judgement = until_won(lambda: self._judge(request, attempts), self.environment)
        if not judgement.has_valid_code:
            self._refuse(request, judgement.user, (Missing.PRESENCE,), judgement.now)
        amr = (judgement.method, "pop", "totp")
        return self.issuer.issue(request.act, judgement.user, judgement.nonce, amr, judgement.now)

    def _judge(self, request: ProofRequest, attempts: Attempts[_Judgement]) -> _Judgement:
        key = paths.npub(request.act.npub)
        snapshot = self.databases.auth.get([key])
        user = snapshot[key].text("user") if snapshot[key].exists else None
        nonce = self.challenges.nonce(request.challenge, snapshot.read_time)
        # An unknown key reads as many documents as a known one (UNKNOWN_USER).
        record = admin_path(user or UNKNOWN_USER)
        auth = self.databases.auth.get([record, challenge_path(nonce), *BLOCK_PATHS])
        if (applied := attempts.applied(auth[challenge_path(nonce)])) is not None:
            return applied  # rule 5
        require_running(auth, request.action)
        if auth[challenge_path(nonce)].exists:
            raise challenge_refused()
        # Denylists are applied after the factors, so a denied caller waits as long as any other.
        result = self.factors(request, read_admin(auth[record]), auth.read_time)
        result = self._apply_denylists(request, result, user, auth)
        if result.missing_factors or result.admin is None:
            self._refuse(request, user, result.missing_factors, auth.read_time)
        judgement, after = self._check_presence(request.totp, result.admin, result.method, nonce, auth.read_time)
        use = use_challenge(nonce, judgement.user, attempts.add(judgement), judgement.now)
        self.databases.auth.commit([put(auth[record], to_data(after)), use])
        return judgement

    def _apply_denylists(
        self, request: ProofRequest, result: FactorResult, user: str | None, auth: Snapshot
    ) -> FactorResult:
        if not is_denied(auth, self.denied, user, request.act.npub, request.act.client_id):
            return result
        return replace(result, missing_factors=(*result.missing_factors, Missing.POLICY))

    def _check_presence(
        self, totp: str, admin: Admin, method: str, nonce: str, now: datetime
    ) -> tuple[_Judgement, Admin]:
        """Return what the code shows, and the admin's record after it."""
        require_unlocked(admin, now)
        step = matching_step(unseal_seed(self.sealer, admin), totp, now, admin.last_step)
        after = admin.with_wrong_code(now) if step is None else admin.with_valid_code(step)
        return _Judgement(admin.user, method, nonce, now, has_valid_code=step is not None), after

    def _refuse(
        self, request: ProofRequest, user: str | None, missing_factors: tuple[Missing, ...], now: datetime
    ) -> NoReturn:
        self.refusals.keep(request.act, user, missing_factors, now)
        raise ProofRefused(*missing_factors)


def require_unlocked(admin: Admin, now: datetime) -> None:
    """Refuse (`RateLimited`) to check a TOTP code while the admin is locked after too many wrong codes."""
    # A lock that lasts longer than any that is set shows that the clock was set back. The next wrong code sets another.
    if admin.locked_until and now < admin.locked_until <= now + LONGEST_DELAY:
        seconds = math.ceil((admin.locked_until - now).total_seconds())
        raise RateLimited("locked", "Too many wrong codes: wait before the next one.", retry_after_seconds=seconds)


def _until_multiple(elapsed: float) -> float:
    return REFUSAL_SECONDS - elapsed % REFUSAL_SECONDS
