"""The address ranges from which a client's credentials are accepted."""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SOURCES: Final = 64
_LONGEST_IPV6_PREFIX: Final = 64
"""A source is known as an IPv4 address or an IPv6 /64 (docs/protocol.md §10), so longer prefixes would never match."""
_LOOPBACK: Final = ("127.0.0.1", "::1")


def checked_sources(texts: Sequence[str]) -> tuple[str, ...]:
    """Return address ranges in their canonical form, each once. `InvalidRequest` for anything else, or too many."""
    if len(texts) > MOST_SOURCES:
        raise InvalidRequest("bad_field", "A client has at most 64 ranges of addresses.")
    try:
        networks = [ipaddress.ip_network(text) for text in texts]
    except ValueError:
        networks = []
    if len(networks) != len(texts) or any(_is_too_narrow(network) for network in networks):
        raise InvalidRequest("bad_field", "A range is an IPv4 or IPv6 network such as 192.0.2.0/24 or 2001:db8::/32.")
    return tuple(dict.fromkeys(map(str, networks)))


@functools.lru_cache(maxsize=4096)
def permits(sources: tuple[str, ...], source: str) -> bool:
    """Return whether a source lies in one of the ranges. "" stands for this machine, and no range for every source."""
    if not sources:
        return True
    presented = [ipaddress.ip_network(text) for text in ([source] if source else _LOOPBACK)]
    return any(_contains(ipaddress.ip_network(allowed), network) for allowed in sources for network in presented)


def _contains(
    allowed: ipaddress.IPv4Network | ipaddress.IPv6Network, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    if allowed.version != network.version:
        return False
    return network.network_address in allowed and network.broadcast_address in allowed


def _is_too_narrow(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    is_loopback = network.is_loopback
    return network.version == 6 and network.prefixlen > _LONGEST_IPV6_PREFIX and not is_loopback  # noqa: PLR2004 - IPv6
