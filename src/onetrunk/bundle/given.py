"""Apps as a user gives them to a runtime: those of one, files, folders, or apps of PyTorch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from onetrunk.apps.record import RECORD
from onetrunk.bundle.app import BundledApp
from onetrunk.bundle.app_folder import Shapes, read_app
from onetrunk.bundle.layout import SUFFIX, Bundle
from onetrunk.errors import UserError, nearest_path
from onetrunk.hub import name_of
from onetrunk.kinds import wrong_kind

if TYPE_CHECKING:
    from onetrunk.apps.app import App

_WHAT = f"an app, its file (apps/NAME{SUFFIX} of a bundle) or its folder"


def given_app(app: Any, name: str | None, bundle: Bundle, shapes: Shapes) -> BundledApp:
    """An app as this bundle holds it, called ``name``, or as its file or folder is. ``shapes`` are
    those of the inputs of the bundle's top.

    Raises :class:`UserError` for what is no app, is damaged or does not fit the bundle.
    """
    if isinstance(app, str | os.PathLike):
        app = _read(name, Path(app), bundle, shapes)
    elif _is_of_torch(app):
        app = _from_torch(name, app)
    elif not isinstance(app, BundledApp):
        called = "" if name is None else f"app {name!r}: "
        raise UserError(f"{called}pass {_WHAT}, not {app!r:.60} ({type(app).__name__})")
    return app if name is None else replace(app, name=name)


def given_apps(apps: Any, bundle: Bundle, shapes: Shapes) -> list[BundledApp]:
    """:func:`given_app` for apps by name. Raises :class:`UserError` for anything else."""
    if not isinstance(apps, Mapping):
        what = f"{apps!r:.60} ({type(apps).__name__})"
        raise UserError(f"pass apps by name, {{name: app, its file or its folder}}, not {what}")
    return [given_app(app, name, bundle, shapes) for name, app in apps.items()]


def _read(name: str | None, path: Path, bundle: Bundle, shapes: Shapes) -> BundledApp:
    if path.is_dir():
        if not (path / RECORD).exists():
            raise wrong_kind(path, RECORD)
        return read_app(name_of(path) if name is None else name, path, bundle, shapes)
    if not path.is_file():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        raise UserError(f"no such file or folder: {path}{nearest_path(path, siblings)}")
    if (path.parent / RECORD).exists():
        raise UserError(f"{path} is a part of an app: name its folder, {path.parent}")
    if path.suffix != SUFFIX:
        raise UserError(f"{path} is no app: pass {_WHAT}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    return BundledApp.from_bytes(path.stem if name is None else name, content, str(path))


def _is_of_torch(app: Any) -> TypeGuard[App]:
    """Whether this is an app of PyTorch, which nobody has who has not imported its module."""
    module = sys.modules.get("onetrunk.apps.app")
    return module is not None and isinstance(app, module.App)


def _from_torch(name: str | None, app: App) -> BundledApp:
    if name is None:
        raise UserError(f"{app!r:.60} has no name here: pass one, add(app, name)")
    if app.backbone is None:
        raise UserError(f"app {name!r} was made without its backbone: set app.backbone first")
    from onetrunk.bundle.contents import bundled_app  # PyTorch, which is there if such an app is

    return bundled_app(name, app, app.backbone)
