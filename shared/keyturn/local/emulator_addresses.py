"""The addresses of a running suite's emulators, in a file beside its keys, for `keyturn doctor` and `keyturn keys`."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from keyturn.entry.config.settings import Cloud
from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESSES = "emulators.json"


def read_addresses(folder: Path) -> Cloud | None:
    """Return the project that runs with a folder's keys, None if none runs. `LocalError` if the file is damaged."""
    try:
        return Cloud(**json.loads((folder / ADDRESSES).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise LocalError(f"{ADDRESSES} is damaged.", "Stop `keyturn up --emulators` and remove the file.") from None


@contextmanager
def published_addresses(folder: Path, cloud: Cloud) -> Iterator[None]:
    """Write the emulators' addresses into `folder` while the context lasts. They are not secret."""
    path = folder / ADDRESSES
    path.write_text(json.dumps(asdict(cloud), indent=2) + "\n", encoding="ascii")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
