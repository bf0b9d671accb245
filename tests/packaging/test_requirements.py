"""The pins: what one machine installs has no Google package, what the doors need has, and none names a registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements/local.txt", "requirements/dev.txt")


def pinned(file: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / file).read_text(), flags=re.MULTILINE))


def test_one_machine_installs_no_google_package() -> None:
    local = pinned("requirements/local.txt")
    assert {"cryptography", "coincurve", "functions-framework", "typer"} <= local
    assert [name for name in local if name.startswith(("google", "grpc", "firebase"))] == []


def test_the_doors_have_what_the_cloud_needs_and_no_tool_for_people() -> None:
    doors = pinned("requirements.txt")
    assert {"functions-framework", "google-cloud-firestore", "google-cloud-kms", "google-cloud-pubsub"} <= doors
    assert {"typer", "pytest", "mypy"} & doors == set()


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_a_hash_and_no_address(file: str) -> None:
    text = (ROOT / file).read_text()
    assert text.count("--hash=sha256:") >= len(pinned(file))
    assert re.findall(r"https?:|file:|index-url|find-links", text) == []
