"""Callers' tags: whose use of a secret it is, told apart without being told.

A tag is a keyed hash of the caller's network (IPv4 /24, IPv6 /48) and of the product in its User-Agent. The key is a
value in the database control; tags are stored in usage: who reads the one database alone learns no address.
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
"""How long a process does without a salt before it asks for one again."""
_MOST_KEPT: Final = 10_000
_MOST_WAITING: Final = 1_000
_PROVISIONAL: Final = "?"
"""What no tag begins with: base64url does not have it."""
_MOST_READ: Final = 40
"""What is looked at, and kept, of a User-Agent: whoever makes up thousands of long ones fills no memory."""
_PRODUCT = re.compile(rf"[A-Za-z0-9._-]{{1,{_MOST_READ}}}")
_V4_NETWORK, _V6_NETWORK = 24, 48


class Salt:
    """The deployment's salt, read once a process; made with the first client (use_cases/salt.py)."""

    def __init__(self, control: Store, monotonic: Callable[[], float]) -> None:
        self._control = control
        self._monotonic = monotonic
        self._ask_again_at = float("-inf")
        self.known: bytes | None = None
        """The salt (`bytes, 32`), if it was read already."""

    def value(self) -> bytes | None:
        """Return the salt, read if need be; None while there is none or the store can't be asked."""
        if self.known is None and self._monotonic() >= self._ask_again_at:
            self._ask_again_at = self._monotonic() + RETRY_SECONDS
            self.known = self._read()
        return self.known

    def _read(self) -> bytes | None:
        try:
            data = self._control.get([paths.SALT])[paths.SALT].data
        except StoreError:
            return None
        return cast("bytes", data["salt"]) if data else None


class Callers:
    """Makes tags, without ever making a request wait for a store. Any number of threads may use it.

    What comes before the salt is known gets a provisional tag, good in this process only, until `resolved`.
    """

    def __init__(self, salt: Salt) -> None:
        self._salt = salt
        self._kept: dict[tuple[str, str], str] = {}
        self._waiting: dict[str, tuple[str, str]] = {}

    def tag(self, source: str, agent: str) -> str:
        """Return the tag of a source (`budgets.source_of`) and a User-Agent; provisional while there is no salt."""
        agent = agent[:_MOST_READ]
        kept = self._kept.get((source, agent))
        if kept is not None:
            return kept
        if self._salt.known is None:
            return self._provisional(network_of(source), product_of(agent))
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        tag = tag_of(self._salt.known, source, agent)
        self._kept[source, agent] = tag
        return tag

    def resolved(self, tag: str) -> str:
        """Return a tag that can be stored, "" where none could be made; not for the request's way: it may read."""
        if not tag.startswith(_PROVISIONAL):
            return tag
        salt, known = self._salt.value(), self._waiting.get(tag)
        if salt is None or known is None:
            return ""
        return tag_of(salt, *known)

    def _provisional(self, network: str, product: str) -> str:
        tag = f"{_PROVISIONAL}{network} {product}"
        if tag not in self._waiting and len(self._waiting) >= _MOST_WAITING:
            return ""
        self._waiting[tag] = (network, product)
        return tag


def tag_of(salt: bytes, source: str, agent: str) -> str:
    """Return a caller's tag, 8 base64url characters."""
    data = length_prefixed("keyturn/caller/v1", network_of(source), product_of(agent))
    return base64url_encode(hmac.digest(salt, data, "sha256")[:TAG_BYTES])


def network_of(source: str) -> str:
    """Return the network of an address or network: IPv4 /24, IPv6 /48; "" for none, or one's own machine."""
    try:
        address = ipaddress.ip_interface(source.strip()).ip
    except ValueError:
        return ""
    width = _V4_NETWORK if address.version == 4 else _V6_NETWORK  # noqa: PLR2004 - the versions of IP
    return "" if address.is_loopback else str(ipaddress.ip_network((address, width), strict=False))


def product_of(agent: str) -> str:
    """Return the first product's name in a User-Agent (RFC 9110 §10.1.5), without its version; "" for none."""
    found = _PRODUCT.match(agent)
    return found[0] if found else ""
