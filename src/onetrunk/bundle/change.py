"""Put apps into a bundle on disk, or take them out, without writing its graphs again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.apps.record import by_name
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.app_folder import read_app
from onetrunk.bundle.examples import examples_path
from onetrunk.bundle.layout import (
    FLOATS,
    MANIFEST,
    TOP,
    Bundle,
    app_path,
    apps_of,
    check_names,
    entry,
    write_manifest,
)
from onetrunk.bundle.sessions import input_shapes, session
from onetrunk.cards import CARD
from onetrunk.errors import UserError, nearest
from onetrunk.replacing import held, link_or_copy, remove_leftovers
from onetrunk.storage import ANYTHING, atomic_folder

if TYPE_CHECKING:
    from onetrunk.apps.app import App
    from onetrunk.model.backbone import Backbone


def add_folders(bundle: str | Path, folders: Sequence[str | Path]) -> list[str]:
    """Put the apps of these folders into a bundle; returns their names.

    An app replaces the one of its name. PyTorch and the backbone are not needed. Raises
    :class:`UserError`, and changes nothing, if one does not fit.
    """
    old = Bundle(bundle)
    shapes = input_shapes(session(old.read(TOP), 1, str(old.folder / TOP)))
    named = by_name(folders)
    put_apps(old, [read_app(name, folder, old, shapes) for name, folder in named.items()])
    return [*named]


def add_apps(bundle: str | Path, backbone: Backbone, apps: Mapping[str, App]) -> None:
    """Put apps of PyTorch into a bundle; they replace those of the same names.

    Raises :class:`UserError`, and changes nothing, if one does not fit.
    """
    from onetrunk.bundle.contents import bundled_app  # PyTorch, which no other function needs

    put_apps(Bundle(bundle), [bundled_app(name, app, backbone) for name, app in apps.items()])


def put_apps(
    old: Bundle, apps: Sequence[BundledApp], examples: Mapping[str, bytes] | None = None
) -> None:
    """Write apps into a bundle, and by app the examples that it keeps; those that an app of this
    name kept so far are deleted. Raises :class:`UserError`, and changes nothing, if an app does not
    fit."""
    for app in apps:
        old.check_app(app, f"app {app.name}")
    floats = FLOATS[old.precision]
    example_files = {examples_path(name): lines for name, lines in (examples or {}).items()}
    app_files = {app_path(app.name): app.to_bytes(floats) for app in apps}
    _change(old, {**app_files, **example_files}, [examples_path(app.name) for app in apps])


def forget_examples(bundle: str | Path, name: str) -> None:
    """Delete the examples that a bundle keeps for an app, if there are any."""
    old = Bundle(bundle)
    if examples_path(name) in old.files:
        _change(old, {}, [examples_path(name)])


def put_app(bundle: str | Path, name: str, content: bytes) -> None:
    """Put an app into a bundle without PyTorch; it replaces the one of its name.

    ``content`` is a file as :meth:`BundledApp.to_bytes` makes it, and is written as it is. Raises
    :class:`UserError`, and changes nothing, if it is damaged or does not fit.
    """
    old = Bundle(bundle)
    path = app_path(name)
    old.check_app(BundledApp.from_bytes(name, content, f"app {name}"), f"app {name}")
    _change(old, {path: content}, [examples_path(name)])


def remove_apps(bundle: str | Path, names: Sequence[str]) -> None:
    """Take apps, and the examples that they keep, out of a bundle. Raises :class:`UserError`, and
    changes nothing, if one is unknown."""
    old = Bundle(bundle)
    remove_leftovers(old.folder)  # of a removal that was killed once it was done
    for name in names:
        if name not in old.apps:
            raise UserError(f"{bundle} has no app {name!r}; {nearest(name, old.apps)}")
    _change(old, {}, [path(name) for name in names for path in (app_path, examples_path)])


def _change(old: Bundle, added: Mapping[str, bytes], removed: Sequence[str]) -> None:
    """Write the bundle anew at once; files that stay are linked, and so is what others put into the
    folder. Processes that change it at the same time take turns."""
    with held(old.folder):
        now = Bundle(old.folder)  # another process may have changed it since
        now.check_fingerprint(old.backbone, str(old.folder))
        check_names(apps_of(added), now.apps)
        files = {path: listed for path, listed in now.files.items() if path not in removed}
        files |= {path: entry(content) for path, content in added.items()}
        ours = {MANIFEST, *now.files}
        if now.has_own_card():
            ours.add(CARD)
        with atomic_folder(now.folder, True, ANYTHING, ours) as folder:
            for path in files:
                (folder / path).parent.mkdir(exist_ok=True)
                if path in added:
                    (folder / path).write_bytes(added[path])
                else:
                    link_or_copy(now.folder / path, folder / path)
            write_manifest(folder, {**now.manifest, "files": files})
            if CARD in ours or not os.path.lexists(now.folder / CARD):
                Bundle(folder).write_card(now.folder.resolve().name)
