"""The page at /: the playground, which runs the bundle in the browser; or else a list of routes."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from fastapi.staticfiles import StaticFiles

from onetrunk.bundle.examples import EXAMPLES
from onetrunk.bundle.page import ORT, find_ort, web_files
from onetrunk.errors import UserError

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

OFFLINE = "sw.js"
"""The page's service worker: it would keep the apps of the first visit, and here apps change."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>onetrunk</title>
<h1>onetrunk</h1>
<p>This service runs text apps. Programs find its description in
<a href="openapi.json">openapi.json</a>.
<ul>
{routes}
</ul>
</html>
"""


def index(openapi: Mapping[str, Any]) -> str:
    """A page of HTML with the routes of an OpenAPI description."""
    routes = [
        f"<li><code>{method.upper()} {escape(path)}</code> {escape(about['description'])}"
        for path, methods in openapi["paths"].items()
        for method, about in methods.items()
    ]
    return _PAGE.format(routes="\n".join(routes))


class _Files(StaticFiles):
    """A folder's files, without those that ``hides`` names or lie below it; or ``only`` some."""

    def __init__(self, folder: Path, hides: str = "", only: tuple[str, ...] = ()) -> None:
        super().__init__(directory=folder, html=not only)
        self._hides, self._only = hides, only

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Raises HTTPException for what is not shown."""
        if path.split("/")[0] == self._hides or (self._only and path not in self._only):
            raise HTTPException(404)
        return await super().get_response(path, scope)


def add_playground(app: FastAPI, bundle: Path) -> bool:
    """Serve the playground at / and, for it, the files of the bundle at /bundle, without what its
    apps keep of their examples. Returns whether this installation has the playground's files."""
    try:
        ort = find_ort()
    except UserError:
        return False
    web = web_files()
    app.mount("/bundle", _Files(bundle, hides=EXAMPLES))
    app.mount("/runtime", _Files(web / "src"))
    app.mount("/ort", _Files(ort, only=ORT))
    app.mount("/", _Files(web / "playground", hides=OFFLINE))
    return True
