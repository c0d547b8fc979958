"""The versions that a measurement was made with."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import onetrunk

LIBRARIES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


@cache
def package_version() -> str:
    """The version of this package: ``0.1.0``, in a git checkout ``0.1.0+1a2b3c4d5e6f``.

    The commit is the last one that changed the package, so commits of documents or results do not
    count. ``+dirty`` follows if the package has changes that are not committed. Read once, since a
    long run answers for the code that it imported at its start.
    """
    folder = Path(onetrunk.__file__).parent
    commit = _git(folder, "log", "-1", "--format=%H", "--", ".")[:12]
    if not commit:
        return onetrunk.__version__
    dirty = "+dirty" * bool(_git(folder, "status", "--porcelain", "--", "."))
    return f"{onetrunk.__version__}+{commit}{dirty}"


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of the libraries that results follow from."""
    libraries = {name: version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), "onetrunk": package_version(), **libraries}


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; empty where there is no git or no repository."""
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
