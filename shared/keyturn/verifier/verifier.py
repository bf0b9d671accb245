"""Verify a credential (protocol.md §10).

1. What time alone brought is applied to what is read: a sweeper that sleeps changes no answer.
2. The receipt key is derived for current and for previous, always both, dummies included; only a match goes to the MAC.
   A scannable secret says by its hint which of them it is: the other one's place is a dummy's then. What matches none
   goes to bcrypt where a version is imported (legacy.py), and there alone.
3. Unknown client, wrong secret, retired and suspended end in the same refusal, by the same path.
4. Without caching every verdict rests on a read begun after the request came. With it, a yes may be as old as the
   staleness bound, and is proven to be no older (cache.py, changes.py); a no may be one second old; what can't be
   shown is `StoreUnavailable`, never a stale yes.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain import lifecycle
from keyturn.domain.bcrypt_import import is_imported
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.model import ClientStatus, Version, VersionState
from keyturn.domain.secret_format import hint_of
from keyturn.ports.store import StoreUnavailable
from keyturn.records.client_document import live_state
from keyturn.verifier import candidates as standing
from keyturn.verifier import matching
from keyturn.verifier.bcrypt_check import Imported
from keyturn.verifier.cache import OF_SECRET, OF_VERSION, VerdictCache
from keyturn.verifier.change_poll import Changes, in_thread
from keyturn.verifier.shared_reads import Reads
from keyturn.verifier.verdict import Observer, Reason, Verdict, one_of_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy
    from keyturn.ports.feed import Feed
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data, Store
    from keyturn.verifier.failure_limits import Budgets
    from keyturn.verifier.shared_reads import Read

__all__ = ["Caching", "Observer", "Reason", "Verdict", "Verifier", "monotonic"]

_log = logging.getLogger("keyturn")

SHARE_SECONDS: Final = 1.0
"""With caching, how old the read may be that a refusal rests on: nobody makes us read a client more often."""
_DUMMY_SECRET = "A" * 43


def monotonic() -> float:
    """Return seconds of a clock that never goes back and, where there is one, goes on while the machine sleeps."""
    # On Linux CLOCK_MONOTONIC stands still during suspend: what was kept would look fresh afterwards.
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


_CLOCK: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


@dataclass(frozen=True, slots=True)
class Caching:
    """How a verifier keeps verdicts; the bound is the policy's `max_stale_seconds`."""

    monotonic: Callable[[], float] = monotonic
    random: Callable[[int], bytes] = os.urandom
    background: Callable[[Callable[[], None]], None] = in_thread
    """Runs a poll beside the request that noticed that it is time for one."""
    feed: Feed | None = None
    """Where changes are heard of before a poll finds them, if the store can tell (listening.py)."""


class Verifier:
    """Checks credentials against the store's `live` records. Any number of threads may share it."""

    def __init__(
        self,
        store: Store,
        mac_key: MacKey,
        policy: Policy,
        *,
        caching: Caching | None = None,
        budgets: Budgets | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._mac_key = mac_key
        self._policy = policy
        self._budgets = budgets
        self._observers = tuple(observers)
        self._monotonic = caching.monotonic if caching else monotonic
        self._imported = Imported(self._monotonic)
        self._reads = Reads(store, self._monotonic, SHARE_SECONDS if caching else 0.0)
        self._cache: VerdictCache | None = None
        if caching:
            half = policy.max_stale_seconds / 2
            self._cache = VerdictCache(2 * half, caching.monotonic, caching.random)
            on_clock = (caching.monotonic, caching.background, self._forget)
            self._changes = Changes(store, self._cache, half, *on_clock, caching.feed)

    def check(
        self,
        client_id: str,
        secret: str,
        now: datetime | None = None,
        *,
        source: str = "",
        caller: str = "",
        otherwise: str = "",
    ) -> Verdict:
        """Return the verdict on a presented credential.

        `now` puts another time in the place of the store's, and then nothing kept is used. `source` is whose failure
        budget a refusal is charged to (`budgets.source_of`), `caller` a tag for the observers. `StoreUnavailable`,
        `KeyUnavailable` or `KeyRefused` when there is no verdict; `RateLimited` for a source whose budget is spent.
        `otherwise` is the other way to read what was presented, where there are two (HTTP Basic): it is one check.
        """
        cache = self._cache
        verdict = None
        if cache is not None and now is None:
            self._changes.look()
            verdict = cache.found(client_id, secret)
            if verdict is None and otherwise:
                verdict = cache.found(client_id, otherwise)
        if verdict is None:
            verdict = self._charged(source, lambda: self._checked_either(client_id, (secret, otherwise), now))
        for observed in self._observers:
            try:
                observed(verdict, client_id, secret, caller)
            except Exception as error:  # noqa: BLE001 - who only watches changes no verdict; costs nothing
                # Not the error's text: it may carry what was presented.
                _log.error("an observer of checks failed: %s", type(error).__name__)
        return verdict

    def check_version(self, client_id: str, version_id: str, *, source: str = "") -> Verdict:
        """Return whether a version verifies now: what a token of it rests on. Errors, and `source`, as for `check`."""
        kept = self._found(client_id, version_id)
        if kept is not None:
            return kept
        return self._charged(source, lambda: self._checked_version(client_id, version_id))

    def poll(self) -> None:
        """Look now for what changed, in the caller's thread; `StoreUnavailable`. Nothing to do without caching."""
        if self._cache is not None:
            self._changes.poll()

    def close(self) -> None:
        """Listen to no changes any more; checks go on."""
        if self._cache is not None:
            self._changes.close()

    def _forget(self) -> None:
        self._reads.forget()
        if self._cache is not None:
            self._cache.forget()

    def _charged(self, source: str, checked: Callable[[], Verdict]) -> Verdict:
        if self._budgets is None:
            return checked()
        self._budgets.admit(source)
        verdict = checked()
        if not verdict.accepted:
            self._budgets.failed(source)
        return verdict

    def _found(self, client_id: str, version_id: str) -> Verdict | None:
        if self._cache is None:
            return None
        self._changes.look()
        return self._cache.found(client_id, version_id, OF_VERSION)

    def _checked_version(self, client_id: str, version_id: str) -> Verdict:
        read = self._read(_known_form(client_id))
        now = self._time(read)
        data = standing.someones(read.data)
        live = [version for version in standing.candidates(data, now) if version.version_id == version_id]
        if data is not read.data or not (live or standing.is_due(data, now)):
            return Verdict(accepted=False, now=now, reason=standing.why(data))
        state = self._settled(data, now)
        live = [version for version in _live(state, now) if version.version_id == version_id]
        if not live:
            return Verdict(accepted=False, now=now, reason=standing.why(data))
        verdict = self._accepted(state, live[0], now)
        self._kept(version_id, OF_VERSION, verdict, read, state)
        return verdict

    def _checked_either(self, client_id: str, readings: tuple[str, str], given: datetime | None) -> Verdict:
        first, second = readings
        verdict = self._checked(client_id, first, given)
        return verdict if verdict.accepted or not second else self._checked(client_id, second, given)

    def _checked(self, client_id: str, secret: str, given: datetime | None) -> Verdict:
        known_id = _known_form(client_id)
        read = self._read(known_id)
        now = given or self._time(read)
        data = standing.someones(read.data)
        state = self._settled(data, now) if standing.is_due(data, now) else None
        version = self._matching(known_id, secret, _candidates(state, now) if state else standing.candidates(data, now))
        if version is None:
            changing = standing.in_transition(data)
            return Verdict(accepted=False, now=now, reason=standing.why(data), in_transition=changing)
        state = state or self._settled(data, now)
        if not is_imported(version) and not matching.confirmed(secret, version, self._mac_key):
            return Verdict(accepted=False, now=now, reason=Reason.MAC_REFUSED)
        verdict = self._accepted(state, version, now)
        if given is None:
            self._kept(secret, OF_SECRET, verdict, read, state)
        return verdict

    def _matching(self, client_id: str, secret: str, candidates: Sequence[Version]) -> Version | None:
        presented = secret if matching.well_formed(secret) else _DUMMY_SECRET
        picked = standing.picked(candidates, hint_of(presented))
        resembling = [version for version in picked if matching.resembles(presented, version, client_id)]
        if resembling and presented == secret:
            return resembling[0]
        imported = (version for version in candidates if is_imported(version))
        return next((version for version in imported if self._imported.matches(secret, version)), None)

    def _read(self, client_id: str) -> Read:
        read = self._reads.read(client_id)
        if self._learned(client_id, read):
            return read
        # Somebody else's later read, or a poll, was faster: a read of one's own shows at least as much.
        read = self._reads.read(client_id, anew=True)
        if self._learned(client_id, read):
            return read
        raise StoreUnavailable("the store shows less than it showed before")

    def _learned(self, client_id: str, read: Read) -> bool:
        if self._cache is None:
            return True
        data = standing.someones(read.data)
        final = data.get("status") == ClientStatus.REVOKED.value
        # Nobody is somebody, too: what that takes is the same, and guessed ids take no room.
        return self._cache.learn(client_id if data is read.data else standing.NOBODY_ID, read, final=final)

    def _time(self, read: Read) -> datetime:
        # A read of one's own says the time itself; one that is shared has grown older since it ended.
        age = self._monotonic() - read.ended if self._cache is not None else 0.0
        return read.read_time + timedelta(seconds=max(0.0, age))

    def _settled(self, data: Data, now: datetime) -> ClientState:
        state = live_state(data)
        return lifecycle.settle(state, self._policy.overridden(state.client.policy), now).state

    def _kept(self, presented: str, kind: str, verdict: Verdict, read: Read, state: ClientState) -> None:
        if self._cache is None:
            return
        if self._monotonic() - read.began > self._policy.max_stale_seconds:
            raise StoreUnavailable("the verdict took longer than a verdict may be old")
        upcoming = lifecycle.due(state, self._policy.overridden(state.client.policy))
        self._cache.keep(verdict.client_id, presented, kind, verdict, read, upcoming.at if upcoming else None)

    def _accepted(self, state: ClientState, version: Version, now: datetime) -> Verdict:
        old = version.state is VersionState.GRACE
        return Verdict(
            accepted=True,
            now=now,
            client_id=state.client.client_id,
            kind=state.client.kind,
            version_id=version.version_id,
            state=version.state.value,
            not_after=version.not_after,
            access_token_seconds=self._policy.overridden(state.client.policy).access_token_seconds,
            reason=Reason.ACCEPTED,
            deprecated_at=state.client.last_promoted_at if old else None,
            terms=one_of_equal(state.client.tokens),
        )


def _known_form(client_id: str) -> str:
    try:
        return identifier(client_id)
    except InvalidRequest:
        return standing.NOBODY_ID


def _live(state: ClientState, now: datetime) -> Sequence[Version]:
    return standing.in_window(state.live, now) if state.client.status is ClientStatus.ACTIVE else ()


def _candidates(state: ClientState, now: datetime) -> Sequence[Version]:
    return standing.verifying(state.live, now, active=state.client.status is ClientStatus.ACTIVE)
