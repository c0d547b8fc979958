"""The command line: ``python -m onetrunk.data.phone OUT [--seed 0] [--overwrite]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from onetrunk.data.phone.files import write
from onetrunk.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the corpus, then show how many rows each file has and the first of them."""
    parser = argparse.ArgumentParser(
        prog="python -m onetrunk.data.phone", description="Write the embedded phone corpus."
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")
    given = parser.parse_args(arguments)
    try:
        write(given.out, given.seed, overwrite=given.overwrite)
    except UserError as error:
        parser.exit(2, f"error: {error}\n")
    for file in sorted(given.out.rglob("*.parquet")):
        table = pq.read_table(file)
        first = "-"
        if table.num_rows:
            cells = table.slice(0, 1).to_pylist()[0].values()
            first = " | ".join(" ".join(c) if isinstance(c, list) else c for c in cells)
        print(f"{file.relative_to(given.out)}: {table.num_rows} rows\n    {first}")


if __name__ == "__main__":
    main()
