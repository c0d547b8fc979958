"""Folders and files that appear whole or not at all, and hashes of what they hold."""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.kinds import KINDS, kind_of, wrong_kind
from onetrunk.replacing import (
    OLD,
    PARTIAL,
    carry_over,
    file_beside,
    finish_replacing,
    folder_beside,
    fsync,
    remove_leftovers,
    replace_folder,
)

MOST_JSON = 256 * 2**20
"""Bytes: no record of ours comes near."""


Contents = Sequence[str]
"""What a kind of folder holds: names and patterns, ``/`` between folders, ``**`` for all below. The
first shows that the folder is of this kind."""
ANYTHING: Contents = ("**",)
"""Of a folder inside of our own."""
_OF_SYSTEMS = (".DS_Store", "Thumbs.db", "desktop.ini")
"""Files that file managers put everywhere."""


@contextmanager
def atomic_folder(
    path: Path,
    overwrite: bool = False,
    contents: Contents = (),
    ours: Collection[str] | None = None,
) -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name when the block succeeds.

    An exception (Ctrl-C included) removes the temporary folder and leaves ``path`` as it was. A
    link is followed: the folder that it leads to is replaced. With ``ours``, the files of ``path``
    that are replaced, all others are carried over into the new folder. Raises :class:`UserError` as
    :func:`refuse_existing` does, also if another process has filled ``path`` meanwhile, and if one
    of the others is in the place of a new file.
    """
    refuse_existing(path, overwrite, contents)
    path = _followed(Path(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with folder_beside(path) as beside:
        yield beside
        for file in [*sorted(beside.rglob("*")), beside]:
            if not file.is_symlink() and file.stat().st_mode & 0o077 == 0:
                file.chmod(0o755 if file.is_dir() else 0o644)  # weights are written for one user
            fsync(file)
        if ours is not None:
            shutil.copymode(path, beside)
            _carry_over(path, beside, ours)
        if overwrite:
            if contents != ANYTHING:  # somebody may have put a file there meanwhile
                _refuse_strangers(path, path, contents)
            replace_folder(beside, path)
        else:
            _take_free_name(beside, path)
        fsync(path.parent)


def _carry_over(path: Path, beside: Path, ours: Collection[str]) -> None:
    """Give the new folder the files of the old one that are not ``ours``."""
    try:
        carry_over(path, beside, ours)
    except FileExistsError as error:
        raise UserError(
            f"{error.filename} is in the way of a new file, and onetrunk did not write it: move it "
            "away"
        ) from None


def _take_free_name(folder: Path, path: Path) -> None:
    with suppress(OSError):
        path.rmdir()  # it may be there, but empty
    try:
        folder.rename(path)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise already_exists(path) from None
        raise


def refuse_existing(path: Path, overwrite: bool = False, contents: Contents = ()) -> None:
    """Raise :class:`UserError` now rather than after the work, if no folder can be written at
    ``path``, or if it is taken.

    A folder that holds anything is replaced only if ``overwrite`` is true, the first of
    ``contents`` is in it, and all else in it is one of them: what onetrunk did not write is never
    deleted. Nor is an app, a bundle or a backbone for anything else, although a backbone has the
    files of other models. What killed writers of ``path`` left beside it is removed.
    """
    shown, path = path, _followed(Path(path))
    remove_leftovers(path)
    for folder in path.absolute().parents:
        if folder.is_file():
            raise UserError(f"{folder} is a file, so {shown} cannot be a folder in it")
    if _is_file(path):
        raise UserError(f"{shown} is a file; a folder is written here: choose another name")
    if path.parent.is_dir() and contents != ANYTHING:
        with folder_beside(path):  # a name that the system refuses, or no right to write there
            pass
    if path.is_dir() and path.resolve() == Path.cwd():
        raise UserError(f"{shown} is the folder that you are in: choose another name")
    # This one first: where folders cannot be exchanged, another writer may take it away meanwhile.
    if (overwrite and contents == ANYTHING) or not path.is_dir() or not any(path.iterdir()):
        return
    if not overwrite:
        raise already_exists(shown)
    record, kind = next(iter(contents), ""), kind_of(path)
    if kind and kind not in ("an encoder", KINDS.get(record)):
        raise UserError(f"{shown} is {kind}, which is not replaced: choose another name")
    if not record or not (path / record).exists():
        has_none = f" has no {record}, so" if record else " is not empty, and"
        raise UserError(
            f"{shown}{has_none} onetrunk did not write it and does not replace it: "
            "choose another name"
        )
    _refuse_strangers(path, shown, contents)


def _is_file(path: Path) -> bool:
    """Whether a file is there, or anything else but a folder: by one look, since another writer may
    put a folder there between two."""
    try:
        return not stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _followed(path: Path) -> Path:
    """Where a link leads to, else the path itself. Raises :class:`UserError` for a name that cannot
    be written, and for links in a circle."""
    try:
        str(path).encode()
        return path.resolve() if path.is_symlink() else path
    except UnicodeEncodeError:
        raise UserError(f"{str(path)!r} is not a name in UTF-8: choose another name") from None
    except (OSError, RuntimeError) as error:  # of a loop, from Python 3.13 on the first
        if getattr(error, "errno", errno.ELOOP) != errno.ELOOP:
            raise
        raise UserError(f"{path} is a link that leads to itself: choose another name") from None


def _refuse_strangers(folder: Path, shown: Path, contents: Contents) -> None:
    """Raise :class:`UserError` if a file in a folder is not one of ``contents``."""
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            path = Path(place, name).relative_to(folder)
            is_ours = name in _OF_SYSTEMS or (name[0] == "." and name.endswith((PARTIAL, OLD)))
            if not is_ours and not any(_is_like(path.parts, pattern) for pattern in contents):
                raise UserError(
                    f"{shown} would be replaced, and {path} in it would be lost: move that away, "
                    "or choose another name"
                )


def _is_like(parts: Sequence[str], pattern: str) -> bool:
    *above, last = pattern.split("/")
    if last == "**":
        return len(parts) > len(above) and all(map(fnmatchcase, parts, above))
    return len(parts) == len(above) + 1 and all(map(fnmatchcase, parts, [*above, last]))


def already_exists(path: Path) -> UserError:
    """The error for a path that is taken."""
    replace = "replace it by --overwrite (overwrite=True)"
    return UserError(f"{path} already exists: choose another name, or {replace}")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that takes its name when the block succeeds.

    An exception removes it and leaves ``path`` as it was. Another process or thread that writes
    ``path`` waits for its turn. A link is followed: the file that it leads to is replaced.
    """
    path = _followed(path)
    with file_beside(path) as beside:
        yield beside
        fsync(beside)
        beside.replace(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, atomically."""
    with atomic_file(path) as beside:
        beside.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text, atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def regular_size(path: Path) -> int:
    """Bytes of a regular file, or of one that a link leads to. Raises :class:`UserError` for
    anything else that is there: a pipe would be waited for, a device read without end."""
    try:
        about = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError) and not path.is_symlink():
            raise
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(about.st_mode):
        raise UserError(f"{path} is not a regular file")
    return about.st_size


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object; ``what`` says in the error what the file should have been.

    Raises :class:`UserError` if it is missing, is no regular file or a very large one, is not JSON
    or is not an object.
    """
    try:
        if (size := regular_size(path)) > MOST_JSON:
            raise UserError(f"{path} has {size:,} bytes: it is not {what}'s")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        finish_replacing(path.parent)
        if path.exists():
            return read_json(path, what)
        if path.name in KINDS:
            raise wrong_kind(path.parent, path.name) from None
        raise UserError(f"{path.parent} is not {what}: it has no {path.name}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is damaged: not JSON ({error})") from None
    except (RecursionError, ValueError) as error:  # nested too deep; a number of too many digits
        raise UserError(f"{path} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path} is damaged: a JSON object was expected")
    return value


def sha256_of_files(*paths: Path) -> str:
    """Hex SHA-256 of the bytes of one file, or of several one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def key_of(**parts: Any) -> str:
    """A hash of everything that a store follows from (JSON values)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
