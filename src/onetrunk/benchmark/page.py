"""A page in Markdown beside its pictures, and the same page as one self-contained HTML file."""

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1d2129; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
p { max-width: 48rem }
table { border-collapse: collapse; font-size: 13px; margin: .8rem 0; white-space: nowrap;
  display: block; overflow-x: auto }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e4e7ec }
th { border-bottom: 2px solid #aab2bf; vertical-align: bottom }
tbody tr:hover { background: #f5f7fa }
img { max-width: 100%; height: auto; margin: .6rem 0 }
""".strip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column is aligned to the left, the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def html_page(title: str, text: str, folder: Path) -> str:
    """Markdown as one HTML file: SVG pictures are read from ``folder`` and put into it."""

    def inlined(image: re.Match[str]) -> str:
        data = base64.b64encode((folder / image[1]).read_bytes()).decode("ascii")
        return f'<img src="data:image/svg+xml;base64,{data}"'

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        + re.sub(r'<img src="([^"]+)"', inlined, body)
        + "</body>\n</html>\n"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
