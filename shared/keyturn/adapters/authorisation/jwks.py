"""Trusted keys: a cached JWKS (RFC 7517 §5) from an address in the settings. It fails closed.

1. The set is fetched again when it is older than FRESH_SECONDS, or when a token names a key that is not in it. So a new
   key works at once, and a retired one stops working within FRESH_SECONDS.
2. Fetches are at least PAUSE_SECONDS apart, so that tokens with invented key ids cannot cause a flood of requests.
3. A set older than STALE_SECONDS is not used, and no key is called unknown unless the set was just fetched. Instead
   `Unavailable` tells the caller to retry. So no valid token is refused while keys change.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from keyturn.domain.errors import Unavailable
from keyturn.proofs.errors import Malformed
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH_SECONDS = 60.0
STALE_SECONDS = 300.0
PAUSE_SECONDS = 1.0
FETCH_TIMEOUT_SECONDS = 5.0
LARGEST_SET_BYTES = 64 * 1024


class TrustedKeys:
    """The keys of one issuer. `fetch` returns the set's JSON or raises OSError. `elapsed` is a monotonic clock.

    If the keys are local and a fetch costs nothing, `fresh_seconds` and `pause_seconds` are 0.
    """

    def __init__(
        self,
        fetch: Callable[[], bytes],
        elapsed: Callable[[], float],
        *,
        fresh_seconds: float = FRESH_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._fetch = fetch
        self._elapsed = elapsed
        self._fresh_seconds = fresh_seconds
        self._pause_seconds = pause_seconds
        self._lock = Lock()
        self._keys: Mapping[str, Mapping[str, str]] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def named(self, kid: str) -> Mapping[str, str] | None:
        """Return the public JWK with that id, None if the issuer has none. `Unavailable` if that is unknown now."""
        with self._lock:
            is_renewed = (kid not in self._keys or self._age() >= self._fresh_seconds) and self._renew()
            if self._age() >= STALE_SECONDS or (kid not in self._keys and not is_renewed):
                raise Unavailable("keys_unavailable", "The keys that verify tokens are unavailable.")
            return self._keys.get(kid)

    def _age(self) -> float:
        return STALE_SECONDS if self._fetched_at is None else self._elapsed() - self._fetched_at

    def _renew(self) -> bool:
        now = self._elapsed()
        if self._tried_at is not None and now - self._tried_at < self._pause_seconds:
            return False
        self._tried_at = now
        try:
            self._keys = read_jwks(self._fetch())
        except (OSError, Malformed):
            return False
        self._fetched_at = now
        return True


def read_jwks(data: bytes) -> dict[str, Mapping[str, str]]:
    """Return the keys of a JWKS by id, except keys without a unique id. `Malformed` if the data is no JWKS."""
    keys = load_object(data).get("keys")
    if not isinstance(keys, list):
        raise Malformed("malformed_jwks", "The document is not a JWKS.")
    jwks = [{str(name): str(value) for name, value in key.items()} for key in keys if isinstance(key, dict)]
    ids = [key.get("kid", "") for key in jwks]
    return {key["kid"]: key for key in jwks if key.get("kid") and ids.count(key["kid"]) == 1}


def https_fetch(address: str) -> Callable[[], bytes]:
    """Return a function that fetches the set from an https address. ValueError for any other scheme."""
    if not address.startswith("https://"):
        raise ValueError("keys are fetched over https only")

    def fetch() -> bytes:
        from urllib.request import urlopen  # noqa: PLC0415 - nothing heavy at import time

        with urlopen(address, timeout=FETCH_TIMEOUT_SECONDS) as answer:  # noqa: S310 - https by the line above
            body: bytes = answer.read(LARGEST_SET_BYTES + 1)
        if len(body) > LARGEST_SET_BYTES:
            raise OSError("the key set is too large")
        return body

    return fetch
