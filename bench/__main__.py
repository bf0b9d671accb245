"""`python -m bench`: run every row of the table. Exit status 0 if all rows hold, 1 if one does not."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.run import main
from bench.table import ROWS

if __name__ == "__main__":
    sys.exit(main(ROWS, Path("build") / "bench.json"))
