"""What a folder is, by a file in it, and the error where another kind of folder is meant."""

from pathlib import Path

from onetrunk.errors import UserError, nearest_path
from onetrunk.replacing import finish_replacing

KINDS = {
    "app.json": "an app",
    "bundle.json": "a bundle",
    "onetrunk.json": "a backbone",
    "config.json": "an encoder",
}
"""By the file that shows it, the first one that is there: a backbone is an encoder, too."""
_WHAT_TO_NAME = {
    "app.json": "name a folder that `onetrunk adapt` wrote",
    "bundle.json": "name a folder that `onetrunk export` wrote",
    "onetrunk.json": "name a folder that `onetrunk prefinetune` wrote",
    "config.json": "name an encoder, or a backbone that `onetrunk prefinetune` wrote",
}
LISTED = 5
"""So many folders are named."""


def kind_of(folder: Path) -> str:
    """``an app``, ``a bundle``, ``a backbone`` or ``an encoder``; empty for anything else."""
    finish_replacing(folder)
    return next((kind for file, kind in KINDS.items() if (folder / file).exists()), "")


def wrong_kind(path: Path, file: str) -> UserError:
    """The error for a path that is not the kind of folder that ``file`` shows."""
    meant = KINDS[file]
    if path.is_file():
        return UserError(f"{path} is a file, not {meant}: {_WHAT_TO_NAME[file]}")
    if not path.is_dir():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = nearest_path(path, filter(_is_visible_folder, siblings))
        return UserError(f"no such folder: {path}{hint}")
    if kind := kind_of(path):
        return UserError(f"{path} is {kind}, not {meant}: {_WHAT_TO_NAME[file]}")
    inside = [str(folder.parent) for folder in sorted(path.glob(f"*/{file}"))]
    shown = ", ".join(inside[:LISTED]) + ", …" * (len(inside) > LISTED)
    hint = f"; in it are {shown}" if inside else ""
    return UserError(f"{path} is not {meant} folder: it has no {file}{hint}")


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
