"""What the pinned packages allow and what is known to be wrong with them.

    python .ci/audit.py licences           of every package of constraints.txt that is installed
    python .ci/audit.py vulnerabilities    by pip-audit, which asks PyPI: it needs a network

``accepted.toml`` beside this file says what is accepted, and why. Ends with 1 if anything else is
found, with 2 if a package could not be judged.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

HERE = Path(__file__).parent
PINS = HERE.parent / "constraints.txt"
ACCEPTED = tomllib.loads((HERE / "accepted.toml").read_text(encoding="utf-8"))
_WORDS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()]", re.IGNORECASE)


def pinned() -> list[str]:
    """Names of the packages in constraints.txt."""
    lines = PINS.read_text(encoding="utf-8").splitlines()
    return [line.partition("==")[0].strip() for line in lines if "==" in line]


def licence_of(package: Distribution) -> str:
    """What a package says: an expression of SPDX, classifiers, or the first line of a text."""
    told = package.metadata
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [
        value.rpartition(" :: ")[2]
        for value in told.get_all("Classifier") or []
        if value.startswith("License :: ") and not value.endswith("OSI Approved")
    ]
    if classifiers:
        return " AND ".join(classifiers)
    return (told.get("License") or "").strip().partition("\n")[0][:80]


def is_allowed(licence: str) -> bool:
    """Whether every licence that an expression names is allowed; of a choice, one is enough."""
    allowed = {name.casefold() for name in ACCEPTED["licences"]["allowed"]}

    def fits(part: str) -> bool:
        names = [name.strip().casefold() for name in _WORDS.split(part) if name.strip()]
        return bool(names) and all(name in allowed for name in names)

    choices = [licence, *re.split(r"\s+OR\s+", licence)]
    return licence.casefold() in allowed or any(map(fits, choices))


def check_licences() -> int:
    """Print what is not allowed; 1 if there is something."""
    reasons = ACCEPTED["licences"]["packages"]
    refused, absent = [], 0
    for name in pinned():
        try:
            licence = licence_of(distribution(name))
        except PackageNotFoundError:
            absent += 1
            continue
        if not is_allowed(licence) and name not in reasons:
            refused.append(f"{name}: {licence or 'it names no licence'}")
    for line in refused:
        print(f"{line}: allow it in .ci/accepted.toml with a reason, or do without it")
    print(
        f"{len(pinned()) - absent} packages judged, {absent} not installed, {len(refused)} refused"
    )
    return int(bool(refused))


def check_vulnerabilities() -> int:
    """Run pip-audit on the pins; 1 if it finds something that is not accepted, 2 if it could not
    judge a package."""
    ignored = [part for one in ACCEPTED["vulnerabilities"] for part in ("--ignore-vuln", one)]
    command = [sys.executable, "-m", "pip_audit", "-r", str(PINS), "--no-deps", "--disable-pip"]
    ran = subprocess.run(
        [*command, "--format", "json", *ignored], capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(ran.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"pip-audit gave no answer: {ran.stderr.strip().splitlines()[-1:]}")
        return 2
    skipped = [one["name"] for one in found if "skip_reason" in one]
    for package in found:
        for fault in package.get("vulns", ()):
            versions = ", ".join(fault["fix_versions"]) or "none"
            print(f"{package['name']} {package['version']}: {fault['id']}, mended in: {versions}")
    if skipped:
        print(f"{len(skipped)} of {len(found)} packages could not be judged: {', '.join(skipped)}")
    if any(package.get("vulns") for package in found):
        return 1
    # Packages that PyPI does not have are named, too.
    return 2 if set(skipped) - {*ACCEPTED["not_on_pypi"]} else 0


if __name__ == "__main__":
    commands = {"licences": check_licences, "vulnerabilities": check_vulnerabilities}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: audit.py {' | '.join(commands)}")
    sys.exit(commands[sys.argv[1]]())
