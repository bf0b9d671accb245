"""Searches files for secrets at rest: every file below a folder, every encoding in which a secret could be stored."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from keyturn.domain.encodings import base64url_decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret found in a file: its encoding and offset, never the secret itself."""

    file: Path
    form: str
    offset: int


def forms(secret: str) -> Mapping[str, bytes]:
    """Return the bytes of a secret in each encoding that could hide it from a simple search."""
    text, raw = secret.encode("ascii"), base64url_decode(secret)
    return {
        "text": text,
        "raw bytes": raw,
        "hex of the text": text.hex().encode(),
        "hex of the raw bytes": raw.hex().encode(),
        "base64 of the text": base64.b64encode(text).rstrip(b"="),
        "base64 of the raw bytes": base64.b64encode(raw).rstrip(b"="),
        "base64url of the text": base64.urlsafe_b64encode(text).rstrip(b"="),
        "URL-escaped": quote(secret, safe="").replace("-", "%2D").replace("_", "%5F").encode(),
        "JSON-escaped": "".join(f"\\u{ord(char):04x}" for char in secret).encode(),
        "JSON string": json.dumps(secret).encode(),
    }


def search(data: bytes, secrets: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield the encoding and offset of every secret in `data`. Hexadecimal matches in upper and lower case."""
    lower_case_data = data.lower()
    for secret in secrets:
        for form, pattern in forms(secret).items():
            offset = lower_case_data.find(pattern) if form.startswith("hex") else data.find(pattern)
            if offset >= 0:
                yield form, offset


def search_folder(folder: Path, secrets: Iterable[str]) -> list[Finding]:
    """Return every finding in every file below a folder, databases and their logs included."""
    secret_list = list(secrets)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Finding(file, *hit) for file in files for hit in search(file.read_bytes(), secret_list)]
