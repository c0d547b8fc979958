"""Load apps by their folders, and the backbone that they were trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.apps.app import App, load_app
from onetrunk.apps.record import by_name, check_apps
from onetrunk.errors import UserError, as_path
from onetrunk.model.backbone import Backbone


def load_apps_and_backbone(
    folders: Sequence[str | Path],
    backbone: str | Path | Backbone | None = None,
    device: str = "cpu",
) -> tuple[Backbone, dict[str, App]]:
    """Load app folders on ``backbone``, or on the one that the first folder names, which is moved
    to ``device``.

    Apps are known by their folders' names. Raises :class:`UserError` if there is no app, if a
    folder is damaged or belongs to another backbone, or if two folders have one name.
    """
    paths = [as_path(folder, "app") for folder in folders]
    if not isinstance(backbone, Backbone):
        backbone = Backbone.load(check_apps(paths, backbone), device)
    return backbone, load_apps(paths, backbone)


def load_apps(folders: Sequence[str | Path], backbone: Backbone) -> dict[str, App]:
    """Load app folders for a backbone that is loaded, by their names."""
    return {name: load_app(folder, backbone) for name, folder in by_name(folders).items()}


def opened(apps: Any, backbone: Backbone) -> dict[str, App]:
    """Apps by name; one that is given as a folder is loaded. Raises :class:`UserError` for anything
    else than apps and folders by name."""
    if not isinstance(apps, Mapping):
        raise UserError(f"pass apps by name, {{name: app or its folder}}, not {apps!r:.60}")
    loaded = {}
    for name, app in apps.items():
        if isinstance(app, str | Path):
            app = load_app(Path(app), backbone)
        if not isinstance(app, App):
            raise UserError(f"app {name!r}: pass an App or the folder of one, not {app!r:.60}")
        loaded[name] = app
    return loaded
