"""`make docs`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)\s]*)?\)|(?:src|srcset)=\"([^\":]+)\"")


def test_every_link_of_the_project_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "web/README.md"]
    broken = [
        f"{page.relative_to(ROOT)}: {first or second}"
        for page in pages
        for first, second in LINK.findall(page.read_text())
        if not (page.parent / (first or second)).exists()
    ]
    assert not broken


def test_every_page_is_in_the_menu() -> None:
    nav = (ROOT / "mkdocs.yml").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f": {page.name}\n" in nav


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install .[docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "onetrunk adapt" in (tmp_path / "site" / "commands.html").read_text()
    assert "fonts.g" + "oogleapis" not in (tmp_path / "site" / "index.html").read_text()
