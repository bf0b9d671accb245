"""The MLS working group's official vectors (mlswg/mls-implementations), those of our cipher suite."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "vectors" / "mls"
OUR_SUITE = 1
Case = dict[str, Any]


def cases(name: str) -> Iterator[tuple[str, Case]]:
    """Yield the cases of a file for our suite, each with a test id."""
    for number, case in enumerate(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))):
        if suite_of(case) == OUR_SUITE:
            yield f"{name}-{number}", case


def suite_of(case: Case) -> int:
    """Return the cipher suite of a case. Messages name it only in their key package, and tree math has none."""
    if "mls_key_package" in case:
        return int(case["mls_key_package"][12:16], 16)
    return int(case.get("cipher_suite", OUR_SUITE))
