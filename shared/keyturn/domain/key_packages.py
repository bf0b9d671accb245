"""How long MLS key packages are valid (docs/protocol.md §12, RFC 9420 §7.2)."""

from __future__ import annotations

from datetime import timedelta

# A device's key package is used within minutes. The rest of its life is the leaf's, until the device renews it.
KEY_PACKAGE_LIFETIME = timedelta(days=90)
# The service adds no leaf that is about to expire: other implementations may drop such a member.
LEAST_REMAINING_LIFETIME = timedelta(days=30)
LONGEST_LIFETIME = timedelta(days=366)
