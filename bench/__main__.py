"""`python -m bench [ROW…]`: run the rows of these names, or every row of the table.

Exit status 0 if all rows that ran hold, 1 if one does not, 2 for a name that is not in the table.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.choice import UnknownRowError, choose
from bench.run import main
from bench.table import ROWS

if __name__ == "__main__":
    try:
        rows = choose(ROWS, sys.argv[1:])
    except UnknownRowError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the program's answer
        sys.exit(2)
    sys.exit(main(rows, Path("build") / "bench.json"))
