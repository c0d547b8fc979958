"""What the verbs that run apps share: loading them on the backbone they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onetrunk.engine import Engine


def load_engine(apps: Sequence[Path], backbone: str | None) -> Engine:
    """Load apps on ``backbone``, or on the one that the first app names.

    Raises :class:`UserError` if an app folder is bad or belongs to another backbone.
    """
    from onetrunk.adapt.app import read_record
    from onetrunk.errors import UserError
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
