"""The house rules that a machine can check."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "onetrunk"


def test_contributing_names_each_folder_and_module_once() -> None:
    """The table in CONTRIBUTING.md and the package's listing are the same."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([\w/.]+)`", row)]
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in PACKAGE.iterdir()
        if path.name not in ("__pycache__", "py.typed")
    }
    assert sorted(named) == sorted(there)


def test_what_works_with_other_tools_has_a_test() -> None:
    """Each line of the table in docs/ecosystem.md names a test, or a folder of them, that is there;
    and so are the examples that it names."""
    text = (ROOT / "docs/ecosystem.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| .* \|$", text, re.MULTILINE)[1:]
    assert len(rows) > 10
    for row in rows:
        (test,) = re.findall(r"\]\(\.\./(tests/[\w/.-]+)\) \|$", row)
        named = [ROOT / place for place in re.findall(r"\]\(\.\./([\w/.-]+)\)", row)]
        assert all(place.exists() for place in named), row
        found = ROOT / test
        assert found.name.startswith("test_") or list(found.glob("test_*.py")), row


def test_no_function_has_more_than_twelve_parameters() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        if "cli" in path.relative_to(PACKAGE).parts:
            continue  # one parameter an option
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                names = [
                    a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                ]
                names += [a.arg for a in (node.args.vararg, node.args.kwarg) if a]
                if len([name for name in names if name not in ("self", "cls")]) > 12:
                    long.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert long == []


def test_only_the_command_line_prints() -> None:
    printing = []
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        if place.parts[0] in ("cli", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "console.print"):
                printing.append(f"{place}:{node.lineno}")
    assert printing == []
