"""The built site, opened from the disk in headless Chromium: questions, by its search."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("mkdocs", reason="pip install .[docs]")
ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]
PAGES = 3
ASKED = {
    "add a label": "questions",
    "what does a LoRA app cost": "questions",
    "cased encoder": "choose",
    "rows in excel": "questions",
    "probabilities": "answers",
    "ship to android": "questions",
    "change label name": "questions",
    "does my text leave the machine": "questions",
    "how many rows do I need": "questions",
    "move from setfit": "moving",
}
"""What is typed, and the page that has the answer."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return site


def test_ten_questions_are_answered_within_three_pages_without_a_network(site: Path) -> None:
    outside, errors, missed = [], [], {}
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda one: outside.append(one.url) if "http" in one.url[:4] else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"file://{site}/index.html")
        field = page.locator("input.md-search__input")
        for words, wanted in ASKED.items():
            field.fill("")
            field.press_sequentially(words)
            page.wait_for_timeout(700)
            links = page.locator(".md-search-result__list > li > a").evaluate_all(
                "found => found.map(one => one.href)"
            )
            found = [re.sub(r".*/|\.html.*", "", unquote(link)) for link in links[:PAGES]]
            if wanted not in found:
                missed[words] = found
        browser.close()
    assert (outside, errors, missed) == ([], [], {})


def test_the_cost_figure_works_by_keyboard(site: Path) -> None:
    """And says the numbers of the table below it."""
    text = (ROOT / "docs/understand.md").read_text()
    (megabytes,) = re.findall(r"^\| 10 \| 5 \| 2 \| ([\d.]+) \|", text, re.M)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"file://{site}/understand.html")
        page.get_by_label("Apps:").focus()
        figure = page.locator("#app-cost")
        assert f"one bundle: {megabytes}" in figure.inner_text()
        for _ in range(9):
            page.keyboard.press("ArrowLeft")
        assert "1.7 times more time than one model" in figure.get_by_role("status").inner_text()
        browser.close()
