"""The value of an Authorization header: a scheme and its credentials (RFC 9110 §11.4)."""

from __future__ import annotations


def split_authorization(value: str) -> tuple[str, str]:
    """Return the scheme in lower case and the credentials of a header's value. Either can be empty.

    White space around a value is no part of it (RFC 9110 §5.5). The case of a scheme does not matter (§11.1), and any
    number of spaces separates it from the credentials (§11.4).
    """
    scheme, _, credentials = value.strip(" \t").partition(" ")
    return scheme.lower(), credentials.lstrip(" ")
