"""What the verbs that run apps share: loading them on the backbone they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onetrunk.apps.engine import Engine
from onetrunk.bundle.layout import MANIFEST
from onetrunk.errors import UserError


def load_engine(apps: Sequence[Path], backbone: str | None) -> Engine:
    """Load apps on ``backbone``, or on the one that the first app names.

    Raises :class:`UserError` if an app folder is bad or belongs to another backbone.
    """
    from onetrunk.apps.app import read_record
    from onetrunk.model.backbone import load_backbone

    records = {folder: read_record(folder) for folder in apps}
    if backbone is None:
        first = apps[0]
        named = records[first].get("backbone")
        if not named:
            raise UserError(f"{first}/app.json names no backbone: pass --backbone")
        local = (first / named).resolve()
        backbone = str(local) if local.is_dir() else str(named)
        if not local.is_dir() and named.startswith("."):
            raise UserError(f"{first} was trained on {local}, which is gone: pass --backbone")
    return Engine.load(load_backbone(backbone), apps)


def load_runtime(folders: Sequence[Path], backbone: str | None) -> Any:
    """The :class:`~onetrunk.bundle.runtime.Runtime` of a bundle, if that is what is given; None for
    app folders.

    Raises :class:`UserError` if it is damaged or given beside anything else.
    """
    bundles = [folder for folder in folders if (folder / MANIFEST).exists()]
    if not bundles:
        return None
    if len(folders) > 1 or backbone is not None:
        raise UserError(f"{bundles[0]} is a bundle: it runs alone, on its own backbone")
    from onetrunk.bundle.runtime import Runtime  # needs onnxruntime

    return Runtime(bundles[0])
