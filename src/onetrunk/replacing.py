"""Files and folders that take the place of others in one step, and what killed processes left.

What is being written lies beside its place under a hidden name, and its writer holds its lock. The
system releases a lock when the process ends, however it ends. So what nobody holds is a leftover,
and the next writer of the place removes it.

.NAME.TOKEN.partial   a folder that is being written
.NAME.TOKEN.old       the folder that it replaces, where the system cannot exchange two folders. If
                      both are there and NAME is not, a writer was killed between two renames:
                      whoever looks for NAME next does the second one
.NAME.partial         a file that is being written (.NAME.PID.partial where there are no locks)

Some file systems have no locks (NFS has none for folders), nor has Windows. There nobody can tell
who is alive, so nothing is removed.
"""

import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HERE, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD and RENAME_EXCHANGE of Linux: renameat2(2)."""
_NO_LOCKS = (
    errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EBADF, errno.EPERM, errno.EACCES,
)  # fmt: skip
"""What file systems without locks say; NFS of folders: EBADF."""
_MEANWHILE = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY)
"""What is said where another process was faster."""
_ATTEMPTS = 100
PARTIAL, OLD = ".partial", ".old"


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder that is to take the place of ``path``, held inside the block and removed
    after it."""
    folder, descriptor = _new_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # another one's name by now, or nothing
        _release(descriptor)


def _new_folder(path: Path) -> tuple[Path, int | None]:
    while True:
        made = tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent)
        folder = Path(made)
        try:
            return folder, _locked(folder, os.O_RDONLY)
        except (BlockingIOError, FileNotFoundError):
            continue  # it was removed as a leftover, before it was held
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return folder, None
            folder.rmdir()
            raise


@contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """An empty file that is to take the place of ``path``, held inside the block, and removed by an
    exception. Several writers of ``path`` take turns."""
    beside = path.with_name(f".{path.name}{PARTIAL}")
    descriptor = None
    try:
        descriptor = _locked(beside, os.O_RDWR | os.O_CREAT, wait=True)
        os.ftruncate(descriptor, 0)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        beside.unlink(missing_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield beside
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    finally:
        _release(descriptor)


def is_beginning_of(name: str, file: str) -> bool:
    """Whether ``name`` is that under which :func:`file_beside` writes ``file``."""
    return re.fullmatch(rf"\.{re.escape(file)}(\.\d+)?{re.escape(PARTIAL)}", name) is not None


@contextmanager
def held(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a folder inside the block; yields whether it is held, which without ``wait`` fails if
    another process holds it. Where there are no locks, or no folder, nobody is kept out."""
    descriptor = None
    try:
        descriptor = _locked(folder, os.O_RDONLY, wait)
    except BlockingIOError:
        yield False
        return
    except OSError:
        pass
    try:
        yield True
    finally:
        _release(descriptor)


def replace_folder(source: Path, target: Path) -> None:
    """Give the folder ``source``, of :func:`folder_beside`, the name of ``target``. What was there
    has the name of ``source`` then, or is deleted.

    Where the system can exchange two folders, ``target`` is the old one or the new one at any
    moment, even if the process is killed. Elsewhere it is missing between two renames, and
    :func:`finish_replacing` does the second.
    """
    old, attempts = source.with_suffix(OLD), _ATTEMPTS
    while source.exists():  # until this process or another one has put it there
        attempts -= 1
        try:
            if not os.path.lexists(target):
                source.rename(target)
            elif not target.is_symlink() and _exchange(source, target):
                return
            else:
                target.rename(old)
                source.rename(target)
        except BaseException as error:
            if not os.path.lexists(target):
                with suppress(OSError):
                    old.rename(target)
            if getattr(error, "errno", None) not in _MEANWHILE or not attempts:
                raise
            _delete(old)
    _delete(old)


def carry_over(source: Path, target: Path, without: Collection[str]) -> None:
    """Give the folder ``target``, of :func:`folder_beside`, whatever is in ``source`` but for the
    files ``without`` (paths below ``source``), and wait until it is on the disk.

    Files are linked, or copied where there are no hard links; links stay links, and nobody follows
    them. Folders keep their modes and times. Raises :class:`FileExistsError` with the name of what
    is in the place of something in ``target``.
    """
    without = {*without, *(str(folder) for path in without for folder in Path(path).parents)}
    _carry_over(source, target, "", without)


def _carry_over(source: Path, target: Path, inside: str, without: Collection[str]) -> None:
    with os.scandir(source / inside) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = os.path.join(inside, entry.name)
        new, is_folder = target / path, entry.is_dir(follow_symlinks=False)
        if path in without and not is_folder:
            continue  # a file of ours, or a link in the place of a folder of ours
        is_there = os.path.lexists(new)
        if is_there and not (is_folder and new.is_dir() and not new.is_symlink()):
            raise FileExistsError(errno.EEXIST, "in the way", entry.path)
        if not is_folder:
            link_or_copy(Path(entry.path), new)
            continue
        if not is_there:
            new.mkdir()
        _carry_over(source, target, path, without)
        if not is_there:
            shutil.copystat(entry.path, new)
            if path in without:
                with suppress(OSError):  # it holds nothing any more
                    new.rmdir()
    fsync(target / inside)


def link_or_copy(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy on a file system without hard links. A
    link stays a link."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)
        if not target.is_symlink():
            fsync(target)


def fsync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def finish_replacing(path: Path) -> None:
    """If a killed process left ``path`` missing between two renames, do the second."""
    if os.path.lexists(path):
        return
    for old in _beside(path):
        source = old.with_suffix(PARTIAL)
        if old.suffix == OLD and source.is_dir():
            with suppress(OSError):  # another process was faster; or this one may not write here
                source.rename(path)
                return


def remove_leftovers(path: Path) -> None:
    """Remove what dead writers of the folder ``path`` left beside it."""
    finish_replacing(path)
    is_there = os.path.lexists(path)
    for leftover in _beside(path):
        if leftover.suffix == OLD and not (is_there and not leftover.with_suffix(PARTIAL).exists()):
            continue  # it may be the only one
        descriptor = None
        if not leftover.is_symlink():
            try:
                descriptor = _locked(leftover, os.O_RDONLY)
            except OSError:  # its writer is alive, or nobody can tell
                continue
        _delete(leftover)
        _release(descriptor)


def _beside(path: Path) -> list[Path]:
    """Folders, and links to folders, beside ``path`` that are or were to be in its place."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\w+(\{PARTIAL}|\{OLD})")
    try:
        with os.scandir(path.parent) as entries:
            found = [one.name for one in entries if name.fullmatch(one.name) and one.is_dir()]
    except OSError:
        return []
    return [path.parent / one for one in found]


def _delete(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink(missing_ok=True)
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Give two folders each other's name in one step, if Linux and the file system can do so."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or an old C library
        return False
    return rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) == 0


def _locked(path: Path, flags: int, wait: bool = False) -> int:
    """A descriptor that holds the lock of a file or folder.

    Raises :class:`BlockingIOError` if another one holds it, :class:`FileNotFoundError` if it is not
    there, and another :class:`OSError` if there are no locks.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "no locks")
    while True:
        descriptor = os.open(path, flags, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):  # renamed, while this process waited
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _release(descriptor: int | None) -> None:
    if descriptor is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # also for a child that was forked meanwhile
        os.close(descriptor)
