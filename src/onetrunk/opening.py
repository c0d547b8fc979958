"""``onetrunk.load``: apps on their backbone, or a bundle, ready to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.bundle.layout import MANIFEST
from onetrunk.errors import UserError, nearest_path

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime


def load(
    *folders: str | Path | Sequence[str | Path], backbone: str | Path | None = None
) -> Engine | Runtime:
    """Load app folders into one :class:`Engine`, or a bundle folder into a :class:`Runtime`.

    The folders may come in a list. Both are a :class:`~onetrunk.interface.Model`. Apps run on the
    backbone that the first of them names, or on ``backbone``. A bundle has its own, and needs no
    PyTorch.

    Raises :class:`UserError` if there is no such folder, if one is damaged or belongs to another
    backbone, or for a bundle beside anything else.
    """
    paths: list[Path] = []
    for given in folders:
        for folder in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(folder, str | os.PathLike):
                raise UserError(f"load: {folder!r:.60} is no folder; pass paths of folders")
            paths.append(Path(folder))
    for path in paths:
        if path.is_file():
            raise UserError(f"{path} is a file: name the folder of an app or a bundle")
        if not path.is_dir():
            siblings = path.parent.iterdir() if path.parent.is_dir() else ()
            hint = nearest_path(path, (folder for folder in siblings if folder.is_dir()))
            raise UserError(f"no such folder: {path}{hint}")
    bundles = [path for path in paths if (path / MANIFEST).exists()]
    if not bundles:
        from onetrunk.apps.engine import Engine
        from onetrunk.apps.load import load_apps_and_backbone

        return Engine(*load_apps_and_backbone(paths, backbone))
    if len(paths) > 1 or backbone is not None:
        raise UserError(f"{bundles[0]} is a bundle: it runs alone, on its own backbone")
    from onetrunk.bundle.runtime import Runtime

    return Runtime(bundles[0])
