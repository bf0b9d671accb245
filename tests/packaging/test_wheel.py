"""Wheel and source distribution, as `make wheel` builds them, in virtual environments of their own."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keyturn
import pytest
from keyturn.local.package import ROOT

pytestmark = pytest.mark.xdist_group("packaging")

UV = str(Path(sys.executable).with_name("uv"))


@dataclass(frozen=True)
class Built:
    """The two distributions."""

    wheel: Path
    source: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", str(folder), str(ROOT)], check=True, timeout=300)  # noqa: S603 - fixed words
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, source)


def test_the_wheel_installs_one_package_which_is_typed(built: Built) -> None:
    wheel = zipfile.ZipFile(built.wheel)
    info = f"keyturn-{keyturn.__version__}.dist-info"
    assert wheel.read(f"{info}/top_level.txt").decode().split() == ["keyturn"]
    assert {name.split("/")[0] for name in wheel.namelist()} == {"keyturn", info}
    other = {name for name in wheel.namelist() if name.startswith("keyturn/") and not name.endswith(".py")}
    assert "keyturn/py.typed" in other
    assert {name for name in other if not name.endswith(".sql")} == {"keyturn/py.typed"}


def test_the_wheel_holds_every_module_of_the_checkout_and_its_data_files(built: Built) -> None:
    source = ROOT / "shared"
    here = {path.relative_to(source).as_posix() for path in (source / "keyturn").rglob("*") if path.is_file()}
    wanted = {name for name in here if not name.endswith((".pyc", ".md"))}
    assert {name for name in zipfile.ZipFile(built.wheel).namelist() if name.startswith("keyturn/")} == wanted


def test_the_source_distribution_holds_what_a_build_needs_and_nothing_else_of_a_clone(built: Built) -> None:
    with tarfile.open(built.source) as source:
        names = {member.name.partition("/")[2] for member in source.getmembers() if member.isfile()}
    assert {name.split("/")[0] for name in names} == {
        "CHANGELOG.md", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "shared",
    }  # fmt: skip
    assert {name.split("/")[1] for name in names if name.startswith("shared/")} == {"keyturn", "keyturn.egg-info"}
