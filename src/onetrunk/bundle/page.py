"""A bundle as a page: a folder that any static host serves, and that works offline after one visit.

index.html …       the playground (``web/playground``)
runtime/           the runtime for browsers (``web/src``)
ort/               onnxruntime-web: one module, and one WebAssembly file
bundle/            the bundle
cache.js           what the service worker keeps, and a version that changes when a file does
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from onetrunk import kinds
from onetrunk.bundle.layout import Bundle, write_manifest
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, key_of, sha256_of_files, write_text

BUNDLE, CACHE = "bundle", "cache.js"
ORT = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""What a page needs of onnxruntime-web: its WebAssembly back end, and no other."""
ORT_VARIABLE = "ONETRUNK_ORT"
_HERE = Path(__file__).parents[1] / "web"  # in a wheel
_CLONE = Path(__file__).parents[3] / "web"


def write_page(
    bundle: str | Path, out: str | Path, ort: str | Path | None = None, overwrite: bool = False
) -> None:
    """Write a page that runs a bundle. ``ort``: see :func:`find_ort`.

    Raises :class:`UserError`, and leaves nothing behind, if it is no whole bundle or if
    onnxruntime-web is not found.
    """
    source = Bundle(bundle)
    find_ort(ort)
    # What an app was taught from is not for everyone who visits the page.
    files = {
        path: listed for path, listed in source.files.items() if not path.startswith("examples/")
    }
    with atomic_folder(Path(out), overwrite, kinds.PAGE) as folder:
        for path in files:
            target = folder / BUNDLE / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read(path))
        write_manifest(folder / BUNDLE, {**source.manifest, "files": files})
        Bundle(folder / BUNDLE).write_card(BUNDLE)
        add_page(folder, ort)


def add_page(folder: Path, ort: str | Path | None = None) -> None:
    """Write the page into a folder that has its bundle in ``bundle``."""
    of_ort, web = find_ort(ort), web_files()
    shutil.copytree(web / "playground", folder, dirs_exist_ok=True)
    shutil.copytree(web / "src", folder / "runtime")
    (folder / "ort").mkdir()
    for name in ORT:
        shutil.copyfile(of_ort / name, folder / "ort" / name)
    shutil.copyfile(web / "licenses" / "onnxruntime-web.txt", folder / "ort" / "LICENSE.txt")
    files = sorted(file.relative_to(folder).as_posix() for file in _files(folder))
    version = key_of(**{path: sha256_of_files(folder / path) for path in files})
    # The page is asked for by the folder's address, too.
    kept = json.dumps({"version": version, "files": ["./", *files]}, indent=1)
    write_text(folder / CACHE, f"self.ONETRUNK = {kept};\n")


def find_ort(folder: str | Path | None = None) -> Path:
    """The folder with the files :data:`ORT`: this one, or that of ``ONETRUNK_ORT``, of the wheel,
    or of ``npm install`` in a clone's ``web/``. Raises :class:`UserError` if there is none."""
    named = folder or os.environ.get(ORT_VARIABLE)
    places = [_HERE / "ort", _CLONE / "node_modules" / "onnxruntime-web" / "dist"]
    for place in [Path(named)] if named else places:
        if all((place / name).is_file() for name in ORT):
            return place
    what = "onnxruntime-web's files " + " and ".join(ORT)
    by = f"by {ORT_VARIABLE} (or by --ort of `export --page` and `bundle page`)"
    if named:
        raise UserError(
            f"name the folder `dist` of the npm package onnxruntime-web {by}; {named} does not "
            f"hold {what}"
        )
    if (_CLONE / "package.json").is_file():
        to_do = f"run `npm install --prefix {shlex.quote(str(_shown(_CLONE)))}`"
    else:
        dist = "node_modules/onnxruntime-web/dist"
        to_do = f"run `npm install onnxruntime-web`, and name the folder {dist} {by}"
    raise UserError(f"{to_do}; this installation does not hold {what}")


def _shown(folder: Path) -> Path:
    """A folder as one types it from where one is."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def web_files() -> Path:
    """The folder of the page and of the runtime for browsers."""
    return _HERE if _HERE.is_dir() else _CLONE


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.is_file() and file.name != CACHE)
