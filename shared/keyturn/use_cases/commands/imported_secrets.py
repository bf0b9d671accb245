"""Refuse a reason that contains an imported secret of the command's client (docs/protocol.md §3).

Such a secret has no form by which it could be recognised, so the likeliest words of the reason are tried against the
hashes: at most two hash calls for each event, under the verifier's cap on concurrent hashes.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import islice, product
from typing import TYPE_CHECKING, Final

from keyturn.domain.free_text import MOST_LIKELY, likely_secrets, secret_in_text
from keyturn.domain.imported_secret import is_imported
from keyturn.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.domain.model import Version

_MOST_REMEMBERED: Final = 1000


class ImportedSecrets:
    """The check. `matches` returns whether a value belongs to an imported version."""

    def __init__(self, matches: Callable[[str, Version], bool]) -> None:
        self._matches = matches
        self._results: OrderedDict[str, bool] = OrderedDict()

    def check(self, event_id: str, reason: str, versions: Sequence[Version]) -> None:
        """Raise `InvalidRequest` (`secret_in_text`) if a word of the reason is the secret of one of the versions."""
        imported_versions = [version for version in versions if is_imported(version)]
        if not reason or not imported_versions:
            return
        # A lost race repeats the command: its hashes are not computed again.
        if event_id not in self._results:
            self._results[event_id] = self._contains_secret(reason, imported_versions)
            while len(self._results) > _MOST_REMEMBERED:
                self._results.popitem(last=False)
        if self._results[event_id]:
            raise secret_in_text()

    def _contains_secret(self, reason: str, versions: Sequence[Version]) -> bool:
        trials = islice(product(likely_secrets(reason), versions), MOST_LIKELY)
        try:
            return any(self._matches(word, version) for word, version in trials)
        except KeyUnavailable:
            # All hash slots are taken. A flood of wrong values must not keep an admin from revoking a client.
            return False
