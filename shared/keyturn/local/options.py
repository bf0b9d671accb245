"""Options that the commands of one machine share, and the default data folder."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from keyturn.cli.folders import data_folder


class PathForm(StrEnum):
    """What a front end does with the function's name in front of a path."""

    STRIPPED = "stripped"
    KEPT = "kept"


Data = Annotated[Path | None, typer.Option(help="The data folder (default: ~/.local/share/keyturn).", metavar="DIR")]


def default_data() -> Path:
    """Return the user's data folder (XDG Base Directory Specification: `$XDG_DATA_HOME/keyturn`)."""
    return data_folder(os.environ)
