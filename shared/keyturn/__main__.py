"""The command `keyturn`, also `python -m keyturn`: starts the command line, or names the extra that it needs."""

from __future__ import annotations

import sys

_EXTRAS = {
    "cli": ("coincurve", "joserfc", "rich", "segno", "typer"),
    "server": ("bcrypt", "flask", "functions_framework", "pyotp", "werkzeug"),
    "gcp": ("cbor2", "firebase_admin", "google", "google_crc32c", "grpc", "webauthn"),
}
"""The packages that each extra installs, by the names that they are imported by."""


def main() -> None:
    """Run one command; exit status 1 with a hint on standard error if it needs a package that is not installed."""
    try:
        from keyturn.cli.main import main as run  # noqa: PLC0415 - it may be what is not installed

        run()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = next((name for name, packages in _EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        extras = "cli" if extra == "cli" else f"cli,{extra}"
        sys.stderr.write(f"error: This command needs the package {package}, which is not installed.\n")
        sys.stderr.write(f"hint: pip install 'keyturn[{extras}]'\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
