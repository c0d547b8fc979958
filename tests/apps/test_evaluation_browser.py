"""The page of an evaluation in headless Chromium: what a reader sees of it.

Needs the package playwright and a Chromium on the path.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from onetrunk.apps.evaluation import Evaluation, evaluation_of
from onetrunk.apps.evaluation_page import Curve
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.families import family

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]
NAMES = ["billing", "card_not_working", "refund"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``opened(evaluation)`` is its page. At the end nothing has gone wrong on any."""
    complaints: list[str] = []
    pages: list[Any] = []

    def open_page(evaluation: Evaluation, curve: Curve | None = None, width: int = 1100) -> Any:
        folder = tmp_path / str(len(pages))
        folder.mkdir()
        evaluation.write(folder, curve)
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"file://{folder}/index.html")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def of_labels() -> Evaluation:
    rng = np.random.default_rng(0)
    rows, answers = [], []
    for at in range(120):
        gold = str(rng.choice(NAMES))
        guess = gold if rng.random() < 0.8 else str(rng.choice(NAMES))
        sure = rng.uniform(0.4, 1)
        rest = dict.fromkeys(NAMES, float(1 - sure) / 2)
        rows.append(
            LabelledText(f"a long text about {gold}, which is number {at} of them", (gold,))
        )
        answers.append(Labelled((guess,), {**rest, guess: float(sure)}))
    return evaluation_of(family("tc"), NAMES, rows, answers, temperature=True)


def of_entities() -> Evaluation:
    rows = [AnnotatedText("Ann in Oslo", ((0, 3, "PER"), (7, 11, "LOC"))), AnnotatedText("Oslo")]
    answers = [
        Entities([(0, 3, "PER"), (7, 11, "PER")], [0.9, 0.6]), Entities([(0, 4, "LOC")], [0.7]),
    ]  # fmt: skip
    return evaluation_of(family("ner"), ["LOC", "PER"], rows * 5, answers * 5)


def of_ratings() -> Evaluation:
    rows = [LabelledText(f"{at}", (f"{at / 10}",)) for at in range(5)]
    return evaluation_of(family("rating"), ["0", "1"], rows, [at / 10 + 0.01 for at in range(5)])


@pytest.mark.parametrize("width", [1100, 700])
@pytest.mark.parametrize("make", [of_labels, of_entities, of_ratings])
def test_no_table_is_cut_off(opened: Any, width: int, make: Callable[[], Evaluation]) -> None:
    page = opened(make(), width=width)
    cut = page.evaluate("""() => [...document.querySelectorAll(".wide")]
      .filter((one) => one.scrollWidth > one.clientWidth)
      .map((one) => one.getAttribute("aria-label"))""")
    assert cut == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_title_names_the_app_and_the_rows(opened: Any) -> None:
    named = replace(of_labels(), app="<b>intent</b>", data="data/test.csv")
    for evaluation, title in (
        (named, "Evaluation: <b>intent</b> on data/test.csv"),
        (of_labels(), "Evaluation: tc"),
    ):
        page = opened(evaluation)
        assert page.title() == title
        assert page.locator("h1").text_content() == title
        assert "Task family tc, 120 labelled rows." in page.locator("main").text_content()


@pytest.mark.parametrize("make", [of_labels, of_entities])
def test_words_are_explained_where_they_first_occur(
    opened: Any, make: Callable[[], Evaluation]
) -> None:
    evaluation = make()
    page = opened(evaluation)
    said = page.locator("main").text_content()
    for word, meaning in {
        "Support": "Support is how often the label occurs in these rows",
        "Gold": "Gold is what the rows are labelled with, predicted is what the app answered",
    }.items():
        assert said.index(meaning) == said.index(word)
    for name in evaluation.scores:
        tile = page.locator("dl div").filter(has_text=name.replace("_", " ")).first
        assert len(tile.locator(".what").text_content()) > 10


def test_only_an_interval_with_a_width_is_shown(opened: Any) -> None:
    assert "In brackets: 95 % intervals" in opened(of_labels()).locator("main").text_content()
    rows = [LabelledText(f"{at}", ("a",)) for at in range(3)]
    right = evaluation_of(family("tc"), ["a"], rows, [Labelled(("a",), {"a": 1.0})] * 3)
    said = opened(right).locator("main").text_content()
    assert "There is no interval" in said
    assert "[" not in said


def test_a_small_mean_error_is_not_rounded_away(opened: Any) -> None:
    said = opened(of_ratings()).locator("dl").text_content()
    assert "mae0.01the mean error, in the unit of the ratings" in said


def test_the_learning_curve_is_in_the_page(opened: Any, tmp_path: Path) -> None:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2])
    figure.savefig(tmp_path / "drawn.png", dpi=100)
    curve = Curve((tmp_path / "drawn.png").read_bytes(), 'more rows "<help>"')
    page = opened(of_labels(), curve)
    picture = page.locator("img")
    assert picture.get_attribute("alt") == curve.finding
    assert picture.evaluate("one => [one.naturalWidth, one.naturalHeight]") == [300, 200]
    assert opened(of_labels()).locator("img").count() == 0
