"""What `make docs` adds to the pages of this folder: README as the first page, the reference that
the code itself gives, and the files of the project that pages link to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command

import onetrunk
from onetrunk.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = "source"
"""The folder of the site for files of the project."""
OPTIONS = {
    "How it is trained": "onetrunk.adaptation.settings.AdaptSettings",
    "Which rows": "onetrunk.adaptation.draws.Draw",
    "When it gives no answer": "onetrunk.adaptation.abstention.Abstention",
}
RECIPE = {
    "The recipe": "onetrunk.config.Recipe",
    "`lora`": "onetrunk.config.LoraSettings",
    "`optimizer`": "onetrunk.config.OptimizerSettings",
    "`decontaminate`": "onetrunk.config.Decontaminate",
    "`families.F`, of every family": "onetrunk.config.FamilySettings",
    "`families.ner`, besides": "onetrunk.prefinetuning.objectives.ner.NerSettings",
    "`families.ner.concept`": "onetrunk.prefinetuning.objectives.ner.ConceptSettings",
    "`families.ner.distill`": "onetrunk.prefinetuning.objectives.teacher_states.DistillSettings",
    "`families.tc`, besides": "onetrunk.prefinetuning.objectives.pairs.PairSettings",
    "Each of `labelled`, and of `sources`": "onetrunk.config.Dataset",
    "Each of `sources`, besides": "onetrunk.config.Source",
}
"""Tables of settings: what they are called on the page, and the classes that hold them."""
ROLE = re.compile(r":\w+:(?:<code>|`)~?([\w.]+)(?:</code>|`)")
"""A name in a docstring: as it is written, and as it comes out of Markdown."""
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)#\s]+)(?:#[^)\s]*)?\)")


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
    named = {ROOT / found[2] for text in texts for found in LINK.finditer(text)}
    for path in sorted({path / "README.md" if path.is_dir() else path for path in named}):
        if path.is_file():
            name = f"{SOURCE}/{shown(path)}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Point links out of this folder to the site's copy: of a folder, that of its README; a folder
    that has none is only named."""

    def link(found: re.Match[str]) -> str:
        path = ROOT / found[2]
        if not path.exists():
            raise FileNotFoundError(f"a page links to {found[2]}, which is not there")
        if found[2] == "README.md":
            return f"[{found[1]}](index.md)"
        path = path / "README.md" if path.is_dir() else path
        return f"[{found[1]}]({SOURCE}/{shown(path)})" if path.is_file() else found[1]

    return LINK.sub(link, markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Names in docstrings are names, without the path to them."""
    return ROLE.sub(lambda role: f"<code>{role[1].rpartition('.')[2]}</code>", html)


def shown(path: Path) -> str:
    """The name of a file in the site: pages of Markdown are shown as they are written."""
    name = path.relative_to(ROOT).as_posix()
    return f"{name}.txt" if path.suffix in (".md", ".py") else name


def readme() -> str:
    """README, as a page of this folder."""
    text = (ROOT / "README.md").read_text()
    text = text.replace("](docs/", "](").replace('"docs/', '"')
    return re.sub(r"\]\((?=(?:tests|results|examples|recipes|web|src)[/)])", "](../", text)


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
        lines += [f"## {inner.command_path}", "", _markdown(command.help or ""), ""]
        lines += ["| option | what it does | default |", "|---|---|---|"]
        for parameter in command.params:
            usage = parameter.get_help_record(inner) or (parameter.make_metavar(inner), "")
            said = _markdown(re.sub(r"\s*\[(default|required|x>).*\]$", "", usage[1] or ""))
            default = parameter.default if isinstance(parameter.default, str | int | float) else ""
            row = (f"`{usage[0]}`", said, f"`{default}`" if default not in ("", False) else "")
            lines.append(_row(row))
        lines.append("")
    return lines


def _markdown(text: str) -> str:
    """The markup of a terminal as Markdown: what is bold there is code here."""
    return re.sub(r"(?<!\\)\[/?[a-z ]*\]", "`", text).replace("\\[", "[")


def _row(cells: Iterable[str]) -> str:
    """A row of a table. In code a bar stands for itself."""
    escaped = (re.sub(r"(`[^`]*`)|\|", lambda bar: bar[1] or "\\|", cell) for cell in cells)
    return "| " + " | ".join(escaped) + " |"


def names() -> str:
    """The public names of the package, from their docstrings."""
    public = [name for name in sorted(onetrunk.__all__) if not name.startswith("_")]
    values = (getattr(onetrunk, name) for name in public)
    described = [f"::: {value.__module__}.{value.__name__}" for value in values]
    options = [_settings(*one) for one in OPTIONS.items()]
    begin = ["# Every name in Python", "Functions, classes and the error. Each has an example."]
    return "\n\n".join([*begin, *described, "## Options of `adapt`", *options])


def recipes() -> str:
    """The keys of a recipe, from the models that read it."""
    begin = (
        "A recipe is a YAML file that says what stage 1 does. "
        "[recipes/tpl.yaml](../recipes/tpl.yaml) is one, and [Pre-finetuning](prefinetune.md) "
        "explains it. Each table below is a level of it. A key without a default must be there."
    )
    return "\n\n".join(["# Recipes", begin, *(_settings(*one) for one in RECIPE.items())])


def _settings(title: str, path: str) -> str:
    """The table of a class of settings: its own keys, defaults and what they mean."""
    module, _, name = path.rpartition(".")
    found = griffe.load(module, search_paths=[ROOT / "src"])[name]
    lines = [f"### {title}", "", _plain(found.docstring.value.split("\n\n")[0]), ""]
    lines += ["| key | default | what it is |", "|---|---|---|"]
    for key, one in found.members.items():
        if not one.is_attribute or key.startswith("_") or not one.annotation:
            continue
        value = re.sub(r"^Field\((.*)\)$", r"\1", str(one.value or ""))
        default = re.split(r", (?=(?:ge|gt|le|lt|min_length)=)", value)[0]
        if default.isupper():
            default = str(getattr(import_module(module), default))
        if default.startswith(("ge=", "gt=", "min_length=")):
            default = ""
        shown = "below" if default.endswith("Settings()") else default and f"`{default}`"
        cells = (f"`{key}`", shown, _plain(one.docstring.value))
        lines.append(_row(cells))
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A docstring as Markdown on one line."""
    return ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", " ".join(text.split()))
