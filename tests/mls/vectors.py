"""The working group's official vectors: where they are, and which of them are for our cipher suite."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BESIDE_THE_ROOT = Path(__file__).parents[2].parent / "shared" / "vectors" / "mls"
# Mutation testing runs a copy of the project in a folder of the project's own, one level further down.
BESIDE_THE_COPY = Path(__file__).parents[2].parents[1] / "shared" / "vectors" / "mls"
FOLDER = BESIDE_THE_ROOT if BESIDE_THE_ROOT.is_dir() else BESIDE_THE_COPY
OUR_SUITE = 1
Case = dict[str, Any]


def cases(name: str) -> Iterator[tuple[str, Case]]:
    """Yield the cases of a file that are ours, each with a test id; none when the file is absent."""
    path = FOLDER / f"{name}.json"
    if path.is_file():
        for number, case in enumerate(json.loads(path.read_text())):
            if suite_of(case) == OUR_SUITE:
                yield f"{name}-{number}", case


def suite_of(case: Case) -> int:
    """Tell the cipher suite of a case; the messages say it only in their key package, tree math has none."""
    if "mls_key_package" in case:
        return int(case["mls_key_package"][12:16], 16)
    return int(case.get("cipher_suite", OUR_SUITE))
