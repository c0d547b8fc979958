"""Folders and files that appear whole or not at all, and hashes of what they hold."""

import ctypes
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onetrunk.errors import UserError
from onetrunk.kinds import KINDS, kind_of, wrong_kind

_HERE, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux: renameat2(2)."""


MOST_JSON = 256 * 2**20
"""Bytes: no record of ours comes near."""


@contextmanager
def atomic_folder(path: Path, overwrite: bool = False, record: str = "") -> Iterator[Path]:
    """Yield an empty folder beside ``path`` that takes its name when the block succeeds.

    An exception (Ctrl-C included) removes the temporary folder and leaves ``path`` as it was.
    Raises :class:`UserError` as :func:`refuse_existing` does.
    """
    path = Path(path)
    refuse_existing(path, overwrite, record)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield beside
        for file in sorted(beside.rglob("*")):
            fsync(file)
        beside.chmod(0o755)  # mkdtemp makes it private
        _replace(beside, path)
        fsync(path.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def refuse_existing(path: Path, overwrite: bool = False, record: str = "") -> None:
    """Raise :class:`UserError` now rather than after the work, if ``path`` is taken.

    A folder that holds anything is replaced only if ``overwrite`` is true and the file ``record``,
    if one is named, is in it: what onetrunk did not write is never deleted. Nor is an app, a bundle
    or a backbone for anything else, although a backbone has the files of other models.
    """
    for folder in path.absolute().parents:
        if folder.is_file():
            raise UserError(f"{folder} is a file, so {path} cannot be a folder in it")
    if path.is_file():
        raise UserError(f"{path} is a file; a folder is written here: choose another name")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise already_exists(path)
    if path.is_dir() and path.resolve() == Path.cwd():
        raise UserError(f"{path} is the folder that you are in: choose another name")
    kind = kind_of(path)
    if record and kind and kind not in ("an encoder", KINDS.get(record)):
        raise UserError(f"{path} is {kind}, which is not replaced: choose another name")
    if record and path.is_dir() and any(path.iterdir()) and not (path / record).exists():
        raise UserError(
            f"{path} has no {record}, so onetrunk did not write it and does not replace it: "
            "choose another name"
        )


def already_exists(path: Path) -> UserError:
    """The error for a path that is taken."""
    replace = "replace it by --overwrite (overwrite=True)"
    return UserError(f"{path} already exists: choose another name, or {replace}")


def _replace(source: Path, target: Path) -> None:
    """Rename folder ``source`` to ``target``. A folder that is there is deleted afterwards.

    Where the system can exchange two folders, ``target`` is the old one or the new one at any
    moment, even if the process is killed. Elsewhere it is missing between two renames.
    """
    if not target.exists():
        source.rename(target)
        return
    if not target.is_symlink() and _exchange(source, target):
        shutil.rmtree(source, ignore_errors=True)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    try:
        target.rename(old / "was")
        source.rename(target)
    except BaseException:
        if not target.exists():
            (old / "was").rename(target)
        shutil.rmtree(old, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Give two folders each other's name in one step, if Linux and the file system can do so."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or an old C library
        return False
    return rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) == 0


def fsync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, atomically."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    beside.write_bytes(content)
    fsync(beside)
    beside.replace(path)


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
