"""The page at /, where the package has no playground: what the service answers."""

from collections.abc import Mapping
from html import escape
from typing import Any

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
