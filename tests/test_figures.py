"""Figures of README and docs/: each is made by a script from files in results/."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
KINDS = ("", "-phone")
"""Of the pictures of the playground."""
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"")


@pytest.fixture(scope="module")
def figures() -> Iterator[Any]:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import figures

    yield figures
    sys.path.remove(str(ROOT / "benchmarks"))


def test_figures_are_those_that_the_script_makes(figures: Any) -> None:
    for name, content in figures.figures().items():
        assert (figures.FIGURES / name).read_text() == content, f"{name}: run benchmarks/figures.py"


def test_every_figure_of_a_page_has_a_script(figures: Any) -> None:
    taken = {f"playground{kind}-{scheme}.png" for kind in KINDS for scheme in ("light", "dark")}
    script = (ROOT / "benchmarks/playground.py").read_text()
    assert "playground{kind}-{scheme}.png" in script
    assert all(f'"{kind}": (' in script for kind in KINDS)
    shown = set()
    for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")]:
        for one in IMAGE.findall(page.read_text()):
            shown.add((page.parent / "".join(one)).relative_to(ROOT).as_posix())
    assert len(shown) > 6
    for path in shown:
        name = Path(path).name
        assert (ROOT / path).exists(), path
        assert name in {*figures.figures(), *taken, "app-cost.js"}, f"{path}: what makes it?"


def test_every_figure_that_is_there_is_shown() -> None:
    said = "".join(page.read_text() for page in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    for path in (ROOT / "docs/figures").iterdir():
        assert f"figures/{path.name}" in said, path.name


def test_drawings_name_their_results_and_say_what_they_show() -> None:
    for path in ROOT.glob("docs/figures/*.svg"):
        text = path.read_text()
        root = ElementTree.fromstring(text)
        said = [root.find(f"{{*}}{part}") for part in ("title", "desc")]
        assert all(one is not None and len(one.text or "") > 15 for one in said), path.name
        assert "prefers-color-scheme: dark" in text
        (source,) = re.findall(r"<!-- made by (\S+)(.*) -->", text)
        assert (ROOT / source[0]).exists()
        assert all((ROOT / one).exists() for one in re.findall(r"results/\S+", source[1]))


def test_the_line_of_the_cost_figure_is_near_what_was_measured(figures: Any) -> None:
    times = figures.results("bundle-vs-models.json")["milliseconds"]
    for apps, linear, name in [(10, 0, ""), (10, 5, ", half heads alone"),
                               (10, 10, ", heads alone"), (1, 0, ", one app")]:  # fmt: skip
        _, milliseconds, _, separate = figures.cost(apps, linear, 2)
        assert milliseconds == pytest.approx(times[f"bundle int8{name}"]["p50"], rel=0.1)
        if apps == 10:
            assert separate == pytest.approx(times["separate int8"]["p50"], rel=0.02)
    size = figures.results("bundle-vs-models.json")["bytes"]
    assert figures.cost(10, 0, 2)[2] * 1e6 == pytest.approx(
        size["separate int8"]["total"], rel=1e-3
    )


def test_the_table_beside_the_cost_figure_has_its_numbers(figures: Any) -> None:
    text = (ROOT / "docs/understand.md").read_text().split("The same as a table:")[1]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|" + r" ([\d.]+) \|" * 4, text, re.M)
    assert len(rows) > 5
    for apps, linear, k, *said in rows:
        megabytes, milliseconds, of_models, ms_of_models = figures.cost(
            int(apps), int(linear), int(k)
        )
        wanted = [megabytes, of_models, milliseconds, ms_of_models]
        assert said == [f"{value:.1f}" for value in wanted], (apps, linear, k)
