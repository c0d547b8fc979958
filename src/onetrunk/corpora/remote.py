"""Sources at an address (``s3://``, ``gs://``, ``hf://``, ``https://``, …), fetched into the cache.

fsspec opens the address. A file is fetched once, and again when the store says that it has changed;
a fetch that was killed goes on with the first file that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from onetrunk.corpora.store import cache_folder
from onetrunk.data.formats.table import reason
from onetrunk.data.formats.text import suffix_of
from onetrunk.data.splits import SUFFIXES
from onetrunk.errors import UserError, nearest
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of, read_json, write_json

RECORD = "fetched.json"
"""By file, what the store said of the content that was fetched."""
BLOCK_BYTES = 8 * 2**20
_CREDENTIALS = re.compile("[^/]*://[^/]*:[^/]*@")
LEVELS = 2
"""A split is a file of the folder, or a folder in it."""


def is_address(path: str) -> bool:
    """Whether this is an address rather than a path."""
    return "://" in path


def local_copy(address: str, progress: Progress = silent) -> Path:
    """The file or folder here that has the content of an address. A folder is fetched whole.

    Raises :class:`UserError` for a protocol that is unknown or needs another package, if there is
    nothing at the address, and for what its store refuses.
    """
    if _CREDENTIALS.match(address):
        raise UserError(
            "an address of the recipe holds a password, which the backbone's record would keep: "
            "give it to the store by its own settings"
        )
    with _faults(address):
        import fsspec

        store, root = fsspec.core.url_to_fs(address)
        is_file = store.isfile(root)
        found = {root: store.info(root)} if is_file else {}
        if not is_file and store.isdir(root):
            found = store.find(root, maxdepth=LEVELS, detail=True)
    parts = address.partition("://")[2].partition("?")[0].strip("/").split("/")
    outer = parts[-2] if is_file and len(parts) > 1 else parts[-1]
    folder = cache_folder() / "fetched" / key_of(address=address.rstrip("/"))
    copy = folder / (outer or "root")
    here: dict[Path, tuple[str, str]] = {}
    for path, about in found.items():
        place = copy / (parts[-1] if is_file else path[len(root) :].lstrip("/"))
        is_inside = ".." not in place.parts
        if is_inside and suffix_of(place) in SUFFIXES and not place.name.startswith("."):
            here[place] = (path, _version(about))
    if not here:
        raise UserError(f"{address} holds no file of rows; they end in {', '.join(SUFFIXES)}")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        done = read_json(folder / RECORD, "a fetch") if (folder / RECORD).exists() else {}
        for number, (place, (path, version)) in enumerate(here.items()):
            name = place.relative_to(copy).as_posix()
            if done.get(name) != version or not place.exists():
                note = f"fetching {address}: {name} ({number + 1} of {len(here)})"
                with _faults(address):
                    _fetch(store, path, place, found[path].get("size"), note, progress)
                write_json(folder / RECORD, done := {**done, name: version})
        for file in [*copy.rglob("*")]:
            if file.is_file() and file not in here:
                file.unlink()  # the store has it no more
    return copy / parts[-1] if is_file else copy


@contextmanager
def said_of(address: str, copy: Path) -> Iterator[None]:
    """Errors of the block name the address, not the copy."""
    try:
        yield
    except UserError as error:
        shown = address.rstrip("/")
        raise UserError(str(error).replace(str(copy), shown)) from None


def _fetch(
    store: Any, path: str, place: Path, size: int | None, note: str, progress: Progress
) -> None:
    """Copy one file, beside its place first."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.partial")
    with store.open(path, "rb") as source, beside.open("wb") as target:
        while block := source.read(BLOCK_BYTES):
            target.write(block)
            progress(note, target.tell(), size)
    if size is not None and beside.stat().st_size != size:
        raise OSError(f"{beside.stat().st_size:,} of {size:,} bytes of {path} came")
    beside.replace(place)


def _version(about: Mapping[str, Any]) -> str:
    """What changes when a file does: size, times and tags, as its store has them."""
    return key_of(**{str(key): str(value) for key, value in about.items()})


@contextmanager
def _faults(address: str) -> Iterator[None]:
    """What fsspec and its stores raise, in one line."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except Exception as error:  # of HTTP clients, clouds and file systems
        protocol = address.partition("://")[0]
        if isinstance(error, ValueError) and "rotocol not known" in str(error):
            from fsspec import available_protocols

            hint = nearest(protocol, available_protocols())
            raise UserError(f"{address}: unknown protocol {protocol!r}; {hint}") from None
        raise UserError(f"{address} cannot be read: {reason(error)}") from error
