"""``onetrunk.load``: apps on their backbone, or a bundle, ready to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onetrunk.bundle.layout import MANIFEST
from onetrunk.errors import UserError
from onetrunk.hub import fetched
from onetrunk.kinds import wrong_kind
from onetrunk.replacing import finish_replacing

if TYPE_CHECKING:
    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime


def load(
    *folders: str | Path | Sequence[str | Path],
    backbone: str | Path | None = None,
    device: str = "cpu",
    apps: Sequence[str] | None = None,
) -> Engine | Runtime:
    """Load app folders into one :class:`Engine`, or a bundle folder into a :class:`Runtime`.

    The folders may come in a list, and be names of the Hugging Face hub: ``owner/name``, or
    ``owner/name@revision``. Both are a :class:`~onetrunk.interface.Model`. Apps run on the
    backbone that the first of them names, or on ``backbone``; ``device`` is where it computes. A
    bundle has its own, and needs no PyTorch; ``apps`` names those of its apps that are loaded
    (default: all).

    Raises :class:`UserError` if there is no such folder, if one is damaged or belongs to another
    backbone, for a bundle beside anything else, and for ``apps`` that it does not have, or if it
    is no bundle.

    ```python
    import onetrunk

    in_pytorch = onetrunk.load("apps/news", "apps/intents")
    on_a_device = onetrunk.load("phone")
    ```
    """
    paths = _paths(folders)
    if check_folders(paths, backbone, device, apps):
        from onetrunk.bundle.runtime import Runtime

        return Runtime(paths[0], apps)
    from onetrunk.apps.engine import Engine
    from onetrunk.apps.load import load_apps_and_backbone

    return Engine(*load_apps_and_backbone(paths, backbone, device))


def check_folders(
    paths: Sequence[Path],
    backbone: str | Path | None = None,
    device: str = "cpu",
    apps: Sequence[str] | None = None,
) -> bool:
    """Whether this is a bundle, and no apps.

    Raises :class:`UserError` for all of :func:`load` that the folders show before they are loaded.
    """
    if not paths:
        raise UserError("no apps: pass app folders, or the folder of a bundle")
    for path in paths:
        finish_replacing(path)
        if not path.is_dir():
            raise wrong_kind(path, "app.json")
    bundles = [path for path in paths if (path / MANIFEST).exists()]
    if not bundles:
        from onetrunk.apps.record import check_apps  # which a device does not need

        check_apps(paths, backbone, device)
        if apps is not None:
            raise UserError(
                f"{paths[0]} is no bundle, of which apps could be chosen: name the folders of "
                "those that shall answer"
            )
    elif len(paths) > 1 or backbone is not None:
        raise UserError(f"{bundles[0]} is a bundle: it runs alone, on its own backbone")
    elif device != "cpu":
        raise UserError(f"{bundles[0]} is a bundle: it runs on the CPU, not on {device!r}")
    return bool(bundles)


def _paths(folders: Sequence[str | Path | Sequence[str | Path]]) -> list[Path]:
    paths: list[Path] = []
    for given in folders:
        for folder in given if isinstance(given, list | tuple) else [given]:
            if not isinstance(folder, str | os.PathLike):
                raise UserError(f"load: {folder!r:.60} is no folder; pass paths of folders")
            paths.append(fetched(folder))
    return paths
