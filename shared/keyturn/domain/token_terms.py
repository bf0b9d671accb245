"""Terms of a client's access tokens: audience, scopes, and the audiences that it is allowed to introspect."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from keyturn.domain.errors import InvalidRequest
from keyturn.domain.record import OPTIONAL, Record

MOST_NAMES: Final = 32
"""How many scopes, and how many audiences to ask about, a client may have."""
_AUDIENCE = re.compile(r"[!-~]{1,256}\Z")
_SCOPE = re.compile(r"[!#-\[\]-~]{1,64}\Z")  # RFC 6749 §3.3: scope-token


@dataclass(frozen=True, slots=True)
class TokenTerms(Record):
    """The terms of one client's tokens. `audience` None stands for the deployment's audience.

    A change takes effect for existing tokens as well: a token that exceeds its client's terms is no longer active.
    """

    audience: str | None = None
    scopes: tuple[str, ...] = ()
    """The scopes that a token can have (RFC 6749 §3.3). A token that is requested without a scope has all of them."""
    introspects: tuple[str, ...] = ()
    """The audiences for which this client is a resource server, so that it can introspect their tokens (RFC 7662)."""
    algorithm: str | None = field(default=None, metadata=OPTIONAL)
    """The algorithm that signs the tokens: ES256 or RS256. None stands for the deployment's."""

    def checked(self) -> TokenTerms:
        """Return these terms. Raises `InvalidRequest` for a malformed or repeated name, or too many."""
        audiences = [*self.introspects, *([] if self.audience is None else [self.audience])]
        if not all(map(_AUDIENCE.match, audiences)) or not all(map(_SCOPE.match, self.scopes)):
            raise InvalidRequest("bad_token_terms", "An audience or a scope is malformed or too long.")
        if self.algorithm not in {None, "ES256", "RS256"}:
            raise InvalidRequest("bad_token_terms", "The algorithm of tokens is ES256 or RS256.")
        for names in (self.scopes, self.introspects):
            if len(set(names)) != len(names) or len(names) > MOST_NAMES:
                raise InvalidRequest(
                    "bad_token_terms", "Each scope and audience is listed once, and at most 32 of them."
                )
        return self

    def granted(self, scope: str) -> tuple[str, ...] | None:
        """Return the scopes of a token for this `scope` parameter, or None if the client may not have one of them."""
        # RFC 6749 §3.3: a list separated by spaces, in any order. A repeated scope counts once, and white space around
        # and between the names does not count at all.
        names = tuple(dict.fromkeys(scope.split()))
        if not names:
            return self.scopes
        return names if set(names) <= set(self.scopes) else None


DEFAULT_TERMS: Final = TokenTerms()
"""The deployment's audience, no scopes, and no introspection."""
