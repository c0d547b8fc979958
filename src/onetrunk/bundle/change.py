"""Put apps into a bundle on disk, or take them out, without writing its graphs again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.layout import FLOATS, MANIFEST, Bundle, app_path, entry
from onetrunk.errors import UserError, nearest
from onetrunk.storage import atomic_folder, write_json

if TYPE_CHECKING:
    from onetrunk.apps.app import App
    from onetrunk.model.backbone import Backbone


def add_apps(bundle: str | Path, backbone: Backbone, apps: Mapping[str, App]) -> None:
    """Put apps into a bundle; they replace those of the same names.

    Raises :class:`UserError`, and changes nothing, if one does not fit.
    """
    from onetrunk.bundle.contents import bundled_app  # needs PyTorch; put_app does not

    old = Bundle(bundle)
    contents = {}
    for name, app in apps.items():
        bundled = bundled_app(name, app, backbone)
        old.check_app(bundled, f"app {name}")
        contents[app_path(name)] = bundled.to_bytes(FLOATS[old.precision])
    _change(old, contents, [])


def put_app(bundle: str | Path, name: str, content: bytes) -> None:
    """Put an app into a bundle without PyTorch; it replaces the one of its name.

    ``content`` is a file as :meth:`BundledApp.to_bytes` makes it, and is written as it is. Raises
    :class:`UserError`, and changes nothing, if it is damaged or does not fit.
    """
    old = Bundle(bundle)
    path = app_path(name)
    old.check_app(BundledApp.from_bytes(name, content, f"app {name}"), f"app {name}")
    _change(old, {path: content}, [])


def remove_apps(bundle: str | Path, names: Sequence[str]) -> None:
    """Take apps out of a bundle. Raises :class:`UserError`, and changes nothing, if one is
    unknown."""
    old = Bundle(bundle)
    for name in names:
        if name not in old.apps:
            raise UserError(f"{bundle} has no app {name!r}; {nearest(name, old.apps)}")
    _change(old, {}, [app_path(name) for name in names])


def _change(old: Bundle, added: Mapping[str, bytes], removed: Sequence[str]) -> None:
    """Write the bundle anew at once; files that stay are linked."""
    files = {path: listed for path, listed in old.files.items() if path not in removed}
    files |= {path: entry(content) for path, content in added.items()}
    with atomic_folder(old.folder, overwrite=True) as folder:
        for path in files:
            (folder / path).parent.mkdir(exist_ok=True)
            if path in added:
                (folder / path).write_bytes(added[path])
            else:
                _link(old.folder / path, folder / path)
        write_json(folder / MANIFEST, {**old.manifest, "files": files})


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
