"""Puts onnxruntime-web into wheels, so that ``onetrunk export --page`` needs no npm.

Its two files are not in the repository: ``npm install`` in ``web/`` brings them. Without them a
wheel is built all the same; its pages then take ``--ort FOLDER``.
"""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


class OnnxRuntimeWeb(BuildHookInterface):
    """Adds the files to the wheel, and to the sdist that wheels are built from."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a build."""
        if version == "editable":
            return
        web = Path(self.root) / "web"
        places = [web / "ort", web / "node_modules" / "onnxruntime-web" / "dist"]
        place = next((p for p in places if all((p / name).is_file() for name in FILES)), None)
        if place is None:
            self.app.display_warning(
                "without onnxruntime-web: run `npm install` in web/ first, or pages need --ort"
            )
            return
        target = "onetrunk/web/ort" if self.target_name == "wheel" else "web/ort"
        for name in FILES:
            build_data["force_include"][str(place / name)] = f"{target}/{name}"
