"""The one archive that every door is deployed from: the root main.py, requirements.txt, functions/ and shared/.

A deployment's own certificates that devices' makers are known by (public ones, trust/*.pem) go along, if there are any.

The same tree gives the same bytes on every machine (sorted names, one time, stored and not deflated, since that depends
on the zlib at hand), and their SHA-256 is in the name: an unchanged archive is no deployment.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[3]
FILES = ("main.py", "requirements.txt")
FOLDERS = ("functions", "shared/keyturn")
LEFT_OUT = frozenset({"cli", "device", "local"})
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a ZIP can say
_MODE = 0o100644 << 16  # a plain file, in the upper half as Unix keeps it


def contents(root: Path) -> dict[str, Path]:
    """Return what goes in, by its name there, sorted. Only modules and certificates: nothing else can slip in."""
    modules = [path for folder in FOLDERS for path in (root / folder).rglob("*.py") if not _is_left_out(path, root)]
    trusted = (root / "trust").rglob("*.pem")
    named = {path.relative_to(root).as_posix(): path for path in [*(root / name for name in FILES), *modules, *trusted]}
    return dict(sorted(named.items()))


def _is_left_out(path: Path, root: Path) -> bool:
    # Relative to the root: a checkout may itself lie in a folder called "local", as in /usr/local/src.
    return not LEFT_OUT.isdisjoint(path.relative_to(root).parts)


def archive(root: Path = ROOT) -> bytes:
    """Return the archive's bytes; `OSError` if one of its files cannot be read."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as into:
        for name, path in contents(root).items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3  # Unix, whatever this machine is
            entry.external_attr = _MODE
            into.writestr(entry, path.read_bytes())
    return written.getvalue()


def write(into: Path, root: Path = ROOT) -> Path:
    """Write the archive as keyturn-<SHA-256>.zip into a folder, in place of earlier ones; return its path."""
    content = archive(root)
    path = into / f"keyturn-{hashlib.sha256(content).hexdigest()}.zip"
    into.mkdir(parents=True, exist_ok=True)
    for earlier in set(into.glob("keyturn-*.zip")) - {path}:
        earlier.unlink()
    path.write_bytes(content)
    return path


if __name__ == "__main__":
    sys.stdout.write(f"{write(ROOT / 'build')}\n")
