"""SVG by hand: elements, and one style that is legible in light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

STYLE = """
svg { font-family: system-ui, sans-serif; font-size: 15px; fill: #1f2328; }
.head { font-size: 19px; font-weight: 600; } .small { font-size: 14px; } .tiny { font-size: 12px; }
.bold { font-weight: 600; }
.layer { fill: #eaeef2; stroke: #8c959f; } .ner { fill: #ffe3cc; stroke: #d55e00; }
.tc { fill: #d5e9f7; stroke: #0072b2; } .none { fill: none; stroke: #8c959f; }
.nert { fill: #a84800; } .tct { fill: #0066a1; } .pale { fill: #57606a; }
.line { stroke: #57606a; fill: none; stroke-width: 1.4; } .thick { stroke-width: 2.6; }
.nerl { stroke: #d55e00; fill: none; stroke-width: 2.2; }
.tcl { stroke: #0072b2; fill: none; stroke-width: 2.2; }
.dash { stroke-dasharray: 5 4; } .rule { stroke: #d0d7de; fill: none; } .tip { fill: #57606a; }
@media (prefers-color-scheme: dark) {
svg { fill: #e6edf3; } .layer { fill: #30363d; stroke: #768390; }
.ner { fill: #5a3013; stroke: #f08c3a; } .tc { fill: #11395a; stroke: #58a6ff; }
.none { stroke: #768390; } .nert { fill: #f5a267; } .tct { fill: #79c0ff; } .pale { fill: #9aa5b1; }
.line { stroke: #9aa5b1; } .tip { fill: #9aa5b1; } .rule { stroke: #3d444d; }
.nerl { stroke: #f08c3a; } .tcl { stroke: #58a6ff; }
}
"""
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/>'
    "</marker></defs>"
)


class Drawing:
    """Elements, and where the next ones begin."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.elements: list[str] = []
        self.x = self.y = 0.0

    def at(self, x: float, y: float) -> None:
        """What follows is drawn from here on."""
        self.x, self.y = x, y

    def text(
        self, x: float, y: float, said: str, kind: str = "small", anchor: str = "middle"
    ) -> None:
        place = f'x="{self.x + x:g}" y="{self.y + y:g}" text-anchor="{anchor}"'
        self.elements.append(f'<text class="{kind}" {place}>{escape(said)}</text>')

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, round: float = 6
    ) -> None:
        size = f'width="{width:g}" height="{height:g}" rx="{round:g}"'
        at = f'x="{self.x + x:g}" y="{self.y + y:g}"'
        self.elements.append(f'<rect class="{kind}" {at} {size}/>')

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        at = f'cx="{self.x + x:g}" cy="{self.y + y:g}" r="{radius:g}"'
        self.elements.append(f'<circle class="{kind}" {at}/>')

    def line(
        self, points: Iterable[tuple[float, float]], kind: str = "line", tip: bool = False
    ) -> None:
        path = "L".join(f"{self.x + x:g} {self.y + y:g}" for x, y in points)
        end = ' marker-end="url(#tip)"' if tip else ""
        self.elements.append(f'<path class="{kind}" d="M{path}"{end}/>')

    def svg(self, title: str, description: str, made_from: Iterable[str] = ()) -> str:
        """The file. It names the script, and the results that it is made from."""
        source = " ".join(["made by benchmarks/figures.py", *(f"from {one}" for one in made_from)])
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'role="img" aria-labelledby="t d">\n<!-- {source} -->\n<title id="t">{escape(title)}'
            f'</title>\n<desc id="d">{escape(description)}</desc>\n<style>{STYLE}</style>\n'
        )
        return head + "\n".join([TIP, *self.elements, "</svg>", ""])
