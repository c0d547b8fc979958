"""`make links`: open every outside address of README and docs/, and say which do not answer."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ROOT = Path(__file__).parents[1]
ADDRESS = re.compile(r"https?://[^\s<>()\[\]\"'`|]+")
ALIVE = (401, 403, 405, 429)
"""Answers of pages that are there and do not like programs."""


def pages() -> list[Path]:
    """README, docs/ and the other pages of the project."""
    names = ("*.md", "docs/*.md", "web/README.md", "results/README.md", "examples/*/README.md")
    return sorted({page for name in names for page in ROOT.glob(name)})


def addresses() -> dict[str, list[str]]:
    """Every outside address, and the lines that name it; none of this machine."""
    found: dict[str, list[str]] = {}
    for page in pages():
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
            for address in ADDRESS.findall(line):
                if "//localhost" not in address and "…" not in address:
                    place = f"{page.relative_to(ROOT)}:{number}"
                    found.setdefault(address.rstrip(".,;:"), []).append(place)
    return found


def wrong(address: str) -> str | None:
    """Why an address does not answer, if it does not."""
    try:
        with urlopen(Request(address, headers={"User-Agent": "Mozilla/5.0"}), timeout=20):
            return None
    except HTTPError as error:
        return None if error.code in ALIVE else str(error)
    except OSError as error:
        return str(error)


def main() -> None:
    """Exit with 1 if an address does not answer."""
    found = addresses()
    with ThreadPoolExecutor(8) as pool:
        reasons = dict(zip(found, pool.map(wrong, found), strict=True))
    for address, reason in reasons.items():
        print(f"{'ok  ' if reason is None else 'dead'} {address} {reason or ''}".rstrip())
        if reason:
            print("".join(f"     {place}\n" for place in found[address]), end="")
    sys.exit(any(reasons.values()))


if __name__ == "__main__":
    main()
