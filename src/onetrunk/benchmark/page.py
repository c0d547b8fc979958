"""A page of sections, as Markdown beside its pictures and as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
  color: #1d2129; background: #fff }
h1 { font-size: 1.6rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
p { max-width: 48rem } .wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; margin: .8rem 0; white-space: nowrap }
caption { text-align: left; color: #5a6270; padding-bottom: .3rem }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e4e7ec }
th { border-bottom: 2px solid #aab2bf; vertical-align: bottom }
th:first-child, td:first-child { text-align: left }
tbody tr:hover { background: #f5f7fa }
img { max-width: 100%; height: auto; margin: .6rem 0 }
""".strip()


@dataclass(frozen=True)
class Table:
    """Text by row and column; ``**…**`` is bold. A column is as the header says, the first left."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """An SVG file, by its path from the page's folder, and what it shows in a word or two."""

    path: str
    what: str


@dataclass
class Section:
    """A heading and what is below it."""

    title: str
    paragraphs: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """The page in GitHub's Markdown; pictures are linked."""
    blocks = [f"# {title}"]
    for section in sections:
        blocks += [f"## {section.title}", *section.paragraphs]
        for table in section.tables:
            lines = [table.header, ["---", *["---:"] * (len(table.header) - 1)], *table.rows]
            text = "\n".join("| " + " | ".join(map(_piped, line)) + " |" for line in lines)
            blocks += [table.caption, text] if table.caption else [text]
        blocks += [f"![{picture.what}]({picture.path})" for picture in section.pictures]
    return "\n\n".join(blocks) + "\n"


def html_page(title: str, sections: Sequence[Section], folder: Path) -> str:
    """The page as one HTML file: pictures are read from ``folder`` and put into it."""
    body = [f"<h1>{_marked(title)}</h1>"]
    for section in sections:
        body.append(f"<h2>{_marked(section.title)}</h2>")
        body += [f"<p>{_marked(text)}</p>" for text in section.paragraphs]
        body += [_table(table) for table in section.tables]
        body += [_image(picture, folder) for picture in section.pictures]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    caption = f"<caption>{_marked(table.caption)}</caption>" if table.caption else ""
    head = "".join(f"<th>{_marked(name)}</th>" for name in table.header)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_marked(text)}</td>" for text in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody></table></div>"
    )


def _image(picture: Picture, folder: Path) -> str:
    data = base64.b64encode((folder / picture.path).read_bytes()).decode("ascii")
    return f'<img alt="{html.escape(picture.what)}" src="data:image/svg+xml;base64,{data}">'


def _marked(text: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", html.escape(text))


def _piped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
