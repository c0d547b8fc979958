"""The links of README and docs/, and `make docs`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s:]*)(?:#([^)\s]*))?\)|(?:src|srcset)=\"([^\":]+)\"")
MADE = ("index.md", "commands.md", "python.md", "recipes.md")
"""Pages of the site that `docs/_site.py` makes from the code."""
REGISTRIES = ("pypi.", "pythonhosted.", "npmjs.", "yarnpkg.", "anaconda.", "crates.io", "maven.")


@pytest.fixture(scope="module")
def links() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "docs"))
    import _links

    yield _links
    sys.path.remove(str(ROOT / "docs"))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in addresses."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    headings = [re.sub(r"[`*]", "", one) for one in re.findall(r"^#+ (.+)$", text, re.M)]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", one).strip().lower()) for one in headings}


def test_every_link_of_the_project_leads_somewhere(links: Any) -> None:
    broken, count = [], 0
    for page in links.pages():
        code = r"^```.*?^```"
        for path, anchor, image in LINK.findall(
            re.sub(code, "", page.read_text(), flags=re.M | re.S)
        ):
            if not (path or anchor or image):
                continue
            count += 1
            target = page.parent / (path or image) if path or image else page
            made = target.parent.name == "docs" and target.name in MADE
            if not (target.exists() or made) or (
                anchor and not made and anchor not in anchors(target)
            ):
                broken.append(f"{page.relative_to(ROOT)}: {path or image}#{anchor}")
    assert count > 150
    assert not broken


def test_outside_addresses_have_a_good_form(links: Any) -> None:
    found = links.addresses()
    assert len(found) > 10
    alike: dict[str, set[str]] = {}
    for address, places in found.items():
        parts = urlsplit(address)
        assert parts.scheme == "https", (address, places)
        assert "." in (parts.hostname or ""), (address, places)
        assert not any(name in (parts.hostname or "") for name in REGISTRIES), (address, places)
        alike.setdefault(address.rstrip("/").replace("//www.", "//"), set()).add(address)
    assert [names for names in alike.values() if len(names) > 1] == []


def test_every_peer_in_the_comparison_has_its_documentation() -> None:
    (heads,) = re.findall(r"^\|  \| onetrunk \|(.+)\|$", (ROOT / "README.md").read_text(), re.M)
    assert all(re.fullmatch(r" \[[^\]]+\]\(https://\S+\) ", head) for head in heads.split("|"))


def test_every_yes_of_ours_in_the_comparison_is_shown_by_something() -> None:
    """A test, or what a benchmark measured."""
    table = (ROOT / "README.md").read_text().split("|---|---|---|---|---|---|---|---|---|\n")[1]
    rows = table.split("\n\n")[0].splitlines()
    ours = [row.split("|")[2] for row in rows]
    assert len(ours) > 5
    assert all(re.fullmatch(r" \[yes\]\((tests|results)/\S+\) ", one) for one in ours), ours


def test_every_page_is_in_the_menu_once() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    for name in [page.name for page in (ROOT / "docs").glob("*.md")] + [*MADE]:
        assert nav.count(f": {name}\n") == 1, name


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install .[docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "site" / "commands.html").read_text()
    assert "onetrunk adapt" in commands
    assert "BUNDLE | APP..." in commands  # in a table, whose cells are between bars
    assert not re.findall(r"\[/|\[bold|\[x>", commands)  # markup of a terminal
    assert "fonts.g" + "oogleapis" not in (tmp_path / "site" / "index.html").read_text()
