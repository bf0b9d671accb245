"""The pins and the extras: each installs what its users import, and no pin names a registry."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements/local.txt", "requirements/dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "google-cloud-firestore": "google",
    "google-cloud-kms": "google",
    "google-cloud-pubsub": "google",
    "grpcio": "grpc",
}
"""Distributions whose import package has another name."""
BROUGHT_ALONG = {"flask", "werkzeug", "google"}
"""Import packages that come with functions-framework and with each of Google's clients."""
OPTIONAL = {"nostr_sdk"}
"""The extra `relay`: a deployment without KEYTURN_RELAYS never imports it."""


def pinned(file: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / file).read_text(), flags=re.MULTILINE))


def distributions(*extras: str) -> set[str]:
    """Return what the base and some extras require directly."""
    listed = [*PROJECT["dependencies"], *(item for extra in extras for item in PROJECT["optional-dependencies"][extra])]
    return {re.split(r"[<>=\[]", item)[0] for item in listed}


def imported(*entries: str) -> set[str]:
    """Return the import packages outside of the project that these modules reach."""
    graph = grimp.build_graph(
        "functions", "keyturn", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )
    start = {name for name in graph.modules if name.startswith(entries)}
    found = start.union(*(graph.find_upstream_modules(name) for name in start))
    return {name for name in found if graph.is_module_squashed(name)} - sys.stdlib_module_names


def test_the_extras_are_those_that_the_documentation_names_and_the_base_needs_one_package() -> None:
    assert set(PROJECT["optional-dependencies"]) == {
        "verifier", "fastapi", "cli", "server", "gcp", "relay", "security-key",
    }  # fmt: skip
    assert distributions() == {"cryptography"}


def test_the_functions_import_all_that_they_require_and_require_all_that_they_import() -> None:
    required = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in distributions("server", "gcp")}
    found = imported("functions")
    assert required | BROUGHT_ALONG | OPTIONAL == found


def test_the_pins_of_the_functions_say_where_to_read_which_function_needs_what() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    head = makefile.partition("define PINS_HEAD\n")[2].partition("endef\n")[0]
    assert "pyproject.toml" in head
    assert (ROOT / "requirements.txt").read_text(encoding="utf-8").startswith(head)


@pytest.mark.parametrize("extra", ["server", "gcp"])
def test_a_comment_beside_each_requirement_names_functions_that_exist(extra: str) -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    start = lines.index(f"{extra} = [") + 1
    listed = lines[start : lines.index("]", start)]
    comment, missing = "", []
    for line in listed:
        code, _, remark = line.partition("#")
        comment += remark
        if code.strip():
            missing += [] if comment.strip() else [code.strip()]
            named = re.findall(r"\b[a-z]+_[a-z_]+\b", comment)
            missing += [name for name in named if not (ROOT / "functions" / name / "main.py").is_file()]
            comment = ""
    assert missing == []


def test_one_machine_installs_no_google_package() -> None:
    local = pinned("requirements/local.txt")
    assert {"cryptography", "coincurve", "functions-framework", "typer"} <= local
    assert [name for name in local if name.startswith(("google", "grpc", "firebase"))] == []


def test_the_functions_have_what_the_cloud_needs_and_no_tool_for_people() -> None:
    doors = pinned("requirements.txt")
    assert {"functions-framework", "google-cloud-firestore", "google-cloud-kms", "google-cloud-pubsub"} <= doors
    assert {"typer", "pytest", "mypy"} & doors == set()


@pytest.mark.parametrize("file", FILES)
def test_every_pin_has_a_hash_and_no_address(file: str) -> None:
    text = (ROOT / file).read_text()
    assert text.count("--hash=sha256:") >= len(pinned(file))
    assert re.findall(r"https?:|file:|index-url|find-links", text) == []
