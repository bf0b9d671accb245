"""The lock: exact versions with their digests, and no registry that only one machine knows."""

import json
from pathlib import Path

PACKAGES = json.loads(Path(__file__).with_name("package-lock.json").read_text())["packages"]


def test_each_package_is_named_by_digest_and_not_by_place() -> None:
    installed = {name: package for name, package in PACKAGES.items() if name}
    assert {f"node_modules/{name}" for name in PACKAGES[""]["dependencies"]} <= installed.keys()
    for package in installed.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


def test_the_versions_asked_for_are_exact() -> None:
    asked = PACKAGES[""]["dependencies"]
    assert asked["ts-mls"] == "1.6.4"
    assert asked == {name: PACKAGES[f"node_modules/{name}"]["version"] for name in asked}
