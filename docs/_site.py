"""What `make docs` adds to the pages of this folder: README as the first page, the reference that
the code itself gives, and the files of the project that pages link to.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command

import onetrunk
from onetrunk.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = "source"
"""The folder of the site for files of the project."""
LINK = re.compile(r"\]\(\.\./([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the files that pages link to."""
    pages = {
        "index.md": readme(),
        "commands.md": commands(),
        "python.md": names(),
        "recipes.md": recipes(),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    texts = [readme(), *(page.read_text() for page in Path(config.docs_dir).glob("*.md"))]
    for path in sorted({ROOT / match[1] for text in texts for match in LINK.finditer(text)}):
        if path.is_file():
            name = f"{SOURCE}/{shown(path)}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of this folder to the site's copy; a folder of the project has none."""

    def link(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        if not path.exists():
            raise FileNotFoundError(f"a page links to {match[1]}, which is not there")
        if match[1] == "README.md":
            return "](index.md)"
        return f"]({SOURCE}/{shown(path)})" if path.is_file() else "](reference.md)"

    return LINK.sub(link, markdown)


def shown(path: Path) -> str:
    """The name of a file in the site: pages of Markdown are shown as they are written."""
    name = path.relative_to(ROOT).as_posix()
    return f"{name}.txt" if path.suffix in (".md", ".py") else name


def readme() -> str:
    """README, as a page of this folder."""
    text = (ROOT / "README.md").read_text()
    text = text.replace("](docs/", "](").replace('"docs/', '"')
    return re.sub(r"\]\((?=(tests|results|examples|recipes|web|src)/)", "](../", text)


def commands() -> str:
    """Every command with its options, from the code."""
    context = typer.Context(get_command(app), info_name="onetrunk")
    return "# Every command\n\n" + "\n".join(_command(context))


def _command(context: Any) -> list[str]:
    lines = []
    for name, command in sorted(context.command.commands.items()):
        if command.hidden:
            continue
        inner = type(context)(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            lines += _command(inner)
            continue
        about = re.sub(r"\[/?[a-z ]*\]", "`", command.help or "")
        lines += [f"## {inner.command_path}", "", about, ""]
        lines += ["| option | what it does | default |", "|---|---|---|"]
        for parameter in command.params:
            usage = parameter.get_help_record(inner) or (parameter.make_metavar(inner), "")
            said = re.sub(r"\s*\[(default|required).*\]$", "", usage[1] or "")
            default = parameter.default if isinstance(parameter.default, str | int | float) else ""
            row = (f"`{usage[0]}`", said, f"`{default}`" if default not in ("", False) else "")
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        lines.append("")
    return lines


def names() -> str:
    """The public names of the package, from their docstrings."""
    public = [name for name in sorted(onetrunk.__all__) if not name.startswith("_")]
    values = (getattr(onetrunk, name) for name in public)
    return _described("Every name in Python", [f"{v.__module__}.{v.__name__}" for v in values])


def recipes() -> str:
    """The keys of a recipe, from the models that read it."""
    config = ("Recipe", "LoraSettings", "OptimizerSettings", "Decontaminate", "FamilySettings")
    models = [f"onetrunk.config.{name}" for name in (*config, "Source", "Dataset")]
    models[5:5] = [
        "onetrunk.prefinetuning.objectives.ner.NerSettings",
        "onetrunk.prefinetuning.objectives.pairs.PairSettings",
    ]
    return _described("Recipes", models)


def _described(title: str, names: list[str]) -> str:
    return "\n\n".join([f"# {title}", *(f"::: {name}" for name in names)])
