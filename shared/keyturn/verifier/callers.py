"""Tag callers, so that usage can be counted by caller without storing an address.

A tag is a keyed hash of the caller's network (IPv4 /24, IPv6 /48) and of the product in its User-Agent. The key, called
the salt, is stored in the database control, and tags in the database usage. A reader of only one of them learns no
address.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from typing import TYPE_CHECKING, Final, cast

from keyturn.domain.encodings import base64url_encode, length_prefixed
from keyturn.ports.store import StoreError
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.store import Store

TAG_BYTES: Final = 6
RETRY_SECONDS: Final = 30.0
"""How long a process waits before it tries to read the salt again."""
_MOST_KEPT: Final = 10_000
_MOST_PROVISIONAL: Final = 1_000
_PROVISIONAL: Final = "?"
"""The first character of provisional tags. Base64url does not contain it."""
_MOST_READ: Final = 40
"""How many characters of a User-Agent are read and kept, so that long invented ones cannot fill the memory."""
_PRODUCT = re.compile(rf"[A-Za-z0-9._-]{{1,{_MOST_READ}}}")
_V4_NETWORK, _V6_NETWORK = 24, 48


class Salt:
    """The deployment's salt, read once per process. It is created with the first client (records/salt.py)."""

    def __init__(self, control: Store, monotonic: Callable[[], float]) -> None:
        self._control = control
        self._monotonic = monotonic
        self._retry_at = float("-inf")
        self.known: bytes | None = None
        """The salt (`bytes, 32`) once it was read."""

    def value(self) -> bytes | None:
        """Return the salt, and read it if necessary. None if there is none yet or the store is unavailable."""
        if self.known is None and self._monotonic() >= self._retry_at:
            self._retry_at = self._monotonic() + RETRY_SECONDS
            self.known = self._read()
        return self.known

    def _read(self) -> bytes | None:
        try:
            data = self._control.get([paths.SALT])[paths.SALT].data
        except StoreError:
            return None
        return cast("bytes", data["salt"]) if data else None


class CallerTags:
    """Makes tags without making a request wait for the store. Any number of threads may use it.

    A caller that comes before the salt is known gets a provisional tag. It is valid in this process only, until
    `resolve` replaces it.
    """

    def __init__(self, salt: Salt) -> None:
        self._salt = salt
        self._tags: dict[tuple[str, str], str] = {}
        self._provisional: dict[str, tuple[str, str]] = {}

    def tag(self, source: str, agent: str) -> str:
        """Return the tag of a source (`failure_limits.source_of`) and a User-Agent, provisional without a salt."""
        agent = agent[:_MOST_READ]
        tag = self._tags.get((source, agent))
        if tag is not None:
            return tag
        if self._salt.known is None:
            return self._provisional_tag(network_of(source), product_of(agent))
        if len(self._tags) >= _MOST_KEPT:
            self._tags.clear()
        tag = caller_tag(self._salt.known, source, agent)
        self._tags[source, agent] = tag
        return tag

    def resolve(self, tag: str) -> str:
        """Return the tag to store, "" if it cannot be made. It may read the store, so no request should wait for it."""
        if not tag.startswith(_PROVISIONAL):
            return tag
        salt, caller = self._salt.value(), self._provisional.get(tag)
        if salt is None or caller is None:
            return ""
        return caller_tag(salt, *caller)

    def _provisional_tag(self, network: str, product: str) -> str:
        tag = f"{_PROVISIONAL}{network} {product}"
        if tag not in self._provisional and len(self._provisional) >= _MOST_PROVISIONAL:
            return ""
        self._provisional[tag] = (network, product)
        return tag


def caller_tag(salt: bytes, source: str, agent: str) -> str:
    """Return a caller's tag: 8 base64url characters."""
    data = length_prefixed("keyturn/caller/v1", network_of(source), product_of(agent))
    return base64url_encode(hmac.digest(salt, data, "sha256")[:TAG_BYTES])


def network_of(source: str) -> str:
    """Return the network of an address or network (IPv4 /24, IPv6 /48), and "" for loopback and for anything else."""
    try:
        address = ipaddress.ip_interface(source.strip()).ip
    except ValueError:
        return ""
    width = _V4_NETWORK if address.version == 4 else _V6_NETWORK  # noqa: PLR2004 - the versions of IP
    return "" if address.is_loopback else str(ipaddress.ip_network((address, width), strict=False))


def product_of(agent: str) -> str:
    """Return the name of the first product in a User-Agent (RFC 9110 §10.1.5), without its version. "" if none."""
    product = _PRODUCT.match(agent)
    return product[0] if product else ""
