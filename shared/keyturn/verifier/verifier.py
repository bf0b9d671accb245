"""Check credentials and versions against the store (docs/protocol.md §10).

1. Deadlines that have passed take effect on what is read, so a sweeper that stopped changes no answer.
2. A receipt key is derived for two candidates, always two, placeholders included. Only a match costs a call to the MAC
   key. A value that matches neither is hashed if one of the candidates is imported (imported_check.py).
3. Unknown client, wrong secret, retired secret and suspended client give the same refusal on the same path.
4. Without caching, every verdict rests on a read that began after the request. With caching, an accepted verdict may be
   as old as the staleness bound, and is proven to be no older (cache.py, changes.py). A refusal may be a second old.
   A verdict whose freshness cannot be proven is `StoreUnavailable`, and never a stale acceptance.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain import lifecycle
from keyturn.domain.client_access import permits
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import Broken, InvalidRequest
from keyturn.domain.imported_secret import is_imported
from keyturn.domain.model import ClientStatus, Version, VersionState
from keyturn.ports.effects import Environment, monotonic
from keyturn.ports.store import StoreUnavailable
from keyturn.records.client_document import live_state
from keyturn.verifier.cache import OF_SECRET, OF_VERSION, VerdictCache
from keyturn.verifier.candidates import (
    DAMAGED,
    PLACEHOLDER_ID,
    client_or_placeholder,
    is_due,
    is_in_transition,
    live_versions,
    read_candidates,
    refusal_reason,
    settled_candidates,
)
from keyturn.verifier.changes import ChangePoller, in_thread
from keyturn.verifier.imported_check import ImportedChecker
from keyturn.verifier.matching import confirm, match
from keyturn.verifier.shared_reads import SharedReads
from keyturn.verifier.verdict import Observer, Reason, Verdict, intern_sources, intern_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy
    from keyturn.ports.feed import Feed
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data, Store
    from keyturn.verifier.callers import CallerTags
    from keyturn.verifier.failure_limits import FailureLimits
    from keyturn.verifier.revoked_tokens import RevokedTokens
    from keyturn.verifier.shared_reads import Read

_ACCESS: Final = frozenset({"valid_until", "sources"})
_log = logging.getLogger("keyturn")

SHARE_SECONDS: Final = 1.0
"""With caching, the age of the read that a refusal may rest on; it bounds how often a client can be read."""


@dataclass(frozen=True, slots=True)
class Caching:
    """How a verifier keeps verdicts; the staleness bound is the policy's `max_stale_seconds`."""

    monotonic: Callable[[], float] = monotonic
    random: Callable[[int], bytes] = os.urandom
    background: Callable[[Callable[[], None]], None] = in_thread
    """Runs a poll beside the request that noticed that it is due."""
    feed: Feed | None = None
    """The store's change stream, if it has one (changes.py)."""


@dataclass(frozen=True, slots=True)
class _View:
    """A client as one read shows it at `now`; the placeholder where there is no such client."""

    client_id: str
    read: Read
    data: Data = field(repr=False)
    now: datetime
    state: ClientState | None
    """None as long as no deadline has passed: then the document's two live versions say all that a refusal needs."""
    candidates: Sequence[Version]

    def refusal(self) -> Verdict:
        """Return the verdict on a value that matches no candidate. `Broken` if it may be a damaged version's secret."""
        if any(version is DAMAGED for version in self.candidates):
            raise Broken("a live version of a client is damaged")
        reason, in_transition = refusal_reason(self.data, self.now), is_in_transition(self.data)
        return Verdict(accepted=False, now=self.now, reason=reason, in_transition=in_transition)


class Verifier:
    """Checks credentials of clients. Any number of threads may share it.

    `failure_limits` bounds wrong secrets by source. Each of `observers` sees every check. `callers` makes the tags that
    observers tell callers apart by. Token checkers refuse the tokens of `revocations`.
    """

    def __init__(
        self,
        store: Store,
        mac_key: MacKey,
        policy: Policy,
        *,
        caching: Caching | None = None,
        failure_limits: FailureLimits | None = None,
        observers: Sequence[Observer] = (),
        callers: CallerTags | None = None,
        environment: Environment | None = None,
        imported_checker: ImportedChecker | None = None,
        revocations: RevokedTokens | None = None,
    ) -> None:
        system = environment or Environment()
        self.callers = callers
        self.revocations = revocations
        self._mac_key = mac_key
        self._policy = policy
        self._failure_limits = failure_limits
        self._observers = tuple(observers)
        self._monotonic = caching.monotonic if caching else system.monotonic
        self._imported = imported_checker or ImportedChecker(self._monotonic, random=system.random, wait=system.wait)
        self._reads = SharedReads(store, self._monotonic, SHARE_SECONDS if caching else 0.0, system.wait)
        self._cache: VerdictCache | None = None
        if caching:
            # Polling twice per bound lets one poll come late before freshness lapses.
            half = policy.max_stale_seconds / 2
            self._cache = VerdictCache(2 * half, caching.monotonic, caching.random)
            clock = (caching.monotonic, caching.background, self._forget)
            self._changes = ChangePoller(store, self._cache, half, *clock, caching.feed)

    def check(
        self,
        client_id: str,
        secret: str,
        *,
        source: str = "",
        caller: str = "",
        otherwise: str = "",
    ) -> Verdict:
        """Return the verdict on a presented credential.

        A refusal counts against the failure limit of `source` (`failure_limits.source_of`). `caller` is a tag for the
        observers. `otherwise` is the second reading of the same value where HTTP Basic allows two. Both are one check.

        `StoreUnavailable`, `KeyUnavailable` or `KeyRefused` if there is no verdict. `RateLimited` for a source with too
        many refusals.
        """
        verdict = None
        if self._cache is not None:
            self._changes.poll_if_due()
            verdict = self._cache.find(client_id, secret)
            if verdict is None and otherwise:
                verdict = self._cache.find(client_id, otherwise)
        if verdict is None:
            self._admit(source)
            view = self._look_up(client_id)
            for value in (secret, otherwise) if otherwise else (secret,):
                version = match(value, view.client_id, view.candidates) or self._imported.match(value, view.candidates)
                if version is not None:
                    verdict = self._confirm(view, version, value)
                if verdict is not None and verdict.accepted:
                    break
            verdict = verdict or view.refusal()
            self._charge(source, verdict)
        if verdict.sources and not permits(verdict.sources, source):
            verdict = self._refuse_source(source, verdict)
        for observe in self._observers:
            try:
                observe(verdict, client_id, secret, caller)
            except Exception as error:  # noqa: BLE001 - an observer changes no verdict
                # Without the error's text, which may contain the presented value.
                _log.error("an observer of checks failed: %s", type(error).__name__)
        return verdict

    def check_version(self, client_id: str, version_id: str, *, source: str = "") -> Verdict:
        """Return whether a version verifies now, on which its tokens rest. Errors and `source` as for `check`."""
        if self._cache is not None:
            self._changes.poll_if_due()
            kept = self._cache.find(client_id, version_id, OF_VERSION)
            if kept is not None:
                return self._at_source(kept, source)
        self._admit(source)
        verdict = self._check_version(self._look_up(client_id), version_id)
        self._charge(source, verdict)
        return self._at_source(verdict, source)

    def _at_source(self, verdict: Verdict, source: str) -> Verdict:
        """Return the verdict on a token from a source. "" is not checked: who introspects a token is not its bearer."""
        if verdict.sources and source and not permits(verdict.sources, source):
            return self._refuse_source(source, verdict)
        return verdict

    def _refuse_source(self, source: str, verdict: Verdict) -> Verdict:
        refusal = Verdict(accepted=False, now=verdict.now, reason=Reason.WRONG_SOURCE)
        self._charge(source, refusal)
        return refusal

    def poll(self) -> None:
        """Look for changes now, in the caller's thread. `StoreUnavailable` if that fails.

        Without caching there is nothing to do.
        """
        if self._cache is not None:
            self._changes.poll()

    def close(self) -> None:
        """Stop listening to changes. Checks go on."""
        if self._cache is not None:
            self._changes.close()

    def _admit(self, source: str) -> None:
        if self._failure_limits is not None:
            self._failure_limits.admit(source)

    def _charge(self, source: str, verdict: Verdict) -> None:
        if self._failure_limits is not None and not verdict.accepted:
            self._failure_limits.charge(source)

    def _forget(self) -> None:
        self._reads.forget()
        if self._cache is not None:
            self._cache.forget()

    # --- reading -----------------------------------------------------------------------------------------------------

    def _look_up(self, client_id: str) -> _View:
        # A malformed id is looked up as the placeholder: it costs a read, like the id of an unknown client.
        known_id = _identifier_or_placeholder(client_id)
        read = self._read(known_id)
        now = self._store_time(read)
        data = client_or_placeholder(read.data)
        if not is_due(data, now):
            return _View(known_id, read, data, now, None, read_candidates(data, now))
        state = self._settle(data, now)
        return _View(known_id, read, data, now, state, settled_candidates(state, now))

    def _read(self, client_id: str) -> Read:
        read = self._reads.read(client_id)
        if self._note_read(client_id, read):
            return read
        # Another request's later read, or a poll, has shown a newer revision. A read of our own shows at least that.
        read = self._reads.read(client_id, anew=True)
        if self._note_read(client_id, read):
            return read
        raise StoreUnavailable("the store shows an older revision than before")

    def _note_read(self, client_id: str, read: Read) -> bool:
        if self._cache is None:
            return True
        data = client_or_placeholder(read.data)
        revoked = data.get("status") == ClientStatus.REVOKED.value
        # Unknown clients are noted too, all under one id: the work is the same, and made-up ids use no memory.
        return self._cache.note_read(client_id if data is read.data else PLACEHOLDER_ID, read, final=revoked)

    def _store_time(self, read: Read) -> datetime:
        # A read of our own carries the time; a shared one has grown older since it ended.
        age = self._monotonic() - read.ended if self._cache is not None else 0.0
        return read.read_time + timedelta(seconds=max(0.0, age))

    def _settle(self, data: Data, now: datetime) -> ClientState:
        state = live_state(data)
        return lifecycle.settle(state, self._policy.for_client(state.client.policy), now).state

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _confirm(self, view: _View, version: Version, value: str) -> Verdict:
        """Return the verdict on a value that matched a version locally: the MAC key has the last word."""
        state = view.state or self._settle(view.data, view.now)
        if not is_imported(version) and not confirm(value, version, self._mac_key):
            return Verdict(accepted=False, now=view.now, reason=Reason.MAC_REFUSED)
        verdict = self._acceptance(view, state, version)
        self._keep(value, OF_SECRET, verdict, view.read, state)
        return verdict

    def _check_version(self, view: _View, version_id: str) -> Verdict:
        # The state is only read for a version that may verify, and decides by itself: a placeholder has an id too.
        is_candidate = any(version.version_id == version_id for version in view.candidates)
        if view.data is not view.read.data or not is_candidate:
            return view.refusal()
        state = view.state or self._settle(view.data, view.now)
        for version in live_versions(state, view.now):
            if version.version_id == version_id:
                verdict = self._acceptance(view, state, version)
                self._keep(version_id, OF_VERSION, verdict, view.read, state)
                return verdict
        return view.refusal()

    def _keep(self, presented: str, kind: str, verdict: Verdict, read: Read, state: ClientState) -> None:
        if self._cache is None:
            return
        # A slow MAC key can make a verdict older than the bound before it is returned. Then it must not count at all.
        if self._monotonic() - read.began > self._policy.max_stale_seconds:
            raise StoreUnavailable("the check took longer than the staleness bound")
        deadline = lifecycle.due(state, self._policy.for_client(state.client.policy))
        ends_at = _earliest(deadline.at if deadline else None, state.client.valid_until)
        self._cache.keep(verdict.client_id, presented, kind, verdict, read, ends_at)

    def _acceptance(self, view: _View, state: ClientState, version: Version) -> Verdict:
        in_grace = version.state is VersionState.GRACE
        if state.client.damaged & _ACCESS:  # nobody knows any more from where, or until when
            raise Broken("a client's end or its address ranges are damaged")
        return Verdict(
            accepted=True,
            now=view.now,
            client_id=view.client_id,
            kind=state.client.kind,
            version_id=version.version_id,
            state=version.state.value,
            not_after=_earliest(version.not_after, state.client.valid_until),
            access_token_seconds=self._policy.for_client(state.client.policy).access_token_seconds,
            reason=Reason.ACCEPTED,
            deprecated_at=state.client.last_promoted_at if in_grace else None,
            terms=intern_terms(state.client.tokens),
            sources=intern_sources(state.client.sources),
        )


def _identifier_or_placeholder(client_id: str) -> str:
    try:
        return identifier(client_id)
    except InvalidRequest:
        return PLACEHOLDER_ID


def _earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)
